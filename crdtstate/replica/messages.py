"""What replicas say to each other over a link: one kind byte, then canonical CBOR or a frame.

Links carry payloads of at most 64 KB in order, but a payload for which a link has no room is
dropped. A longer message is sent as fragments: all but the last carry the MORE bit, all but the
first the CONTINUED bit, and each its number and the CRC-32 of the message that it is of. The
receiver puts them together up to `message_bytes_max`.

Invariants:
    MSG-1  Parsing what any peer sends returns a message or raises RemoteProtocolError.
    MSG-2  A message of which a fragment was dropped is dropped whole.
"""

from typing import Any, final
from zlib import crc32

from crdtstate.crdt.codec import dumps, head, strict_loads
from crdtstate.crdt.dots import ORIGIN_MIN, decode_flat, encode_flat
from crdtstate.errors import RemoteProtocolError
from crdtstate.store.parts import Part, pack_indices

__all__ = [
    "PROTOCOL_VERSION", "Assembler", "Kind", "decode_message", "encode_message", "fragments",
    "part_message",
]  # fmt: skip

PROTOCOL_VERSION = 1
MORE, CONTINUED = 0x80, 0x40
_FRAGMENT_HEAD_BYTES = 7


@final
class Kind:
    """First byte of a message. Numbers are part of the protocol and never change meaning."""

    HELLO = 1  # [protocol version, origin, vector]; of any version, the version first
    PUSH = 2  # a frame (crdtstate.store.transaction)
    VECTOR = 3  # [vector]: what the sender has durable
    WANT = 4  # [vector]: answer with VECTOR as soon as you have all of it durable
    PULL = 5  # [session, vector]
    PART = 6  # [session, records, distinct events, runs of them]
    END = 7  # [session, target vector, null | repaired buckets, how many parts were sent]
    REFUSED = 8  # [session, "floor" | "busy"]
    GROUPS = 9  # [session, 256 group sums as bytes]: start of a repair
    DIFFER = 10  # [session, [group, …]]: answer with BUCKETS
    BUCKETS = 11  # [session, [group, …], bucket sums as bytes]


def encode_message(kind: int, *fields: Any) -> bytes:
    """Encode a message of any kind but PUSH."""
    return bytes((kind,)) + dumps(list(fields))


def part_message(session: int, part: Part) -> bytes:
    """Encode PART. Equals `encode_message` of its fields, and takes events as they are stored."""
    runs = [[run.origin, run.first, pack_indices(run.indices)] for run in part.runs]
    parts = [bytes((Kind.PART,)), b"\x84", head(0x00, session), dumps(part.records)]
    parts += (head(0x80, len(part.distinct)), *part.distinct, dumps(runs))
    return b"".join(parts)


_SHAPES: dict[int, tuple[type | tuple[type, ...], ...]] = {
    Kind.HELLO: (int, int, list),
    Kind.VECTOR: (list,),
    Kind.WANT: (list,),
    Kind.PULL: (int, list),
    Kind.PART: (int, list, list, list),
    Kind.END: (int, list, (list, type(None)), int),
    Kind.REFUSED: (int, str),
    Kind.GROUPS: (int, bytes),
    Kind.DIFFER: (int, list),
    Kind.BUCKETS: (int, list, bytes),
}
_VECTOR_AT = {Kind.HELLO: 2, Kind.VECTOR: 0, Kind.WANT: 0, Kind.PULL: 1, Kind.END: 1}


def decode_message(data: bytes) -> tuple[int, list[Any]]:
    """Return (kind, fields) with types checked and vectors parsed.

    Raises: RemoteProtocolError; of a hello of another version its data have `version`.
    """
    kind = data[0] if data else 0
    shape = _SHAPES.get(kind)
    if shape is None:
        raise RemoteProtocolError(f"unknown message kind {kind}")
    # Of a part no byte is kept as it came: its events are encoded, its records checked, anew.
    fields = strict_loads(data[1:], canonical=kind != Kind.PART)
    if kind == Kind.HELLO:
        _check_version(fields)
    if type(fields) is not list or len(fields) != len(shape):
        raise RemoteProtocolError(f"message of kind {kind} has the wrong number of fields")
    for value, wanted in zip(fields, shape, strict=True):
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise RemoteProtocolError(f"message of kind {kind} has a field of the wrong type")
    at = _VECTOR_AT.get(kind)
    if at is not None:
        try:
            fields[at] = decode_flat(fields[at])
        except ValueError as error:
            raise RemoteProtocolError(str(error)) from error
    if kind == Kind.HELLO and not ORIGIN_MIN <= fields[1] < 2 * ORIGIN_MIN:
        raise RemoteProtocolError("hello's origin is out of range")
    return kind, fields


def _check_version(fields: Any) -> None:
    if type(fields) is list and fields and type(fields[0]) is int and fields[0] != PROTOCOL_VERSION:
        raise RemoteProtocolError(
            f"speaks version {fields[0]} of the replication protocol, not {PROTOCOL_VERSION}",
            version=fields[0],
        )


def vector_message(kind: int, vector: dict[int, int]) -> bytes:
    """Encode VECTOR or WANT."""
    return encode_message(kind, encode_flat(vector))


def pack_sums(sums: list[int]) -> bytes:
    """Encode bucket sums, the lower 64 bits of each: enough to tell whether they differ."""
    return b"".join((s & ((1 << 64) - 1)).to_bytes(8, "big") for s in sums)


def fragments(message: bytes, payload_bytes_max: int) -> list[bytes]:
    """Split a message into payloads. Cost: nothing for a message that fits."""
    if len(message) <= payload_bytes_max:
        return [message]
    kind, body = message[0], message[1:]
    step = payload_bytes_max - _FRAGMENT_HEAD_BYTES
    pieces = [body[i : i + step] for i in range(0, len(body), step)]
    check = crc32(body).to_bytes(4, "big")
    found = []
    for number, piece in enumerate(pieces):
        bits = (CONTINUED if number else 0) | (MORE if number < len(pieces) - 1 else 0)
        found.append(bytes((kind | bits,)) + check + number.to_bytes(2, "big") + piece)
    return found


@final
class Assembler:
    """Puts the fragments that arrive on one link together again."""

    __slots__ = ("_bytes", "_bytes_max", "_check", "_kind", "_pieces")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._kind, self._bytes, self._check = 0, 0, b""
        self._pieces: list[bytes] = []

    def feed(self, payload: bytes) -> bytes | None:
        """Return the whole message when `payload` completes one.

        Raises: RemoteProtocolError for a payload without its head, or when the bound is passed.
        """
        if not payload:
            raise RemoteProtocolError("empty payload")
        first = payload[0]
        if not first & (MORE | CONTINUED):
            self._drop()
            return payload
        if len(payload) < _FRAGMENT_HEAD_BYTES:
            raise RemoteProtocolError(f"fragment of {len(payload)} bytes is shorter than its head")
        kind, check, piece = first & ~(MORE | CONTINUED), payload[1:5], payload[7:]
        if not first & CONTINUED:
            self._drop()
            self._kind, self._check = kind, check
        elif (kind, check) != (self._kind, self._check) or (
            int.from_bytes(payload[5:7], "big") != len(self._pieces)
        ):
            self._drop()  # MSG-2
            return None
        self._bytes += len(piece)
        if self._bytes > self._bytes_max:
            self._drop()
            raise RemoteProtocolError(
                f"message is over {self._bytes_max} bytes (message_bytes_max)"
            )
        self._pieces.append(piece)
        if first & MORE:
            return None
        message = bytes((kind,)) + b"".join(self._pieces)
        self._drop()
        return message

    def _drop(self) -> None:
        if self._pieces:
            self._pieces, self._bytes = [], 0
