"""Pull and repair: the two ways to catch up other than being pushed to.

The serving side reads one storage snapshot, whose vector T is read from the same snapshot, and
yields parts of bounded size; `None` between parts is a place to let others run. The receiving side
stages every part and joins all of it in one step, or nothing:

    keep = what both hold + theirs that my vector lacks + mine that T lacks;   then vector |= T

Source: [GAB17] for pulls by version vector over a dot-key index; DESIGN section 3.

Invariants:
    CAT-1  A session that is cut applies nothing.
    CAT-2  The served records, events and vector are those of one instant.
    CAT-3  The join is computed against the receiver's state at the moment it is applied: records
           that changed while it was being prepared are joined again.
    CAT-4  A repair between replicas of equal vectors changes nothing; if it does, `alarm` is set.
"""

from collections.abc import Iterator
from typing import final

from crdtstate.crdt.codec import check_record, is_canonical, register_value
from crdtstate.crdt.dots import Vector, covers_all
from crdtstate.crdt.record import LIFE, Record, join_records, winner
from crdtstate.errors import RemoteProtocolError
from crdtstate.store import parts
from crdtstate.store.fingerprint import GROUPS, bucket_of
from crdtstate.store.index import read_events, read_floors, read_vector
from crdtstate.store.parts import End, Part, PartWriter, Run, records_only
from crdtstate.store.plain import Row, row_of
from crdtstate.store.ports import Family, Snapshot
from crdtstate.store.store import Store
from crdtstate.store.table import prefix_end
from crdtstate.store.transaction import check_record_id, split_record_id

__all__ = ["BelowFloor", "Joiner", "serve_pull", "serve_repair"]

_SLICE_BYTES = 64 << 10  # How much is done before others run.
_EVENT_SLICES = 12  # So many slices of events a pause: 3,072 took 4 ms on a slow machine.


@final
class BelowFloor(Exception):
    """The peer lacks dots that this replica's event index no longer knows: repair instead."""


def serve_pull(snapshot: Snapshot, vector: Vector) -> Iterator[Part | End | None]:
    """Yield what the holder of `vector` lacks, as current records and the events that name them.

    Raises: BelowFloor, before anything was yielded.
    Cost: O(transactions lacked + records touched), not O(state).
    """
    target = read_vector(snapshot)
    floors = read_floors(snapshot)
    if any(vector.get(o, 0) < floor for o, floor in floors.items()):
        raise BelowFloor
    writer = PartWriter()
    for origin, last in sorted(target.items()):
        events = read_events(snapshot, origin, vector.get(origin, 0) + 1, last)
        yield from writer.fill(origin, events)
    yield from writer.rest()
    yield from _records(snapshot, iter(writer.touched))
    yield End(target, None)


def _records(snapshot: Snapshot, ids: Iterator[bytes]) -> Iterator[Part | None]:
    records: list[tuple[bytes, bytes | None]] = []
    size = 0
    for n, record_id in enumerate(ids, 1):
        data = snapshot.get(Family.RECORD + record_id)
        records.append((record_id, data))
        size += len(record_id) + len(data or b"") + 8
        if size > parts.PART_BYTES:
            yield records_only(records)
            records, size = [], 0
        elif n % parts.SLICE == 0:
            yield None
    if records:
        yield records_only(records)


def read_buckets(snapshot: Snapshot) -> Iterator[dict[int, int] | None]:
    """Yield None as places to pause, then {bucket: sum} of the snapshot."""
    sums: dict[int, int] = {}
    family = Family.BUCKET
    for n, (key, value) in enumerate(snapshot.scan(family, prefix_end(family)), 1):
        total = int.from_bytes(value, "big")
        if total:
            sums[int.from_bytes(key[1:], "big")] = total
        if n % 4096 == 0:
            yield None
    yield sums


def group_sums(sums: dict[int, int]) -> list[int]:
    """Return the upper level of bucket sums."""
    groups = [0] * GROUPS
    for bucket, total in sums.items():
        groups[bucket >> 8] = (groups[bucket >> 8] + total) & ((1 << 128) - 1)
    return groups


def serve_repair(snapshot: Snapshot, buckets: list[int]) -> Iterator[Part | End | None]:
    """Yield every record of the buckets. Cost: O(records): a scan, paused every few hundred."""
    wanted = bytearray(1 << 16)
    for bucket in buckets:
        wanted[bucket] = 1
    yield from _records(snapshot, _ids_in(snapshot, wanted))
    yield End(read_vector(snapshot), buckets)


def _ids_in(snapshot: Snapshot, wanted: bytearray) -> Iterator[bytes]:
    family = Family.RECORD
    for key, _ in snapshot.scan(family, prefix_end(family)):
        if wanted[bucket_of(key[1:])]:
            yield key[1:]


_Joined = tuple[bytes, Record | None]  # encoded, empty when gone; decoded, unless plain or gone


def _join_registers(
    mine: bytes | None, my_vector: Vector, theirs: bytes | None, their_vector: Vector
) -> bytes | None:
    """Join two plain registers (or nothing) without decoding; None when that does not do.

    Most records of most catch-ups are one sibling here, there, or on both sides. Equals
    `join_records` of the decoded ones; a peer's bytes are checked as `check_record` would.
    """
    left = register_value(mine) if mine else None
    try:
        right = register_value(theirs) if theirs else None
    except (IndexError, KeyError):
        return None  # Cut short: `check_record` will say so.
    if (mine and left is None) or (theirs and (right is None or not is_canonical(theirs, right))):
        return None
    if left is not None and right is not None and left[0] == right[0]:
        return mine
    keeps_left = left is not None and their_vector.get(left[0][0], 0) < left[0][1]
    keeps_right = right is not None and my_vector.get(right[0][0], 0) < right[0][1]
    if keeps_left and keeps_right:
        return None
    return (mine if keeps_left else theirs if keeps_right else b"") or b""


@final
class Joiner:
    """The receiving side of one session: stages parts, then joins all of them in one batch.

    A repair compares the bucket sums of two snapshots. `base` is the receiver's: a bucket with
    equal sums holds there what the other holds at its target, whatever happens here meanwhile.

    `prepare` and `apply` are generators that pause every few hundred records. Between the first
    step of `apply` and its end the caller must neither change the store nor close its batch.
    """

    def __init__(self, store: Store, *, bytes_max: int, base: Snapshot | None = None) -> None:
        self._store, self._base = store, base
        self._bytes_max = bytes_max
        if base is not None:
            self._track()
        self._records: dict[bytes, bytes | None] = {}
        self._parts: list[Part] = []  # Those with events.
        self._bytes = 0
        self._joined: dict[bytes, _Joined] = {}
        self.changed = 0
        self.alarm = False

    def stage(self, part: Part) -> None:
        """Keep a part until the end comes. Raises: RemoteProtocolError, over the bound too."""
        for record_id, data in part.records:
            check_record_id(record_id)
            self._records[record_id] = data
        if part.runs:
            self._parts.append(part)
        self._bytes += part.held_bytes
        if self._bytes > self._bytes_max:
            raise RemoteProtocolError(
                f"session staged {self._bytes} bytes, over session_bytes_max={self._bytes_max}"
            )

    def _track(self) -> None:
        """Note from now on which records change, those not yet durable among them (CAT-3)."""
        store = self._store
        store.touched_during_join = dict.fromkeys(store.table.pending_records())

    def prepare(self, end: End) -> Iterator[None]:
        """Join in advance. Raises: RemoteProtocolError for an end of the other kind of session."""
        if (end.buckets is None) != (self._base is None):
            raise RemoteProtocolError("the end is not that of this kind of session")
        if end.buckets is None or self._base is None:
            self._track()
        else:
            yield from self._stage_own(end.buckets, self._base)
        slices = _Slices(parts.SLICE)
        for record_id in self._records:
            theirs = self._records[record_id] or b"", None
            self._joined[record_id] = self._join(record_id, theirs, end.target)
            if slices.is_full(1, len(self._joined[record_id][0])):
                yield

    def _stage_own(self, buckets: list[int], own: Snapshot) -> Iterator[None]:
        """Whatever this side holds in a repaired bucket and the other does not, takes part too."""
        wanted = bytearray(1 << 16)
        for bucket in buckets:
            wanted[bucket] = 1
        family = Family.RECORD
        for n, (key, _) in enumerate(own.scan(family, prefix_end(family)), 1):
            if wanted[bucket_of(key[1:])]:
                self._records.setdefault(key[1:], None)
            if n % (4 * parts.SLICE) == 0:
                yield

    def _join(self, record_id: bytes, theirs: _Joined, target: Vector) -> _Joined:
        """Join with what is here now. Of what a peer sent, only the bytes are given."""
        table, vector = self._store.table, self._store.vector
        data, record = theirs
        plain = _join_registers(table.get_encoded(record_id), vector, data, target)
        if plain is not None:
            return plain, None
        if record is None:
            record = check_record(data) if data else {}
        joined = join_records(table.get(record_id), vector, record, target)
        return (table.wide.encode(record_id, joined), joined) if joined else (b"", None)

    def apply(self, end: End, wall_ms: int) -> Iterator[None]:
        """Write the joined records, then cover the target (CAT-1: the caller's batch is whole)."""
        store, target = self._store, end.target
        store.settle()
        touched = store.touched_during_join or {}
        store.touched_during_join = None
        equal = covers_all(store.vector, target) and covers_all(target, store.vector)
        slices = _Slices(parts.SLICE)
        rows: list[Row] = []
        for record_id, joined in self._joined.items():
            if record_id in touched:  # CAT-3. What was joined stands for theirs: idempotence.
                joined = self._join(record_id, joined, target)
            self._put(record_id, joined, rows)
            if slices.is_full(1, len(joined[0])):
                store.table.put_registers(rows)
                rows.clear()
                yield
        store.table.put_registers(rows)
        if end.buckets is not None and self._base is not None:
            self._put_unstaged(end, end.buckets, self._base, touched)
        self.alarm = end.buckets is not None and equal and self.changed > 0
        yield from self._advance(end, wall_ms)

    def _put_unstaged(
        self, end: End, repaired: list[int], base: Snapshot, touched: dict[bytes, None]
    ) -> None:
        """Records that changed here since the sums were compared, and that nobody has staged.

        In a repaired bucket the other side has none of them; in a bucket whose sums were equal it
        has what the base has.
        """
        buckets, rows = set(repaired), list[Row]()
        for record_id in touched:
            if record_id not in self._records:
                repaired_too = bucket_of(record_id) in buckets
                same = None if repaired_too else base.get(Family.RECORD + record_id)
                joined = self._join(record_id, (same or b"", None), end.target)
                self._put(record_id, joined, rows)
        self._store.table.put_registers(rows)

    def _put(self, record_id: bytes, joined: _Joined, rows: list[Row]) -> None:
        """Put a joined record, or note the row of a plain one, of which many are put at once."""
        store, data, record = self._store, joined[0] or None, joined[1]
        before = store.table.get_encoded(record_id)
        if before == data:
            return
        self.changed += 1
        row = None if data is None or record is not None else row_of(record_id, before, data)
        if row is not None:
            rows.append(row)
            return
        store.table.put_encoded(record_id, before, data, record)
        if record is not None and LIFE in record:
            store.note_expiry(record_id, winner(record[LIFE])[2])
        elif record is None and data is not None and (plain := register_value(data)) is not None:
            store.note_expiry(record_id, plain[2])

    def _news(self, run: Run, last: int) -> Iterator[tuple[int, list[int]]]:
        """Yield (first seq, places) of what a run has up to `last` and is lacked here."""
        start = max(0, self._store.vector.get(run.origin, 0) + 1 - run.first)
        stop = min(len(run.indices), last + 1 - run.first)
        size = _EVENT_SLICES * parts.SLICE
        for at in range(start, stop, size):
            yield run.first + at, run.indices[at : min(at + size, stop)]

    def _advance(self, end: End, wall_ms: int) -> Iterator[None]:
        store, target = self._store, end.target
        slices = _Slices(_EVENT_SLICES * parts.SLICE)
        for part in self._parts:
            for run in part.runs:
                for first, some in self._news(run, target.get(run.origin, 0)):
                    events = [part.distinct[place] for place in some]
                    store.index.note_events(run.origin, first, events, wall_ms)
                    for place in part.ended.keys() & some:
                        for record_id in part.ended[place]:
                            store.table.raise_grave(*split_record_id(record_id))
                    if slices.is_full(len(some), 0):
                        yield
        if end.buckets is not None:
            for origin, seq in sorted(target.items()):
                if store.vector.get(origin, 0) < seq:
                    store.index.raise_floor(origin, seq)
            if self.changed:
                store.index.restart_log()
        store.learn(target)
        while store.drain(wall_ms)[1]:
            yield


@final
class _Slices:
    """When to let others run: after so many records or events, or so many bytes of them."""

    __slots__ = ("_bytes", "_count", "_count_max")

    def __init__(self, count_max: int) -> None:
        self._count = self._bytes = 0
        self._count_max = count_max

    def is_full(self, count: int, size: int) -> bool:
        """Count `count` more, of `size` bytes; True: pause now."""
        self._count += count
        self._bytes += size
        if self._count < self._count_max and self._bytes < _SLICE_BYTES:
            return False
        self._count = self._bytes = 0
        return True
