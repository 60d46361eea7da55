"""A record: an add-wins map from path to cell; a cell: the concurrent siblings of one value.

    Record = {path: Cell}        path: a tuple of text; LIFE = () is the record's own existence
    Cell   = {dot: (stamp, value)}  normally one sibling; more when writes were concurrent

Last-writer-wins is a *read* rule (`winner`), never a join rule: dropping the loser at join time and
removing what was observed do not commute, and replicas would differ for ever behind equal vectors.
A removal leaves nothing behind: "my vector covers this dot and I do not hold it" is the removal.

Source: [ASB18] for causal delta states, [PBA10] for siblings named by dots.

Invariants:
    REC-1  No empty cell and no empty record is ever kept.
    REC-2  A set replaces exactly the siblings it observed; a drop removes exactly those it
           observed at or below its path.
    REC-3  `join` equals the state of the joined set of transactions (checked against the oracle).
    REC-4  An update never touches LIFE, so it cannot bring a removed record back.
"""

from collections.abc import Iterable, Mapping

from crdtstate.crdt.dots import Dot, Vector

__all__ = [
    "LIFE",
    "Cell",
    "Path",
    "Record",
    "Sibling",
    "apply_drop",
    "apply_drops",
    "apply_set",
    "is_alive",
    "join_records",
    "observed_at",
    "observed_below",
    "true_conflicts",
    "winner",
]

Path = tuple[str, ...]
Sibling = tuple[int, bytes]
Cell = dict[Dot, Sibling]
Record = dict[Path, Cell]

LIFE: Path = ()


def winner(cell: Cell) -> tuple[Dot, int, bytes]:
    """Return (dot, stamp, value) of the sibling that a read shows: greatest (stamp, dot)."""
    dot = max(cell, key=lambda d: (cell[d][0], d))
    stamp, value = cell[dot]
    return dot, stamp, value


def is_alive(record: Record) -> bool:
    """Tell whether the record exists for a reader."""
    return LIFE in record


def observed_at(record: Record, path: Path) -> list[Dot]:
    """Return the dots that a set of `path` replaces, in order."""
    return sorted(record.get(path, ()))


def observed_below(record: Record, path: Path) -> list[Dot]:
    """Return the dots that a drop of `path` removes: at it and below it, in order."""
    depth = len(path)
    return sorted({dot for p, cell in record.items() if p[:depth] == path for dot in cell})


def apply_set(
    record: Record, path: Path, dot: Dot, stamp: int, value: bytes, observed: Iterable[Dot]
) -> None:
    """Add a sibling and remove those that its writer had seen (REC-2)."""
    gone = set(observed)
    cell = {d: s for d, s in record.get(path, {}).items() if d not in gone}
    cell[dot] = (stamp, value)
    record[path] = cell


def apply_drop(record: Record, path: Path, observed: Iterable[Dot]) -> None:
    """Remove the observed siblings at and below `path`; what was concurrent survives (REC-2)."""
    depth, gone = len(path), set(observed)
    for p in [p for p in record if p[:depth] == path]:
        cell = {d: s for d, s in record[p].items() if d not in gone}
        if cell:
            record[p] = cell
        else:
            del record[p]


def apply_drops(record: Record, drops: Mapping[Path, Iterable[Dot]]) -> None:
    """Do `apply_drop` for each of {path: observed}. Cost: O(cells), however many drops."""
    gone = {path: set(observed) for path, observed in drops.items()}
    for path in list(record):
        seen = [gone[path[:n]] for n in range(len(path) + 1) if path[:n] in gone]
        if not seen:
            continue
        cell = {d: s for d, s in record[path].items() if not any(d in dots for dots in seen)}
        if cell:
            record[path] = cell
        else:
            del record[path]


def join_records(mine: Record, my_vector: Vector, theirs: Record, their_vector: Vector) -> Record:
    """Return the record of a replica that has seen both vectors.

    Keeps what both hold, what only they hold and I have not seen, and what only I hold and they
    have not seen; whatever else one side lacks, it has removed.

    Cost: O(siblings of both).
    """
    joined: Record = {}
    for path in mine.keys() | theirs.keys():
        a, b = mine.get(path, {}), theirs.get(path, {})
        if a == b:
            joined[path] = a
            continue
        cell = {d: s for d, s in a.items() if d in b or their_vector.get(d[0], 0) < d[1]}
        cell.update({d: s for d, s in b.items() if d in a or my_vector.get(d[0], 0) < d[1]})
        if cell:
            joined[path] = a if cell == a else cell  # The same object where nothing changed.
    return joined


def true_conflicts(record: Record) -> list[Path]:
    """Return the paths that hold concurrent siblings of different values, in order."""
    return sorted(
        path
        for path, cell in record.items()
        if len(cell) > 1 and len({value for _, value in cell.values()}) > 1
    )
