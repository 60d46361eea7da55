"""Planted bugs of durability and identity: what a crash or a copied disk brings to light."""

from typing import Any

from crdtstate.daemon.driver import Driver
from crdtstate.errors import StorageError
from crdtstate.replica import events as ev
from crdtstate.replica.machine import Replica
from crdtstate.sim.storage import Disk
from crdtstate.sim.world import Host
from crdtstate.store.index import Index
from crdtstate.store.store import Store
from crdtstate.store.table import Table
from tests.zoo.bugs import Patch, bug


@bug()
def acknowledged_before_it_is_durable(patch: Patch) -> None:
    """A write is answered when it is in the open batch [REP-1; P-e6]."""
    submit = Replica._submit

    def eager(self: Replica, event: Any, effects: list[ev.Effect]) -> None:
        submit(self, event, effects)
        replies, self._replies = self._replies, []
        effects += [ev.Reply(request, ev.Outcome(done, ("me",))) for request, done in replies]

    patch.setattr(Replica, "_submit", eager)


@bug()
def pushed_before_it_is_durable(patch: Patch) -> None:
    """A transaction is pushed when its batch is closed: early gossip [P-e6]."""
    close = Replica._close_batch

    def eager(self: Replica, effects: list[ev.Effect]) -> None:
        close(self, effects)
        if self._in_flight is not None:
            self._push(self._in_flight, effects)

    patch.setattr(Replica, "_close_batch", eager)


@bug()
def told_durable_before_the_sync(patch: Patch) -> None:
    """The batch is given to the disk and taken for durable at once: no fsync [dst no_fsync]."""

    def eager(self: Driver, effect: ev.Persist) -> None:
        self._committer.commit(effect.batch)
        self._loop.call_soon(self.step, ev.Durable())

    patch.setattr(Driver, "_perform_persist", eager)
    patch.setattr(Driver, "_committed", lambda self, error: error and self._fail(error))


@bug()
def a_batch_in_two_writes(patch: Patch) -> None:
    """The vector is written first and the records after it: etcd 3.5's consistent index [STO-1]."""

    def split(self: Driver, effect: ev.Persist) -> None:
        parts: list[Any] = [self._storage.batch(), self._storage.batch()]
        for change in effect.batch.changes:  # type: ignore[attr-defined]
            parts[change[0][:1] != b"m"].changes.append(change)
        setattr(self, "first_written", False)  # noqa: B010
        for part in parts:
            self._committer.commit(part)

    committed = Driver._committed

    def second_counts(self: Any, error: StorageError | None) -> None:
        if error is None and not self.first_written:
            self.first_written = True
        else:
            committed(self, error)

    patch.setattr(Driver, "_perform_persist", split)
    patch.setattr(Driver, "_committed", second_counts)


@bug()
def a_failed_sync_is_tried_again(patch: Patch) -> None:
    """A second sync succeeds, for the pages of the first have been dropped [dst fsync_retry]."""

    def again(self: Any, _error: StorageError | None) -> None:
        self._storage._ended = None
        self.step(ev.Durable())

    patch.setattr(Driver, "_committed", again)


@bug()
def own_number_saved_now_and_then(patch: Patch) -> None:
    """The own entry of the vector is written every few batches: dots are reused [DOT-1; P-e6]."""
    close = Index.close_batch

    def lazy(self: Any, clock: int) -> None:
        self.closed = getattr(self, "closed", 0) + 1
        if self.closed % 4 and len(self._dirty) == 1:
            self._dirty.clear()
        close(self, clock)

    patch.setattr(Index, "close_batch", lazy)


@bug()
def numbers_are_leased(patch: Patch) -> None:
    """A start jumps over numbers that the last life may have used, and so covers them [P-e8]."""
    init = Store.__init__

    def jumping(self: Store, *args: Any) -> None:
        init(self, *args)
        if self.vector.get(self.origin):
            self.vector[self.origin] += 8

    patch.setattr(Store, "__init__", jumping)


@bug()
def an_identity_from_the_name(patch: Patch) -> None:
    """A wiped peer comes back as who it was [P-e1]."""
    take = Host._take_origin

    def named(self: Host, reason: str) -> int:
        origin = take(self, reason)
        mine = self.disk.origin = (1 << 63) | int.from_bytes(self.name.encode() * 7, "big") >> 2
        self.world.identities[self.world.identities.index(origin)] = mine
        self.world.checkers.identity_taken(self, mine)
        return mine

    patch.setattr(Host, "_take_origin", named)


@bug()
def a_copied_directory_keeps_its_identity(patch: Patch) -> None:
    """Neither a restore nor a copy is noticed at the start [P-e2, P-e7]."""
    image = Disk.image

    def unnoticed(self: Disk, reason: str) -> Disk:
        copied = image(self, reason)
        copied.moved, copied.clean = "", True
        return copied

    patch.setattr(Disk, "image", unnoticed)


@bug()
def shown_is_ahead_of_the_disk(patch: Patch) -> None:
    """What is shown after a batch is what is in memory, not what the batch held [REP-1]."""
    on_durable = Replica._on_durable

    def ahead(self: Replica, event: ev.Durable, effects: list[ev.Effect]) -> None:
        on_durable(self, event, effects)
        store = self.store
        self.shown.update(dict(store.vector), store.index.revision, store.table.fingerprint.root)

    patch.setattr(Replica, "_on_durable", ahead)


@bug()
def the_fingerprint_in_the_next_batch(patch: Patch) -> None:
    """Bucket sums are written one batch after the records that they sum up [TAB-1]."""
    close = Table.close_batch

    def late(self: Any) -> Any:
        dirty = list(self.fingerprint.take_dirty())
        for bucket, total in getattr(self, "late", []):
            self._batch.put(b"b" + bucket.to_bytes(2, "big"), total.to_bytes(16, "big"))
        self.late = dirty
        return close(self)

    patch.setattr(Table, "close_batch", late)


@bug()
def the_clock_starts_anew(patch: Patch) -> None:
    """The last stamp is not kept over a restart, and a wall clock may have jumped back [HLC-1]."""
    init = Index.__init__

    def forgetful(self: Index, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.clock = 0

    patch.setattr(Index, "__init__", forgetful)


@bug()
def revisions_start_anew(patch: Patch) -> None:
    """A restart counts revisions from the floor of the log again [IDX-2]."""
    init = Index.__init__

    def forgetful(self: Index, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.revision = self.log_floor

    patch.setattr(Index, "__init__", forgetful)


@bug(kill_every_s=3.0, loss=0.3, peers=3, rate=3.0)
def old_events_stay_after_a_restart(patch: Patch) -> None:
    """The first write of each life does not name what the last life had seen [STR-1]."""
    init = Store.__init__

    def forgetful(self: Store, *args: Any) -> None:
        init(self, *args)
        self._news = {}

    patch.setattr(Store, "__init__", forgetful)
