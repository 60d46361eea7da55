"""The inverse of the decoder, by the same table: writes bodies as a Go client does."""

import base64
import json
import struct
from datetime import datetime
from typing import Any

from crdtstate.kube.openapi_v2 import varint
from crdtstate.kube.protobuf import MAGIC, _table

__all__ = ["encode", "envelope", "field"]


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def integer(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value & 0xFFFFFFFFFFFFFFFF)


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    names = field(1, api_version.encode()) + field(2, kind.encode())
    return MAGIC + field(1, names) + field(2, raw) + field(3, b"") + field(4, b"")


def encode(body: dict[str, Any]) -> bytes:
    """Write an object with apiVersion and kind."""
    options = body["kind"] == "DeleteOptions"  # Of every group, and always the same.
    name = "meta/v1.DeleteOptions" if options else f"{body['apiVersion']}.{body['kind']}"
    return envelope(body["apiVersion"], body["kind"], message(name, body))


def message(name: str, body: dict[str, Any]) -> bytes:
    found = b""
    for number, row in _table(name).items():
        if row.name == "^":
            found += field(number, message(row.code[1:], body))
        elif row.name in body:
            value = body[row.name]
            if row.shape == "[":
                found += b"".join(one(number, row.code, item) for item in value)
            elif row.shape == "{":
                for key, inner in value.items():
                    found += field(number, field(1, key.encode()) + entry(row.code, inner))
            else:
                found += one(number, row.code, value)
        elif not row.keeps_zero and not row.shape:  # Go writes the zero of what is no pointer.
            found += zero(number, row.code)
    return found


def entry(code: str, value: Any) -> bytes:
    if code.startswith("[]"):
        return field(2, b"".join(one(1, code[2:], item) for item in value))
    return one(2, code, value)


def zero(number: int, code: str) -> bytes:
    if code[0] == "@":
        return field(number, message(code[1:], {}))
    return integer(number, 0) if code in "ib" else field(number, b"")


def one(number: int, code: str, value: Any) -> bytes:
    match code:
        case "s":
            return field(number, value.encode())
        case "i" | "b":
            return integer(number, int(value))
        case "d":
            return varint(number << 3 | 1) + struct.pack("<d", value)
        case "y":
            return field(number, base64.b64decode(value))
        case "t" | "T":
            moment = datetime.fromisoformat(value)
            seconds = integer(1, int(moment.timestamp()))
            return field(number, seconds + integer(2, moment.microsecond * 1000))
        case "q":
            return field(number, field(1, value.encode()))
        case "I" if isinstance(value, int):
            return field(number, integer(1, 0) + integer(2, value) + field(3, b""))
        case "I":
            return field(number, integer(1, 1) + integer(2, 0) + field(3, value.encode()))
        case "j":
            return field(number, field(1, json.dumps(value).encode()))
        case _:
            return field(number, special(code[1:], value))


def special(name: str, value: Any) -> bytes:
    if name.endswith("OrBool"):
        wrapped = (
            {"allows": value} if isinstance(value, bool) else {"allows": True, "schema": value}
        )
        return message(name, wrapped)
    if name.endswith("OrArray"):
        return message(name, {"schema": value})
    return message(name, value)
