"""Corners of what is shown, encoded and joined, each with a wrong version that would pass by."""

from typing import Any

import pytest

from crdtstate.crdt.codec import encode_record, encode_value
from crdtstate.crdt.dots import ORIGIN_MIN, decode_flat
from crdtstate.crdt.record import LIFE, Record
from crdtstate.errors import RemoteProtocolError, TooLargeError
from crdtstate.store import operations as ops
from crdtstate.store import parts, wide
from crdtstate.store.catchup import Joiner
from crdtstate.store.document import unflatten
from crdtstate.store.fingerprint import bucket_of
from crdtstate.store.limits import Limits
from crdtstate.store.parts import End, records_only
from crdtstate.store.reading import find_view
from crdtstate.store.store import Store
from crdtstate.store.transaction import (
    RECORD_ID_BYTES_MAX,
    Change,
    decode_frame,
    encode_body,
    encode_frame,
)
from crdtstate.store.views import Life, decode_life
from crdtstate.store.wide import WideRecords
from tests.crdtstate.store.alone import commit, store_of
from tests.models.durable import make_durable

ME, OTHER, THIRD = ORIGIN_MIN, ORIGIN_MIN + 1, ORIGIN_MIN + 2
BYTES_MAX = 1 << 20


def shown(store: Store, key: bytes) -> Any:
    make_durable(store)
    found = find_view(store.table.storage, key, 1)
    return found[0].value if found else None


# -- documents where kinds of content met ------------------------------------------------------


def at(path: str, stamp: int, value: Any) -> Record:
    return {tuple(path.split("/")): {(OTHER, stamp): (stamp, encode_value(value))}}


@pytest.mark.parametrize("newest", ["leaf", "field", "item"])
def test_of_a_scalar_an_object_and_a_list_the_newest_is_shown(newest: str) -> None:
    stamps = {kind: 9 if kind == newest else 5 for kind in ("leaf", "field", "item")}
    for name in ("a", "b"):  # Twice: what one of them shows decides nothing of the other.
        record: Record = {
            **at(f".{name}", stamps["leaf"], 1),
            **at(f".{name}/.f", stamps["field"], 2),
            **at(f".{name}/#i", stamps["item"], 3),
            **at(".a", stamps["leaf"], 1),
            **at(".a/.f", stamps["field"], 2),
            **at(".a/#i", stamps["item"], 3),
            **at(".z/.y", 1, 4),
        }
        value = {"leaf": 1, "field": {"f": 2}, "item": [3]}[newest]
        assert unflatten(record) == {name: value, "a": value, "z": {"y": 4}}


def test_what_one_place_shows_says_nothing_of_the_next() -> None:
    record: Record = {}
    wanted: dict[str, Any] = {}
    kinds = ("leaf", "field", "item")
    for n in range(9):
        newest, name = kinds[n % 3], f"n{n}"
        stamps = [9 if kind == newest else 5 for kind in kinds]
        record |= at(f".{name}", stamps[0], 1)
        record |= at(f".{name}/.f", stamps[1], 2)
        record |= at(f".{name}/#i", stamps[2], 3)
        wanted[name] = {"leaf": 1, "field": {"f": 2}, "item": [3]}[newest]
    assert unflatten(record) == wanted


def test_a_first_write_of_a_stamp_of_nought_is_shown() -> None:
    assert unflatten({(".a",): {(OTHER, 1): (0, encode_value(1))}}) == {"a": 1}
    nothing: Record = {(".a", ".b"): {(OTHER, 1): (0, encode_value(1))}}
    assert unflatten(nothing) == {"a": {"b": 1}}


# -- what an apply hides -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "given"),
    [
        ({"a": {"b": {"c": 1}}, "k": 1}, {"a": 2}),
        ({"a": 2, "k": 1}, {"a": {"b": {"c": 1}}}),
        ({"a": {"b": 2}, "k": 1}, {"a": {"b": {"c": 1}}}),
    ],
)
def test_a_scalar_and_what_is_below_it_hide_each_other(there: Any, given: Any) -> None:
    store = store_of()
    commit(store, ops.Apply("k", there, manager="m"))
    commit(store, ops.Apply("k", given, manager="n"))
    assert shown(store, b"k") == {**given, "k": 1}
    paths = [p for p in store.table.get(b"k\0") if p and p[0][:1] == "."]
    assert len(paths) == 2, "what is hidden is gone"


def test_saying_a_field_again_settles_its_conflict_and_no_other() -> None:
    a, b = store_of(), store_of(OTHER)
    b.receive(commit(a, ops.MapPut("k", {})), 1_000)
    commit(a, ops.MapMerge("k", {"x": 1, "y": 1}))
    a.receive(commit(b, ops.MapMerge("k", {"x": 2, "y": 2})), 1_000)
    value = shown(a, b"k")
    assert [len(a.table.get(b"k\0")[(f".{name}",)]) for name in "xy"] == [2, 2]

    commit(a, ops.MapMerge("k", {"x": value["x"]}))

    assert [len(a.table.get(b"k\0")[(f".{name}",)]) for name in "xy"] == [1, 2]
    assert shown(a, b"k") == value


def test_a_counter_has_a_cell_for_each_origin_that_is_named_for_it() -> None:
    store = store_of()
    commit(store, ops.CounterAdd("n", 2))
    assert set(store.table.get(b"n\0")) == {LIFE, (f"={ME:016x}",)}


def test_an_element_of_exactly_the_largest_size_is_taken() -> None:
    store = store_of(limits=Limits(set_element_bytes_max=4))
    commit(store, ops.SetAdd("s", ["four"]))
    with pytest.raises(TooLargeError, match="set element is 5 bytes"):
        store.submit([ops.SetAdd("s", ["fives"])], [], 1_000)


def test_a_life_s_time_has_all_its_eight_bytes() -> None:
    assert decode_life(b"\1" + (1 << 60).to_bytes(8, "big") + b"v") == Life(
        "register", b"v", 1 << 60
    )
    assert decode_life(b"\0v") == Life("register", b"v")


# -- wide records, where little changes --------------------------------------------------------


def test_of_a_wide_record_only_what_changes_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    records = WideRecords()
    record: Record = {(f".{n:03}",): {(OTHER, n): (n, b"value")} for n in range(1, 201)}
    data = encode_record(record)
    copy = records.decode(b"w\0", data)
    encoded: list[Any] = []
    real = wide.encode_cell
    monkeypatch.setattr(wide, "encode_cell", lambda p, c: encoded.append(p) or real(p, c))
    assert records.encode(b"w\0", copy) == data, "all of them once"
    for drop, change, add in (("050", "051", "051a"), ("001", "200", "000"), ("199", "002", "999")):
        encoded.clear()
        copy = records.decode(b"w\0", data)
        del copy[(f".{drop}",)]
        copy[(f".{change}",)] = {(OTHER, 900): (900, b"another")}
        copy[(f".{add}",)] = {(OTHER, 901): (901, b"new")}
        data = records.encode(b"w\0", copy)
        assert data == encode_record(copy)
        assert sorted(encoded) == sorted([(f".{change}",), (f".{add}",)])


# -- what peers send ---------------------------------------------------------------------------


def test_bytes_behind_a_frame_and_lists_without_a_length_are_refused() -> None:
    body = encode_body(1, {}, [Change(b"k\0", LIFE, b"\0v", [])])
    data = encode_frame(OTHER, 1, [body])
    assert decode_frame(data).last == 1
    with pytest.raises(RemoteProtocolError, match="bytes follow the item"):
        decode_frame(data + b"\0")
    with pytest.raises(RemoteProtocolError, match="not canonical CBOR"):
        decode_frame(b"\x9f" + data[1:] + b"\xff")


@pytest.mark.parametrize(
    "record_id", [b"", b"k", b"k\0\1", b"k\0\0\0\0\0", b"k" * RECORD_ID_BYTES_MAX + b"\0"]
)
def test_a_part_names_records_only(record_id: bytes) -> None:
    joiner = Joiner(store_of(), bytes_max=BYTES_MAX)
    with pytest.raises(RemoteProtocolError, match="record id is not"):
        joiner.stage(records_only([(record_id, None)]))


@pytest.mark.parametrize("flat", [[], [OTHER, 1], [OTHER, 1, THIRD, (1 << 63) - 1]])
def test_a_flat_vector_is_read_up_to_the_largest_seq(flat: list[int]) -> None:
    assert decode_flat(flat) == dict(zip(flat[::2], flat[1::2], strict=True))


@pytest.mark.parametrize(
    "flat", [[OTHER], [OTHER, 0], [OTHER, 1 << 63], [OTHER, 1, OTHER, 2], [THIRD, 1, OTHER, 2]]
)
def test_a_flat_vector_has_each_origin_once_in_order_and_seqs_in_bounds(flat: list[int]) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_flat(flat)


# -- joins -------------------------------------------------------------------------------------


def test_in_a_bucket_with_equal_sums_the_other_holds_what_was_here() -> None:
    """CAT-3: a field that is written here meanwhile costs the record none of the others."""
    frame = commit(store_of(THIRD), ops.MapPut("k", {"x": 1}))
    store = store_of()
    store.receive(frame, 1_000)
    make_durable(store)
    joiner = Joiner(store, bytes_max=BYTES_MAX, base=store.table.snapshot())
    end = End({THIRD: 1, OTHER: 4}, [(bucket_of(b"k\0") + 1) % 65_536])

    commit(store, ops.MapMerge("k", {"y": 2}))
    for _ in (*joiner.prepare(end), *joiner.apply(end, 1_000)):
        pass

    assert shown(store, b"k") == {"x": 1, "y": 2}


def test_places_to_pause_come_after_so_many_records_of_one_s_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parts, "SLICE", 256)
    store = store_of()
    count = 2_500
    store.submit([ops.MapPut(f"k{n}", {}) for n in range(count)], [], 1_000)
    make_durable(store)
    joiner = Joiner(store, bytes_max=BYTES_MAX, base=store.table.snapshot())

    pauses = sum(1 for _ in joiner.prepare(End({ME: 1}, [])))

    assert pauses == count // 1_024
