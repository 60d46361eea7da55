"""What a state must be, as a function of the transactions covered, in the fewest lines.

A sibling lives unless a transaction that had seen it acted on its place. "Had seen" is the whole
past of the origin at that moment, which the world that runs the stores knows; `observed`, which the
stores go by, is checked against it here and used for nothing else.
"""

from dataclasses import dataclass, field

from crdtstate.crdt.dots import Dot, Vector, covers
from crdtstate.crdt.record import Path, Record
from crdtstate.store.transaction import Change, Transaction, split_record_id


@dataclass
class Written:
    """A sibling, and the transactions that removed it."""

    dot: Dot
    path: Path
    stamp: int
    value: bytes
    killers: list[Dot] = field(default_factory=list)


class Oracle:
    """All transactions of all origins, as they were committed."""

    def __init__(self) -> None:
        self.records: dict[bytes, list[Written]] = {}
        self.lives_of: dict[bytes, dict[bytes, None]] = {}  # key -> its records

    def add(self, transaction: Transaction, past: Vector) -> dict[bytes, list[Written]]:
        """Take a transaction and everything that its origin had seen before it.

        Returns: the records that it touches, with the siblings that it adds to each.
        """
        fresh: list[tuple[bytes, Written]] = []
        touched: dict[bytes, list[Written]] = {}
        for change in transaction.changes:
            touched.setdefault(change.record_id, [])
            seen = [s for s in self.records.get(change.record_id, ()) if lives(s, past)]
            for sibling in acted_on(change, seen):
                sibling.killers.append(transaction.dot)
            if change.value is not None:
                written = Written(transaction.dot, change.path, transaction.stamp, change.value)
                fresh.append((change.record_id, written))
        for record_id, written in fresh:
            self.records.setdefault(record_id, []).append(written)
            self.lives_of.setdefault(split_record_id(record_id)[0], {})[record_id] = None
            touched[record_id].append(written)
        return touched

    def remove(self, dot: Dot) -> None:
        """A crash took a transaction that was never durable: it never was."""
        for siblings in self.records.values():
            siblings[:] = [s for s in siblings if s.dot != dot]
            for sibling in siblings:
                sibling.killers = [k for k in sibling.killers if k != dot]

    def record(self, record_id: bytes, vector: Vector) -> Record:
        """Return one record of a replica that covers `vector`; empty when there is none."""
        record: Record = {}
        for s in self.records.get(record_id, ()):
            if lives(s, vector):
                record.setdefault(s.path, {})[s.dot] = (s.stamp, s.value)
        return record

    def state(self, vector: Vector) -> dict[bytes, Record]:
        """Return every record of a replica that covers `vector`."""
        found = {record_id: self.record(record_id, vector) for record_id in self.records}
        return {record_id: record for record_id, record in found.items() if record}


def lives(sibling: Written, vector: Vector) -> bool:
    """Tell whether a replica that covers `vector` holds the sibling."""
    return covers(vector, sibling.dot) and not any(covers(vector, k) for k in sibling.killers)


def acted_on(change: Change, seen: list[Written]) -> list[Written]:
    """Return the siblings that a change acts on, and check that it says so (PLN-1).

    A set acts on its path, a drop on its path and all below. The one exception is the drop of a
    leaf where content of another kind met it concurrently: it spares what lies below.
    """
    at = [s for s in seen if s.path == change.path]
    below = [s for s in seen if s.path[: len(change.path)] == change.path]
    observed = set(change.observed)
    assert len(observed) == len(change.observed), "PLN-1: a dot is observed once"
    if change.value is None and observed == {s.dot for s in below}:
        return below
    assert observed == {s.dot for s in at}, f"PLN-1: {change} has seen {[s.dot for s in at]}"
    return at
