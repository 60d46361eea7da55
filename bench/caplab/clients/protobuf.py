"""As much of protocol buffers as etcd's messages need: varints and length-delimited fields.

Source: the encoding guide of Protocol Buffers, version 3.
"""

from collections.abc import Iterator

VARINT, LENGTH_DELIMITED = 0, 2
_FIXED = {1: 8, 5: 4}


def varint(value: int) -> bytes:
    """Return an unsigned integer, seven bits a byte."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: bytes | int) -> bytes:
    """Return one field: an integer as a varint, bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value & (1 << 64) - 1)
    return varint(number << 3 | LENGTH_DELIMITED) + varint(len(value)) + value


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return (value, where it ends). Raises: ValueError when it is cut off."""
    value = shift = 0
    while True:
        if at >= len(data):
            raise ValueError("varint is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Give each field's number and value. Raises: ValueError for what is not a message."""
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = read_varint(data, at)
            yield number, value
            continue
        if kind == LENGTH_DELIMITED:
            size, at = read_varint(data, at)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise ValueError(f"wire type {kind} of field {number} is not known")
        if at + size > len(data):
            raise ValueError(f"field {number} is cut off")
        yield number, data[at : at + size]
        at += size


def integers(data: bytes) -> dict[int, int]:
    """Return the message's integer fields."""
    return {number: value for number, value in fields(data) if isinstance(value, int)}


def strings(data: bytes, wanted: int) -> list[bytes]:
    """Return every value of one length-delimited field."""
    return [v for number, v in fields(data) if number == wanted and isinstance(v, bytes)]
