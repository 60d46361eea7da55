"""Packets: round trips, sizes, and bytes that no member sends."""

from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.core import effects as fx
from gossip.core import messages as msg
from gossip.core.ports import Liveness, Member
from gossip.core.wire import (
    INCARNATION_MAX,
    Kind,
    Packet,
    Update,
    decode,
    encode,
    update_bytes,
)
from gossip.errors import RemoteProtocolError
from tests.gossip.core.swim_harness import machine, record

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=16)
members = st.builds(
    Member,
    name=names,
    host=st.sampled_from(["10.0.0.1", "fe80::1%eth0", "host-1.example"]),
    port=st.integers(1, 65_535),
    incarnation=st.integers(0, INCARNATION_MAX),
    liveness=st.sampled_from(Liveness),
    metadata=st.binary(max_size=256),
)


@st.composite
def updates(draw: st.DrawFn) -> Update:
    """Draw an update; only a suspect has an accuser."""
    member = draw(members)
    suspect = member.liveness is Liveness.SUSPECT
    return Update(member, draw(names) if suspect and draw(st.booleans()) else "")


lists = st.lists(updates(), max_size=4).map(tuple)
numbers = st.integers(0, (1 << 64) - 1)
digests = st.binary(max_size=64)


def packet_of(kind: int, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Packet]:
    """Draw the fields that a kind has; the others keep their defaults."""
    return st.fixed_dictionaries(fields).map(lambda drawn: Packet(kind, **drawn))


packets = st.one_of(
    packet_of(
        Kind.PING, sequence=numbers, sender=names, target=names, table_hash=numbers,
        digest=digests, updates=lists,
    ),
    packet_of(Kind.ACK, sequence=numbers, sender=names, digest=digests, updates=lists),
    packet_of(Kind.ASK, sequence=numbers, sender=names, target=names, updates=lists),
    packet_of(Kind.NACK, sequence=numbers, sender=names),
    updates().map(lambda u: Packet(Kind.JOIN, sender=u.member.name, updates=(u,))),
    packet_of(Kind.LIST, sender=names, updates=lists),
)  # fmt: skip


@given(packets)
def test_decoding_undoes_encoding(packet: Packet) -> None:
    """GWI-2"""
    assert decode(encode(packet)) == packet


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    """GWI-1"""
    for candidate in (data, b"\x01" + data):
        try:
            packet = decode(candidate)
        except RemoteProtocolError:
            continue
        assert encode(packet) == candidate


@given(packets, st.data())
def test_a_damaged_packet_decodes_or_is_refused(packet: Packet, data: st.DataObject) -> None:
    """GWI-1"""
    raw = bytearray(encode(packet))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] = data.draw(st.integers(0, 255))

    try:
        decoded = decode(bytes(raw))
    except RemoteProtocolError:
        return
    assert encode(decoded) == bytes(raw)


@given(updates())
def test_the_estimate_of_an_update_is_never_too_small(update: Update) -> None:
    alone = len(encode(Packet(Kind.LIST, sender="a", updates=(update,))))
    none = len(encode(Packet(Kind.LIST, sender="a")))

    assert alone - none <= update_bytes(update)


GOOD: list[Any] = ["x", "10.0.0.9", 7946, 1, 0, b""]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (0, ""), (0, "x" * 65), (0, b"x"), (0, 7),
        (1, ""), (1, "a b"), (1, "a\0"), (1, "x" * 256), (1, b"10.0.0.9"),
        (2, 0), (2, 65_536), (2, -1), (2, True), (2, 1.5),
        (3, -1), (3, INCARNATION_MAX + 1), (3, None), (3, True),
        (4, 4), (4, -1), (4, False),
        (5, b"m" * 257), (5, "text"), (5, None),
    ],
)  # fmt: skip
def test_a_record_with_a_field_out_of_its_bounds_is_refused(field: int, value: Any) -> None:
    fields = [*GOOD]
    fields[field] = value

    with pytest.raises(RemoteProtocolError):
        decode(b"\x01" + cbor2.dumps([Kind.JOIN, fields]))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x01", b"\x02" + cbor2.dumps([Kind.NACK, 1, "a"]),
        b"\x01" + cbor2.dumps([]), b"\x01" + cbor2.dumps([99, 1]), b"\x01" + cbor2.dumps({}),
        b"\x01" + cbor2.dumps([Kind.NACK, 1, "a", 1]), b"\x01" + cbor2.dumps([Kind.NACK, 1]),
        b"\x01" + cbor2.dumps([Kind.NACK, 1 << 64, "a"]),
        b"\x01" + cbor2.dumps([Kind.NACK, True, "a"]),
        b"\x01" + cbor2.dumps([Kind.ACK, 1, "a", b"d" * 65, []]),
        b"\x01" + cbor2.dumps([Kind.LIST, "a", {}]),
        b"\x01" + cbor2.dumps([Kind.LIST, "a", [[*GOOD, "b"]]]),
        b"\x01" + cbor2.dumps([Kind.LIST, "a", [[*GOOD[:4], 1, b"", ""]]]),
        b"\x01" + cbor2.dumps([Kind.NACK, 1, "a"]) + b"\x00",
        b"\x01\x9f\x04\x01\x61a\xff", b"\x01\x83\x04\x18\x01\x61a",
        b"\x01" + b"\x81" * 2_000, b"\x01\x5b" + b"\xff" * 8, b"\x01\x9b" + b"\xff" * 8,
        b"\x01\xc2\x41\x01", b"\x01\xd9\x01\x02\x80", b"\x01\x62\xff\xfe", b"\x01\xf9\x7e\x00",
    ],
    ids=range(24),
)  # fmt: skip
def test_hostile_bytes_are_refused_and_change_nothing(data: bytes) -> None:
    """PEER-G2, through the machine, which counts them."""
    peer = machine()
    before = peer.members()

    effects = peer.step(10, msg.Received(("10.0.0.66", 1), data))

    with pytest.raises(RemoteProtocolError):
        decode(data)
    assert [type(e) for e in effects if not isinstance(e, fx.WakeAt)] == [fx.Rejected]
    assert peer.members() == before


def test_golden_bytes_of_version_one() -> None:
    suspect = Update(record("b", 3, Liveness.SUSPECT, metadata=b"m"), "c")
    packet = Packet(
        Kind.PING, 5, sender="a", target="b", table_hash=0xAABBCCDD, digest=b"dd",
        updates=(suspect,),
    )  # fmt: skip

    assert encode(packet).hex() == (
        "0187010561616162" "1aaabbccdd" "426464" "81" "87" "6162" "6831302e302e302e39"
        "191f0a" "03" "01" "416d" "6163"
    )  # fmt: skip
