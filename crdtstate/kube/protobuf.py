"""Protobuf request bodies of built-in kinds, decoded into what their JSON would be.

Go clients send them and do not fall back, so a server that wants kubectl's `create` and helm's
releases must read them; nobody needs them as answers.

Source: apimachinery's envelope `runtime.Unknown` behind the magic `k8s\\0`; field numbers and names
are the struct tags of k8s.io/api 1.37, in `protobuf_fields.txt`. One line there is a message:
its name, then `number:name:type`, where a type is

    s string   i integer   b boolean   d double   y bytes   t Time   T MicroTime   j JSON text
    q Quantity   I IntOrString   @name another message   [] before it: a list   {}: a map

`^` for a name: the fields of that message belong to the one around it. `!` at the end: a zero
is a value and is kept. Go writes the zero of every field that is no pointer, so without that
mark it means absent.
"""

import base64
import struct
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, final

import msgspec

from crdtstate.kube.statuses import StatusError

__all__ = ["decode_protobuf"]

MAGIC = b"k8s\x00"
DEPTH_MAX = 64
_SCHEMA = "apiextensions.k8s.io/v1.JSONSchemaProps"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def decode_protobuf(data: bytes) -> dict[str, Any]:
    """Return the object in a body of type application/vnd.kubernetes.protobuf.

    Raises: StatusError (BadRequest) when it is damaged, (UnsupportedMediaType) when it is of a
    kind that has no protobuf form here.
    """
    if data[:4] != MAGIC:
        raise _damaged("it does not begin with the magic k8s\\0")
    try:
        envelope = dict(_fields(data[4:]))
        names = {number: _text(value) for number, value in _fields(_bytes(envelope.get(1, b"")))}
        raw, inner_type = _bytes(envelope.get(2, b"")), _text(envelope.get(4, b""))
    except ValueError as error:
        raise _damaged(str(error)) from error
    api_version, kind = names.get(1, ""), names.get(2, "")
    message = "meta/v1.DeleteOptions" if kind == "DeleteOptions" else f"{api_version}.{kind}"
    if message not in _lines() or "json" in inner_type:
        raise StatusError(
            "UnsupportedMediaType",
            f"protobuf of {api_version[:64]!r} {kind[:64]!r} is not read here; send JSON",
        )
    try:
        body = _message(message, raw, 0)
    except ValueError as error:
        raise _damaged(str(error)) from error
    return {"apiVersion": api_version, "kind": kind, **body}


def _damaged(why: str) -> StatusError:
    return StatusError("BadRequest", f"body is not Kubernetes protobuf: {why}")


# -- the table -----------------------------------------------------------------------------------


@final
class _Field(NamedTuple):
    name: str
    code: str
    """The type without its prefix."""
    shape: str
    """"" one value, "[" a list, "{" a map."""
    keeps_zero: bool


@cache
def _lines() -> Mapping[str, str]:
    """Return the table by message. Cost: a millisecond, once."""
    text = files("crdtstate.kube").joinpath("protobuf_fields.txt").read_text()
    return dict(line.partition(" ")[::2] for line in text.splitlines())


@cache
def _table(message: str) -> Mapping[int, _Field]:
    found = {}
    for item in _lines()[message].split():
        number, name, code = item.split(":")
        shape = code[0] if code[0] in "[{" else ""
        found[int(number)] = _Field(
            name, code.rstrip("!").removeprefix("[]").removeprefix("{}"), shape, code[-1] == "!"
        )
    return found


# -- the wire format -----------------------------------------------------------------------------


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (number, value): an integer for varints and fixed ones, else bytes.

    Raises: ValueError.
    """
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise ValueError("field number 0")
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        else:
            size = {1: 8, 5: 4}.get(wire, -1)
        if size < 0 or at + size > end:
            raise ValueError(f"field {number} of wire type {wire} ends beyond the message")
        chunk = data[at : at + size]
        at += size
        yield number, chunk if wire == 2 else int.from_bytes(chunk, "little")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise ValueError("a number does not end")


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError(f"a number, {value}, where a text or message belongs")
    return value


def _text(value: int | bytes) -> str:
    return _bytes(value).decode()


def _signed(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("a text where a number belongs")
    return value - (1 << 64) if value >= 1 << 63 else value


# -- messages ------------------------------------------------------------------------------------


def _message(message: str, data: bytes, depth: int) -> dict[str, Any]:
    if depth > DEPTH_MAX:
        raise ValueError(f"messages are nested deeper than {DEPTH_MAX}")
    table, found = _table(message), dict[str, Any]()
    for number, value in _fields(data):
        field = table.get(number)
        if field is None:
            continue  # Of a newer version.
        if field.name == "^":
            found |= _message(field.code[1:], _bytes(value), depth + 1)
        elif field.shape == "[":
            found.setdefault(field.name, []).append(_value(field.code, value, depth))
        elif field.shape == "{":
            key, inner = _entry(field.code, _bytes(value), depth)
            found.setdefault(field.name, {})[key] = inner
        else:
            one = _value(field.code, value, depth)
            if one is not None and (field.keeps_zero or one):
                found[field.name] = one
    return found


def _entry(code: str, data: bytes, depth: int) -> tuple[str, Any]:
    """Return the key and value of one entry of a map; what is not written is zero."""
    parts = dict(_fields(data))
    value = parts.get(2, 0 if code in "ibd" else b"")
    if code.startswith("[]"):  # A named list: a message whose field 1 is repeated.
        items = [_value(code[2:], item, depth) for n, item in _fields(_bytes(value)) if n == 1]
        return _text(parts.get(1, b"")), items
    return _text(parts.get(1, b"")), _value(code, value, depth)


def _value(code: str, value: int | bytes, depth: int) -> Any:
    """Return a value as JSON has it. Raises: ValueError."""
    match code:
        case "s":
            return _text(value)
        case "i":
            return _signed(value)
        case "b":
            return bool(_signed(value))
        case "d":
            return struct.unpack("<d", _signed(value).to_bytes(8, "little", signed=True))[0]
        case "y":
            return base64.b64encode(_bytes(value)).decode()
        case "t" | "T":
            return _time(_bytes(value), "microseconds" if code == "T" else "seconds")
        case "q":
            return _text(dict(_fields(_bytes(value))).get(1, b"")) or "0"
        case "I":
            parts = dict(_fields(_bytes(value)))
            if _signed(parts.get(1, 0)) == 1:
                return _text(parts.get(3, b""))
            return _signed(parts.get(2, 0))
        case "j":
            return _json(dict(_fields(_bytes(value))).get(1, b""))
        case _:
            message = code[1:]
            found = _message(message, _bytes(value), depth + 1)
            return _unwrapped(message, found) if message.startswith(_SCHEMA) else found


def _time(data: bytes, precision: str) -> str | None:
    parts = dict(_fields(data))
    if not parts:
        return None
    try:
        moment = _EPOCH + timedelta(
            seconds=_signed(parts.get(1, 0)), microseconds=_signed(parts.get(2, 0)) // 1000
        )
    except OverflowError as error:
        raise ValueError(f"a time is out of range: {error}") from error
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def _json(data: int | bytes) -> Any:
    try:
        return msgspec.json.decode(_bytes(data)) if data else None
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"embedded JSON: {error}") from error


def _unwrapped(message: str, found: dict[str, Any]) -> Any:
    """Return a JSONSchemaProps, or one of the values that stand for it or for something else."""
    match message.removeprefix(_SCHEMA):
        case "OrBool":
            return found["schema"] if "schema" in found else found.get("allows", False)
        case "OrArray":
            return found.get("jSONSchemas") or found.get("schema")
        case "OrStringArray":
            return found.get("property") or found.get("schema")
        case _:
            return found
