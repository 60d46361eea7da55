"""What was applied, in which order: the vector, the event index, the local log.

    event   (origin, seq) -> record ids touched, record ids whose life ended
    log     local revision -> wall time, dots applied at it

The event index answers a pull ("which records did the transactions you lack touch?"), the log
answers a watch ("what changed here since revision r?"). Both are bounded by number and age: the
oldest revisions are trimmed together with the events they name, and the floor of each origin rises.
A peer below a floor is repaired instead; a watcher below the log's floor lists again.

A repair raises floors at once, past events and revisions that are still stored; what lies below a
floor is swept in small steps later. So there are two marks each: what may be asked for (`floors`,
`log_floor`) and what is stored (`_swept`, `_kept`).

Source: the per-node dot-key map of [GAB17].

Invariants:
    IDX-1  Every covered dot has an event, or is at or below its origin's floor.
    IDX-2  Revisions grow by one with each applied transaction or join, and never go back.
    IDX-3  Dots of one origin enter the log in order of seq.
"""

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import final

import cbor2

from crdtstate.crdt.codec import encode_list
from crdtstate.crdt.dots import Dot, Vector
from crdtstate.store.ports import Family, Reader
from crdtstate.store.table import Table, prefix_end

__all__ = [
    "Event", "Index", "decode_event", "encode_event", "event_key", "log_key", "read_events",
    "read_log",
]  # fmt: skip

Event = tuple[list[bytes], list[bytes]]  # record ids touched; those whose life ended

_EVENT, _LOG, _META = Family.EVENT, Family.LOG, Family.META
_VECTOR, _FLOOR = _META + b"v", _META + b"f"
_REVISION, _LOG_FLOOR, _CLOCK = _META + b"r", _META + b"l", _META + b"c"
_SWEPT, _KEPT, _ENTRIES = _META + b"s", _META + b"k", _META + b"n"
_TRIM_STEP = 512  # Events forgotten in one step, give or take a revision.
_LOG_DOTS_MAX = 128  # Dots of one revision.


_pack_event_key = Struct(">cQQ").pack
_pack_log_key = Struct(">cQ").pack
_pack_log_entry = Struct(">QQQ").pack


def event_key(origin: int, seq: int) -> bytes:
    """Return the storage key of an event; events of one origin sort by seq."""
    return _pack_event_key(_EVENT, origin, seq)


def log_key(revision: int) -> bytes:
    """Return the storage key of a log entry; entries sort by revision."""
    return _pack_log_key(_LOG, revision)


def read_events(reader: Reader, origin: int, first: int, last: int) -> Iterator[tuple[int, bytes]]:
    """Yield (seq, encoded event) of one origin, first to last inclusive, as far as remembered."""
    start, stop = event_key(origin, first), event_key(origin, last + 1)
    for key, value in reader.scan(start, stop):
        yield int.from_bytes(key[9:], "big"), value


def read_log(reader: Reader, after: int, upto: int) -> Iterator[tuple[int, list[Dot]]]:
    """Yield (revision, dots) with after < revision <= upto."""
    for key, value in reader.scan(log_key(after + 1), log_key(upto + 1)):
        yield int.from_bytes(key[1:], "big"), _log_dots(value)


def encode_event(touched: list[bytes], ended: list[bytes]) -> bytes:
    """Encode an event: as it is on disk, and (behind its dot) on the wire."""
    return b"\x82" + encode_list(touched) + (encode_list(ended) if ended else b"\x80")


def decode_event(data: bytes) -> Event:
    """Decode bytes of our own disk."""
    touched, ended = cbor2.loads(data)
    return touched, ended


def _encode_log(wall_ms: int, origin: int, seqs: range) -> bytes:
    """Wall time and dots, eight bytes a number."""
    origin_bytes = origin.to_bytes(8, "big")
    dots = [origin_bytes + seq.to_bytes(8, "big") for seq in seqs]
    return b"".join((wall_ms.to_bytes(8, "big"), *dots))


def _log_wall_ms(value: bytes) -> int:
    return int.from_bytes(value[:8], "big")


def _log_dots(value: bytes) -> list[Dot]:
    return [
        (int.from_bytes(value[i : i + 8], "big"), int.from_bytes(value[i + 8 : i + 16], "big"))
        for i in range(8, len(value), 16)
    ]


def read_vector(reader: Reader) -> dict[int, int]:
    """Return the vector of a durable state, from the same snapshot as its records."""
    return _read_numbers(reader, _VECTOR)


def read_floors(reader: Reader) -> dict[int, int]:
    """Return the floors of a durable state."""
    return _read_numbers(reader, _FLOOR)


def read_revision(reader: Reader) -> tuple[int, int]:
    """Return (revision, log floor) of a durable state."""
    revision, floor = reader.get(_REVISION), reader.get(_LOG_FLOOR)
    return int.from_bytes(revision or b"", "big"), int.from_bytes(floor or b"", "big")


def _read_numbers(reader: Reader, prefix: bytes) -> dict[int, int]:
    return {
        int.from_bytes(key[2:], "big"): int.from_bytes(value, "big")
        for key, value in reader.scan(prefix, prefix_end(prefix))
    }


@final
class Index:
    """Vector, floors and revision of one replica, as the writer sees them."""

    def __init__(self, table: Table, *, entries_max: int, age_ms_max: int) -> None:
        storage = table.storage
        self._table = table
        self._entries_max, self._age_ms_max = entries_max, age_ms_max
        self.vector = read_vector(storage)
        self.floors = read_floors(storage)
        self.revision, self.log_floor = read_revision(storage)
        self.clock = int.from_bytes(storage.get(_CLOCK) or b"", "big")  # As of the start.
        self.entries = int.from_bytes(storage.get(_ENTRIES) or b"", "big")
        self._kept = int.from_bytes(storage.get(_KEPT) or b"", "big")
        self._swept = _read_numbers(storage, _SWEPT)
        self._dirty: dict[int, None] = {}

    def record(self, dot: Dot, touched: list[bytes], ended: list[bytes], wall_ms: int) -> None:
        """Note one applied transaction: it is covered from now on (VEC-1)."""
        origin, seq = dot
        assert self.vector.get(origin, 0) + 1 == seq, "VEC-1"
        self.vector[origin] = seq
        self._dirty[origin] = None
        self.revision += 1
        self.entries += 1
        put = self._table.put_unseen
        put(_pack_event_key(_EVENT, origin, seq), encode_event(touched, ended))
        put(_pack_log_key(_LOG, self.revision), _pack_log_entry(wall_ms, origin, seq))

    def note_events(self, origin: int, first: int, events: Sequence[bytes], wall_ms: int) -> None:
        """Store encoded events that came with a pull, so that this replica can serve others.

        They are those of one origin from `first` on, and enter the log many a revision; the caller
        covers their dots in the same batch.
        """
        put = self._table.put_unseen
        self.entries += len(events)
        for seq, encoded in enumerate(events, first):
            put(_pack_event_key(_EVENT, origin, seq), encoded)
        stop = first + len(events)
        for start in range(first, stop, _LOG_DOTS_MAX):
            self.revision += 1
            seqs = range(start, min(start + _LOG_DOTS_MAX, stop))
            put(log_key(self.revision), _encode_log(wall_ms, origin, seqs))

    def cover(self, target: Vector) -> None:
        """Cover `target` after a join."""
        for origin, seq in sorted(target.items()):
            if self.vector.get(origin, 0) < seq:
                self.vector[origin] = seq
                self._dirty[origin] = None

    def raise_floor(self, origin: int, seq: int) -> None:
        """Forget which records the dots up to `seq` touched (IDX-1)."""
        if self.floors.get(origin, 0) < seq:
            self.floors[origin] = seq
            self._table.write(_FLOOR + origin.to_bytes(8, "big"), seq.to_bytes(8, "big"))

    def restart_log(self) -> None:
        """Let no revision before now be asked for: watchers must list again."""
        self.revision += 1
        self._set_log_floor(self.revision)

    def _set_log_floor(self, revision: int) -> None:
        self.log_floor = revision
        self._table.put_unseen(_LOG_FLOOR, revision.to_bytes(8, "big"))

    def trim(self, durable_revision: int, wall_ms: int) -> int:
        """Forget the oldest entries over the bounds, at most a step of them.

        Returns: how many events went; call again while it is not 0.
        Cost: O(step), however large the index.
        """
        return self._sweep() or self._trim_log(durable_revision, wall_ms)

    def _sweep(self) -> int:
        """Remove events below the floors, which nobody may ask for."""
        for origin, floor in sorted(self.floors.items()):
            swept = self._swept.get(origin, 0)
            if swept < floor:
                upto = min(floor, swept + _TRIM_STEP)
                self._remove_events(origin, upto)
                return upto - swept
        return 0

    def _trim_log(self, durable_revision: int, wall_ms: int) -> int:
        over = self.entries - self._entries_max
        dots: dict[int, int] = {}
        trimmed, last = 0, self._kept
        stop = log_key(durable_revision + 1)
        for key, value in self._table.storage.scan(log_key(self._kept + 1), stop):
            young = _log_wall_ms(value) + self._age_ms_max > wall_ms
            if trimmed >= _TRIM_STEP or (young and trimmed >= over):
                break
            last = int.from_bytes(key[1:], "big")
            for origin, seq in _log_dots(value):
                trimmed += 1
                dots[origin] = max(dots.get(origin, 0), seq)
        if last > self._kept:
            self._forget(last, trimmed, dots)
        return trimmed

    def _forget(self, upto: int, trimmed: int, dots: dict[int, int]) -> None:
        table = self._table
        for origin, seq in sorted(dots.items()):
            self.raise_floor(origin, seq)
            self._remove_events(origin, seq)
        table.delete_range(log_key(self._kept + 1), log_key(upto + 1))
        self._kept = upto
        table.put_unseen(_KEPT, upto.to_bytes(8, "big"))
        self.entries -= trimmed
        if self.log_floor < upto:
            self._set_log_floor(upto)

    def _remove_events(self, origin: int, upto: int) -> None:
        """Remove events that are below the floor, and the graves that only they spoke of."""
        table, swept = self._table, self._swept.get(origin, 0)
        if upto <= swept:
            return
        for _, encoded in read_events(table.storage, origin, swept + 1, upto):
            for record_id in decode_event(encoded)[1]:
                table.forget_grave(record_id)
        table.delete_range(event_key(origin, swept + 1), event_key(origin, upto + 1))
        self._swept[origin] = upto
        table.put_unseen(_SWEPT + origin.to_bytes(8, "big"), upto.to_bytes(8, "big"))

    def close_batch(self, clock: int) -> None:
        """Add what changed since the last batch to the open one."""
        table = self._table
        for origin in self._dirty:
            table.put_unseen(
                _VECTOR + origin.to_bytes(8, "big"), self.vector[origin].to_bytes(8, "big")
            )
        self._dirty.clear()
        table.put_unseen(_REVISION, self.revision.to_bytes(8, "big"))
        table.put_unseen(_ENTRIES, self.entries.to_bytes(8, "big"))
        table.put_unseen(_CLOCK, clock.to_bytes(8, "big"))
