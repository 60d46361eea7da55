"""An object's deletion is a mark: a cell that says when, how gently, and what had been seen.

    ("@deleted",) -> [milliseconds since 1970, grace in seconds, [origin, seq, …]]

Gone is computed: marked, without grace, and no finalizers. A finalizer that was added concurrently
therefore shows the object again, terminating, so that whoever added it can clean up.

The vector is there once the mark makes the object gone: the greatest seq of each origin among the
dots of the record. What it does not cover was written concurrently and lost, which is reported.

Invariants:
    DEL-1  A mark is never taken back: concurrent ones join to the least time and the least grace.
"""

from collections.abc import Iterator
from typing import NamedTuple, final

from crdtstate.crdt.codec import encode_value, read_value
from crdtstate.crdt.dots import Dot, covers
from crdtstate.crdt.record import LIFE, Path, Record

__all__ = ["DELETED", "Mark", "mark_of", "overlooked", "seen_by"]

DELETED: Path = ("@deleted",)
_FINALIZERS: Path = (".metadata", ".finalizers")
_DERIVED = "@"


@final
class Mark(NamedTuple):
    """A deletion."""

    at_ms: int
    grace_s: int
    seen: dict[int, int]

    def encode(self) -> bytes:
        """Return the cell's value."""
        flat = [n for origin in sorted(self.seen) for n in (origin, self.seen[origin])]
        return encode_value([self.at_ms, self.grace_s, flat])


def mark_of(record: Record) -> Mark | None:
    """Return the join of the concurrent marks, None when there is none (DEL-1)."""
    cell = record.get(DELETED)
    marks = [_decode(read_value(data)) for _, data in cell.values()] if cell else []
    if not marks:
        return None
    seen: dict[int, int] = {}
    for mark in marks:
        for origin, seq in mark.seen.items():
            seen[origin] = max(seq, seen.get(origin, 0))
    return Mark(min(m.at_ms for m in marks), min(m.grace_s for m in marks), seen)


def _decode(value: object) -> Mark:
    match value:
        case [int(at_ms), int(grace_s), list(flat)] if len(flat) % 2 == 0:
            if all(type(n) is int for n in flat):
                return Mark(at_ms, grace_s, dict(zip(flat[::2], flat[1::2], strict=True)))
    return Mark(0, 0, {})


def seen_by(record: Record) -> dict[int, int]:
    """Return the vector of a record: covers exactly those of its origins' dots known by now."""
    vector: dict[int, int] = {}
    for cell in record.values():
        for origin, seq in cell:
            if vector.get(origin, 0) < seq:
                vector[origin] = seq
    return vector


def overlooked(record: Record, mark: Mark) -> Iterator[tuple[Path, Dot]]:
    """Yield what was written concurrently with the mark that made the object gone."""
    if not mark.seen:
        return
    own = record[DELETED].keys()
    for path in sorted(record):
        if path == LIFE or path[0][:1] == _DERIVED or path[:2] == _FINALIZERS:
            continue
        for dot in sorted(record[path]):
            if not covers(mark.seen, dot) and dot not in own:
                yield path, dot
