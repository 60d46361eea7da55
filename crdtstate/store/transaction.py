"""Transactions: one dot, its causal past, its changes; and the frames that carry them.

    body    = [stamp, [origin, seq, …] past, [change, …]]
    change  = [record id, path, value | null, [origin, seq, …] observed]
    frame   = [origin, first, [body, …], signature | null]

A change with a value is a set; without, a drop of the path and all below it. `past` holds the
entries of the origin's vector that changed since its previous transaction; `observed` the dots
that the change replaces or removes. A body does not repeat its dot: it is (origin, first + index).
The place for a signature is part of the format from the first version (DESIGN section 9).

A record id is the key's UTF-8, a zero byte, and the record's incarnation (absent for 0).

Invariants:
    TXN-1  At most one change per (record id, path).
    TXN-2  A transaction is applied whole or not at all.
"""

from typing import Any, NamedTuple, final

from crdtstate.crdt.clock import STAMP_MAX
from crdtstate.crdt.codec import decode_path, dumps, head, strict_loads
from crdtstate.crdt.dots import (
    ORIGIN_MIN,
    SEQ_MAX,
    Dot,
    decode_dots,
    decode_flat,
)
from crdtstate.crdt.record import Path
from crdtstate.errors import RemoteProtocolError

__all__ = [
    "Change", "Frame", "Transaction", "decode_frame", "encode_body", "encode_frame", "join_body",
]  # fmt: skip

RECORD_ID_BYTES_MAX = 64 << 10


@final
class Change(NamedTuple):
    """One set (`value` is bytes) or drop (`value` is None) of one path of one record."""

    record_id: bytes
    path: Path
    value: bytes | None
    observed: list[Dot]


@final
class Transaction(NamedTuple):
    """What one dot did, everywhere."""

    dot: Dot
    stamp: int
    past: dict[int, int]
    changes: list[Change]


@final
class Frame(NamedTuple):
    """Consecutive transactions of one origin, `first` to `last`."""

    origin: int
    first: int
    bodies: list[Any]

    @property
    def last(self) -> int:
        """The seq of the last transaction in the frame."""
        return self.first + len(self.bodies) - 1

    def transaction(self, seq: int) -> Transaction:
        """Parse the body of `seq`. Raises: RemoteProtocolError."""
        return _parse_body((self.origin, seq), self.bodies[seq - self.first])


def make_record_id(key: bytes, incarnation: int) -> bytes:
    """Return the id of the `incarnation`-th life of `key`; ids sort by key, then life."""
    if incarnation == 0:
        return key + b"\0"
    return key + b"\0" + incarnation.to_bytes(4, "big")


def split_record_id(record_id: bytes) -> tuple[bytes, int]:
    """Return (key, incarnation)."""
    key, _, tail = record_id.partition(b"\0")
    return key, int.from_bytes(tail, "big")


def check_record_id(record_id: Any) -> None:
    """Refuse what `make_record_id` would not produce. Raises: RemoteProtocolError."""
    if type(record_id) is not bytes or not 1 < len(record_id) <= RECORD_ID_BYTES_MAX:
        raise RemoteProtocolError("record id is not bytes of sane length")
    tail = len(record_id) - record_id.find(b"\0") - 1
    if tail not in (0, 4) or (tail == 4 and record_id.endswith(b"\0\0\0\0")):
        raise RemoteProtocolError("record id is not key, zero, incarnation")


def encode_body(stamp: int, past: dict[int, int], changes: list[Change]) -> bytes:
    """Encode once; the bytes are then carried as they are, to disk and to every peer."""
    parts: list[bytes] = []
    for change in changes:
        _encode_change(change, parts)
    return join_body(stamp, past, len(changes), parts)


def join_body(stamp: int, past: dict[int, int], count: int, parts: list[bytes]) -> bytes:
    """Put a head before the encoded bytes of `count` changes."""
    heads = [b"\x83", head(0x00, stamp)]
    _encode_dots(sorted(past.items()), heads)
    heads.append(head(0x80, count))
    return b"".join(heads + parts)


def _encode_change(change: Change, parts: list[bytes]) -> None:
    """Append the bytes that `dumps` gives for the change; by hand, since every write does it."""
    record_id, path, value, observed = change
    parts += (b"\x84", head(0x40, len(record_id)), record_id)
    parts.append(dumps(list(path)) if path else b"\x80")
    if value is None:
        parts.append(b"\xf6")
    else:
        parts += (head(0x40, len(value)), value)
    _encode_dots(observed, parts)


def encode_dots(dots: list[Dot]) -> bytes:
    """Encode what a change has observed."""
    parts: list[bytes] = []
    _encode_dots(dots, parts)
    return b"".join(parts)


def _encode_dots(dots: list[Dot], parts: list[bytes]) -> None:
    parts.append(head(0x80, 2 * len(dots)))
    for origin, seq in dots:
        parts += (b"\x1b", origin.to_bytes(8, "big"), head(0x00, seq))


_FRAME_HEAD = b"\x84"
_NO_SIGNATURE = b"\xf6"


def encode_frame(origin: int, first: int, bodies: list[bytes]) -> bytes:
    """Join encoded bodies into one frame, without decoding them."""
    return b"".join(
        (
            _FRAME_HEAD,
            dumps(origin),
            dumps(first),
            head(0x80, len(bodies)),
            *bodies,
            _NO_SIGNATURE,
        )
    )


def decode_frame(data: bytes) -> Frame:
    """Parse a frame's envelope; bodies are checked one by one by `Frame.transaction`.

    Raises: RemoteProtocolError.
    """
    value = strict_loads(data, canonical=False)
    if type(value) is not list or len(value) != 4:
        raise RemoteProtocolError("a frame is [origin, first, bodies, signature]")
    origin, first, bodies, signature = value
    if type(origin) is not int or not ORIGIN_MIN <= origin < 2 * ORIGIN_MIN:
        raise RemoteProtocolError("frame's origin is out of range")
    if type(first) is not int or not 0 < first <= SEQ_MAX:
        raise RemoteProtocolError("frame's first seq is out of range")
    if type(bodies) is not list or not bodies:
        raise RemoteProtocolError("a frame carries at least one transaction")
    if signature is not None and type(signature) is not bytes:
        raise RemoteProtocolError("frame's signature is neither bytes nor null")
    return Frame(origin, first, bodies)


def _parse_body(dot: Dot, body: Any) -> Transaction:
    if type(body) is not list or len(body) != 3 or type(body[2]) is not list:
        raise RemoteProtocolError("a transaction is [stamp, past, changes]")
    stamp = body[0]
    if type(stamp) is not int or not 0 <= stamp <= STAMP_MAX:
        raise RemoteProtocolError("transaction's stamp is out of range")
    try:
        past = decode_flat(body[1])
        changes = _parse_changes(body[2])
    except ValueError as error:
        raise RemoteProtocolError(f"transaction {dot}: {error}") from error
    if len({change[0] for change in changes}) != len(changes) != len({c[:2] for c in changes}):
        raise RemoteProtocolError("transaction changes one path twice")  # TXN-1
    return Transaction(dot, stamp, past, changes)


def _parse_changes(items: list[Any]) -> list[Change]:
    """Check every change. In one loop with the common case first: every peer does it for each."""
    changes: list[Change] = []
    for item in items:
        if type(item) is not list or len(item) != 4:
            raise RemoteProtocolError("a change is [record id, path, value, observed]")
        record_id, steps, value, observed = item
        if (
            type(record_id) is not bytes
            or not 1 < len(record_id) <= RECORD_ID_BYTES_MAX
            or record_id.find(b"\0") != len(record_id) - 1
        ):
            check_record_id(record_id)
        if value is not None and type(value) is not bytes:
            raise RemoteProtocolError("change's value is neither bytes nor null")
        path = decode_path(steps) if steps else ()
        dots = decode_dots(observed) if observed else []
        changes.append(Change(record_id, path, value, dots))
    return changes
