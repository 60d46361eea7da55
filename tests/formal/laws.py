"""The laws of the join, for any number of dots, replicas and values, as statements for z3.

A state is two predicates over an uninterpreted sort of dots: `live` (held here) and `seen` (covered
by the vector), with live implying seen, and a payload for each dot. Joins, operations and parts of
a pull are built from these as `crdtstate.crdt.record` and `crdtstate.store.catchup` do it. Every
statement comes with a mistake that somebody has made, which z3 must refute.

Source: Almeida, Shoker and Baquero, "Delta state replicated data types" (2018) for causal states;
Kulkarni et al., "Logical physical clocks" (2014) for the hybrid clock.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import z3

Dot, Value = z3.DeclareSort("Dot"), z3.DeclareSort("Value")
Predicate = Callable[[Any], Any]


class State(NamedTuple):
    """What a replica holds and covers."""

    live: Predicate
    seen: Predicate
    value: Predicate


class Law(NamedTuple):
    """`given` implies `claim`; `mistaken_given` does not imply `mistake`."""

    name: str
    given: list[Any]
    claim: Any
    mistake: Any
    mistaken_given: list[Any] | None = None


def state(name: str) -> State:
    """Return any state."""
    return State(
        z3.Function(f"{name}_live", Dot, z3.BoolSort()),
        z3.Function(f"{name}_seen", Dot, z3.BoolSort()),
        z3.Function(f"{name}_value", Dot, Value),
    )


def sound(s: State) -> Any:
    """What is held is covered (law 11)."""
    x = z3.Const("x", Dot)
    return z3.ForAll([x], z3.Implies(s.live(x), s.seen(x)))


def join(a: State, b: State) -> State:
    """As `join_records`: both hold it, or one holds what the other has not seen."""
    return State(
        lambda x: z3.Or(
            z3.And(a.live(x), b.live(x)),
            z3.And(a.live(x), z3.Not(b.seen(x))),
            z3.And(b.live(x), z3.Not(a.seen(x))),
        ),
        lambda x: z3.Or(a.seen(x), b.seen(x)),
        lambda x: z3.If(a.live(x), a.value(x), b.value(x)),
    )


def union(a: State, b: State) -> State:
    """The mistake of a join that forgets what was removed."""
    joined = join(a, b)
    return joined._replace(live=lambda x: z3.Or(a.live(x), z3.And(b.live(x), z3.Not(a.seen(x)))))


def deaf(a: State, b: State) -> State:
    """The mistake of a join that does not take over what the other has seen."""
    return join(a, b)._replace(seen=a.seen)


def equal(a: State, b: State) -> Any:
    """Same dots held, same covered, same payloads."""
    x = z3.Const("y", Dot)
    same_value = z3.Implies(a.live(x), a.value(x) == b.value(x))
    return z3.ForAll([x], z3.And(a.live(x) == b.live(x), a.seen(x) == b.seen(x), same_value))


def below(a: State, b: State) -> Any:
    """The order of the lattice."""
    return equal(join(a, b), b)


def unique(*states: State) -> Any:
    """IDN-1: a dot has one payload."""
    x = z3.Const("z", Dot)
    pairs = [(p, q) for p in states for q in states if p is not q]
    return z3.And(*[
        z3.ForAll([x], z3.Implies(z3.And(p.live(x), q.live(x)), p.value(x) == q.value(x)))
        for p, q in pairs
    ])  # fmt: skip


A, B, C = state("a"), state("b"), state("c")
SOUND = [sound(A), sound(B), sound(C)]
GIVEN = [*SOUND, unique(A, B, C)]


def join_laws() -> list[Law]:
    """Return the laws of the join."""
    x = z3.Const("w", Dot)

    def rank(s: State) -> Any:
        return z3.If(s.live(x), 1, z3.If(s.seen(x), 2, 0))

    greater = z3.If(rank(A) > rank(B), rank(A), rank(B))
    least = z3.If(rank(A) < rank(B), rank(A), rank(B))
    top = join(A, B)
    return [
        Law("the join is commutative", GIVEN, equal(join(A, B), join(B, A)),
            equal(union(A, B), union(B, A))),
        Law("it is so only while a dot has one payload (IDN-1)", GIVEN,
            equal(join(A, B), join(B, A)), equal(join(A, B), join(B, A)), SOUND),
        Law("the join is associative", GIVEN, equal(join(join(A, B), C), join(A, join(B, C))),
            equal(deaf(deaf(A, B), C), deaf(A, deaf(B, C)))),
        Law("the join is idempotent", SOUND, equal(join(A, A), A), equal(join(A, B), A)),
        Law("the join covers what it holds", SOUND, sound(top), sound(top), []),
        Law("the join is an upper bound", GIVEN, z3.And(below(A, top), below(B, top)),
            z3.And(below(A, union(B, A)), below(B, union(B, A)))),
        Law("the join is the least upper bound", [*GIVEN, below(A, C), below(B, C)],
            below(top, C), below(C, top)),
        Law("per dot: unseen < held < removed, and the join is the greater", GIVEN,
            z3.ForAll([x], rank(top) == greater), z3.ForAll([x], rank(top) == least)),
        Law("no removed dot comes back (law 10)", GIVEN,
            z3.ForAll([x], z3.Implies(z3.And(A.seen(x), z3.Not(A.live(x))), z3.Not(top.live(x)))),
            z3.ForAll([x], z3.Implies(
                z3.And(B.seen(x), z3.Not(B.live(x))), z3.Not(union(A, B).live(x))))),
    ]  # fmt: skip


def operation_laws() -> list[Law]:
    """Return the laws of sets and drops: each is the join with a small state of its own."""
    e, value = z3.Const("e", Dot), z3.Const("v", Value)
    place = z3.Function("place", Dot, z3.IntSort())
    here = z3.Int("here")

    def observed(y: Any) -> Any:
        return z3.And(A.live(y), place(y) == here)

    def rest(y: Any) -> Any:
        return z3.And(A.live(y), z3.Not(observed(y)))

    def covered(y: Any) -> Any:
        return z3.Or(y == e, A.seen(y))

    def acted(y: Any) -> Any:
        return z3.Or(y == e, observed(y))

    was_set = State(lambda y: z3.Or(y == e, rest(y)), covered,
                    lambda y: z3.If(y == e, value, A.value(y)))  # fmt: skip
    set_delta = State(lambda y: y == e, acted, lambda _y: value)
    dropped = State(rest, covered, A.value)
    drop_delta = State(lambda _y: z3.BoolVal(False), acted, lambda _y: value)
    dotless = State(lambda _y: z3.BoolVal(False), observed, lambda _y: value)
    fresh = [*SOUND, z3.Not(A.seen(e)), place(e) == here]
    stale = [*SOUND, place(e) == here]
    return [
        Law("a set is the join with its delta, given a fresh dot", fresh,
            equal(was_set, join(A, set_delta)), equal(was_set, join(A, set_delta)), stale),
        Law("a drop is the join with its delta, and takes a dot", fresh,
            equal(dropped, join(A, drop_delta)), equal(dropped, join(A, dotless))),
        Law("a set inflates", fresh, below(A, was_set), below(A, was_set), stale),
        Law("a drop inflates", fresh, below(A, dropped), below(dropped, A)),
    ]  # fmt: skip


def pull_laws() -> list[Law]:
    """Return the law of partial states: a context may claim only what is not held back."""

    def missing(y: Any) -> Any:
        return z3.And(B.live(y), z3.Not(A.seen(y)))

    def honest(y: Any) -> Any:
        return z3.And(B.seen(y), z3.Not(z3.And(B.live(y), A.seen(y))))

    part, greedy = State(missing, honest, B.value), State(missing, B.seen, B.value)
    return [
        Law("what is missing, without the dots held back, is as good as the whole", GIVEN,
            equal(join(A, part), join(A, B)), equal(join(A, greedy), join(A, B))),
    ]  # fmt: skip


def order_laws() -> list[Law]:
    """Return the laws of vectors, of the order of siblings and of the hybrid clock."""
    origin = z3.DeclareSort("Origin")
    va, vb = (z3.Function(n, origin, z3.IntSort()) for n in ("va", "vb"))
    o, n = z3.Const("o", origin), z3.Int("n")
    high = z3.If(va(o) > vb(o), va(o), vb(o))
    low = z3.If(va(o) < vb(o), va(o), vb(o))
    either = z3.Or(n <= va(o), n <= vb(o))
    s1, s2, d1, d2 = z3.Ints("s1 s2 d1 d2")  # stamps and dots of two siblings

    def wins(s: Any, d: Any, t: Any, f: Any) -> Any:
        return z3.Or(s > t, z3.And(s == t, d > f))

    apart = [d1 != d2]
    wall, last, told, eps, true = z3.Ints("wall last told eps true")

    def greatest(*terms: Any) -> Any:
        found = terms[0]
        for term in terms[1:]:
            found = z3.If(term > found, term, found)
        return found

    ticked, received = greatest(wall, last + 1), greatest(wall, last, told)
    bound = [eps >= 0, wall <= true + eps, last <= true + 2 * eps]
    return [
        Law("the greater of two vectors covers what either covers", [],
            z3.ForAll([o, n], (n <= high) == either), z3.ForAll([o, n], (n <= low) == either)),
        Law("of two siblings exactly one wins, by stamp, then dot", apart,
            wins(s1, d1, s2, d2) != wins(s2, d2, s1, d1), (s1 > s2) != (s2 > s1)),
        Law("a new stamp is after the last, wherever the clock has jumped", [],
            ticked > last, wall > last),
        Law("a stamp after a receipt is after what was received", [],
            greatest(wall, received + 1) > told, greatest(wall, last + 1) > told),
        Law("with stamps over wall + eps refused, no clock passes true + 2 eps",
            [*bound, told <= wall + eps], received <= true + 2 * eps,
            received <= true + 2 * eps, bound),
    ]  # fmt: skip


def all_laws() -> list[Law]:
    """Return every law."""
    return [*join_laws(), *operation_laws(), *pull_laws(), *order_laws()]


def is_proved(given: list[Any], claim: Any) -> bool:
    """Return whether z3 proves it (True) or refutes it (False). Raises: AssertionError."""
    solver = z3.Solver()
    solver.set("timeout", 20_000)
    solver.add(*given)
    solver.add(z3.Not(claim))
    answer = solver.check()
    assert answer != z3.unknown, solver.reason_unknown()
    return bool(answer == z3.unsat)
