"""EDGE: keeps one cache like the peer's state: list, watch, go on, list again.

One informer serves all controllers of a process that see its kind.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from random import Random
from typing import final

import structlog

from controllers.runtime.backoff import Backoff
from controllers.runtime.cache import Cache, Change
from crdtstate.client.resources import Resources
from crdtstate.errors import CompactedError, CrdtstateError, NotFoundError
from crdtstate.model import Kind

__all__ = ["Informer"]

_RETRY_MS_MAX = 5_000
_SHORT_S = 1.0  # A stream that ends sooner counts as a failure.
_BATCH = 500  # Changes that are told before others get a turn of the loop.
Listener = Callable[[Change], None]
_log = structlog.get_logger("controllers.informer")


@final
class Informer:
    """One kind. `run` goes on until it is cancelled.

    Args:
        field_selector: Only these objects; one that is selected no longer counts as deleted.
    """

    def __init__(
        self,
        kind: Kind,
        cache: Cache,
        resources: Resources,
        rng: Random,
        *,
        field_selector: str | None = None,
    ) -> None:
        self.kind, self.cache = kind, cache
        self._resources, self._field_selector = resources, field_selector
        self._backoff: Backoff[str] = Backoff(rng, base_ms=100, max_ms=_RETRY_MS_MAX)
        self._listeners: list[Listener] = []
        self._stale = False
        self.synced = asyncio.Event()
        """Set once the first list is in the cache, or it is known that the kind is not served."""

    def listen(self, listener: Listener) -> None:
        """Tell all changes from now on, after they are in the cache."""
        self._listeners.append(listener)

    def relist(self) -> None:
        """Do not trust the watch: list again with its next line or its end."""
        self._stale = True

    async def run(self) -> None:
        """List and watch, for ever."""
        since: str | None = None
        while True:
            try:
                if since is None or self._stale:
                    since = await self._list()
                since = await self._watch(since)
            except CompactedError:
                since = None
            except CrdtstateError as error:
                since = None  # The next peer that answers may be another.
                if isinstance(error, NotFoundError):
                    self._take(self.cache.replace((), 0))
                    self.synced.set()
                else:
                    _log.info("informer_interrupted", kind=self.kind.name, reason=error.message)
                await asyncio.sleep(self._backoff.failed("") / 1000)

    async def _list(self) -> str:
        found = await self._resources.list(self.kind, field_selector=self._field_selector)
        self._stale = False
        version = found.resource_version
        changes = self.cache.replace(
            found.items, int(version) if version.isascii() and version.isdigit() else 0
        )
        for at in range(0, len(changes), _BATCH):
            self._take(changes[at : at + _BATCH])
            await asyncio.sleep(0)
        self.synced.set()
        return version

    async def _watch(self, since: str) -> str:
        """Follow until the stream ends; return where the next one goes on."""
        began_s = asyncio.get_running_loop().time()
        watch = self._resources.watch(self.kind, since=since, field_selector=self._field_selector)
        async with aclosing(watch) as events:
            async for event in events:
                since = event.resource_version
                self._take(self.cache.apply(event))
                if self._stale:
                    break
        if asyncio.get_running_loop().time() - began_s < _SHORT_S:
            # A peer that ends every stream at once shall not be asked without a pause.
            await asyncio.sleep(self._backoff.failed("") / 1000)
        else:
            self._backoff.succeeded("")
        return since

    def _take(self, changes: list[Change]) -> None:
        for change in changes:
            for listener in self._listeners:
                listener(change)
