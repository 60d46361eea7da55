"""Planted bugs of what clients see: answers, tokens, watches, clocks, expiry, rights."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

from crdtstate.api.dispatch import Dispatcher
from crdtstate.api.keys import KeyHandlers
from crdtstate.api.watching import WatchHandler
from crdtstate.crdt.clock import HybridClock
from crdtstate.daemon.driver import Driver
from crdtstate.errors import UnavailableError
from crdtstate.replica.expiry import Expiry
from crdtstate.store import rights, watch
from crdtstate.store.catchup import Joiner
from crdtstate.store.index import Index
from crdtstate.store.planner import Planner
from crdtstate.store.store import Store
from crdtstate.store.views import life_of
from crdtstate.store.watch import Change, Chunk
from crdtstate.tokens import encode_token
from tests.zoo.bugs import HISTORIES, REPAIRS, Patch, bug


async def _at_once(*_: Any) -> None:
    return


# -- answers and tokens ------------------------------------------------------------------------


@bug()
def a_read_of_what_is_not_announced(patch: Patch) -> None:
    """A read shows a batch that the token of its answer does not cover [API-3; seed 64]."""
    patch.setattr(Driver, "announced", _at_once)


@bug()
def a_session_token_is_ignored(patch: Patch) -> None:
    """A read is served from whatever there is [API-1; P-g3]."""
    patch.setattr(Driver, "wait_covered", _at_once)


@bug()
def a_late_token_is_answered_all_the_same(patch: Patch) -> None:
    """Who waits too long for its token is given the older state [API-1; P-g3]."""
    wait = Driver.wait_covered

    async def lenient(self: Driver, token: str, timeout_ms: int) -> None:
        try:
            await wait(self, token, min(timeout_ms, 50))
        except UnavailableError:
            raise
        except Exception:  # noqa: BLE001 - the mistake.
            return

    patch.setattr(Driver, "wait_covered", lenient)


@bug()
def the_token_is_of_the_open_batch(patch: Patch) -> None:
    """A token covers what no reader can see yet [REP-1]."""
    patch.setattr(Driver, "token", property(lambda self: encode_token(self.replica.store.vector)))


@bug()
def the_token_is_kept_too_long(patch: Patch) -> None:
    """The token of an answer is the one of the batch before [API-2]."""

    def late(self: Any) -> str:
        shown, told = self.replica.shown, getattr(self, "told", None)
        if told is None or told[0] != shown.revision:
            newest = encode_token(shown.vector)
            self.told = told = (shown.revision, told[2] if told else newest, newest)
        return str(told[1])

    patch.setattr(Driver, "token", property(late))


@bug()
def a_minority_refuses_writes(patch: Patch) -> None:
    """A peer that sees less than a majority takes no write [AVL-1]."""
    submit = Driver.submit

    async def guarded(self: Driver, *args: Any) -> Any:
        if self.cluster.status()["minority"]:
            raise UnavailableError("a minority takes no writes", code="minority")
        return await submit(self, *args)

    patch.setattr(Driver, "submit", guarded)


@bug(cut_every_s=20.0)
def every_write_waits_for_a_majority(patch: Patch) -> None:
    """w=1 is taken for w=majority [AVL-1]."""
    submit = Driver.submit

    async def cautious(self: Driver, operations: Any, conditions: Any, w: Any, ms: int) -> Any:
        return await submit(self, operations, conditions, "majority" if w == 1 else w, ms)

    patch.setattr(Driver, "submit", cautious)


@bug(watchers=3, rate=3.0, peers=3, clients=3)
def a_slow_reader_holds_all_writes(patch: Patch) -> None:
    """A watch keeps a lock while its client reads, and writes take the same one [WAT-3]."""
    lines, write = WatchHandler._lines, KeyHandlers._write
    locks: dict[int, asyncio.Lock] = {}

    def lock_of(backend: Any) -> asyncio.Lock:
        return locks.setdefault(id(backend), asyncio.Lock())

    async def locked(self: WatchHandler, *args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
        async for chunk in lines(self, *args, **kwargs):
            async with lock_of(self._backend):
                yield chunk

    async def waiting(self: KeyHandlers, *args: Any) -> Any:
        async with lock_of(self._backend):
            pass
        return await write(self, *args)

    patch.setattr(WatchHandler, "_lines", locked)
    patch.setattr(KeyHandlers, "_write", waiting)


@bug(keys=16, rate=3.0, clients=4, disk_lag_s=0.3)
def a_missing_key_has_no_token(patch: Patch) -> None:
    """An error is sent without waiting, as if it said nothing of the state [API-3]."""
    handle, announced = Dispatcher._handle, Driver.announced
    inside: ContextVar[bool] = ContextVar("inside", default=False)

    async def hasty(self: Dispatcher, request: Any) -> Any:
        token = inside.set(request.method == "GET")
        try:
            return await handle(self, request)
        finally:
            inside.reset(token)

    async def skipping(self: Driver) -> None:
        if not inside.get():
            await announced(self)

    patch.setattr(Driver, "announced", skipping)
    patch.setattr(Dispatcher, "_handle", hasty)


# -- watches -----------------------------------------------------------------------------------


@bug()
def a_watch_skips_a_revision(patch: Patch) -> None:
    """Reading goes on one revision too far behind the last chunk [WAT-1]."""
    read = watch.read_log
    patch.setattr(watch, "read_log", lambda r, after, upto: read(r, after + 1, upto))


@bug()
def a_watch_forgets_deletes(patch: Patch) -> None:
    """A key that is gone is not told [WAT-1]."""
    changes = watch._changes

    def living(*args: Any) -> Iterator[Change]:
        return (change for change in changes(*args) if change.entry)

    patch.setattr(watch, "_changes", living)


@bug(event_entries_max=4, watchers=2)
def a_watch_ignores_the_floor(patch: Patch) -> None:
    """A slow watch goes on over changes that are no longer remembered [WAT-4]."""
    read = watch.read_revision
    patch.setattr(watch, "read_revision", lambda reader: (read(reader)[0], 0))


@bug(watchers=2, reset=0.02)
def a_watch_resumes_from_now(patch: Patch) -> None:
    """`since` is checked, and then not used [WAT-4]."""
    lines = WatchHandler._lines

    def from_now(self: WatchHandler, _cursor: int, *args: Any, **kwargs: Any) -> Any:
        return lines(self, self._backend.revision, *args, **kwargs)

    patch.setattr(WatchHandler, "_lines", from_now)


@bug(watchers=4)
def a_watch_takes_another_peer_s_revision(patch: Patch) -> None:
    """A revision is read as a number, whoever minted it [WAT-2]."""
    patch.setattr(
        "crdtstate.api.watching.parse_revision", lambda text, _: int(text.partition("-")[2])
    )


@bug(event_entries_max=4, watchers=2, cut_every_s=10.0)
def a_repair_leaves_the_log(patch: Patch) -> None:
    """What a repair changed is in no log, and watches are not sent back to the list [WAT-1]."""

    def only_counts(self: Index) -> None:
        self.revision += 1

    patch.setattr(Index, "restart_log", only_counts)


@bug()
def the_last_chunk_is_told_whole(patch: Patch) -> None:
    """A chunk that was cut at its limit counts as if it had reached the end [WAT-1]."""
    read = watch.read_changes

    def cut(snapshot: Any, since: int, prefix: bytes, _limit: int, wall_ms: int) -> Chunk:
        chunk = read(snapshot, since, prefix, 1, wall_ms)
        return Chunk(watch.read_revision(snapshot)[0], chunk.changes)

    patch.setattr("crdtstate.api.watching.read_changes", cut)


# -- clocks, expiry, rights --------------------------------------------------------------------


@bug()
def stamps_of_the_wall_clock_alone(patch: Patch) -> None:
    """A clock that is set back makes a later write lose [HLC-1; P-a7]."""

    def tick(self: HybridClock, wall_ms: int) -> int:
        self._last = wall_ms << 16
        return self._last

    patch.setattr(HybridClock, "tick", tick)


@bug()
def an_absurd_clock_is_absorbed(patch: Patch) -> None:
    """One peer a day ahead takes all others with it [HLC-2]."""

    def absorb(self: HybridClock, stamp: int, _wall_ms: int) -> None:
        self._last = max(self._last, stamp)

    patch.setattr(HybridClock, "absorb", absorb)


@bug()
def expiry_removes_a_refreshed_key(patch: Patch) -> None:
    """What was due once is removed, although its life was prolonged [EXP-1]."""

    def expire(self: Planner, record_id: bytes) -> None:
        if life_of(self.encoded(record_id)) is not None:
            self.drop_path(record_id, ())

    def tick(self: Any, wall_ms: int) -> int:
        stop, due = b"x" + (wall_ms + 1).to_bytes(8, "big"), []
        for key, _ in self._store.table.storage.scan(b"x", stop):
            self._store.table.write(key, None)
            due.append(key[9:])
        return self._store.expire(due, wall_ms).changed if due else 0

    patch.setattr(Planner, "expire", expire)
    patch.setattr(Expiry, "tick", tick)


@bug()
def only_its_writer_removes_a_key(patch: Patch) -> None:
    """What a peer that is gone wrote with a time to live stays for ever [P-c3]."""
    patch.setattr("crdtstate.replica.expiry.GRACE_MS", 1 << 50)


@bug(HISTORIES)
def what_a_pull_brings_never_expires(patch: Patch) -> None:
    """Only pushed keys enter the queue of what is due."""
    put = Joiner._put

    def unqueued(self: Any, *args: Any) -> None:
        note, self._store.note_expiry = self._store.note_expiry, lambda *_: None
        try:
            put(self, *args)
        finally:
            self._store.note_expiry = note

    patch.setattr(Joiner, "_put", unqueued)


@bug(keys=1, rate=3.0, cut_every_s=5.0)
def rights_of_others_are_spent(patch: Patch) -> None:
    """A bounded counter is taken from as long as its value allows, not the own rights [P-f1]."""

    def whole(record: Any, _me: str) -> int:
        granted = [rights.integer_at(record, p) for p in record if p[:1] and p[0][:1] == "+"]
        taken = [rights.integer_at(record, p) for p in record if p[:1] and p[0][:1] == "-"]
        return sum(granted) - sum(taken)

    patch.setattr(rights, "rights_of", whole)


@bug(event_entries_max=4)
def a_full_index_is_never_trimmed(patch: Patch) -> None:
    """Events are remembered for ever [IDX-1]."""
    patch.setattr(Index, "trim", lambda *_: 0)


@bug(REPAIRS)
def who_waited_in_vain_waits_on(patch: Patch) -> None:
    """Transactions whose past is lost with a disk are held for ever [STR-3]."""
    patch.setattr(Store, "drop_stale_held", lambda *_: None)
