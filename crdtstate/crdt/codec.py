"""Canonical CBOR: one value, one encoding, and a decoder that a hostile frame cannot hurt.

`strict_loads` lets the decoder refuse, before it builds anything, every tag, indefinite length,
duplicate key, non-text key and excess depth, and then requires that encoding the result again gives
the same bytes: so trailing bytes and non-shortest heads are refused as well.

A record is `[[path, origin, seq, stamp, value, origin, seq, stamp, value, …], …]`, cells in order
of path, siblings in order of dot. The commonest record by far is one plain key with one sibling;
`encode_register` and `register_dot` handle exactly that shape on the bytes, and must agree with
the general functions (tests compare them).

Source: RFC 8949 section 4.2.1 (core deterministic encoding).

Invariants:
    COD-1  decode(encode(x)) == x, and equal records have equal bytes in every process.
    COD-2  Decoding any bytes returns a value or raises RemoteProtocolError; nothing else.
"""

import io
from collections.abc import Sequence
from typing import Any, NoReturn

import cbor2

from crdtstate.crdt.clock import STAMP_MAX
from crdtstate.crdt.dots import ORIGIN_MIN, SEQ_MAX, Dot
from crdtstate.crdt.record import Cell, Path, Record
from crdtstate.errors import RemoteProtocolError

__all__ = [
    "decode_path",
    "decode_record",
    "decode_value",
    "encode_cell",
    "encode_record",
    "encode_register",
    "encode_value",
    "join_cells",
    "read_value",
    "register_dot",
    "strict_loads",
]

DEPTH_MAX = 72  # A path of 64 steps inside a value, and the envelope around it.

dumps = cbor2.dumps


def _refuse_tag(_decoder: object, *_rest: object) -> NoReturn:
    raise ValueError("tags are not part of the format")


# cbor2 understands these tags itself, some at great cost (bignums, regular expressions, e-mail).
_KNOWN_TAGS = (
    0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000,
    55799,
)  # fmt: skip
_TAG_REFUSERS: dict[int, Any] = dict.fromkeys(_KNOWN_TAGS, _refuse_tag)


def strict_loads(data: bytes, *, canonical: bool = True) -> Any:
    """Decode one CBOR item.

    Floats and simple values other than true, false and null are left to the caller's type
    checks (`decode_value` allows finite floats, frames allow none). `canonical` False spares the
    second half of the cost where the bytes are not kept: heads need not be the shortest then.

    Raises: RemoteProtocolError for anything else.
    Cost: O(len(data)), one decode and one encode.
    """
    try:
        stream = io.BytesIO(data)
        value = cbor2.CBORDecoder(
            stream,
            tag_hook=_refuse_tag,
            semantic_decoders=_TAG_REFUSERS,
            max_depth=DEPTH_MAX,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        ).decode()
        again = cbor2.dumps(value, canonical=True) if canonical else data
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise RemoteProtocolError(f"not canonical CBOR: {error}") from error
    if stream.read(1):
        raise RemoteProtocolError("not canonical CBOR: bytes follow the item")
    if again != data:
        raise RemoteProtocolError("not canonical CBOR: encoding it again gives other bytes")
    return value


def encode_value(value: Any) -> bytes:
    """Encode one JSON value of a cell."""
    return cbor2.dumps(value, canonical=True)


def decode_value(data: bytes) -> Any:
    """Decode one JSON value of a cell, which a peer may have sent.

    Raises: RemoteProtocolError when it is not a JSON value.
    """
    value = strict_loads(data)
    _require_json(value)
    return value


def read_value(data: bytes) -> Any:
    """Return the JSON value of a stored leaf; null when a peer stored what is none.

    Joins never look inside values, so a leaf that no correct peer writes is kept as it is on
    every replica, and must not make reading the rest of its record fail.
    """
    try:
        return decode_value(data)
    except RemoteProtocolError:
        return None


def _require_json(value: Any) -> None:
    stack = [value]
    while stack:
        item = stack.pop()
        if type(item) is dict:
            if any(type(key) is not str for key in item):
                raise RemoteProtocolError("not a JSON value: a key is not text")
            stack.extend(item.values())
        elif type(item) is list:
            stack.extend(item)
        elif type(item) is float:
            if item != item or item in (float("inf"), float("-inf")):
                raise RemoteProtocolError("not a JSON value: a number is not finite")
        elif item is not None and type(item) not in (str, int, bool):
            raise RemoteProtocolError(f"not a JSON value: {type(item).__name__}")


def encode_record(record: Record) -> bytes:
    """Encode canonically: cells in order of path, siblings in order of dot."""
    return cbor2.dumps([_flat(path, record[path]) for path in sorted(record)])


def encode_cell(path: Path, cell: Cell) -> bytes:
    """Encode one cell; a record is `join_cells` of its cells in order of path."""
    return cbor2.dumps(_flat(path, cell))


def join_cells(cells: Sequence[bytes]) -> bytes:
    """Encode the record of these encoded cells, which are in order of path."""
    return head(0x80, len(cells)) + b"".join(cells)


def _flat(path: Path, cell: Cell) -> list[Any]:
    flat: list[Any] = [list(path)]
    for dot, sibling in sorted(cell.items()) if len(cell) > 1 else cell.items():
        flat += dot + sibling
    return flat


def decode_record(data: bytes) -> Record:
    """Decode bytes of our own disk, or a peer's after `check_record`. Cost: O(cells)."""
    record: Record = {}
    for flat in cbor2.loads(data):
        if len(flat) == 5:
            path, origin, seq, stamp, value = flat
            record[tuple(path)] = {(origin, seq): (stamp, value)}
            continue
        cell: Cell = {}
        for i in range(1, len(flat), 4):
            cell[flat[i], flat[i + 1]] = (flat[i + 2], flat[i + 3])
        record[tuple(flat[0])] = cell
    return record


def check_record(data: bytes) -> Record:
    """Decode a record that a peer sent, refusing what `encode_record` would not produce.

    Raises: RemoteProtocolError.
    Cost: O(cells); one decoding, and one encoding to compare.
    """
    cells = strict_loads(data)
    if type(cells) is not list or not cells:
        raise RemoteProtocolError("a record is a list of cells")
    record: Record = {}
    last: Path | None = None
    for flat in cells:
        if type(flat) is not list or len(flat) < 5 or len(flat) % 4 != 1:
            raise RemoteProtocolError("a cell is a path and at least one sibling")
        path = decode_path(flat[0])
        if len(flat) == 5:  # One sibling, as most have.
            _, origin, seq, stamp, value = flat
            check_sibling(origin, seq, stamp, value)
            cell: Cell = {(origin, seq): (stamp, value)}
        else:
            cell = {}
            for i in range(1, len(flat), 4):
                origin, seq, stamp, value = flat[i : i + 4]
                check_sibling(origin, seq, stamp, value)
                cell[origin, seq] = (stamp, value)
            if not _is_rising(flat, cell):
                raise RemoteProtocolError("record is not in canonical order")
        if last is not None and path <= last:
            raise RemoteProtocolError("record is not in canonical order")
        record[path] = cell
        last = path
    return record


def _is_rising(flat: list[Any], cell: Cell) -> bool:
    """Whether the siblings of `flat` are in order of dot, each once."""
    return 4 * len(cell) == len(flat) - 1 and list(cell) == sorted(cell)


def decode_path(steps: Any) -> Path:
    """Check and freeze a path. Raises: RemoteProtocolError."""
    for step in steps if type(steps) is list else (None,):
        if type(step) is not str:
            raise RemoteProtocolError("a path is a list of text")
    return tuple(steps)


def check_sibling(origin: Any, seq: Any, stamp: Any, value: Any) -> None:
    """Check the types and ranges of one sibling. Raises: RemoteProtocolError."""
    if type(origin) is not int or not ORIGIN_MIN <= origin < 2 * ORIGIN_MIN:
        raise RemoteProtocolError("sibling's origin is out of range")
    if type(seq) is not int or not 0 < seq <= SEQ_MAX:
        raise RemoteProtocolError("sibling's seq is out of range")
    if type(stamp) is not int or not 0 <= stamp <= STAMP_MAX:
        raise RemoteProtocolError("sibling's stamp is out of range")
    if type(value) is not bytes:
        raise RemoteProtocolError("sibling's value is not bytes")


# The bytes of [[[], origin, …: a list of one list of five, an empty path, a nine-byte origin.
_REGISTER_HEAD = b"\x81\x85\x80\x1b"
_HEAD_LENGTHS = {24: 1, 25: 2, 26: 4, 27: 8}


_BYTES = [bytes((n,)) for n in range(256)]


def head(major: int, n: int) -> bytes:
    """Return the shortest CBOR head of a major type (its upper three bits) and a number."""
    if n < 0x10000:
        if n < 24:
            return _BYTES[major | n]
        if n < 0x100:
            return _BYTES[major | 24] + _BYTES[n]
        return _BYTES[major | 25] + n.to_bytes(2, "big")
    if n < 0x100000000:
        return _BYTES[major | 26] + n.to_bytes(4, "big")
    return _BYTES[major | 27] + n.to_bytes(8, "big")


def encode_list(items: list[bytes]) -> bytes:
    """Encode a list of byte strings; equals `dumps` of it, at a third of the cost."""
    if len(items) == 1:
        return b"\x81" + head(0x40, len(items[0])) + items[0]
    parts = [head(0x80, len(items))]
    for item in items:
        parts += (head(0x40, len(item)), item)
    return b"".join(parts)


def register_dot_prefix(dot: Dot) -> bytes:
    """Return what exactly the registers of one dot start with."""
    return _REGISTER_HEAD + dot[0].to_bytes(8, "big") + head(0x00, dot[1])


def register_prefix(dot: Dot, stamp: int) -> bytes:
    """Return what a register starts with; `head(0x40, len(value))` and the value follow."""
    return register_dot_prefix(dot) + head(0x00, stamp)


def encode_register(dot: Dot, stamp: int, value: bytes) -> bytes:
    """Encode {LIFE: {dot: (stamp, value)}}; equals `encode_record` of it."""
    return register_prefix(dot, stamp) + head(0x40, len(value)) + value


def is_register(data: bytes) -> bool:
    """Tell whether `register_dot` would return a dot."""
    return data.startswith(_REGISTER_HEAD)


def register_dot(data: bytes) -> Dot | None:
    """Return the dot when `data` is a record of LIFE alone with one sibling, else None."""
    if not data.startswith(_REGISTER_HEAD):
        return None
    info = data[12]
    if info < 24:
        return int.from_bytes(data[4:12], "big"), info
    end = 13 + _HEAD_LENGTHS[info]
    return int.from_bytes(data[4:12], "big"), int.from_bytes(data[13:end], "big")


def register_value(data: bytes) -> tuple[Dot, int, bytes] | None:
    """Return (dot, stamp, value) when `register_dot` would return a dot, else None."""
    if not data.startswith(_REGISTER_HEAD):
        return None
    seq, at = _read_head(data, 12)
    if data[at] == 0x1B:  # A stamp of this century takes eight bytes.
        stamp, at = int.from_bytes(data[at + 1 : at + 9], "big"), at + 9
    else:
        stamp, at = _read_head(data, at)
    info = data[at] & 31
    start = at + 1 if info < 24 else at + 1 + _HEAD_LENGTHS[info]
    return (int.from_bytes(data[4:12], "big"), seq), stamp, data[start:]


def split_register(data: bytes) -> tuple[bytes, bytes] | None:
    """Return (its dot as encoded, value) when `register_dot` would return a dot, else None."""
    if not data.startswith(_REGISTER_HEAD):
        return None
    info = data[12]
    after_seq = 13 if info < 24 else 13 + _HEAD_LENGTHS[info]
    if data[after_seq] == 0x1B:  # A stamp of this century takes eight bytes.
        at = after_seq + 9
    else:
        _, at = _read_head(data, after_seq)
    info = data[at] & 31
    return data[3:after_seq], data[at + 1 if info < 24 else at + 1 + _HEAD_LENGTHS[info] :]


def is_canonical(data: bytes, register: tuple[Dot, int, bytes]) -> bool:
    """Tell whether `data`, of which `register_value` gave this, is what `check_record` takes."""
    dot, stamp, value = register
    try:
        check_sibling(*dot, stamp, value)
    except RemoteProtocolError:
        return False
    return encode_register(dot, stamp, value) == data


def string_content(data: bytes) -> bytes | None:
    """Return what is in `data` when it is one byte string or text string, else None."""
    if not data or not 0x40 <= data[0] < 0x7C or data[0] & 31 > 27:
        return None
    size, start = _read_head(data, 0)
    return data[start:] if len(data) == start + size else None


def _read_head(data: bytes, at: int) -> tuple[int, int]:
    info = data[at] & 31
    if info < 24:
        return info, at + 1
    end = at + 1 + _HEAD_LENGTHS[info]
    return int.from_bytes(data[at + 1 : end], "big"), end
