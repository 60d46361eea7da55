"""What concurrent writes of objects left behind: each value, whose it is, and which won.

Source: the index that `crdtstate.store.table` keeps; records without a conflict are never read.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, final

from crdtstate.crdt.clock import stamp_ms
from crdtstate.crdt.codec import decode_record
from crdtstate.crdt.dots import Dot
from crdtstate.crdt.record import LIFE, Path, Record, winner
from crdtstate.kube.cells import is_item, path_text, present_of, value_of
from crdtstate.kube.keys import KEYS_FIRST, KEYS_STOP, ObjectKey, decode_key
from crdtstate.kube.managers import owners_of
from crdtstate.kube.reading import choose_shown, read_lives
from crdtstate.store.conflicts import concurrent_paths, is_derived
from crdtstate.store.marks import mark_of, overlooked
from crdtstate.store.ports import Family, Reader
from crdtstate.store.table import prefix_end
from crdtstate.store.transaction import split_record_id

__all__ = ["ObjectConflict", "Rival", "conflicts_of", "list_object_conflicts"]


@final
class Rival(NamedTuple):
    """One of the values in a conflict.

    Args:
        value: JSON; of an item of a list true (it is there) or false (it was removed).
        origin: Who wrote it; the backend knows the peer's name.
        managers: Who, in the words of managedFields, as far as that is known.
    """

    value: Any
    origin: int
    time_ms: int
    wins: bool
    managers: list[str]


@final
class ObjectConflict(NamedTuple):
    """Concurrent values at one path, a write that lost to a deletion, or an object that lost.

    Args:
        path: `.spec.containers[name="web"].image`; "." for the whole object.
    """

    key: ObjectKey
    path: str
    kind: Literal["concurrent_values", "update_after_delete", "concurrent_creations"]
    rivals: list[Rival]


def list_object_conflicts(
    reader: Reader,
    stored_as: str | None = None,
    namespace: str | None = None,
    *,
    after: bytes | None = None,
    limit: int = 500,
) -> tuple[list[ObjectConflict], bytes | None]:
    """Return the conflicts of up to `limit` objects, and where to continue, or None.

    Cost: O(objects of the kind, or of all kinds, that have a conflict).
    """
    start, stop = KEYS_FIRST, KEYS_STOP
    if stored_as is not None:
        start = ObjectKey(stored_as, namespace or "", "").encode()
        if namespace is None:
            start = start[:-1]
        stop = prefix_end(start)
    family = Family.CONFLICT
    begin = family + (start if after is None else max(start, after + b"\0\xff"))
    found: list[ObjectConflict] = []
    last: bytes | None = None
    objects = 0
    for storage_key, _ in reader.scan(begin, family + stop):
        encoded, _ = split_record_id(storage_key[1:])
        if encoded == last:
            continue
        if objects >= limit:
            return found, last
        key, last = decode_key(encoded), encoded
        if key is not None:
            objects += 1
            found.extend(conflicts_of(reader, key))
    return found, None


def conflicts_of(reader: Reader, key: ObjectKey) -> Iterator[ObjectConflict]:
    """Yield the conflicts of one object, of all its records. Cost: O(cells)."""
    prefix = Family.RECORD + key.encode() + b"\0"
    for _, data in reader.scan(prefix, prefix_end(prefix)):
        yield from _in_record(key, decode_record(data))
    lives = [life for life in read_lives(reader, key) if not life.gone]
    shown = choose_shown(lives)
    if shown is not None and len(lives) > 1:
        rivals = []
        for life in sorted(lives, key=lambda s: s.stamp, reverse=True):
            stamp, dot = life.stamp
            rivals.append(Rival(life.uid, dot[0], stamp_ms(stamp), life is shown, []))
        yield ObjectConflict(key, ".", "concurrent_creations", rivals)


def _in_record(key: ObjectKey, record: Record) -> Iterator[ObjectConflict]:
    if LIFE in record:
        for path in concurrent_paths(record):
            cell = record[path]
            shown = present_of(cell) if is_item(path) else cell
            best = winner(shown)[0] if shown else None
            rivals = [
                _rival(record, path, dot, wins=dot == best)
                for dot in sorted(cell, key=lambda d: (cell[d][0], d), reverse=True)
            ]
            yield ObjectConflict(key, path_text(path), "concurrent_values", rivals)
        mark = mark_of(record)
        lost = list(overlooked(record, mark)) if mark else []
    else:
        paths = [path for path in sorted(record) if not is_derived(path)]
        lost = [(path, dot) for path in paths for dot in sorted(record[path])]
    for path, dot in lost:
        rivals = [_rival(record, path, dot, wins=False)]
        yield ObjectConflict(key, path_text(path), "update_after_delete", rivals)


def _rival(record: Record, path: Path, dot: Dot, *, wins: bool) -> Rival:
    stamp, data = record[path][dot]
    managers = owners_of(record, path, [dot])
    return Rival(value_of(data), dot[0], stamp_ms(stamp), wins, managers)
