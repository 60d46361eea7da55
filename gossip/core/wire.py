"""Packets of the membership protocol: a version byte, then a canonical CBOR list.

    PING   [1, sequence, from, to, table hash, digest, updates]
    ACK    [2, sequence, from, digest, updates]
    ASK    [3, sequence, from, target, updates]      ping the target for me
    NACK   [4, sequence, from]                        I asked it, and it does not answer
    JOIN   [5, record]                                who are you all? this is me
    LIST   [6, from, updates]
    record [name, host, port, incarnation, liveness, metadata], and of a suspect also the accuser

Invariants:
    GWI-1  Decoding any bytes returns a packet or raises RemoteProtocolError.
    GWI-2  One packet has one encoding: what decodes encodes to the same bytes.
"""

import re
from typing import Any, NamedTuple, final

import cbor2

from gossip.core.ports import Liveness, Member
from gossip.errors import RemoteProtocolError

__all__ = [
    "DIGEST_BYTES_MAX",
    "INCARNATION_MAX",
    "METADATA_BYTES_MAX",
    "NAME_BYTES_MAX",
    "Kind",
    "Packet",
    "Update",
    "decode",
    "encode",
    "update_bytes",
]

VERSION = b"\x01"
INCARNATION_MAX = 1 << 48
NAME_BYTES_MAX = 64
METADATA_BYTES_MAX = 256
DIGEST_BYTES_MAX = 64
_HOST = re.compile(r"[0-9A-Za-z_.:%-]{1,255}")  # What may be handed to a socket.
_RECORD_FIELDS_BYTES = 28  # Most that a record's numbers and the heads of its texts take.


@final
class Kind:
    """The first field of a packet."""

    PING, ACK, ASK, NACK, JOIN, LIST = range(1, 7)


@final
class Update(NamedTuple):
    """A member's record on its way, and of a suspect who says so: "" is nobody in particular."""

    member: Member
    accuser: str = ""


@final
class Packet(NamedTuple):
    """A decoded packet; fields that a kind does not have keep their defaults."""

    kind: int
    sequence: int = 0
    sender: str = ""
    target: str = ""
    table_hash: int = 0
    digest: bytes = b""
    updates: tuple[Update, ...] = ()


def _encoded(update: Update) -> list[Any]:
    member, accuser = update
    fields: list[Any] = [
        member.name, member.host, member.port, member.incarnation, int(member.liveness),
        member.metadata,
    ]  # fmt: skip
    return [*fields, accuser] if accuser else fields


def update_bytes(update: Update) -> int:
    """Return a bound, tight to a few bytes, on what an update takes in a packet."""
    member, accuser = update
    texts = len(member.name.encode()) + len(member.host) + len(accuser.encode())
    return texts + len(member.metadata) + _RECORD_FIELDS_BYTES


def encode(packet: Packet) -> bytes:
    """Return the plaintext of a packet."""
    p = packet
    updates = [_encoded(update) for update in p.updates]
    fields: list[Any]
    match p.kind:
        case Kind.PING:
            fields = [p.kind, p.sequence, p.sender, p.target, p.table_hash, p.digest, updates]
        case Kind.ACK:
            fields = [p.kind, p.sequence, p.sender, p.digest, updates]
        case Kind.ASK:
            fields = [p.kind, p.sequence, p.sender, p.target, updates]
        case Kind.NACK:
            fields = [p.kind, p.sequence, p.sender]
        case Kind.JOIN:
            fields = [p.kind, updates[0]]
        case _:
            fields = [p.kind, p.sender, updates]
    return VERSION + cbor2.dumps(fields)


_SHAPES: dict[int, tuple[str, ...]] = {
    Kind.PING: ("sequence", "sender", "target", "table_hash", "digest", "updates"),
    Kind.ACK: ("sequence", "sender", "digest", "updates"),
    Kind.ASK: ("sequence", "sender", "target", "updates"),
    Kind.NACK: ("sequence", "sender"),
    Kind.JOIN: ("record",),
    Kind.LIST: ("sender", "updates"),
}


def _refuse_tag(*_: object) -> Any:
    raise ValueError("tags are not part of the format")


_TAGS: dict[int, Any] = dict.fromkeys(
    (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004,
     43000, 55799), _refuse_tag,
)  # fmt: skip


def decode(data: bytes) -> Packet:
    """Parse a plaintext. Raises: RemoteProtocolError."""
    if data[:1] != VERSION:
        raise RemoteProtocolError(f"packet of version {data[:1].hex() or 'none'}, not 01")
    try:
        fields = cbor2.loads(
            data[1:], tag_hook=_refuse_tag, semantic_decoders=_TAGS, max_depth=6,
            allow_indefinite=False, allow_duplicate_keys=False, strict_hashable_types=True,
        )  # fmt: skip
        canonical = cbor2.dumps(fields, canonical=True) == data[1:]
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise RemoteProtocolError(f"packet is not canonical CBOR: {error}") from error
    if not canonical or type(fields) is not list or not fields or type(fields[0]) is not int:
        raise RemoteProtocolError("packet is not a canonical list that starts with its kind")
    shape = _SHAPES.get(fields[0])
    if shape is None or len(fields) != len(shape) + 1:
        raise RemoteProtocolError(f"packet of kind {fields[0]} with {len(fields)} fields")
    found: dict[str, Any] = {}
    for name, value in zip(shape, fields[1:], strict=True):
        if name == "record":
            found["updates"] = (_update(value),)
            found["sender"] = found["updates"][0].member.name
        else:
            found[name] = _CHECKS[name](value)
    return Packet(fields[0], **found)


def _integer(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise RemoteProtocolError("packet's number is out of range")
    return value


def _name(value: Any) -> str:
    if type(value) is not str or not 0 < len(value.encode()) <= NAME_BYTES_MAX:
        raise RemoteProtocolError(f"packet's name is not text of 1 to {NAME_BYTES_MAX} bytes")
    return value


def _digest(value: Any) -> bytes:
    if type(value) is not bytes or len(value) > DIGEST_BYTES_MAX:
        raise RemoteProtocolError(f"packet's digest is not at most {DIGEST_BYTES_MAX} bytes")
    return value


def _updates(value: Any) -> tuple[Update, ...]:
    if type(value) is not list:
        raise RemoteProtocolError("packet's updates are not a list")
    return tuple(_update(item) for item in value)


def _update(item: Any) -> Update:
    if type(item) is not list or not 6 <= len(item) <= 7:
        raise RemoteProtocolError("a member's record has six fields, or seven with its accuser")
    name, host, port, incarnation, liveness, metadata = item[:6]
    _name(name)
    if type(host) is not str or _HOST.fullmatch(host) is None:
        raise RemoteProtocolError("a member's host is not 1 to 255 characters of an address")
    if type(port) is not int or not 0 < port < 1 << 16:
        raise RemoteProtocolError("a member's port is out of range")
    if type(incarnation) is not int or not 0 <= incarnation <= INCARNATION_MAX:
        raise RemoteProtocolError("a member's incarnation is out of range")
    if type(liveness) is not int or not 0 <= liveness <= Liveness.LEFT:
        raise RemoteProtocolError("a member's liveness is unknown")
    if type(metadata) is not bytes or len(metadata) > METADATA_BYTES_MAX:
        raise RemoteProtocolError(f"a member's metadata is over {METADATA_BYTES_MAX} bytes")
    if len(item) == 7 and liveness != Liveness.SUSPECT:
        raise RemoteProtocolError("a member that is no suspect has an accuser")
    member = Member(
        name=name, host=host, port=port, incarnation=incarnation,
        liveness=Liveness(liveness), metadata=metadata,
    )  # fmt: skip
    return Update(member, _name(item[6])) if len(item) == 7 else Update(member)


_CHECKS: dict[str, Any] = {
    "sequence": _integer,
    "table_hash": _integer,
    "sender": _name,
    "target": _name,
    "digest": _digest,
    "updates": _updates,
}
