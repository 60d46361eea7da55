"""Canonical CBOR: one value, one encoding; hostile frames; golden bytes; the register short cut."""

import math
import resource
import subprocess
import sys
import time
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstate.crdt.codec import (
    check_record,
    decode_record,
    decode_value,
    encode_record,
    encode_register,
    encode_value,
    head,
    read_value,
    register_dot,
    register_value,
    strict_loads,
)
from crdtstate.crdt.record import LIFE, Record
from crdtstate.errors import RemoteProtocolError
from crdtstate.replica.messages import decode_message
from crdtstate.store.transaction import decode_frame

ORIGIN = 1 << 63
dots = st.tuples(st.integers(ORIGIN, ORIGIN + 3), st.integers(1, 1 << 40))
siblings = st.tuples(st.integers(0, (1 << 64) - 1), st.binary(max_size=300))
paths = st.lists(st.text(max_size=4), max_size=3).map(tuple)
cells = st.dictionaries(dots, siblings, min_size=1, max_size=3)
records = st.dictionaries(paths, cells, min_size=1, max_size=4)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)  # fmt: skip


@given(records)
def test_decoding_a_record_undoes_encoding(record: Record) -> None:
    """COD-1"""
    data = encode_record(record)
    assert decode_record(data) == record
    assert check_record(data) == record
    assert encode_record(dict(reversed(list(record.items())))) == data


@given(json_values)
def test_decoding_a_value_undoes_encoding(value: Any) -> None:
    """COD-1"""
    assert decode_value(encode_value(value)) == value


@given(dots, siblings)
def test_the_short_cut_for_registers_agrees_with_the_general_functions(
    dot: tuple[int, int], sibling: tuple[int, bytes]
) -> None:
    record = {LIFE: {dot: sibling}}
    data = encode_register(dot, *sibling)
    assert data == encode_record(record)
    assert register_dot(data) == dot
    assert register_value(data) == (dot, *sibling)


@given(records)
def test_the_short_cut_is_taken_for_plain_registers_only(record: Record) -> None:
    plain = set(record) == {LIFE} and len(record[LIFE]) == 1
    assert (register_dot(encode_record(record)) is not None) == plain
    assert (register_value(encode_record(record)) is not None) == plain


@given(st.integers(0, (1 << 64) - 1))
def test_heads_are_shortest(n: int) -> None:
    assert head(0x00, n) == cbor2.dumps(n)


@given(st.binary(max_size=60))
def test_any_bytes_decode_canonically_or_are_refused(data: bytes) -> None:
    """COD-2, MSG-1: nothing but a value or RemoteProtocolError."""
    for decode in (strict_loads, check_record, decode_frame, decode_message, decode_value):
        try:
            decode(data)
        except RemoteProtocolError:
            continue
    with_value = read_value(data)
    assert with_value is None or encode_value(with_value) == data


@given(records, st.data())
def test_a_damaged_record_is_refused_or_is_another_record(
    record: Record, data: st.DataObject
) -> None:
    raw = bytearray(encode_record(record))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = check_record(bytes(raw))
    except RemoteProtocolError:
        return
    assert encode_record(found) == bytes(raw)


# -- hostile frames ------------------------------------------------------------------------------


def big(major: int, n: int) -> bytes:
    return head(major << 5, n)


def tag(number: int, body: bytes) -> bytes:
    return big(6, number) + body


def text(s: str) -> bytes:
    return big(3, len(s.encode())) + s.encode()


def doubling(levels: int) -> bytes:
    """Shared references: 2 ** levels leaves in O(levels) bytes."""
    out = big(4, levels + 1) + tag(28, big(4, 1) + b"\x00")
    for i in range(levels):
        out += tag(28, big(4, 2) + tag(29, big(0, i)) + tag(29, big(0, i)))
    return out


HOSTILE: dict[str, bytes] = {
    "nest 399 arrays": b"\x81" * 399 + b"\x00",
    "nest 10,000 arrays": b"\x81" * 10_000 + b"\x00",
    "nest 200,000 tags": b"\xc1" * 200_000 + b"\x00",
    "array of 2**40": big(4, 1 << 40) + b"\x00",
    "array of 2**62": big(4, 1 << 62) + b"\x00",
    "map of 2**32-1": big(5, (1 << 32) - 1) + b"\x00\x00",
    "bytes of 2**40": big(2, 1 << 40) + b"x",
    "text of 2**63": big(3, 1 << 63) + b"x",
    "bignum of 1 MB": tag(2, big(2, 1_000_000) + b"\xff" * 1_000_000),
    "decimal fraction 10**9": tag(4, big(4, 2) + big(0, 10**9) + b"\x01"),
    "bigfloat 2**(2**31)": tag(5, big(4, 2) + big(0, 2**31) + b"\x01"),
    "bigfloat 2**(2**62)": tag(5, big(4, 2) + big(0, 2**62) + b"\x01"),
    "nested regular expression": tag(35, text("(a+)+" * 200 + "$")),
    "mime message": tag(36, text("Content-Type: x\r\n" * 20_000)),
    "shared cycle": tag(28, big(4, 1) + tag(29, b"\x00")),
    "shared doubling": doubling(40),
    "string references": tag(
        256, big(4, 100_001) + big(2, 100_000) + b"z" * 100_000 + tag(25, b"\x00") * 100_000
    ),
    "200,000 chunks": b"\x5f" + b"\x41a" * 200_000 + b"\xff",
    "unclosed array": b"\x9f" + b"\x00" * 1000,
    "duplicate keys": big(5, 2) + text("a") + b"\x01" + text("a") + b"\x02",
    "NaN key": big(5, 1) + b"\xf9\x7e\x00" + b"\x01",
    "0 and -0.0 as keys": big(5, 2) + b"\x00\x01" + b"\xf9\x80\x00" + b"\x02",
    "True, 1 and 1.0 as keys": big(5, 3) + b"\x01\x01" + b"\xf5\x02" + b"\xf9\x3c\x00" + b"\x03",
    "longer integer than needed": b"\x1b" + b"\x00" * 7 + b"\x01",
    "lone surrogate": big(3, 3) + b"\xed\xa0\x80",
    "trailing bytes": b"\x01\x02",
    "date 10**18": tag(1, big(0, 10**18)),
    "fraction 1/0": tag(30, big(4, 2) + b"\x01\x00"),
    "nothing": b"",
    "break alone": b"\xff",
    "simple value 255": b"\xf8\xff",
}


def test_there_are_31_hostile_frames() -> None:
    assert len(HOSTILE) == 31


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_frame_is_refused_at_once(name: str) -> None:
    """COD-2, in less CPU time than its length explains."""
    started = time.process_time()
    for decode in (decode_value, check_record, decode_frame):
        with pytest.raises(RemoteProtocolError):
            decode(HOSTILE[name])
    with pytest.raises(RemoteProtocolError):
        decode_message(b"\x02" + HOSTILE[name])
    assert time.process_time() - started < 1.0


def test_hostile_frames_take_no_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for data in HOSTILE.values():
        with pytest.raises(RemoteProtocolError):
            decode_frame(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, "KiB"


@pytest.mark.parametrize("value", [math.nan, math.inf, b"bytes", {1: 2}, (1, {2: 3})])
def test_what_json_does_not_have_is_no_value(value: Any) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_value(cbor2.dumps(value, canonical=True))


# -- golden bytes: what is on disks and wires, the same in every process and version -------------

RECORD: Record = {
    LIFE: {(ORIGIN | 1, 7): (1 << 16, b"\x02")},
    (".spec", ".replicas"): {(ORIGIN | 1, 7): (1 << 16, b"\x03"), (ORIGIN | 2, 1): (5, b"\x04")},
}
GOLDEN = (
    "828580"
    "1b8000000000000001071a000100004102"
    "89"
    "82652e73706563692e7265706c69636173"
    "1b8000000000000001071a000100004103"
    "1b80000000000000020105"
    "4104"
)


def test_keys_of_a_value_are_sorted_shorter_ones_first() -> None:
    value = {"b": 1, "aa": [{"d": 1, "c": 2}], "a": 3}
    assert encode_value(value).hex() == "a3" + "616103" + "616201" + "626161" + "81a2616302616401"


def test_golden_record() -> None:
    """COD-1, law 25."""
    assert encode_record(RECORD).hex() == GOLDEN


@pytest.mark.parametrize("hash_seed", ["1", "2", "3"])
def test_encoding_is_the_same_in_every_process(hash_seed: str) -> None:
    code = (
        "from crdtstate.crdt.codec import encode_record\n"
        f"print(encode_record({RECORD!r}).hex())\n"
        "from crdtstate.store.fingerprint import print_of\n"
        "print(print_of(b'k', b'v'))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": "."},
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert found == [GOLDEN, "251363690752966119241918337053666848183"]
