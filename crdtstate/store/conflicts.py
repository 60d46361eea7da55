"""Which records hold something that people are to be told of.

Concurrent values of one cell, unless they join by a rule of their own: a step that starts with "@"
names such cells (orders, managers, generations), and so does the life of an object, which holds
no more than when it was created. An update that lost to a removal. A write that the deletion of an
object had not seen.
"""

from crdtstate.crdt.record import LIFE, Path, Record, true_conflicts, winner
from crdtstate.store.marks import DELETED, mark_of, overlooked
from crdtstate.store.views import OBJECT

__all__ = ["concurrent_paths", "holds_conflict", "is_derived", "is_object", "is_readable"]

_DERIVED = "@"


def is_derived(path: Path) -> bool:
    """Tell whether a cell joins by a rule of its own."""
    return any(step[:1] == _DERIVED for step in path)


def is_object(record: Record) -> bool:
    """Tell whether the record's life is an object of the resource API."""
    return LIFE in record and winner(record[LIFE])[2][:1] == bytes((OBJECT,))


def concurrent_paths(record: Record) -> list[Path]:
    """Return the paths with concurrent values that people are told of, in order."""
    paths = [path for path in true_conflicts(record) if not is_derived(path)]
    if paths and paths[0] == LIFE and is_object(record):
        return paths[1:]
    return paths


def is_readable(record: Record) -> bool:
    """Tell whether the record is one that a reader of its key may see: not an object's that goes.

    What a deletion marks stays as long as not everyone has the mark, beside what was created after.
    """
    return LIFE in record and not (DELETED in record and is_object(record))


def holds_conflict(record: Record) -> bool:
    """Tell whether people are to be told of the record. Cost: O(cells)."""
    if not record:
        return False
    if LIFE not in record or concurrent_paths(record):
        return True
    mark = mark_of(record)
    return mark is not None and any(True for _ in overlooked(record, mark))
