"""Every behaviour of the core within a small scope: no sampling, no simulation, the shipping code.

Replicas hold one record with two paths, one below the other. A move is one of

    operation  a replica sets or drops one of the paths (`apply_set`, `apply_drop`, with what
               `observed_at` and `observed_below` say), and gets a dot;
    delivery   a replica takes any transaction that it lacks and whose past it has, however old
               (the store's readiness rule);
    join       a replica takes the state of another as it is now or as it was at any earlier
               moment (`join_records`): delay, doubling and reordering of state in one rule.

After each move the replica that moved must hold what `Oracle` says of its vector; only such steps,
executed and compared, are counted. Reductions: the first operation is replica 0's (names are
symmetric), a join that could teach nothing is left out, and a situation that was reached before
with as many moves left is not explored again. A situation is the operations with their pasts, each
replica's vector and the vectors it had: state is a function of operations and vector, which is
the very thing that is checked at each step.

Source: Jackson's small scope hypothesis; "Exhaustive" in the sense of Marić (2018), not a proof.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from crdtstate.crdt import record as core
from crdtstate.crdt.dots import Dot, Vector
from crdtstate.crdt.record import Path, Record
from crdtstate.sim.oracle import Oracle
from crdtstate.store.transaction import Change, Transaction

ABOVE: Path = ("a",)
BELOW: Path = ("a", "b")
KINDS: tuple[tuple[Path, bool], ...] = (
    (ABOVE, True), (BELOW, True), (ABOVE, False), (BELOW, False),
)  # fmt: skip
"""(path, whether it is a set)"""

Seen = tuple[int, ...]  # a vector: how many of each replica's transactions
Done = tuple[Transaction, Seen]  # a transaction, and what its replica had seen before it
RECORD_ID = b"k\0"


class Wrong(Exception):
    """A replica does not hold what is specified."""


@dataclass
class Replica:
    """A state, and the states that it was in."""

    seen: Seen
    record: Record
    past: tuple[tuple[Seen, Record], ...] = ()

    def moved(self, seen: Seen, record: Record) -> "Replica":
        """Return it one move later."""
        return Replica(seen, record, (*self.past, (self.seen, self.record)))


@dataclass
class Search:
    """One exhaustive search.

    Args:
        first: The kind of the first operation, to split a search into parts; None for all.
    """

    replicas: int = 3
    operations: int = 4
    moves: int = 7
    first: int | None = None
    steps: int = 0
    _explored: dict[object, int] = field(default_factory=dict)
    _specified: dict[tuple[object, Seen], Record] = field(default_factory=dict)
    _oracles: dict[object, Oracle] = field(default_factory=dict)

    def run(self) -> int:
        """Explore all; return how many steps were executed and compared. Raises: Wrong."""
        nothing = (0,) * self.replicas
        self._go(tuple(Replica(nothing, {}) for _ in range(self.replicas)), (), (), self.moves)
        return self.steps

    def _go(
        self,
        replicas: tuple[Replica, ...],
        done: tuple[Done, ...],
        key: tuple[object, ...],
        left: int,
    ) -> None:
        situation = (key, tuple((r.seen, frozenset(s for s, _ in r.past)) for r in replicas))
        if self._explored.get(situation, -1) >= left:
            return
        self._explored[situation] = left
        if not left:
            return
        for n, replica in enumerate(replicas):
            for after, more, more_key in self._moves(replicas, n, replica, done, key):
                self._check(after, more, more_key)
                moved = (*replicas[:n], after, *replicas[n + 1 :])
                self._go(moved, more, more_key, left - 1)

    def _moves(
        self, replicas: tuple[Replica, ...], n: int, replica: Replica,
        done: tuple[Done, ...], key: tuple[object, ...],
    ) -> Iterator[tuple[Replica, tuple[Done, ...], tuple[object, ...]]]:  # fmt: skip
        if len(done) < self.operations and (done or n == 0):
            for number, (path, is_set) in enumerate(KINDS):
                if not done and self.first not in (None, number):
                    continue
                after, transaction = operate(replica, n, path, is_set=is_set)
                more_key = (*key, (n, number, replica.seen))
                yield after, (*done, (transaction, replica.seen)), more_key
        for transaction, past in done:
            if is_ready(replica.seen, transaction.dot, past):
                yield deliver(replica, transaction), done, key
        for m, other in enumerate(replicas):
            if m != n:
                for seen, record in (*other.past, (other.seen, other.record)):
                    if any(theirs > mine for theirs, mine in zip(seen, replica.seen, strict=True)):
                        yield join(replica, seen, record), done, key

    def _check(self, replica: Replica, done: tuple[Done, ...], key: tuple[object, ...]) -> None:
        self.steps += 1
        at = (key, replica.seen)
        wanted = self._specified.get(at)
        if wanted is None:
            oracle = self._oracles.get(key)
            if oracle is None:
                oracle = self._oracles[key] = specify(done)
            wanted = self._specified[at] = oracle.record(RECORD_ID, as_vector(replica.seen))
        if wanted != replica.record:
            raise Wrong(f"{replica.seen} of {key}: holds {replica.record}, specified is {wanted}")


def operate(replica: Replica, n: int, path: Path, *, is_set: bool) -> tuple[Replica, Transaction]:
    """Set or drop a path at a replica."""
    record = copied(replica.record)
    dot: Dot = (n, replica.seen[n] + 1)
    observe = core.observed_at if is_set else core.observed_below
    observed = observe(record, path)
    value = bytes((n, dot[1])) if is_set else None
    transaction = Transaction(dot, 1, {}, [Change(RECORD_ID, path, value, observed)])
    apply(record, transaction)
    return replica.moved(covering(replica.seen, dot), record), transaction


def is_ready(seen: Seen, dot: Dot, past: Seen) -> bool:
    """Tell whether a transaction is the next of its origin, and its past is here."""
    return seen[dot[0]] + 1 == dot[1] and all(s >= p for s, p in zip(seen, past, strict=True))


def deliver(replica: Replica, transaction: Transaction) -> Replica:
    """Take a transaction."""
    record = copied(replica.record)
    apply(record, transaction)
    return replica.moved(covering(replica.seen, transaction.dot), record)


def join(replica: Replica, seen: Seen, record: Record) -> Replica:
    """Take a whole state."""
    mine, theirs = as_vector(replica.seen), as_vector(seen)
    joined = core.join_records(replica.record, mine, record, theirs)
    return replica.moved(tuple(map(max, replica.seen, seen)), joined)


def apply(record: Record, transaction: Transaction) -> None:
    """Apply the one change of a transaction."""
    (change,) = transaction.changes
    if change.value is None:
        core.apply_drop(record, change.path, change.observed)
    else:
        core.apply_set(
            record, change.path, transaction.dot, transaction.stamp, change.value, change.observed
        )


def specify(done: tuple[Done, ...]) -> Oracle:
    """Return the specification of some transactions."""
    oracle = Oracle()
    for transaction, past in done:
        oracle.add(transaction, as_vector(past))
    return oracle


def as_vector(seen: Seen) -> Vector:
    """Return the core's form of a vector."""
    return {n: count for n, count in enumerate(seen) if count}


def covering(seen: Seen, dot: Dot) -> Seen:
    """Return a vector with one dot more."""
    return (*seen[: dot[0]], dot[1], *seen[dot[0] + 1 :])


def copied(record: Record) -> Record:
    """Return a record of its own; cells are never changed in place."""
    return dict(record)
