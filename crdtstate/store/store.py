"""The store of one replica: intents become transactions, transactions are applied or held.

One writer, one order. Everything here changes the open batch of the table; nothing is visible to
readers, and no dot may leave the process, before the driver has made that batch durable (REP-1).

Source: DESIGN sections 2 and 3; `apply or hold` is causal delivery by [SES89] vectors, where a
transaction names only the entries that changed since its origin's previous one.

Invariants:
    STR-1  A transaction is applied only when its origin's previous one and its past are covered.
    STR-2  What a change observed is removed; nothing else is (given STR-1 this equals the oracle).
    STR-3  Held transactions are bounded in number and age; beyond it they are dropped, and a pull
           gets what any peer has of them.
    STR-4  A record whose winning life expires has an entry in the queue of what is due.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, final

import msgspec

from crdtstate.crdt.clock import HybridClock
from crdtstate.crdt.codec import encode_record, encode_register, register_dot
from crdtstate.crdt.dots import Dot, Vector
from crdtstate.crdt.record import LIFE, apply_drops, apply_set, winner
from crdtstate.store import operations as ops
from crdtstate.store.index import Index
from crdtstate.store.limits import Limits
from crdtstate.store.plain import life_cell, rows_of_puts
from crdtstate.store.planner import Planner
from crdtstate.store.ports import Batch, Family, Storage
from crdtstate.store.puts import Committed, Puts
from crdtstate.store.table import Table
from crdtstate.store.transaction import (
    Change,
    Frame,
    Transaction,
    encode_body,
    split_record_id,
)
from crdtstate.store.views import decode_life

__all__ = ["Committed", "Received", "Store", "StoreConfig"]

HELD_AGE_MS_MAX = 60_000
DRAIN_STEP = 16  # Held transactions that are applied before others run.


@final
class StoreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of what one replica remembers."""

    limits: Limits = Limits()
    event_entries_max: int = 200_000
    event_age_ms_max: int = 24 * 3_600_000
    held_max: int = 4096


@final
class Received(NamedTuple):
    """What became of a frame: how many transactions were applied, and whether some are held."""

    applied: int
    held: bool
    own_future: bool  # A peer knows more of my own origin than I do: I was rolled back.
    more: bool = False  # Of what was held, more may be ready: call `drain`.


@final
class Store:
    """Applies intents and transactions to the table. Driven by one caller, in one thread."""

    def __init__(self, storage: Storage, origin: int, config: StoreConfig) -> None:
        self.config = config
        self.origin = origin
        self.table = Table(storage)
        self.index = Index(
            self.table,
            entries_max=config.event_entries_max,
            age_ms_max=config.event_age_ms_max,
        )
        self.clock = HybridClock(self.index.clock)
        self.outbox: list[bytes] = []  # Bodies of own transactions in the open batch.
        self.outbox_first = 0
        self.held: dict[int, dict[int, Transaction]] = {}
        self._held_since_ms: dict[int, int] = {}
        self.held_count = 0
        self.held_dropped = 0
        self.resolve_member: Callable[[str], int | None] = lambda _name: None
        # Entries that the next own transaction must name; all of them after a start.
        self._news: dict[int, None] = dict.fromkeys(
            o for o in sorted(self.index.vector) if o != origin
        )
        self._puts = Puts(self)
        # Keys changed while a join is being prepared in slices; see catchup.Joiner.
        self.touched_during_join: dict[bytes, None] | None = None

    @property
    def vector(self) -> dict[int, int]:
        """What this replica covers, the open batch included."""
        return self.index.vector

    @property
    def is_quiet(self) -> bool:
        """Whether nothing of this replica's own waits to be durable."""
        return not self.outbox and self.is_settled

    @property
    def is_settled(self) -> bool:
        """Whether table and vector agree: no transaction is open."""
        return not self._puts.is_open

    def settle(self) -> None:
        """End the open transaction, if there is one: it is in the vector from now on."""
        self._puts.settle()

    def adopt_origin(self, origin: int) -> None:
        """Write under a new identity from now on. The open batch must hold nothing of the old."""
        assert self.is_quiet, "REP-1"
        self.origin = origin
        self._news = dict.fromkeys(o for o in sorted(self.vector) if o != origin)

    # -- local intents -------------------------------------------------------------------------

    def submit(
        self,
        operations: Sequence[ops.Intent],
        preconditions: Sequence[ops.Precondition],
        wall_ms: int,
    ) -> Committed:
        """Commit one local transaction to the open batch.

        Raises: InvalidError, TooLargeError, WrongTypeError, PreconditionError, NotFoundError;
            nothing has changed then.
        """
        if not preconditions and operations and type(operations[0]) is ops.Put:
            committed = self._puts.submit(operations, wall_ms)
            if committed is not None:
                return committed
        self._puts.settle()
        planner = self._planner(wall_ms)
        for condition in preconditions:
            planner.require(condition)
        for operation in operations:
            planner.plan(operation)
        return self._commit(planner, wall_ms)

    def submit_system(
        self, operations: Iterable[tuple[bytes, ops.Operation]], wall_ms: int
    ) -> Committed:
        """Commit operations on keys of the system's own, which no client can name."""
        self._puts.settle()
        planner = self._planner(wall_ms)
        for key, operation in operations:
            planner.plan_at(key, operation)
        return self._commit(planner, wall_ms)

    def _planner(self, wall_ms: int) -> Planner:
        return Planner(
            self.table,
            (self.origin, self.vector.get(self.origin, 0) + 1),
            self.clock.tick(wall_ms),
            wall_ms,
            self.config.limits,
            self.resolve_member,
        )

    def _commit(self, planner: Planner, wall_ms: int) -> Committed:
        changes = list(planner.changes.values())
        if not changes:
            return Committed(None, self.index.revision, 0, planner.results)
        past = self.take_news()
        self.enter(planner.dot[1], encode_body(planner.stamp, past, changes))
        touched = list(dict.fromkeys(change.record_id for change in changes))
        for record_id in touched:
            record = planner.records.get(record_id)
            if record is None:
                before = planner.before[record_id]
                self.table.put_encoded(record_id, before, planner.plain[record_id])
            else:
                before = self.table.get_encoded(record_id)
                self.table.put_encoded(record_id, before, planner.encoded(record_id), record)
        self._finish(planner.dot, changes, touched, wall_ms)
        return Committed(planner.dot[1], self.index.revision, len(changes), planner.results)

    def take_news(self) -> dict[int, int]:
        """Return the entries that the next own transaction must name."""
        past = {o: self.vector[o] for o in sorted(self._news)}
        self._news.clear()
        return past

    def enter(self, seq: int, body: bytes) -> None:
        """Let an own transaction go out with the open batch; all ways to commit meet here."""
        if not self.outbox:
            self.outbox_first = seq
        self.outbox.append(body)

    def expire(self, record_ids: Sequence[bytes], wall_ms: int) -> Committed:
        """Remove those of the records whose life has expired; a concurrent refresh survives."""
        self._puts.settle()
        planner = self._planner(wall_ms)
        for record_id in record_ids:
            planner.expire(record_id)
        return self._commit(planner, wall_ms)

    # -- transactions of others ----------------------------------------------------------------

    def receive(self, frame: Frame, wall_ms: int) -> Received:
        """Apply what is ready of a pushed frame, hold the rest. Duplicates change nothing.

        Raises: RemoteProtocolError for a malformed body; earlier bodies have been applied.
        """
        self._puts.settle()
        origin = frame.origin
        known = self.vector.get(origin, 0)
        if frame.last <= known:
            return Received(0, held=False, own_future=False)
        if origin == self.origin:
            return Received(0, held=False, own_future=True)
        applied, held, more = 0, False, False
        for seq in range(max(frame.first, known + 1), frame.last + 1):
            transaction = frame.transaction(seq)
            if not held and self._is_ready(transaction):
                self._apply(transaction, wall_ms)
                applied += 1
            else:
                held = True
                self._hold(transaction, wall_ms)
        if applied and self.held_count:
            drained, more = self.drain(wall_ms)
            applied += drained
            held = frame.last > self.vector.get(origin, 0)
        return Received(applied, held=held, own_future=False, more=more)

    def _is_ready(self, transaction: Transaction) -> bool:
        vector = self.index.vector
        origin, seq = transaction.dot
        if vector.get(origin, 0) + 1 != seq:
            return False
        return all(vector.get(o, 0) >= s for o, s in transaction.past.items())

    def _hold(self, transaction: Transaction, wall_ms: int) -> None:
        origin, seq = transaction.dot
        waiting = self.held.setdefault(origin, {})
        if not waiting:
            self._held_since_ms[origin] = wall_ms
        if seq in waiting:
            return
        if self.held_count >= self.config.held_max:  # STR-3
            self.held_dropped += 1
            return
        waiting[seq] = transaction
        self.held_count += 1

    def drain(self, wall_ms: int) -> tuple[int, bool]:
        """Apply held transactions that have become ready, DRAIN_STEP of them at most.

        Returns: how many, and whether more may be ready.
        """
        applied, moved = 0, True
        while moved and self.held_count:
            moved = False
            for origin in sorted(self.held):
                waiting = self.held[origin]
                for seq in sorted(waiting):
                    if applied == DRAIN_STEP:
                        return applied, True
                    if seq <= self.vector.get(origin, 0):
                        del waiting[seq]
                        self.held_count -= 1
                    elif self._is_ready(waiting[seq]):
                        self.held_count -= 1
                        self._apply(waiting.pop(seq), wall_ms)
                        applied, moved = applied + 1, True
                    else:
                        break
                if not waiting:
                    del self.held[origin]
        return applied, False

    def drop_stale_held(self, wall_ms: int) -> None:
        """Let go what has waited in vain: its origin's disk may be gone, with what is missing.

        Whatever some peer still has of it, a pull brings.
        """
        for origin in sorted(self.held):
            if abs(wall_ms - self._held_since_ms[origin]) > HELD_AGE_MS_MAX:
                self.held_dropped += len(self.held[origin])
                self.held_count -= len(self.held.pop(origin))

    def _apply(self, transaction: Transaction, wall_ms: int) -> None:
        """Apply a remote transaction that is ready (STR-1)."""
        rows, rest = rows_of_puts(self.table, transaction)
        self.table.put_registers(rows)
        self._apply_by_record(transaction, rest)
        touched = list(dict.fromkeys([change.record_id for change in transaction.changes]))
        self._finish(transaction.dot, rest, touched, wall_ms)
        self.clock.absorb(transaction.stamp, wall_ms)
        self._news[transaction.dot[0]] = None

    def _apply_by_record(self, transaction: Transaction, changes: list[Change]) -> None:
        at = 0
        while at < len(changes):
            record_id = changes[at].record_id
            end = at + 1
            while end < len(changes) and changes[end].record_id == record_id:
                end += 1
            self._apply_to_record(transaction, record_id, changes[at:end])
            at = end

    def _apply_to_record(
        self, transaction: Transaction, record_id: bytes, changes: list[Change]
    ) -> None:
        table = self.table
        if len(changes) == 1 and changes[0].path == LIFE:
            # A plain register replaced or removed: decided on the bytes, without decoding.
            data = table.get_encoded(record_id)
            change = changes[0]
            value, dot, stamp = change.value, transaction.dot, transaction.stamp
            if data is None or (register_dot(data) or (0, 0)) in change.observed:
                after = None if value is None else encode_register(dot, stamp, value)
                table.put_encoded(record_id, data, after)
                return
            cell = life_cell(data) if value is not None else None
            if value is not None and cell is not None:  # Put beside others, or in their place.
                record = {LIFE: cell}
                apply_set(record, LIFE, dot, stamp, value, change.observed)
                table.put_encoded(record_id, data, encode_record(record), record)
                self.note_expiry(record_id, winner(record[LIFE])[2])
                return
        record = table.get(record_id)
        # What a drop observed is older than what is set beside it: the order says nothing.
        drops = {c.path: c.observed for c in changes if c.value is None}
        if drops:
            apply_drops(record, drops)
        for path, value, observed in ((c.path, c.value, c.observed) for c in changes):
            if value is not None:
                apply_set(record, path, transaction.dot, transaction.stamp, value, observed)
        table.put(record_id, record)
        if LIFE in record:  # Who was hidden until now may have been due long ago (STR-4).
            self.note_expiry(record_id, winner(record[LIFE])[2])

    def _finish(self, dot: Dot, changes: list[Change], touched: list[bytes], wall_ms: int) -> None:
        """Do what every applied transaction needs, whoever wrote it.

        Args:
            changes: Those that may begin a life with an end, or end one.
        """
        ended: list[bytes] = []
        for change in changes:
            if change.path == LIFE:
                if change.value is None:
                    ended.append(change.record_id)
                    self.table.raise_grave(*split_record_id(change.record_id))
                else:
                    self.note_expiry(change.record_id, change.value)
        if self.touched_during_join is not None:
            self.touched_during_join.update(dict.fromkeys(touched))
        self.index.record(dot, touched, ended, wall_ms)

    def learn(self, target: Vector) -> None:
        """Cover `target` after a join of records; what is held may be ready then."""
        self._puts.settle()
        for origin, seq in sorted(target.items()):
            if origin != self.origin and self.vector.get(origin, 0) < seq:
                self._news[origin] = None
        self.index.cover(target)

    def note_expiry(self, record_id: bytes, life: bytes) -> None:
        """Queue the record for removal when its life value carries an expiry time."""
        if life[:1] == b"\x01":
            expires_ms = decode_life(life).expires_ms or 0
            self.table.put_unseen(Family.EXPIRY + expires_ms.to_bytes(8, "big") + record_id, b"")

    # -- batches -------------------------------------------------------------------------------

    def close_batch(self) -> Batch:
        """End the open batch and return it; it is in flight until `batch_durable`."""
        self._puts.settle()
        self.index.close_batch(self.clock.last)
        return self.table.close_batch()

    def take_outbox(self) -> tuple[int, list[bytes]]:
        """Return (first seq, bodies) of the own transactions in the open batch, and empty it."""
        self._puts.settle()
        first, bodies = self.outbox_first, self.outbox
        self.outbox = []
        return first, bodies

    def batch_durable(self) -> None:
        """The batch in flight is durable."""
        self.table.batch_durable()
