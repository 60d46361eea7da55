"""The table is a join of records."""

import random
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from gossip.core.config import Config
from gossip.core.members import MemberTable, is_newer
from gossip.core.ports import Liveness, Member
from tests.gossip.core.swim_harness import record

CONFIG = Config()
records = st.builds(
    record,
    st.sampled_from("xyz"),
    st.integers(1, 3),
    st.sampled_from(Liveness),
    host=st.sampled_from(["10.0.0.8", "10.0.0.9"]),
    metadata=st.sampled_from([b"", b"m"]),
)


def table_of(updates: list[Member], config: Config = CONFIG) -> MemberTable:
    """Return a table that accepted these, in order."""
    table = MemberTable(record("me"), config)
    for member in updates:
        table.accept(member)
        table.check()
    return table


@given(records, records, records)
def test_newer_is_a_strict_total_order_of_the_records_of_a_name(
    a: Member, b: Member, c: Member
) -> None:
    """TBL-1"""
    if not a.name == b.name == c.name:
        return
    assert not is_newer(a, a)
    assert (a == b) == (not is_newer(a, b) and not is_newer(b, a))
    assert not (is_newer(a, b) and is_newer(b, a))
    assert not (is_newer(a, b) and is_newer(b, c)) or is_newer(a, c)


@given(st.lists(records, max_size=8), st.randoms(use_true_random=False))
def test_the_table_does_not_depend_on_the_order_of_the_updates(
    updates: list[Member], rng: random.Random
) -> None:
    """TBL-1 and TBL-4: commutative, associative, idempotent."""
    shuffled = [*updates, *updates]
    rng.shuffle(shuffled)

    one, other = table_of(updates), table_of(shuffled)

    assert one.all() == other.all()
    assert one.hash() == other.hash()


@given(st.lists(records, max_size=8))
def test_joining_the_table_of_another_gives_the_table_of_all_updates(
    updates: list[Member],
) -> None:
    left, right = table_of(updates[:4]), table_of(updates[4:])

    for member in right.all():
        left.accept(member)

    assert left.all() == table_of(updates).all()


def test_liveness_decides_only_at_the_same_incarnation() -> None:
    dead, refuted = record(incarnation=4, liveness=2), record(incarnation=5)

    assert is_newer(refuted, dead)
    assert is_newer(dead, record(incarnation=4, liveness=1))
    assert is_newer(record(incarnation=4, liveness=3), dead)


def test_tables_that_differ_in_a_suspicion_only_have_one_hash() -> None:
    hashes = [table_of([record("x", 1, liveness)]).hash() for liveness in Liveness]

    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_asserting_ourselves_wins_over_what_was_said() -> None:
    """TBL-2"""
    table = table_of([])

    me = table.assert_self(41, b"new")

    assert (me.incarnation, me.metadata, me.liveness) == (42, b"new", Liveness.ALIVE)
    table.check()


def test_a_forgotten_name_is_not_accepted_again() -> None:
    """TBL-3"""
    table = table_of([record("x")])

    table.forget("x")

    assert not table.accept(record("x", 99))
    assert [m.name for m in table.all()] == ["me"]
    table.check()


def test_our_own_name_cannot_be_forgotten() -> None:
    table = table_of([])

    table.forget("me")

    assert table.me.name == "me"
    assert not table.is_forgotten("me")


def test_of_too_many_forgotten_names_the_first_may_come_back() -> None:
    table = table_of([], Config(forgotten_max=2))

    for name in "xyz":
        table.forget(name)

    assert [table.is_forgotten(name) for name in "xyz"] == [False, True, True]


def test_a_full_table_refuses_a_newcomer_while_all_are_alive() -> None:
    """TBL-3"""
    table = table_of([record("x"), record("y")], Config(members_max=3))

    assert not table.accept(record("z"))
    assert len(table) == 3


def test_a_newcomer_takes_the_place_of_the_oldest_settled_member() -> None:
    settled = [record("x", 5, Liveness.DEAD), record("y", 4, Liveness.LEFT)]
    table = table_of(settled, Config(members_max=3))

    assert table.accept(record("z"))
    assert [m.name for m in table.all()] == ["me", "x", "z"]
    assert not table.accept(record("w", 4, Liveness.DEAD))
    table.check()


def test_full_tables_agree_on_which_of_the_dead_they_keep() -> None:
    dead = [record(name, number, Liveness.DEAD) for number, name in enumerate("vwxyz", 1)]
    config = Config(members_max=4)

    kept = {tuple(m.name for m in table_of([*o], config).all()) for o in permutations(dead)}

    assert kept == {("me", "x", "y", "z")}
