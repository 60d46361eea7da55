"""The watch handler against a backend whose storage runs ahead of what the replica announces."""

import asyncio
import json
from typing import Any

from crdtstate.api.exchange import Request
from crdtstate.api.watching import WatchHandler
from crdtstate.storage.memory import MemoryStorage
from crdtstate.store import operations as ops
from crdtstate.store.store import Store, StoreConfig

ORIGIN = 1 << 63


class Backend:
    """A store whose announced revision the test sets."""

    watches_max = 10
    origin = ORIGIN
    token = "t"

    def __init__(self) -> None:
        self.store = Store(MemoryStorage(), ORIGIN, StoreConfig())
        self.revision = 0
        self.waits = 0
        self.waited = asyncio.Event()

    def put(self, key: str) -> int:
        self.store.submit([ops.Put(key, value="v")], (), 1)
        self.store.table.storage.write(self.store.close_batch())
        self.store.batch_durable()
        return self.store.index.revision

    def snapshot(self) -> Any:
        return self.store.table.snapshot()

    def wall_ms(self) -> int:
        return 1

    async def announced(self) -> None:
        """Nothing is on its way."""

    async def wait_revision(self, after: int, _timeout_ms: int) -> bool:
        self.waits += 1
        await self.waited.wait()
        self.waited.clear()
        return self.revision > after


async def no_body() -> bytes:
    return b""


async def test_a_watch_never_spins_when_storage_is_ahead_of_what_is_announced() -> None:
    """WAT-5: it did, and with it a whole peer, when a batch was written but not yet announced."""
    backend: Any = Backend()
    backend.revision = backend.put("a")
    request = Request("GET", "/watch?initial=1", {}, no_body)
    response = await WatchHandler(backend).watch(request)
    lines = response.stream
    assert lines is not None
    assert b'"a"' in await anext(lines)
    assert b"bookmark" in await anext(lines)
    backend.put("b")
    later = backend.put("c")
    backend.revision = later - 1
    assert json.loads((await anext(lines)).splitlines()[-1])["key"] == "c"

    last = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0.01)
    assert not last.done()
    assert backend.waits == 1
    backend.revision = backend.put("d")
    backend.waited.set()
    assert json.loads(await last)["key"] == "d"
    await lines.aclose()


async def test_changes_that_are_not_for_a_watcher_give_others_a_turn_all_the_same() -> None:
    """Thousands of them may follow each other, after a heal."""
    backend: Any = Backend()
    backend.revision = backend.put("b/1")
    request = Request("GET", "/watch?prefix=a/", {}, no_body)
    response = await WatchHandler(backend).watch(request)
    lines = response.stream
    assert lines is not None
    assert b"bookmark" in await anext(lines)
    backend.revision = backend.put("b/2")
    backend.waited.set()

    assert await anext(lines) == b""

    backend.revision = backend.put("a/1")
    assert json.loads(await anext(lines))["key"] == "a/1"
    await lines.aclose()
