"""Watches read the log: a watcher is a cursor, and a slow one costs nothing but its cursor.

State-based: between two looks a key is told once, with its newest state, however often it changed.
A revision names a place in this replica's log and, in its text form, the replica's origin: it says
nothing to another replica, nor to this one in another life.

Invariants:
    WAT-1  After the chunk that ends at revision r, the watcher has been told of every key changed
           at or before r, with a state of r or later.
    WAT-2  Every revision in a chunk may be used to resume, and misses nothing.
"""

from collections.abc import Iterator
from typing import NamedTuple, final

from crdtstate.crdt.dots import Dot
from crdtstate.errors import CompactedError, InvalidError
from crdtstate.store.index import decode_event, read_events, read_log, read_revision
from crdtstate.store.ports import Snapshot
from crdtstate.store.reading import USER_KEYS, Entry, find_view
from crdtstate.store.table import prefix_end
from crdtstate.store.transaction import split_record_id

__all__ = [
    "Change", "Chunk", "Touched", "format_revision", "parse_revision", "read_changes",
    "read_touched",
]  # fmt: skip

_USER_KEYS_STOP = b"\xff"  # No key in UTF-8 has this byte.


@final
class Change(NamedTuple):
    """A key changed; `entry` is None when it is not readable now."""

    revision: int
    key: str
    entry: Entry | None


@final
class Chunk(NamedTuple):
    """The changes up to and including `revision`, read from the snapshot as they are taken."""

    revision: int
    changes: Iterator[Change]


def format_revision(origin: int, revision: int) -> str:
    """Return the text form, opaque to clients."""
    return f"{origin:016x}-{revision}"


def parse_revision(text: str, origin: int) -> int:
    """Return the number of a revision that this replica minted.

    Raises: InvalidError, CompactedError (code foreign_revision).
    """
    minted, _, number = text.partition("-")
    if len(minted) != 16 or not number.isascii() or not number.isdigit() or len(number) > 18:
        raise InvalidError(
            f"revision {text[:64]!r} is not one that a peer gave", code="invalid_parameter"
        )
    if minted != f"{origin:016x}":
        raise CompactedError(
            f"revision {text} was minted by another peer, or in an earlier life of this one: "
            "list again",
            code="foreign_revision",
        )
    return int(number)


@final
class Touched(NamedTuple):
    """The keys touched up to and including `revision`, each with its last revision."""

    revision: int
    keys: dict[bytes, int]


def read_touched(snapshot: Snapshot, since: int, first: bytes, stop: bytes, limit: int) -> Touched:
    """Return which keys, first <= key < stop, were touched after `since`.

    Reads at most about `limit` transactions.

    Raises: CompactedError when `since` is below the log's floor or beyond its end.
    Cost: O(transactions read).
    """
    revision, floor = read_revision(snapshot)
    if since < floor:
        raise CompactedError(
            f"revision {since} is no longer remembered: the oldest is {floor}; list again",
            revision=since,
            oldest=floor,
        )
    if since > revision:
        raise CompactedError(
            f"revision {since} is beyond the last, {revision}: list again",
            code="foreign_revision",
        )
    upto, read = revision, 0
    latest: dict[bytes, int] = {}
    for number, dots in read_log(snapshot, since, revision):
        if read >= limit:
            upto = number - 1
            break
        read += len(dots)
        for origin, first_seq, last_seq in _runs(dots):
            for _, encoded in read_events(snapshot, origin, first_seq, last_seq):
                for record_id in decode_event(encoded)[0]:
                    key = split_record_id(record_id)[0]
                    if first <= key < stop:
                        latest[key] = number
    return Touched(upto, latest)


def _runs(dots: list[Dot]) -> Iterator[tuple[int, int, int]]:
    """Yield (origin, first, last) of dots that follow each other: each run is one scan."""
    at = 0
    while at < len(dots):
        origin, first = dots[at]
        end = at + 1
        while end < len(dots) and dots[end] == (origin, first + end - at):
            end += 1
        yield origin, first, first + end - at - 1
        at = end


def read_changes(snapshot: Snapshot, since: int, prefix: bytes, limit: int, wall_ms: int) -> Chunk:
    """Return what changed of the users' keys after `since`, in at most about `limit` transactions.

    Raises: CompactedError when `since` is below the log's floor or beyond its end.
    Cost: O(transactions read); the changes cost a read each when they are taken.
    """
    stop = prefix_end(prefix) if prefix else _USER_KEYS_STOP
    touched = read_touched(snapshot, since, max(prefix, USER_KEYS), stop, limit)
    return Chunk(touched.revision, _changes(snapshot, touched.keys, wall_ms))


def _changes(snapshot: Snapshot, latest: dict[bytes, int], wall_ms: int) -> Iterator[Change]:
    """Yield in order of revision; only the last key of a revision carries it (WAT-2)."""
    rows = sorted(latest.items(), key=lambda item: item[1])
    for at, (key, number) in enumerate(rows, 1):
        ends = at == len(rows) or rows[at][1] != number
        found = find_view(snapshot, key, wall_ms)
        entry = Entry(key.decode(), *found) if found else None
        yield Change(number if ends else number - 1, key.decode(), entry)
