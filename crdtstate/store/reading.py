"""Reads of a durable state: one key, a page of keys, the conflicts. Nothing here sees the overlay.

A reader is the storage itself or a snapshot of it; what a call returns is one consistent state when
the reader is a snapshot.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, final

from crdtstate.crdt.codec import decode_record, read_value, register_value
from crdtstate.crdt.dots import Dot
from crdtstate.crdt.record import LIFE, Cell, Record, winner
from crdtstate.store.conflicts import concurrent_paths, is_derived
from crdtstate.store.document import display_path
from crdtstate.store.ports import Family, Reader
from crdtstate.store.table import prefix_end
from crdtstate.store.transaction import split_record_id
from crdtstate.store.views import View, decode_life, life_of, view_of

__all__ = ["ConflictFound", "Entry", "Loser", "find_view", "list_conflicts", "list_views"]

_RECORD = Family.RECORD
USER_KEYS = b" "  # System keys start below it; see limits.check_key.
_SCANNED_MAX = 1_024  # Records read for a page, hidden ones among them: some milliseconds.
_PAGE_BYTES_MAX = 1 << 20


@final
class Entry(NamedTuple):
    """A readable key."""

    key: str
    view: View
    conflicts: int

    @property
    def value(self) -> Any:
        """The value: bytes of a register, else JSON."""
        return self.view.value


def find_view(reader: Reader, key: bytes, wall_ms: int) -> tuple[View, int] | None:
    """Return (view, number of losing concurrent values) of a key, or None."""
    first = reader.get(_RECORD + key + b"\0")
    if first is not None and reader.get(Family.GRAVE + key) is None:
        view = view_of(first, wall_ms)
        return (view, _losers(view)) if view else None
    prefix = _RECORD + key + b"\0"
    return _best((view_of(data, wall_ms) for _, data in reader.scan(prefix, prefix_end(prefix))))


def _best(views: Iterator[View | None]) -> tuple[View, int] | None:
    alive = [view for view in views if view is not None]
    if not alive:
        return None
    view = max(alive, key=lambda v: v.stamp)
    return view, _losers(view) + len(alive) - 1


def _losers(view: View) -> int:
    if view.record is None:
        return 0
    return sum(
        len({value for _, value in view.record[path].values()}) - 1
        for path in concurrent_paths(view.record)
    )


def list_views(
    reader: Reader, prefix: bytes, after: bytes | None, limit: int, wall_ms: int
) -> tuple[list[Entry], bytes | None]:
    """Return up to `limit` readable keys in byte order, and the key to continue after, or None.

    Cost: O(records scanned), bounded in number (hidden ones count too) and bytes, so a page may be
    short.
    """
    start = _RECORD + max(prefix, USER_KEYS)
    if after is not None:
        start = max(start, _RECORD + after + b"\x01")
    stop = prefix_end(_RECORD + prefix) if prefix else prefix_end(_RECORD)
    entries: list[Entry] = []
    lives: list[View | None] = []
    current: bytes | None = None
    size = 0
    for scanned, (storage_key, data) in enumerate(reader.scan(start, stop)):
        key, _ = split_record_id(storage_key[1:])
        if key != current:
            _add_entry(entries, current, lives)
            full = len(entries) >= limit or size > _PAGE_BYTES_MAX
            if full or scanned >= _SCANNED_MAX:
                return entries, current
            current, lives = key, []
        lives.append(view_of(data, wall_ms))
        size += len(data)
    _add_entry(entries, current, lives)
    return entries, None


def _add_entry(entries: list[Entry], key: bytes | None, lives: list[View | None]) -> None:
    if key is not None and (found := _best(iter(lives))) is not None:
        entries.append(Entry(key.decode(), *found))


@final
class Loser(NamedTuple):
    """One of the values in a conflict."""

    dot: Dot
    stamp: int
    value: Any  # bytes for a register's content, else JSON
    wins: bool


@final
class ConflictFound(NamedTuple):
    """Concurrent values at one path, or an update that lost to a removal."""

    key: str
    path: str
    kind: str
    values: list[Loser]


def list_conflicts(
    reader: Reader, prefix: bytes, after: bytes | None, limit: int
) -> tuple[list[ConflictFound], bytes | None]:
    """Return the conflicts of up to `limit` records, and the record id to continue after.

    Cost: O(conflicts), from an index: records without one are never read. Bounded in bytes too, so
    a page may be short.
    """
    family = Family.CONFLICT
    start = family + max(prefix, USER_KEYS)
    if after is not None:
        start = family + after + b"\x00"
    stop = prefix_end(family + prefix) if prefix else prefix_end(family)
    found: list[ConflictFound] = []
    last: bytes | None = None
    size = 0
    for n, (storage_key, _) in enumerate(reader.scan(start, stop)):
        if n >= limit or size > _PAGE_BYTES_MAX:
            return found, last
        last = storage_key[1:]
        data = reader.get(_RECORD + last)
        if data is not None:
            size += len(data)
            found.extend(_conflicts_of(reader, last, decode_record(data)))
    return found, None


def _conflicts_of(reader: Reader, record_id: bytes, record: Record) -> Iterator[ConflictFound]:
    key = split_record_id(record_id)[0]
    name = key.decode()
    if LIFE not in record:
        for path in sorted(record):
            if not is_derived(path):
                values = _values(path, record[path], nobody_wins=True)
                yield ConflictFound(name, display_path(path), "update_after_delete", values)
        return
    for path in concurrent_paths(record):
        values = _values(path, record[path], nobody_wins=False)
        yield ConflictFound(name, display_path(path), "concurrent_values", values)
    yield from _lost_lives(reader, key, record_id, record)


def _lost_lives(
    reader: Reader, key: bytes, record_id: bytes, record: Record
) -> Iterator[ConflictFound]:
    """Two lives of one key are told once, by the life that a read does not show."""
    prefix = _RECORD + key + b"\0"
    dot, stamp, value = winner(record[LIFE])
    for storage_key, data in reader.scan(prefix, prefix_end(prefix)):
        if storage_key[1:] == record_id or life_of(data) is None:
            continue
        plain = register_value(data)
        other = plain if plain is not None else winner(decode_record(data)[LIFE])
        if (other[1], other[0]) > (stamp, dot):
            values = [
                Loser(other[0], other[1], _shown(LIFE, other[2]), wins=True),
                Loser(dot, stamp, _shown(LIFE, value), wins=False),
            ]
            yield ConflictFound(key.decode(), "/", "concurrent_values", values)


def _values(path: tuple[str, ...], cell: Cell, *, nobody_wins: bool) -> list[Loser]:
    best = winner(cell)[0]
    ordered = sorted(cell, key=lambda d: (cell[d][0], d), reverse=True)
    return [
        Loser(d, cell[d][0], _shown(path, cell[d][1]), wins=d == best and not nobody_wins)
        for d in ordered
    ]


def _shown(path: tuple[str, ...], value: bytes) -> Any:
    if path != LIFE:
        return read_value(value)
    life = decode_life(value)
    return life.content if life.type_name == "register" else life.type_name


def siblings_of(view: View) -> list[Loser]:
    """Return every live sibling of a register's content, the winner first."""
    if view.record is not None:
        return _values(LIFE, view.record[LIFE], nobody_wins=False)
    stamp, dot = view.stamp
    return [Loser(dot, stamp, view.value, wins=True)]
