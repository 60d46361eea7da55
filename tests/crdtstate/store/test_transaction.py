"""Frames and parts of others: each wrong shape is refused with words that name it."""

from functools import partial
from typing import Any

import cbor2
import pytest

from crdtstate.crdt.clock import STAMP_MAX
from crdtstate.crdt.dots import ORIGIN_MIN, SEQ_MAX
from crdtstate.errors import RemoteProtocolError
from crdtstate.store.transaction import (
    RECORD_ID_BYTES_MAX,
    Change,
    check_record_id,
    decode_frame,
    encode_body,
    encode_frame,
    make_record_id,
    split_record_id,
)

O1, O2 = ORIGIN_MIN, ORIGIN_MIN + 7
encode = partial(cbor2.dumps, canonical=True)
CHANGES = [
    Change(b"k\0", (), b"\0v", []),
    Change(b"k\0", (".a", "#b"), b"\x01", [(O1, 3), (O2, 4)]),
    Change(b"m\0\0\0\0\x01", (".gone",), None, [(O2, 5)]),
]


def test_decoding_a_frame_undoes_encoding() -> None:
    bodies = [encode_body(9, {O2: 4, O1: 1}, CHANGES), encode_body(STAMP_MAX, {}, CHANGES[:1])]

    frame = decode_frame(encode_frame(O1, 5, bodies))

    assert (frame.origin, frame.first, frame.last, len(frame.bodies)) == (O1, 5, 6, 2)
    one, two = frame.transaction(5), frame.transaction(6)
    assert (one.dot, one.stamp, one.past) == ((O1, 5), 9, {O1: 1, O2: 4})
    assert one.changes == CHANGES
    assert (two.dot, two.stamp, two.past, two.changes) == ((O1, 6), STAMP_MAX, {}, CHANGES[:1])


def test_what_is_written_by_hand_is_what_the_encoder_writes() -> None:
    body = [9, [O1, 1, O2, 4], [
        [b"k\0", [], b"\0v", []],
        [b"k\0", [".a", "#b"], b"\x01", [O1, 3, O2, 4]],
        [b"m\0\0\0\0\x01", [".gone"], None, [O2, 5]],
    ]]  # fmt: skip

    assert encode_body(9, {O2: 4, O1: 1}, CHANGES) == encode(body)
    assert encode_frame(O1, 5, [encode_body(9, {O2: 4, O1: 1}, CHANGES)]) == encode(
        [O1, 5, [body], None]
    )


@pytest.mark.parametrize("signature", [None, b"signed"])
@pytest.mark.parametrize("first", [1, SEQ_MAX])
@pytest.mark.parametrize("origin", [ORIGIN_MIN, 2 * ORIGIN_MIN - 1])
def test_the_bounds_of_a_frame_are_within(origin: int, first: int, signature: Any) -> None:
    assert decode_frame(encode([origin, first, [[]], signature])).first == first


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({}, "a frame is"),
        ([O1, 1, [[]]], "a frame is"),
        ([O1, 1, [[]], None, None], "a frame is"),
        (["x", 1, [[]], None], "origin is out of range"),
        ([ORIGIN_MIN - 1, 1, [[]], None], "origin is out of range"),
        ([True, 1, [[]], None], "origin is out of range"),
        ([O1, "1", [[]], None], "first seq is out of range"),
        ([O1, True, [[]], None], "first seq is out of range"),
        ([O1, 0, [[]], None], "first seq is out of range"),
        ([O1, SEQ_MAX + 1, [[]], None], "first seq is out of range"),
        ([O1, 1, {}, None], "at least one transaction"),
        ([O1, 1, [], None], "at least one transaction"),
        ([O1, 1, [[]], "text"], "signature is neither"),
    ],
)
def test_a_wrong_frame_is_refused(frame: Any, words: str) -> None:
    with pytest.raises(RemoteProtocolError, match=words):
        decode_frame(encode(frame))


RIGHT = [b"k\0", [".a"], b"v", [O1, 1]]


def changed(place: int, value: Any) -> list[Any]:
    return [*RIGHT[:place], value, *RIGHT[place + 1 :]]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "a transaction is"),
        ([1, []], "a transaction is"),
        ([1, [], [], []], "a transaction is"),
        ([1, [], {}], "a transaction is"),
        (["1", [], []], "stamp is out of range"),
        ([True, [], []], "stamp is out of range"),
        ([-1, [], []], "stamp is out of range"),
        ([1, [O1], []], r"transaction \(\d+, 1\): "),
        ([1, "x", []], r"transaction \(\d+, 1\): "),
        ([1, [], [{}]], "a change is"),
        ([1, [], [RIGHT[:3]]], "a change is"),
        ([1, [], [[*RIGHT, None]]], "a change is"),
        ([1, [], [changed(0, "k\0")]], "record id"),
        ([1, [], [changed(0, b"k")]], "record id"),
        ([1, [], [changed(1, ".a")]], "a path is"),
        ([1, [], [changed(1, [1])]], "a path is"),
        ([1, [], [changed(2, "text")]], "value is neither"),
        ([1, [], [changed(3, [O1])]], r"transaction \(\d+, 1\): "),
        ([1, [], [changed(3, [O1, 0])]], r"transaction \(\d+, 1\): "),
        ([1, [], [RIGHT, RIGHT]], "changes one path twice"),
    ],
)
def test_a_wrong_transaction_is_refused(body: Any, words: str) -> None:
    frame = decode_frame(encode([O1, 1, [body], None]))
    with pytest.raises(RemoteProtocolError, match=words):
        frame.transaction(1)


@pytest.mark.parametrize("body", [[0, [], []], [STAMP_MAX, [O1, 1], [RIGHT, changed(1, [])]]])
def test_the_bounds_of_a_transaction_are_within(body: Any) -> None:
    frame = decode_frame(encode([O1, 1, [body], None]))
    assert frame.transaction(1).stamp == body[0]


# -- record ids --------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "life"), [(b"k", 0), (b"k", 1), (b"a b", 256), (b"k", 2**32 - 1)])
def test_splitting_a_record_id_undoes_making_it(key: bytes, life: int) -> None:
    record_id = make_record_id(key, life)
    check_record_id(record_id)
    assert split_record_id(record_id) == (key, life)
    assert len(record_id) == len(key) + (1 if life == 0 else 5)


def test_record_ids_sort_by_key_and_then_by_life() -> None:
    ids = [make_record_id(k, n) for k in (b"a", b"ab", b"b") for n in (0, 1, 2, 300)]
    assert sorted(ids) == ids


@pytest.mark.parametrize(
    "wrong",
    [
        "k\0", b"", b"\0", b"k", b"k\0\0", b"k\0\1\1\1", b"k\0\0\0\0\0", b"k\0\0\0\0\0\1", None, 7,
        b"k" * RECORD_ID_BYTES_MAX + b"\0",
    ],
)  # fmt: skip
def test_what_is_no_record_id_is_refused(wrong: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="record id"):
        check_record_id(wrong)


def test_the_longest_record_id_is_taken() -> None:
    check_record_id(b"k" * (RECORD_ID_BYTES_MAX - 1) + b"\0")
