"""The feed: writes are shown, watches wake up, nothing is missed over restarts and compaction."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from crdtstate.api.kube import feed as feeds
from crdtstate.api.kube import sweeping
from crdtstate.api.kube.feed import Feed
from crdtstate.api.kube.sweeping import Sweeper
from crdtstate.errors import CrdtstateError, UnavailableError
from crdtstate.kube.objects import Target
from crdtstate.replica.events import Outcome
from crdtstate.store.index import read_revision
from tests.crdtstate.api.peer_fixture import running_peer
from tests.models.objects import CLUSTER, THINGS, X, altering, body, removing, setting
from tests.models.world import WALL_MS, Peer, StoreConfig

KIND = THINGS.stored_as


class Store:
    """A backend without network or threads: a batch is durable once it is submitted."""

    def __init__(self) -> None:
        self.peer = Peer("a", 1, StoreConfig(event_entries_max=8))
        self.now_ms = WALL_MS
        self.failure: CrdtstateError | None = None
        self._changed = asyncio.Event()

    @property
    def storage(self) -> Any:
        return self.peer.storage

    @property
    def origin(self) -> int:
        return self.peer.origin

    @property
    def revision(self) -> int:
        return read_revision(self.storage)[0]

    objects_revision = revision

    def snapshot(self) -> Any:
        return self.storage.snapshot()

    def wall_ms(self) -> int:
        return self.now_ms

    async def announced(self) -> None:
        """All of it always is."""

    def write(self, operations: Sequence[Any]) -> Any:
        """Commit; whoever waits is not told before `tell`."""
        committed = self.peer.store.submit(operations, (), self.now_ms)
        self.peer.make_durable()
        return committed

    def tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def submit(self, operations: Sequence[Any], *_: Any) -> Outcome:
        committed = self.write(operations)
        self.tell()
        return Outcome(committed, ("a",))

    def is_stable(self, _vector: Any) -> bool:
        return True

    async def wait_revision(self, after: int, _timeout_ms: int) -> bool:
        while self.revision <= after:
            if self.failure is not None:
                raise self.failure
            await self._changed.wait()
        return True


def things(count: int) -> list[Target]:
    return [Target(THINGS, "default", f"t{n:04}") for n in range(count)]


async def started() -> tuple[Any, Feed]:
    store: Any = Store()
    feed = Feed(store, CLUSTER)
    feed.start()
    await feed.caught_up(0)
    return store, feed


def told(feed: Feed, since: int) -> list[tuple[str, str]]:
    return [(e.type, e.object.key.name) for e in feed.cache.events_after(KIND, since)]


def test_a_write_is_shown_when_it_returns_with_its_body_and_version() -> None:
    """FED-1."""

    async def scenario() -> None:
        _, feed = await started()
        for n in range(3):
            edited = await feed.edit(X, setting(body(replicas=n)))
            assert edited.cached is feed.cache.get(*X.key)
            assert edited.cached is not None
            assert edited.cached.digest == edited.result.digest
            assert edited.cached.body == edited.result.body
        assert (await feed.edit(X, removing())).cached is None
        await feed.stop()

    asyncio.run(scenario())


def test_who_waits_for_a_kind_is_woken_by_it_and_by_nothing_else() -> None:
    async def scenario() -> None:
        _, feed = await started()
        other = Target(THINGS, "default", "other")
        since = feed.cache.version
        waits = [asyncio.create_task(feed.wait(KIND, since, 30_000)) for _ in range(100)]
        elsewhere = asyncio.create_task(feed.wait("/secrets", since, 30_000))
        await asyncio.sleep(0)
        await feed.edit(other, setting(body(replicas=1)))
        assert await asyncio.gather(*waits) == [True] * 100
        assert not elsewhere.done()
        assert await feed.wait(KIND, feed.cache.version, 1) is False
        await feed.stop()
        with pytest.raises(UnavailableError):
            await elsewhere

    asyncio.run(scenario())


def test_what_a_compaction_hid_is_told_all_the_same() -> None:
    """The log no longer reaches back: everything is read again, and compared."""

    async def scenario() -> None:
        store, feed = await started()
        changed, gone, same = things(3)
        for target in (changed, gone, same):
            await feed.edit(target, setting(body(replicas=1)))
        since = feed.cache.version
        store.write([feeds.edit(changed, setting(body(replicas=2)), CLUSTER)])
        store.write([feeds.edit(gone, removing(), CLUSTER)])
        fresh = Target(THINGS, "default", "fresh")
        for n in range(20):
            store.write([feeds.edit(fresh, setting(body(replicas=n)), CLUSTER)])
        while store.peer.store.index.trim(store.revision, store.now_ms):
            store.peer.make_durable()
        assert read_revision(store.storage)[1] > feed.revision
        store.tell()
        await feed.caught_up(store.revision)
        expected = [("ADDED", "fresh"), ("DELETED", gone.name), ("MODIFIED", changed.name)]
        assert sorted(told(feed, since)) == expected
        assert feed.cache.leaving_count == 1
        await feed.stop()

    asyncio.run(scenario())


def test_a_long_history_is_taken_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """FED-2."""
    monkeypatch.setattr(feeds, "_SLICE_RECORDS", 10)

    async def scenario() -> None:
        store: Any = Store()
        for target in things(95):
            store.write([feeds.edit(target, setting(body(replicas=1)), CLUSTER)])
        feed, counts, updates = Feed(store, CLUSTER), [], feeds.ObjectCache.update
        in_slice = 0

        def update(*arguments: Any) -> None:
            nonlocal in_slice
            in_slice += 1
            updates(*arguments)

        async def announced() -> None:
            nonlocal in_slice
            counts.append(in_slice)
            in_slice = 0

        store.announced = announced
        monkeypatch.setattr(feeds.ObjectCache, "update", update)
        feed.start()
        await feed.caught_up(0)
        assert len(feed.cache.list(KIND)) == 95
        assert len(counts) == 10
        assert max(counts) == 10
        await feed.stop()

    asyncio.run(scenario())


def test_a_failed_peer_s_feed_ends_with_the_reason() -> None:
    async def scenario() -> None:
        store, feed = await started()
        waiting = asyncio.create_task(feed.caught_up(store.revision + 1))
        await asyncio.sleep(0)
        store.failure = UnavailableError("the disk is gone", code="storage_failed")
        store.tell()
        with pytest.raises(UnavailableError, match="the disk is gone"):
            await waiting
        with pytest.raises(UnavailableError, match="the disk is gone"):
            await feed.wait(KIND, feed.cache.version, 1_000)
        await feed.stop()

    asyncio.run(scenario())


def test_a_deletion_is_known_from_the_mark_on_and_absence_is_none() -> None:
    async def scenario() -> None:
        store, feed = await started()
        uids = []
        for _ in range(3):
            created = await feed.edit(X, setting(body(replicas=1)))
            assert created.cached is not None
            uid = created.cached.uid
            assert not feed.was_deleted(X.key, uid)
            await feed.edit(X, removing())
            assert feed.was_deleted(X.key, uid)
            uids.append(uid)
        assert len(set(uids)) == 3
        for record in feed.cache.leaving(9):  # Swept: only the grave is left.
            store.peer.store.submit([_dropping(record)], (), store.now_ms)
        store.peer.make_durable()
        store.tell()
        await feed.caught_up(store.revision)
        assert feed.cache.leaving_count == 0
        assert all(feed.was_deleted(X.key, uid) for uid in uids)
        assert not feed.was_deleted(X.key, "of nobody")
        assert not feed.was_deleted(X.key._replace(name="never"), uids[0])
        await feed.stop()

    asyncio.run(scenario())


def test_a_round_of_sweeping_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """SWP-2."""
    monkeypatch.setattr(sweeping, "ROUND_RECORDS", 4)
    monkeypatch.setattr(sweeping, "TRANSACTION_RECORDS", 3)

    async def scenario() -> None:
        _, feed = await started()
        for target in things(10):
            await feed.edit(target, setting(body(replicas=1)))
            await feed.edit(target, removing())
        sweeper = Sweeper(feed)
        assert [await sweeper.round() for _ in range(4)] == [4, 4, 2, 0]
        assert feed.cache.leaving_count == 0
        await feed.stop()

    asyncio.run(scenario())


def _dropping(record: Any) -> Any:
    def plan(planner: Any, _key: bytes) -> None:
        planner.drop_path(record.record_id, ())

    return feeds.ops.Edit(record.key.encode(), plan)


def test_several_edits_are_one_transaction_or_none() -> None:
    async def scenario() -> None:
        store, feed = await started()
        revision = store.revision
        edits = [feeds.edit(t, setting(body(replicas=1)), CLUSTER) for t in things(3)]
        await feed.commit(edits)
        assert store.revision == revision + 1
        assert len(feed.cache.list(KIND)) == 3
        broken = feeds.edit(X, altering(lambda o: o["none"]), CLUSTER)
        more = feeds.edit(things(1)[0], setting(body(replicas=9)), CLUSTER)
        await feed.edit(X, setting(body(replicas=1)))
        with pytest.raises(CrdtstateError, match="KeyError"):
            await feed.commit([more, broken])
        assert feed.cache.list(KIND)[0].body["spec"] == {"replicas": 1}
        await feed.stop()

    asyncio.run(scenario())


def test_a_restart_finds_everything_again_under_later_versions(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_peer(tmp_path) as (peer, _):
            assert peer.feed is not None
            await peer.feed.edit(X, setting(body(replicas=1)))
            before = peer.feed.cache.version
        async with running_peer(tmp_path) as (peer, _):
            feed = peer.feed
            assert feed is not None
            await feed.caught_up(0)
            (found,) = feed.cache.list(KIND, "default")
            assert found.body["spec"] == {"replicas": 1}
            assert found.version > before

    asyncio.run(scenario())
