"""From a wanted body to changes of cells: what differs is written, nothing else is stamped.

Source: RFC 0004.

Invariants:
    WRI-1  A cell whose value is the wanted one already is not written: it keeps its stamp, so that
           saying again what is there never beats a change made elsewhere.
    WRI-2  After a write the record renders to the wanted body.
    WRI-3  Who changes something in an item says again that the item, and each item around it, is
           there; who removes an item leaves its fields in place.
    WRI-4  At most HIDDEN_ITEMS_MAX removed items are kept in an object; the oldest go first.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, final

from crdtstate.crdt.record import LIFE, Cell, Path, Record, winner
from crdtstate.kube.cells import (
    DERIVED,
    FALSE,
    ITEM,
    ORDER,
    TRUE,
    Flat,
    encode_leaf,
    is_item,
    is_shown,
    present_of,
)
from crdtstate.kube.rendering import list_order
from crdtstate.store.conflicts import is_derived

if TYPE_CHECKING:
    from crdtstate.store.planner import Planner

__all__ = ["HIDDEN_ITEMS_MAX", "Writer"]

HIDDEN_ITEMS_MAX = 32


@final
class Writer:
    """Writes one record of a planner's transaction, and notes what it changed."""

    def __init__(self, planner: "Planner", record_id: bytes) -> None:
        self._planner, self._record_id = planner, record_id
        self.changed: dict[Path, None] = {}
        self.overridden: dict[Path, None] = {}

    @property
    def record(self) -> Record:
        """The record as it is now, this transaction's changes included."""
        return self._planner.record(self._record_id)

    def drop(self, paths: Sequence[Path]) -> None:
        """Remove cells with nothing below them, those that are there. Cost: O(cells)."""
        record = self.record
        there = [path for path in paths if path in record]
        for path in there:
            self._note(path, record[path])
        self._planner.drop_leaves(self._record_id, there)

    def replace(self, path: Path, value: bytes) -> None:
        """Set one cell, whatever it shows."""
        self._note(path, self.record.get(path))
        self._planner.put_path(self._record_id, path, value)

    def _drop_below(self, path: Path) -> None:
        self._note(path, self.record.get(path))
        self._planner.drop_path(self._record_id, path)

    def _note(self, path: Path, cell: Cell | None) -> None:
        self.changed[path] = None
        values = {value for _, value in cell.values()} if cell else ()
        if len(values) > 1 and not is_derived(path):
            self.overridden[path] = None

    def write(self, flat: Flat) -> None:
        """Make the content what `flat` says. Cost: O(cells there and wanted)."""
        wanted = {path: encode_leaf(value) for path, value in flat.leaves.items()}
        touched: dict[Path, None] = {}  # Items in which something changes.
        self._remove_unwanted(wanted, flat.orders, touched)
        self._put_wanted(wanted, touched)
        record = self.record
        for path, steps in flat.orders.items():
            place = (*path, ORDER)
            if list_order(record.get(place), steps) != steps:
                self.replace(place, encode_leaf(steps))
        self._bound_hidden()

    def _put_wanted(self, wanted: Mapping[Path, bytes], touched: dict[Path, None]) -> None:
        record = self.record
        fresh = {
            path
            for path, value in wanted.items()
            if is_item(path) and value == TRUE and not is_shown(record.get(path, {}))
        }
        for path, value in wanted.items():
            cell = record.get(path)
            if cell is not None and not (fresh and _is_in(path, fresh)):
                seen = winner(present_of(cell) if is_item(path) else cell)[2]
                if seen == value:
                    continue  # WRI-1
            self.replace(path, value)
            touched.update(dict.fromkeys(_items_above(path)))
        for path in touched:
            if path not in fresh:
                self.replace(path, TRUE)  # WRI-3

    def _remove_unwanted(
        self, wanted: Mapping[Path, bytes], orders: Mapping[Path, Any], touched: dict[Path, None]
    ) -> None:
        record = self.record
        leaves: list[Path] = []
        for path in list(record):
            derived = path == LIFE or path[0][:1] == DERIVED
            if derived or path in wanted or path not in record:
                continue
            if path[-1] == ORDER and path[:-1] in orders:
                continue
            depth = _leaf_above(path, wanted)
            items = list(_items_above((*path, "")))
            if depth:  # What was a list or an object is a leaf now: all of it goes.
                below = [item for item in items if len(item) > depth]
                if below:
                    self._drop_below(below[0])
                else:
                    leaves.append(path)
            else:
                unwanted = next((item for item in items if item not in wanted), None)
                if unwanted is None:
                    leaves.append(path)
                elif unwanted != path or not self._hide(path, leaves):
                    continue
            touched.update(dict.fromkeys(item for item in items if item in wanted))
        self.drop(leaves)

    def _hide(self, path: Path, leaves: list[Path]) -> bool:
        """Remove an item: hide it (WRI-3), or drop it when it is one cell. Tell if it was there."""
        cell = self.record[path]
        if not is_shown(cell):
            return False
        if winner(present_of(cell))[2] == TRUE:
            self.replace(path, FALSE)
        else:
            leaves.append(path)
        return True

    def _bound_hidden(self) -> None:
        record = self.record
        hidden = [path for path, cell in record.items() if is_item(path) and not is_shown(cell)]
        if len(hidden) > HIDDEN_ITEMS_MAX:
            hidden.sort(key=lambda p: (winner(record[p])[1], p))
            for path in hidden[:-HIDDEN_ITEMS_MAX]:
                if path in record:
                    self._drop_below(path)


def _leaf_above(path: Path, wanted: Mapping[Path, bytes]) -> int:
    """Return the length of the prefix of `path` that is to be a leaf, 0 when none is."""
    for depth in range(1, len(path)):
        value = wanted.get(path[:depth])
        if value is not None and not (value == TRUE and is_item(path[:depth])):
            return depth
    return 0


def _items_above(path: Path) -> Iterator[Path]:
    """Yield the items that `path` lies in, outermost first."""
    for depth in range(1, len(path)):
        if path[depth - 1][:1] == ITEM:
            yield path[:depth]


def _is_in(path: Path, items: Set[Path]) -> bool:
    return path in items or any(item in items for item in _items_above(path))
