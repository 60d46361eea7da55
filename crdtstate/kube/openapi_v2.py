"""OpenAPI v2 as protobuf, for kubectl before 1.22 and for whoever falls back to it.

Source: the public message `openapi.v2.Document` (gnostic, OpenAPIv2.proto): its field numbers.
Fields that no client of ours reads (tags, security, examples) are left out.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

__all__ = ["header", "named_path", "named_schema"]

_VARINT, _LENGTH, _DOUBLE = 0, 2, 1
_encode_json = msgspec.json.encode


def header(info: Mapping[str, str]) -> bytes:
    """Return the first fields of a Document: swagger and info."""
    inner = _text(1, info["title"]) + _text(2, info["version"])
    return _text(1, "2.0") + _message(2, inner)


def named_path(path: str, item: Mapping[str, Any]) -> bytes:
    """Return a Document that has one path. Documents may be concatenated."""
    return _message(8, _named(2, path, _path_item(item)))


def named_schema(name: str, schema: Mapping[str, Any]) -> bytes:
    """Return a Document that has one definition."""
    return _message(9, _named(1, name, _schema(schema)))


# -- the wire format -----------------------------------------------------------------------------


def varint(value: int) -> bytes:
    """Return a non-negative integer, seven bits a byte, lowest first."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | _LENGTH) + varint(len(content)) + content


def _text(number: int, value: str) -> bytes:
    return _message(number, value.encode()) if value else b""


def _flag(number: int, value: Any) -> bytes:
    return varint(number << 3 | _VARINT) + b"\x01" if value is True else b""


def _integer(number: int, value: Any) -> bytes:
    if not isinstance(value, int) or value < 0:
        return b""
    return varint(number << 3 | _VARINT) + varint(value & 0xFFFFFFFFFFFFFFFF)


def _double(number: int, value: Any) -> bytes:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return b""
    return varint(number << 3 | _DOUBLE) + struct.pack("<d", value)


def _named(number: int, name: str, value: bytes) -> bytes:
    """Return an entry of a map: name and value."""
    return _message(number, _text(1, name) + _message(2, value))


def _any(value: Any) -> bytes:
    """Return `Any`: JSON is YAML."""
    return _text(2, _encode_json(value).decode())


def _extensions(number: int, node: Mapping[str, Any]) -> bytes:
    return b"".join(
        _named(number, key, _any(value)) for key, value in node.items() if key.startswith("x-")
    )


def _texts(number: int, values: Iterable[str]) -> bytes:
    return b"".join(_message(number, value.encode()) for value in values)


# -- messages ------------------------------------------------------------------------------------

_Encoder = Callable[[int, Any], bytes]


def _additional(number: int, value: Any) -> bytes:
    if isinstance(value, bool):
        return _message(number, _flag(2, value))
    return _message(number, _message(1, _schema(value)))


def _properties(number: int, value: Mapping[str, Any]) -> bytes:
    entries = (_named(1, name, _schema(inner)) for name, inner in value.items())
    return _message(number, b"".join(entries))


_SCHEMA_FIELDS: Mapping[str, tuple[int, _Encoder]] = {
    "$ref": (1, _text),
    "format": (2, _text),
    "title": (3, _text),
    "description": (4, _text),
    "default": (5, lambda number, value: _message(number, _any(value))),
    "multipleOf": (6, _double),
    "maximum": (7, _double),
    "exclusiveMaximum": (8, _flag),
    "minimum": (9, _double),
    "exclusiveMinimum": (10, _flag),
    "maxLength": (11, _integer),
    "minLength": (12, _integer),
    "pattern": (13, _text),
    "maxItems": (14, _integer),
    "minItems": (15, _integer),
    "uniqueItems": (16, _flag),
    "maxProperties": (17, _integer),
    "minProperties": (18, _integer),
    "required": (19, _texts),
    "enum": (20, lambda number, values: b"".join(_message(number, _any(v)) for v in values)),
    "additionalProperties": (21, _additional),
    "type": (22, lambda number, value: _message(number, _text(1, value))),
    "items": (23, lambda number, value: _message(number, _message(1, _schema(value)))),
    "properties": (25, _properties),
}


def _schema(node: Mapping[str, Any]) -> bytes:
    parts = []
    for key, value in node.items():
        known = _SCHEMA_FIELDS.get(key)
        if known is not None:
            number, encode = known
            parts.append(encode(number, value))
    return b"".join(parts) + _extensions(31, node)


def _parameter(node: Mapping[str, Any]) -> bytes:
    """Return a ParametersItem: the body, a query or a path parameter."""
    if node["in"] == "body":
        body = _text(2, node["name"]) + _text(3, "body") + _flag(4, node.get("required"))
        return _message(1, _message(1, body + _message(5, _schema(node["schema"]))))
    common = _flag(1, node.get("required")) + _text(2, node["in"])
    common += _text(3, node.get("description", "")) + _text(4, node["name"])
    if node["in"] == "query":
        inner = _message(3, common + _text(6, node["type"]) + _flag(20, node.get("uniqueItems")))
    else:
        inner = _message(4, common + _text(5, node["type"]) + _flag(19, node.get("uniqueItems")))
    return _message(1, _message(2, inner))


def _response(node: Mapping[str, Any]) -> bytes:
    schema = _message(1, _schema(node["schema"]))
    return _message(1, _text(1, node["description"]) + _message(2, schema))


def _operation(node: Mapping[str, Any]) -> bytes:
    responses = (_named(1, code, _response(inner)) for code, inner in node["responses"].items())
    return b"".join((
        _text(5, node["operationId"]),
        _texts(6, node["produces"]),
        _texts(7, node["consumes"]),
        *(_message(8, _parameter(parameter)) for parameter in node["parameters"]),
        _message(9, b"".join(responses)),
        _extensions(13, node),
    ))  # fmt: skip


_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}


def _path_item(item: Mapping[str, Any]) -> bytes:
    methods = (
        _message(number, _operation(item[name]))
        for name, number in _METHODS.items()
        if name in item
    )
    return b"".join(methods) + b"".join(_message(9, _parameter(p)) for p in item["parameters"])
