"""What replicas say to each other over a link: one kind byte, then canonical CBOR or a frame.

Links carry payloads of at most 64 KB in order; a longer message is sent as fragments, each but the
last marked with the MORE bit. The receiver puts them together up to `message_bytes_max`.

Invariants:
    MSG-1  Parsing what any peer sends returns a message or raises RemoteProtocolError.
"""

from typing import Any, final

from crdtstate.crdt.codec import dumps, strict_loads
from crdtstate.crdt.dots import ORIGIN_MIN, decode_flat, encode_flat
from crdtstate.errors import RemoteProtocolError

__all__ = ["Assembler", "Kind", "decode_message", "encode_message", "fragments"]

PROTOCOL_VERSION = 1
MORE = 0x80


@final
class Kind:
    """First byte of a message. Numbers are part of the protocol and never change meaning."""

    HELLO = 1  # [protocol version, origin, vector]
    PUSH = 2  # a frame (crdtstate.store.transaction)
    VECTOR = 3  # [vector]: what the sender has durable
    WANT = 4  # [vector]: answer with VECTOR as soon as you have all of it durable
    PULL = 5  # [session, vector]
    PART = 6  # [session, records, events]
    END = 7  # [session, target vector, null | repaired buckets]
    REFUSED = 8  # [session, "floor" | "busy"]
    GROUPS = 9  # [session, 256 group sums as bytes]: start of a repair
    DIFFER = 10  # [session, [group, …]]: answer with BUCKETS
    BUCKETS = 11  # [session, [group, …], bucket sums as bytes]


def encode_message(kind: int, *fields: Any) -> bytes:
    """Encode a message of any kind but PUSH."""
    return bytes((kind,)) + dumps(list(fields))


_SHAPES: dict[int, tuple[type | tuple[type, ...], ...]] = {
    Kind.HELLO: (int, int, list),
    Kind.VECTOR: (list,),
    Kind.WANT: (list,),
    Kind.PULL: (int, list),
    Kind.PART: (int, list, list),
    Kind.END: (int, list, (list, type(None))),
    Kind.REFUSED: (int, str),
    Kind.GROUPS: (int, bytes),
    Kind.DIFFER: (int, list),
    Kind.BUCKETS: (int, list, bytes),
}
_VECTOR_AT = {Kind.HELLO: 2, Kind.VECTOR: 0, Kind.WANT: 0, Kind.PULL: 1, Kind.END: 1}


def decode_message(data: bytes) -> tuple[int, list[Any]]:
    """Return (kind, fields) with types checked and vectors parsed. Raises: RemoteProtocolError."""
    kind = data[0] if data else 0
    shape = _SHAPES.get(kind)
    if shape is None:
        raise RemoteProtocolError(f"unknown message kind {kind}")
    fields = strict_loads(data[1:])
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
    step = payload_bytes_max - 1
    pieces = [body[i : i + step] for i in range(0, len(body), step)]
    return [
        bytes((kind if n == len(pieces) else kind | MORE,)) + piece
        for n, piece in enumerate(pieces, 1)
    ]


@final
class Assembler:
    """Puts the fragments that arrive on one link together again."""

    __slots__ = ("_bytes", "_bytes_max", "_kind", "_pieces")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._kind, self._bytes = 0, 0
        self._pieces: list[bytes] = []

    def feed(self, payload: bytes) -> bytes | None:
        """Return the whole message when `payload` completes one.

        Raises: RemoteProtocolError when kinds are mixed or the bound is passed.
        """
        if not payload:
            raise RemoteProtocolError("empty payload")
        first = payload[0]
        if not first & MORE and not self._pieces:
            return payload
        kind = first & ~MORE
        self._bytes += len(payload)
        if self._pieces and kind != self._kind:
            raise RemoteProtocolError("fragments of two messages are mixed")
        if self._bytes > self._bytes_max:
            raise RemoteProtocolError(
                f"message is over {self._bytes_max} bytes (message_bytes_max)"
            )
        self._kind = kind
        self._pieces.append(payload[1:])
        if first & MORE:
            return None
        message = bytes((kind,)) + b"".join(self._pieces)
        self._pieces, self._bytes = [], 0
        return message
