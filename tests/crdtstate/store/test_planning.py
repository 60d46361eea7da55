"""What one transaction sees of itself, which dots a change observed, and where a life begins."""

from typing import Any

import pytest

from crdtstate.crdt.codec import decode_record, encode_record, encode_value
from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.crdt.record import LIFE
from crdtstate.errors import WrongTypeError
from crdtstate.storage.memory import MemoryStorage
from crdtstate.store import operations as ops
from crdtstate.store.limits import Limits
from crdtstate.store.planner import Planner
from crdtstate.store.puts import OPEN_BYTES_MAX, _Open
from crdtstate.store.store import Store, StoreConfig
from crdtstate.store.table import Table
from crdtstate.store.transaction import make_record_id
from crdtstate.store.views import encode_life
from tests.laws.play import Play, put

ME, OTHER = ORIGIN_MIN, ORIGIN_MIN + 1
DOT = (ME, 7)


def planner_on(table: Table, *, wall_ms: int = 1_000) -> Planner:
    return Planner(table, DOT, 99, wall_ms, Limits(), {"b": OTHER}.get)


def table_with(**records: dict[tuple[str, ...], dict[tuple[int, int], tuple[int, bytes]]]) -> Table:
    table = Table(MemoryStorage())
    for key, record in records.items():
        table.put(make_record_id(key.encode(), 0), record)
    return table


@pytest.mark.parametrize(
    "operation",
    [
        ops.MapPut("k", {"x": 1}), ops.SetAdd("k", ["x"]), ops.CounterAdd("k", 1),
        ops.FlagSet("k", value=True), ops.BoundedCreate("k", 1),
    ],
)  # fmt: skip
def test_a_put_replaces_no_key_of_another_type(operation: ops.Operation) -> None:
    play = Play(peers=1)
    a = play.peers[0]
    play.write(a, operation)

    with pytest.raises(WrongTypeError, match=r"key 'k' holds a \w+, not a register") as caught:
        a.store.submit([put("k", "v")], [], play.wall_ms(a))

    assert caught.value.data["wanted"] == "register"


def test_a_flag_that_is_on_is_one_cell_that_says_true() -> None:
    play = Play(peers=1)
    a = play.peers[0]
    play.write(a, ops.FlagSet("f", value=True))

    record = a.store.table.get(b"f\0")

    assert [value for _, value in record[("!on",)].values()] == [encode_value(value=True)]
    play.write(a, ops.FlagSet("f", value=False))
    assert set(a.store.table.get(b"f\0")) == {LIFE}


def test_an_element_of_a_set_is_one_cell_that_says_true() -> None:
    play = Play(peers=1)
    a = play.peers[0]
    play.write(a, ops.SetAdd("s", ["x"]))
    cell = a.store.table.get(b"s\0")[("~x",)]
    assert [value for _, value in cell.values()] == [encode_value(value=True)]


# -- what was observed -------------------------------------------------------------------------


def test_a_change_observed_what_was_there_before_the_transaction() -> None:
    life = {(OTHER, 1): (1, encode_life("map"))}
    there = {(OTHER, 2): (2, encode_value(1)), (ORIGIN_MIN + 2, 4): (3, encode_value(2))}
    table = table_with(m={LIFE: life, (".x",): there})
    planner = planner_on(table)

    planner.put_path(b"m\0", (".x",), encode_value(3))
    planner.put_path(b"m\0", (".x",), encode_value(4))

    (change,) = planner.changes.values()
    assert (change.value, change.observed) == (encode_value(4), sorted(there))
    assert planner.record(b"m\0")[(".x",)] == {DOT: (99, encode_value(4))}


def test_a_drop_observed_what_earlier_sets_of_the_transaction_replaced() -> None:
    life = {(OTHER, 1): (1, encode_life("map"))}
    table = table_with(m={LIFE: life, (".x", ".y"): {(OTHER, 2): (2, encode_value(1))}})
    planner = planner_on(table)
    planner.put_path(b"m\0", (".x", ".y"), encode_value(2))
    planner.put_path(b"m\0", (".x", ".z"), encode_value(3))

    planner.drop_path(b"m\0", (".x",))

    (change,) = planner.changes.values()
    assert change == (b"m\0", (".x",), None, [(OTHER, 2)])
    assert set(planner.record(b"m\0")) == {LIFE}


def test_what_a_transaction_wrote_itself_and_took_back_is_no_change() -> None:
    planner = planner_on(table_with(m={LIFE: {(OTHER, 1): (1, encode_life("map"))}}))
    planner.put_path(b"m\0", (".x",), encode_value(2))

    planner.drop_leaf(b"m\0", (".x",))

    assert planner.changes == {}
    assert planner.encoded(b"m\0") == planner.table.get_encoded(b"m\0")


def test_leaves_go_together_as_they_go_one_by_one() -> None:
    life = {(OTHER, 1): (1, encode_life("map"))}
    cells = {(f".{name}",): {(OTHER, n): (n, encode_value(n))} for n, name in enumerate("abc", 2)}
    below = {(".a", ".deep"): {(OTHER, 9): (9, encode_value(9))}}
    both = [planner_on(table_with(m={LIFE: life, **cells, **below})) for _ in range(2)]
    for planner in both:
        planner.put_path(b"m\0", (".b",), encode_value(0))

    both[0].drop_leaves(b"m\0", [(".a",), (".b",), (".absent",)])
    for path in ((".a",), (".b",), (".absent",)):
        both[1].drop_leaf(b"m\0", path)

    assert both[0].changes == both[1].changes
    assert both[0].record(b"m\0") == both[1].record(b"m\0")
    assert set(both[0].record(b"m\0")) == {LIFE, (".c",), (".a", ".deep")}
    assert [change.observed for change in both[0].changes.values()] == [[(OTHER, 2)], [(OTHER, 3)]]


def test_a_put_of_an_own_put_observes_what_the_first_one_did() -> None:
    play = Play(peers=2)
    a, b = play.peers
    play.give(b, play.write(a, put("k", "v")))
    planner = Planner(b.store.table, (b.store.origin, 1), 99, 1, Limits(), b.store.resolve_member)

    planner.plan(put("k", "w"))
    planner.plan(put("k", "x"))

    (change,) = planner.changes.values()
    assert (change.value, change.observed) == (b"\0x", [(a.store.origin, 1)])


# -- lives -------------------------------------------------------------------------------------


def test_a_life_begins_after_every_one_that_is_known_here() -> None:
    table = Table(MemoryStorage())
    planner = planner_on(table)
    assert planner.next_incarnation(b"k") == 0
    assert planner.begin_life(b"k") == (b"k\0", 0)

    table.put(b"k\0", {LIFE: {(OTHER, 1): (1, encode_life("object"))}})
    assert planner_on(table).next_incarnation(b"k") == 1
    table.raise_grave(b"k", 4)
    assert planner_on(table).next_incarnation(b"k") == 5
    table.put(make_record_id(b"k", 8), {LIFE: {(OTHER, 2): (1, encode_life("object"))}})
    planner = planner_on(table)
    assert planner.begin_life(b"k") == (make_record_id(b"k", 9), 9)
    assert planner.lives(b"k") == [make_record_id(b"k", n) for n in (0, 8, 9)]


def test_a_life_that_this_transaction_ended_is_not_begun_again() -> None:
    play = Play(peers=1)
    a = play.peers[0]
    for operation in (put("k", "v"), ops.Delete("k"), put("k", "w")):
        play.write(a, operation)
    assert a.store.table.get_encoded(make_record_id(b"k", 1)) is not None

    play.write(a, ops.Delete("k"), put("k", "x"), ops.Delete("k"), put("k", "y"))

    assert play.value(a, "k") == b"y"
    alive = [r for r in a.store.table.lives(b"k") if a.store.table.get_encoded(r)]
    assert alive == [make_record_id(b"k", 3)]


def test_a_life_does_not_begin_in_what_a_late_update_left() -> None:
    """An orphan at the incarnation that would be next is stepped over."""
    table = Table(MemoryStorage())
    table.raise_grave(b"k", 0)
    table.put(make_record_id(b"k", 1), {(".x",): {(OTHER, 5): (5, encode_value(1))}})
    planner = planner_on(table)

    assert planner.fresh_life(b"k") == make_record_id(b"k", 2)
    assert planner.lives(b"k")[-1] == make_record_id(b"k", 2)


def test_only_what_is_due_expires() -> None:
    wall_ms = 1_000
    for due_ms, gone in ((1_001, False), (1_000, True), (None, False)):
        life = encode_life("register", b"v", due_ms)
        planner = planner_on(table_with(k={LIFE: {(OTHER, 1): (1, life)}}), wall_ms=wall_ms)
        planner.expire(b"k\0")
        assert bool(planner.changes) is gone, due_ms
    planner = planner_on(table_with(k={(".x",): {(OTHER, 1): (1, b"\1")}}))
    planner.expire(b"k\0")
    planner.expire(b"absent\0")
    assert planner.changes == {}


# -- the open transaction ----------------------------------------------------------------------


def test_an_open_transaction_has_room_for_exactly_its_bound() -> None:
    opened = _Open(DOT, 1, 1)
    key = b"k\0"
    value = b"\0" * OPEN_BYTES_MAX
    assert opened.size == 0
    assert opened.has_room({key: value})
    assert not opened.has_room({key: value + b"\0"})
    opened.touched[key] = None
    assert not opened.has_room({key: b"\0"})
    assert opened.has_room({b"other\0": b"\0"})


def test_the_short_way_counts_what_a_request_leaves() -> None:
    store = Store(MemoryStorage(), ME, StoreConfig())
    first = store.submit([put("k", "v"), put("l", "w")], [], 1_000)
    assert (first.seq, first.revision, first.changed) == (1, 1, 2)
    again = store.submit([put("k", "v")], [], 1_000)
    assert (again.seq, again.revision, again.changed) == (None, 1, 0)
    store.settle()
    assert (store.vector, store.index.revision) == ({ME: 1}, 1)
    again = store.submit([put("k", "v")], [], 1_000)
    assert (again.seq, again.revision, again.changed) == (None, 1, 0)


def test_a_working_copy_is_encoded_anew_after_each_change() -> None:
    planner = planner_on(table_with(m={LIFE: {(OTHER, 1): (1, encode_life("map"))}}))
    shown: list[Any] = []
    for n in range(3):
        planner.put_path(b"m\0", (".x",), encode_value(n))
        data = planner.encoded(b"m\0")
        assert data is not None
        assert data == encode_record(planner.record(b"m\0"))
        shown.append(decode_record(data)[(".x",)][DOT][1])
    assert shown == [encode_value(n) for n in range(3)]
