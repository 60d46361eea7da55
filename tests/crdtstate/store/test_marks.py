"""Deletions as marks: how they are written, how concurrent ones join, what they had not seen."""

from typing import Any

import pytest

from crdtstate.crdt.codec import encode_value
from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.crdt.record import LIFE, Record
from crdtstate.store.conflicts import (
    concurrent_paths,
    holds_conflict,
    is_derived,
    is_object,
    is_readable,
)
from crdtstate.store.marks import DELETED, Mark, mark_of, overlooked, seen_by
from crdtstate.store.views import encode_life

A, B = ORIGIN_MIN, ORIGIN_MIN + 1
OBJECT, MAP = encode_life("object"), encode_life("map")


def marked(*values: Any) -> Record:
    """A record whose mark has these concurrent values."""
    return {DELETED: {(A, n): (n, encode_value(value)) for n, value in enumerate(values, 1)}}


def test_a_mark_is_read_as_it_was_written() -> None:
    mark = Mark(1_000, 30, {B: 2, A: 7})
    assert mark.encode() == encode_value([1_000, 30, [A, 7, B, 2]])
    record: Record = {DELETED: {(A, 1): (1, mark.encode())}}
    assert mark_of(record) == mark
    assert mark_of({LIFE: {(A, 1): (1, OBJECT)}}) is None
    assert mark_of({}) is None


def test_concurrent_marks_join_to_the_least_time_and_grace_and_all_that_was_seen() -> None:
    """DEL-1"""
    record = marked([5, 30, [A, 3, B, 1]], [9, 10, [A, 2, B, 4]])
    assert mark_of(record) == Mark(5, 10, {A: 3, B: 4})


@pytest.mark.parametrize(
    "value", [None, [], [1, 2], [1, 2, [A]], [1, 2, [A, "x"]], [1, "x", []], {"at": 1}, [1, 2, 3]]
)
def test_what_no_correct_peer_writes_is_a_mark_of_no_time_that_saw_nothing(value: Any) -> None:
    assert mark_of(marked(value)) == Mark(0, 0, {})


def test_a_record_s_vector_has_the_greatest_seq_of_each_origin() -> None:
    record: Record = {
        LIFE: {(A, 4): (1, OBJECT)},
        (".x",): {(A, 2): (1, b"\1"), (B, 9): (1, b"\2")},
        (".y",): {(B, 3): (1, b"\1"), (A, 5): (1, b"\1")},
    }
    assert seen_by(record) == {A: 5, B: 9}
    assert seen_by({}) == {}


def test_what_a_mark_had_not_seen_is_told_in_order_but_for_what_joins_by_itself() -> None:
    cell = {(A, 2): (1, b"\1"), (B, 5): (1, b"\2"), (B, 4): (1, b"\3")}
    record: Record = {
        LIFE: {(B, 8): (1, OBJECT)},
        DELETED: {(A, 3): (1, b""), (B, 7): (2, b"")},
        (".spec", ".x"): cell,
        (".a",): {(B, 6): (1, b"\1"), (A, 3): (1, b"\1")},
        ("@managers",): {(B, 9): (1, b"\1")},
        (".metadata", ".finalizers"): {(B, 9): (1, b"\1")},
        (".metadata", ".finalizers", "#one"): {(B, 9): (1, b"\1")},
        (".metadata", ".labels"): {(B, 7): (1, b"\1")},
    }
    mark = Mark(1, 0, {A: 2, B: 4})

    assert list(overlooked(record, mark)) == [((".a",), (B, 6)), ((".spec", ".x"), (B, 5))]
    assert list(overlooked(record, Mark(1, 0, {}))) == []


# -- which records are told of -----------------------------------------------------------------


def two(first: bytes, second: bytes) -> dict[tuple[int, int], tuple[int, bytes]]:
    return {(A, 1): (1, first), (B, 1): (1, second)}


def test_cells_that_join_by_a_rule_of_their_own_are_no_conflicts() -> None:
    assert is_derived(("@order",))
    assert is_derived((".x", "@order"))
    assert not is_derived((".x", ".@order"))
    record: Record = {LIFE: {(A, 1): (1, MAP)}, (".x", "@order"): two(b"\1", b"\2")}
    assert concurrent_paths(record) == []
    assert not holds_conflict(record)
    record[(".x",)] = two(b"\1", b"\2")
    record[(".a",)] = two(b"\1", b"\2")
    assert concurrent_paths(record) == [(".a",), (".x",)]
    assert holds_conflict(record)


def test_lives_of_an_object_are_no_conflict_and_those_of_others_are() -> None:
    assert concurrent_paths({LIFE: two(OBJECT, OBJECT + b"x")}) == []
    assert concurrent_paths({LIFE: two(MAP, encode_life("set"))}) == [LIFE]
    both: Record = {LIFE: two(OBJECT, OBJECT + b"x"), (".x",): two(b"\1", b"\2")}
    assert concurrent_paths(both) == [(".x",)]
    assert is_object(both)
    assert not is_object({LIFE: {(A, 1): (1, MAP)}})
    assert not is_object({(".x",): two(b"\1", b"\2")})


def test_an_update_without_a_life_is_told_of_and_nothing_is_not() -> None:
    assert holds_conflict({(".x",): {(A, 1): (1, b"\1")}})
    assert not holds_conflict({})
    assert not holds_conflict({LIFE: {(A, 1): (1, MAP)}, (".x",): {(A, 1): (1, b"\1")}})


def test_a_deleted_object_is_told_of_when_something_was_written_meanwhile() -> None:
    mark = Mark(1, 0, {A: 2}).encode()
    record: Record = {
        LIFE: {(A, 1): (1, OBJECT)}, DELETED: {(A, 3): (1, mark)},
        (".x",): {(A, 2): (1, b"\1")},
    }  # fmt: skip
    assert not holds_conflict(record)
    record[(".x",)] = {(B, 1): (1, b"\1")}
    assert holds_conflict(record)


def test_an_object_that_goes_is_not_readable_and_a_map_with_such_a_field_is() -> None:
    mark = {(A, 3): (1, Mark(1, 0, {}).encode())}
    assert not is_readable({LIFE: {(A, 1): (1, OBJECT)}, DELETED: mark})
    assert is_readable({LIFE: {(A, 1): (1, OBJECT)}})
    assert is_readable({LIFE: {(A, 1): (1, MAP)}, DELETED: mark})
    assert not is_readable({(".x",): two(b"\1", b"\2")})
