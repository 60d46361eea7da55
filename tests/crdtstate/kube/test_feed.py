"""The feed of a real peer: writes are shown, watches wake up, a restart finds everything again."""

import asyncio
from pathlib import Path
from typing import Any

from tests.crdtstate.api.peer_fixture import running_peer
from tests.models.objects import X, body, removing, setting


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


def test_an_edit_is_shown_when_it_returns_and_survives_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_peer(tmp_path) as (peer, _):
            feed = peer.feed
            assert feed is not None
            created = await feed.edit(X, setting(body(replicas=1)))
            assert created.cached is not None
            assert created.cached.digest == created.result.digest
            start = created.cached.version
            waiting = asyncio.create_task(feed.wait("test.io/things", start, 10_000))
            changed = await feed.edit(X, setting(body(replicas=2)))
            assert await waiting
            assert changed.cached is not None
            assert changed.cached.version > start
            assert [e.type for e in feed.cache.events_after("test.io/things", start)] == [
                "MODIFIED"
            ]
        async with running_peer(tmp_path) as (peer, _):
            feed = peer.feed
            assert feed is not None
            await feed.caught_up(0)
            (found,) = feed.cache.list("test.io/things", "default")
            assert found.body["spec"] == {"replicas": 2}
            assert found.version > changed.cached.version
            removed = await feed.edit(X, removing())
            assert removed.cached is None

    run(scenario())
