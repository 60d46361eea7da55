"""What is decided at an exact bound or in a corner that histories seldom reach."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crdtstate.crdt.codec import encode_record, encode_value
from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.crdt.record import LIFE, Record
from crdtstate.errors import (
    InvalidError,
    PreconditionError,
    RemoteProtocolError,
    TooLargeError,
)
from crdtstate.storage.memory import MemoryStorage
from crdtstate.store import operations as ops
from crdtstate.store.catchup import read_buckets
from crdtstate.store.document import APPLIED
from crdtstate.store.fingerprint import Fingerprint
from crdtstate.store.limits import Limits
from crdtstate.store.marks import seen_by
from crdtstate.store.planner import Planner
from crdtstate.store.store import Store
from crdtstate.store.table import Table, prefix_end
from crdtstate.store.transaction import (
    RECORD_ID_BYTES_MAX,
    Change,
    decode_frame,
    encode_body,
    encode_frame,
    make_record_id,
)
from crdtstate.store.views import TYPE_NAMES, Life, decode_life, encode_life
from crdtstate.store.watch import read_touched
from tests.crdtstate.store.alone import frame_of, put, shown, store_of
from tests.models.durable import make_durable

ME, OTHER, THIRD = ORIGIN_MIN, ORIGIN_MIN + 1, ORIGIN_MIN + 2


# -- intents -----------------------------------------------------------------------------------


def test_what_an_edit_returns_is_the_operation_s_result() -> None:
    store = store_of()
    committed = store.submit(
        [ops.CounterAdd("n", 2), ops.Edit(b"k", lambda _planner, key: key + b"!")], [], 1
    )
    assert committed.results == [2, b"k!"]


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        (ops.Precondition("k", absent=True), "is at version .*, not absent$"),
        (ops.Precondition("gone", exists=True), "is absent on this peer, not present$"),
        (ops.Precondition("gone", version="x"), "is absent on this peer, not at version x$"),
    ],
)
def test_a_condition_that_fails_says_what_is_and_what_was_wanted(
    condition: ops.Precondition, says: str
) -> None:
    store = store_of()
    store.submit([put("k")], [], 1)
    with pytest.raises(PreconditionError, match=says):
        store.submit([put("l")], [condition], 1)


@pytest.mark.parametrize(
    "given", [{}, {"absent": True, "exists": True}, {"version": "x", "absent": True}]
)
def test_a_condition_names_one_thing(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidError, match=f"names {len(given)} of version, absent, exists"):
        store_of().submit([put("k")], [ops.Precondition("k", **given)], 1)


def test_a_null_in_a_map_that_is_put_stays_and_in_one_that_is_merged_removes() -> None:
    store = store_of()
    store.submit([ops.MapPut("k", {"a": None, "b": 1})], [], 1)
    assert shown(store, b"k") == {"a": None, "b": 1}
    store.submit([ops.MapMerge("k", {"b": None})], [], 1)
    assert shown(store, b"k") == {"a": None}


def test_what_a_transaction_wrote_and_took_back_is_not_shown_from_an_earlier_look() -> None:
    table = Table(MemoryStorage())
    record: Record = {LIFE: {(OTHER, 1): (1, encode_life("map"))}}
    table.put(b"m\0", record)
    planner = Planner(table, (ME, 1), 9, 1, Limits(), lambda _name: None)
    planner.put_path(b"m\0", (".x",), encode_value(1))
    assert planner.encoded(b"m\0") != encode_record(record)

    planner.drop_leaf(b"m\0", (".x",))

    assert planner.encoded(b"m\0") == encode_record(record)


def test_a_new_identity_names_all_that_is_covered_in_its_first_transaction() -> None:
    source, store = store_of(OTHER), store_of()
    source.submit([put("k")], [], 1)
    _, bodies = source.take_outbox()
    store.receive(decode_frame(encode_frame(OTHER, 1, bodies)), 1)
    store.submit([put("l")], [], 1)
    store.take_outbox()
    make_durable(store)

    store.adopt_origin(THIRD)
    store.submit([put("m")], [], 1)

    first, bodies = store.take_outbox()
    written = decode_frame(encode_frame(THIRD, first, bodies)).transaction(first)
    assert written.past == {ME: 1, OTHER: 1}


@pytest.mark.parametrize(
    "work",
    [
        lambda store: store.expire([], 1),
        lambda store: store.submit_system([], 1),
        lambda store: store.learn({}),
        lambda store: store.submit([ops.Delete("absent")], [], 1),
    ],
)
def test_whatever_is_no_put_settles_the_open_transaction(work: Callable[[Store], object]) -> None:
    """PUT-1, PUT-2"""
    store = store_of()
    store.submit([put("k")], [], 1)
    assert not store.is_settled
    work(store)
    assert store.is_settled
    assert store.vector == {ME: 1}


# -- transactions on the wire ------------------------------------------------------------------


@pytest.mark.parametrize("value", [b"\0v", b"\0w", None])
def test_a_transaction_changes_a_path_once_whatever_the_values(value: bytes | None) -> None:
    """TXN-1"""
    changes = [Change(b"k\0", LIFE, b"\0v", []), Change(b"k\0", LIFE, value, [(ME, 1)])]
    frame = decode_frame(encode_frame(OTHER, 1, [encode_body(1, {}, changes)]))
    with pytest.raises(RemoteProtocolError, match="changes one path twice"):
        frame.transaction(1)


def test_a_transaction_may_change_two_paths_of_one_record_and_one_path_of_two() -> None:
    changes = [
        Change(b"k\0", (".x",), b"\1", []), Change(b"k\0", (".y",), b"\1", []),
        Change(b"l\0", (".x",), b"\1", []),
    ]  # fmt: skip
    frame = decode_frame(encode_frame(OTHER, 1, [encode_body(1, {}, changes)]))
    assert frame.transaction(1).changes == changes


# -- sums, vectors and marks -------------------------------------------------------------------


def test_dirty_buckets_are_taken_once() -> None:
    fingerprint = Fingerprint()
    fingerprint.change(b"k\0", None, b"v")
    assert len(fingerprint.take_dirty()) == 1
    assert fingerprint.take_dirty() == []


def test_reading_sums_pauses_after_every_4096_buckets() -> None:
    class Many:
        def scan(self, *_: object) -> Iterator[tuple[bytes, bytes]]:
            yield from ((b"b" + n.to_bytes(2, "big"), bytes([n % 2])) for n in range(8_192))

    *pauses, sums = read_buckets(Many())  # type: ignore[arg-type]

    assert pauses == [None, None]
    assert sums == dict.fromkeys(range(1, 8_192, 2), 1)


def test_a_record_s_vector_has_first_transactions_too() -> None:
    assert seen_by({LIFE: {(OTHER, 1): (1, b"\0v")}}) == {OTHER: 1}


def test_events_below_a_floor_are_swept_in_steps_that_say_how_many_went() -> None:
    store = store_of()
    for n in range(600):
        store.submit([put(f"k{n}")], [], 1)
        store.settle()
    make_durable(store)
    store.index.raise_floor(ME, 600)
    make_durable(store)

    steps = []
    while step := store.index._sweep():
        steps.append(step)
        make_durable(store)
    assert steps == [512, 88]


def test_covering_what_is_covered_writes_nothing() -> None:
    store = store_of()
    store.submit([put("k")], [], 1)
    make_durable(store)
    store.index.cover({ME: 1, OTHER: 2})
    assert list(store.index._dirty) == [OTHER]


# -- what arrives ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [LIFE, (".x",)])
def test_own_writes_are_later_than_whatever_was_received(path: tuple[str, ...]) -> None:
    """LWW follows causality: the clock absorbs what it sees, however behind its machine is."""
    store = store_of()
    stamp = 900 << 16
    store.receive(frame_of(OTHER, 1, [Change(b"k\0", path, b"\0v", [])], stamp=stamp), 1)
    assert store.clock.last >= stamp
    store.submit([put("k", "w")], [], 1)
    first, bodies = store.take_outbox()
    (own,) = [decode_frame(encode_frame(ME, first, bodies)).transaction(first)]
    assert own.stamp > stamp


def test_what_is_held_for_good_does_not_hold_up_a_drain() -> None:
    store = store_of()
    store.receive(frame_of(OTHER, 2, [Change(b"k\0", LIFE, b"\0v", [])]), 1)
    assert store.held_count == 1
    assert store.drain(1) == (0, False)
    assert store.held_count == 1


@pytest.mark.parametrize("seq", [1, 4])
def test_after_a_join_only_the_news_of_others_is_named(seq: int) -> None:
    store = store_of()
    store.submit([put("k")], [], 1)
    store.take_outbox()
    make_durable(store)
    store.receive(frame_of(OTHER, 1, [Change(b"l\0", LIFE, b"\0v", [])]), 1)
    store.submit([put("m")], [], 1)
    store.take_outbox()

    store.learn({ME: 1, OTHER: 1, THIRD: seq})
    store.submit([put("n")], [], 1)

    first, bodies = store.take_outbox()
    assert decode_frame(encode_frame(ME, first, bodies)).transaction(first).past == {THIRD: seq}


@pytest.mark.parametrize(
    "record_id",
    [b"", b"\0", b"key", b"k\0\0", b"k\0\0\0\0", b"k\0\0\0\0\0", b"k\0\0\0\0\1\2", b"k\0l\0",
     b"k" * RECORD_ID_BYTES_MAX + b"\0"],
)  # fmt: skip
def test_what_names_no_record_is_refused(record_id: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="record id is not"):
        frame_of(OTHER, 1, [Change(record_id, LIFE, b"\0v", [])]).transaction(1)


def test_lives_of_a_key_are_known_while_their_batch_is_in_flight() -> None:
    table = Table(MemoryStorage())
    later = make_record_id(b"k", 1)
    table.put(later, {LIFE: {(ME, 1): (1, b"\0v")}})
    assert table.lives(b"k") == [b"k\0", later]
    batch = table.close_batch()
    assert table.lives(b"k") == [b"k\0", later]
    table.storage.write(batch)  # type: ignore[attr-defined]
    table.batch_durable()
    assert table.lives(b"k") == [b"k\0", later]
    assert table._open_lives == table._in_flight_lives == {}, "storage has them now"


def test_an_end_of_a_scan_is_its_last_byte_and_one() -> None:
    assert prefix_end(b"ax") == b"ay"
    assert prefix_end(b"a\xffx\xff") == b"a\xffy"


def test_an_empty_life_is_of_no_type_that_is_known() -> None:
    assert decode_life(b"") == Life("unknown", b"")
    assert decode_life(bytes((len(TYPE_NAMES),)) + b"v") == Life("unknown", b"v")
    assert decode_life(bytes((len(TYPE_NAMES) - 1,)) + b"v").type_name == TYPE_NAMES[-1]
    assert decode_life(b"\1" + (7).to_bytes(8, "big") + b"v") == Life("register", b"v", 7)


def test_a_path_over_the_bound_of_values_is_refused_by_its_size() -> None:
    store = store_of(limits=Limits(value_bytes_max=10))
    with pytest.raises(TooLargeError, match="over value_bytes_max=10"):
        store.submit([ops.MapPut("k", {"x": "y" * 20})], [], 1)


def test_touched_keys_end_before_the_stop() -> None:
    store = store_of()
    store.submit([put("a"), put("b"), put("c")], [], 1)
    make_durable(store)
    assert list(read_touched(store.table.snapshot(), 0, b"b", b"c", 10).keys) == [b"b"]


# -- apply -------------------------------------------------------------------------------------


def apply(store: Store, manager: str, value: dict[str, Any]) -> None:
    store.submit([ops.Apply("k", value, manager=manager)], [], 1)
    make_durable(store)


def test_an_apply_leaves_what_other_managers_said_that_they_gave() -> None:
    store = store_of()
    apply(store, "m", {"a": 1})
    apply(store, "n", {"@": 2, "b": {"c": 3}})
    apply(store, "m", {"b": 4})
    assert shown(store, b"k") == {"@": 2, "b": 4}
    managers = {p[1] for p in store.table.get(b"k\0") if p and p[0] == APPLIED}
    assert managers == {"m", "n"}
    before = store.vector[ME]
    apply(store, "m", {"b": 4})
    assert store.vector[ME] == before, "PLN-2"


def test_applies_of_one_manager_that_met_are_settled_by_saying_it_again() -> None:
    """What it gave on either side counts as given before."""
    a, b = store_of(), store_of(OTHER)
    for store, value in ((a, {"x": 1, "z": 9}), (b, {"y": 2, "z": 9})):
        store.submit([ops.Apply("k", value, manager="m")], [], 1)
    first, bodies = b.take_outbox()
    a.receive(decode_frame(encode_frame(OTHER, first, bodies)), 1)
    place = (APPLIED, "m")
    assert len(a.table.get(b"k\0")[place]) == 2

    apply(a, "m", {"z": 9})

    assert len(a.table.get(b"k\0")[place]) == 1
    assert shown(a, b"k") == {"z": 9}
