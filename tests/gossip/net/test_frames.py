"""Sealed frames: any cut of the bytes gives the same frames, and no other frames ever open."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.net.frames import (
    PAYLOAD_BYTES_MAX,
    PLAINTEXT_BYTES_MAX,
    Ack,
    Item,
    Opener,
    Ping,
    Pong,
    Sealer,
    StreamRefused,
    data_head,
    decode_items,
)

KEY = bytes(32)

items = st.lists(
    st.one_of(
        st.binary(max_size=300),
        st.integers(0, 2**64 - 1).map(Ack),
        st.integers(0, 2**32 - 1).map(Ping),
        st.integers(0, 2**32 - 1).map(Pong),
    ),
    max_size=8,
)


def encode(item: Item) -> bytes:
    return data_head(len(item)) + item if isinstance(item, bytes) else item.encode()


@given(items)
def test_items_survive_the_round_trip(values: list[Item]) -> None:
    assert decode_items(b"".join(map(encode, values))) == values


@given(st.binary(max_size=100))
def test_hostile_plaintext_raises_only_stream_refused(data: bytes) -> None:
    try:
        decoded = decode_items(data)
    except StreamRefused:
        return

    assert b"".join(map(encode, decoded)) == data


@given(st.lists(st.binary(max_size=200), max_size=5), st.integers(1, 50))
def test_frames_are_the_same_however_the_bytes_arrive(plaintexts: list[bytes], size: int) -> None:
    sealer, opener = Sealer(KEY), Opener(KEY)
    stream = b"".join(sealer.seal([plaintext]) for plaintext in plaintexts)

    opened = [
        frame
        for start in range(0, len(stream), size)
        for frame in opener.feed(stream[start : start + size])
    ]

    assert opened == plaintexts
    assert opener.unfinished_bytes == 0


@pytest.mark.parametrize("fault", ["replayed", "reordered", "lost", "altered", "wrong key"])
def test_a_stream_that_was_tampered_with_does_not_open(fault: str) -> None:
    """FRM-1"""
    sealer = Sealer(KEY)
    first, second, third = (sealer.seal([b"%d" % number]) for number in range(3))
    tampered = {
        "replayed": [first, first],
        "reordered": [first, third, second],
        "lost": [second],
        "altered": [first[:-1] + bytes([first[-1] ^ 1])],
        "wrong key": [Sealer(b"k" * 32).seal([b"0"])],
    }[fault]

    with pytest.raises(StreamRefused, match="bad_seal"):
        Opener(KEY).feed(b"".join(tampered))


def test_a_length_over_the_limit_is_refused_before_its_bytes_arrive() -> None:
    """FRM-2"""
    limit = PLAINTEXT_BYTES_MAX + 16

    with pytest.raises(StreamRefused, match="oversized_frame"):
        Opener(KEY).feed((limit + 1).to_bytes(4, "big"))
    with pytest.raises(StreamRefused, match="bad_frame"):
        Opener(KEY).feed((3).to_bytes(4, "big"))
    assert Opener(KEY).feed(limit.to_bytes(4, "big")) == []


def test_the_largest_payload_fits_one_frame() -> None:
    largest = bytes(PAYLOAD_BYTES_MAX)

    (plaintext,) = Opener(KEY).feed(Sealer(KEY).seal([data_head(len(largest)), largest]))

    assert decode_items(plaintext) == [largest]
