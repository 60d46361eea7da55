"""Messages between replicas: fragments, losses, hostile bytes."""

from random import Random

import pytest

from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.errors import RemoteProtocolError
from crdtstate.replica.messages import (
    Assembler,
    Kind,
    decode_message,
    encode_message,
    fragments,
    part_message,
)
from crdtstate.store.parts import parse_part, records_only


def test_fragments_come_together_whatever_is_lost_between_them() -> None:
    """MSG-2: what comes out is what was sent, or nothing of it."""
    rng = Random(1)
    for _ in range(300):
        sent = [
            bytes((rng.choice((Kind.PUSH, Kind.PART)),)) + rng.randbytes(rng.randint(0, 900))
            for _ in range(20)
        ]
        assembler, came = Assembler(1_000), []
        for message in sent:
            for payload in fragments(message, 100):
                assert len(payload) <= 100
                if rng.random() < 0.1:
                    continue
                whole = assembler.feed(payload)
                if whole is not None:
                    came.append(whole)
        left = iter(sent)
        assert all(message in left for message in came)
        assert len(came) > 3


def test_all_fragments_make_the_message() -> None:
    for size in (0, 1, 98, 99, 100, 101, 5_000):
        message = bytes((Kind.PUSH,)) + Random(size).randbytes(size)
        assembler = Assembler(6_000)
        found = [assembler.feed(payload) for payload in fragments(message, 100)]
        assert found[-1] == message
        assert found[:-1] == [None] * (len(found) - 1)


def test_a_message_over_the_bound_is_refused_and_the_next_one_taken() -> None:
    assembler = Assembler(1_000)
    payloads = iter(fragments(bytes((Kind.PUSH,)) + b"x" * 2_000, 100))
    for _ in range(10):
        assembler.feed(next(payloads))
    with pytest.raises(RemoteProtocolError, match="message_bytes_max"):
        assembler.feed(next(payloads))
    assert assembler.feed(b"\x03next") == b"\x03next"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x00", b"\x3f\x80", encode_message(Kind.END, 1, [], None),
        encode_message(Kind.PULL, True, []), encode_message(Kind.VECTOR, [1]),
        encode_message(Kind.HELLO, 1, 5, []), b"\x05\xff\xff",
    ],
)  # fmt: skip
def test_hostile_messages_raise_one_error(data: bytes) -> None:
    """MSG-1"""
    with pytest.raises(RemoteProtocolError):
        decode_message(data)


def test_a_part_is_encoded_as_its_fields_would_be() -> None:
    """Events are put together from the bytes of the disk."""
    distinct = [
        [[b"k\0"], []],
        [[b"k\0", b"m\0\0\0\0\x01"], [b"k\0"]],
        [[b"x" * 300 + b"\0"] * 30, []],
    ]
    runs = [[ORIGIN_MIN, 1, b"\0\0\0\2"], [ORIGIN_MIN + 1, 10**6, b"\0\1"]]
    records = [[b"k\0", b"data"], [b"m\0", None]]

    message = part_message(77, parse_part(records, distinct, runs))

    assert message == encode_message(Kind.PART, 77, records, distinct, runs)
    assert decode_message(message) == (Kind.PART, [77, records, distinct, runs])
    assert part_message(0, records_only([])) == encode_message(Kind.PART, 0, [], [], [])
