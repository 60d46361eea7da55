"""Each length and each bound of the encoding, and each shape that is none of it."""

from typing import Any

import cbor2
import pytest

from crdtstate.crdt.clock import STAMP_MAX
from crdtstate.crdt.codec import (
    check_record,
    check_sibling,
    decode_value,
    dumps,
    encode_list,
    encode_record,
    encode_register,
    head,
    is_canonical,
    register_dot,
    register_value,
    split_register,
    strict_loads,
    string_content,
)
from crdtstate.crdt.dots import ORIGIN_MIN, SEQ_MAX
from crdtstate.crdt.record import LIFE, Record
from crdtstate.errors import RemoteProtocolError


@pytest.mark.parametrize(
    "n",
    [0, 23, 24, 255, 256, 0xFFFF, 0x10000, 0x10001, 0xFFFFFFFF, 0x100000000, 0x100000001, SEQ_MAX],
)
@pytest.mark.parametrize("length", [0, 23, 24, 255, 256, 65_535, 65_536])
def test_a_register_is_split_at_each_length_of_its_heads(n: int, length: int) -> None:
    value, dot = b"v" * length, (ORIGIN_MIN, max(n, 1))
    for stamp in (n, STAMP_MAX):
        data = encode_register(dot, stamp, value)
        assert data == encode_record({LIFE: {dot: (stamp, value)}})
        assert register_dot(data) == dot
        assert register_value(data) == (dot, stamp, value)
        assert split_register(data) == (dumps(dot[0]) + dumps(dot[1]), value)


@pytest.mark.parametrize("length", [0, 1, 23, 24, 255, 256, 65_535, 65_536])
def test_one_string_s_content_is_found_at_each_length(length: int) -> None:
    for value in (b"x" * length, "x" * length):
        data = dumps(value)
        assert string_content(data) == b"x" * length
        assert string_content(data + b"y") is None
        assert string_content(data[:-1]) is None or length == 0


@pytest.mark.parametrize("value", [0, -1, 2.5, [], {}, True, None])
def test_what_is_no_string_has_no_content(value: Any) -> None:
    assert string_content(dumps(value)) is None


@pytest.mark.parametrize("head", [b"", b"\x5f", b"\x7f", b"\x5c", b"\x7c", b"\x3f", b"\x80"])
def test_a_head_that_is_no_string_s_has_no_content(head: bytes) -> None:
    assert string_content(head) is None


@pytest.mark.parametrize("value", [[{b"k": 2}], {"a": [b"x"]}, [[float("nan")]], {"a": {"b": b""}}])
def test_what_json_does_not_have_is_found_at_any_depth(value: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="not a JSON value"):
        decode_value(cbor2.dumps(value, canonical=True))


RIGHT: list[Any] = [[], ORIGIN_MIN, 1, 1, b"v"]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([], "a list of cells"),
        ({}, "a list of cells"),
        ([{}], "a path and at least one sibling"),
        ([[]], "a path and at least one sibling"),
        ([RIGHT[:1]], "a path and at least one sibling"),
        ([RIGHT[:4]], "a path and at least one sibling"),
        ([[*RIGHT, ORIGIN_MIN]], "a path and at least one sibling"),
        ([["x", *RIGHT[1:]]], "a path is a list of text"),
        ([[[1], *RIGHT[1:]]], "a path is a list of text"),
        ([[[], "x", 1, 1, b"v"]], "origin is out of range"),
        ([[[], ORIGIN_MIN - 1, 1, 1, b"v"]], "origin is out of range"),
        ([[[], ORIGIN_MIN, "1", 1, b"v"]], "seq is out of range"),
        ([[[], ORIGIN_MIN, 0, 1, b"v"]], "seq is out of range"),
        ([[[], ORIGIN_MIN, SEQ_MAX + 1, 1, b"v"]], "seq is out of range"),
        ([[[], ORIGIN_MIN, 1, "1", b"v"]], "stamp is out of range"),
        ([[[], ORIGIN_MIN, 1, -1, b"v"]], "stamp is out of range"),
        ([[[], ORIGIN_MIN, 1, 1, "v"]], "value is not bytes"),
        ([[[], ORIGIN_MIN, 1, 1, b"v", ORIGIN_MIN, 2, 1, None]], "value is not bytes"),
        ([[["b"], *RIGHT[1:]], [["a"], *RIGHT[1:]]], "not in canonical order"),
        ([[[], ORIGIN_MIN, 2, 1, b"v", ORIGIN_MIN, 1, 1, b"v"]], "not in canonical order"),
        ([RIGHT, RIGHT], "not in canonical order"),
    ],
)
def test_a_record_of_another_shape_is_refused(cells: Any, words: str) -> None:
    with pytest.raises(RemoteProtocolError, match=words):
        check_record(dumps(cells))


def test_the_bounds_of_a_sibling_are_within() -> None:
    for origin in (ORIGIN_MIN, 2 * ORIGIN_MIN - 1):
        for seq in (1, SEQ_MAX):
            for stamp in (0, STAMP_MAX):
                record: Record = {("a",): {(origin, seq): (stamp, b"")}}
                assert check_record(encode_record(record)) == record
    for origin in (ORIGIN_MIN - 1, 2 * ORIGIN_MIN):  # The latter has no canonical encoding either.
        with pytest.raises(RemoteProtocolError, match="origin is out of range"):
            check_sibling(origin, 1, 0, b"")


@pytest.mark.parametrize("count", [0, 1, 2, 23, 24, 300])
def test_a_list_of_bytes_is_encoded_as_the_encoder_does(count: int) -> None:
    items = [b"x" * (n * 7) for n in range(count)]
    assert encode_list(items) == dumps(items)


def test_a_register_of_a_peer_is_taken_as_it_is_when_it_is_canonical() -> None:
    dot = (ORIGIN_MIN, 5)
    data = encode_register(dot, 9, b"v")
    assert is_canonical(data, (dot, 9, b"v"))
    long = data[:12] + b"\x18\x05" + data[13:]
    found = register_value(long)
    assert found == (dot, 9, b"v")
    assert not is_canonical(long, found)
    low = encode_register((1, 5), 9, b"v")
    found = register_value(low)
    assert found is not None
    assert not is_canonical(low, found)


# Those that cbor2 has decoders of its own for, and a few that nobody has.
@pytest.mark.parametrize(
    "tag",
    [
        0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000,
        55799, 6, 24, 38, 65_536, (1 << 64) - 1,
    ],
)  # fmt: skip
def test_every_tag_is_refused_before_anything_is_made_of_it(tag: int) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        strict_loads(head(0xC0, tag) + b"\x82\x00\x01")
    reasons: list[str] = []
    reason: BaseException | None = caught.value
    while reason is not None:
        reasons.append(str(reason))
        reason = reason.__cause__
    assert "tags are not part of the format" in reasons, reasons
