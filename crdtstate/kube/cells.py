"""An object's content as cells of its record, directed by the schema, so that edits join by field.

    object              "." name for each field; an empty one is "@empty" -> {}
    keyed list          "#" key of each item -> true, and the item's fields below it
                        "#" key -> false               an item that was removed (hidden)
                        "#" key -> {…}                 an atomic item: conditions, references
    set                 "~" element -> true
    both                "@order" -> [steps]            only where the order says something
                        "@empty" -> []
    everything else     one leaf, replaced whole: scalars, atomic lists and objects
    whole objects       "*" -> {…}                     Lease, Event, a helm release

A key or an element in a step is canonical JSON, as in fieldsV1. The steps say what they are, so
that `rendering` needs no schema: a peer without the CRD stores and forwards an object, and joins it
as others do.

**An item's presence is a cell of its own, and a removal hides.** Whoever changes something in an
item says again that it is there. So an item removed on one side and changed on the other is shown
again whole, never as the fragment that was changed.

Source: structured-merge-diff's typed values; RFC 0004 for what differs.

Invariants:
    OBC-1  render(flatten(body)) == body, under any schema.
    OBC-2  What a default would fill in is never a cell.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import msgspec

from crdtstate.crdt.codec import encode_value, head, read_value, string_content
from crdtstate.crdt.record import Cell, Path, winner
from crdtstate.errors import InvalidError, TooLargeError
from crdtstate.kube.fieldset import element_text, item_key
from crdtstate.kube.schema import ANY, Schema, child

__all__ = [
    "EMPTY", "FALSE", "FIELD", "ITEM", "MEMBER", "ORDER", "TRUE", "WHOLE",
    "Flat", "encode_leaf", "flatten", "is_item", "is_shown", "leaf_of", "path_text",
    "present_of", "value_of",
]  # fmt: skip

FIELD, ITEM, MEMBER, DERIVED = ".", "#", "~", "@"
ORDER, EMPTY = "@order", "@empty"
WHOLE: Path = ("*",)
TRUE, FALSE = b"\xf5", b"\xf4"  # CBOR of the two presence values.
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1
_SCALARS = (str, int, float, bool)
_encode_json = msgspec.json.Encoder(order="sorted").encode
_decode_json = msgspec.json.Decoder().decode
ELEMENTS = {FIELD: "f:", ITEM: "k:", MEMBER: "v:"}  # Steps as path elements of fieldsV1.


@final
@dataclass(slots=True)
class Flat:
    """A body as cells: the value of each path, and the order of each list that is not a leaf."""

    leaves: dict[Path, Any] = field(default_factory=dict)
    orders: dict[Path, list[str]] = field(default_factory=dict)


def flatten(schema: Schema, body: Mapping[str, Any], depth_max: int) -> Flat:
    """Return the cells of a body; its null fields are cells like others.

    Raises: TooLargeError over `depth_max`, InvalidError for what JSON cannot hold.
    Cost: O(size of the body).
    """
    flat = Flat()
    _fields(flat, schema, body, (), depth_max)
    return flat


def _fields(flat: Flat, schema: Schema, value: Mapping[str, Any], path: Path, room: int) -> None:
    if room <= 0:
        raise TooLargeError(
            f"{path_text(path[:3])}… is nested deeper than path_depth_max={len(path)}",
            code="path_too_deep", limit=len(path), value=len(path) + 1,
        )  # fmt: skip
    if not value:
        flat.leaves[*path, EMPTY] = {}
        return
    for name, part in value.items():
        _walk(flat, child(schema, name), part, (*path, FIELD + name), room - 1)


def _walk(flat: Flat, schema: Schema, value: Any, path: Path, room: int) -> None:
    kind = type(value)
    if kind is dict:
        granular = schema.kind in ("object", "any") and schema.map_type == "granular"
        if granular and not schema.int_or_string:
            _fields(flat, schema, value, path, room)
            return
    elif kind is list and schema.kind == "array":
        if schema.list_type == "map" and (steps := _item_steps(schema, value)) is not None:
            _items(flat, schema, value, steps, path, room)
            return
        if schema.list_type == "set" and all(type(v) in _SCALARS for v in value):
            _members(flat, schema, value, path)
            return
    if kind in (dict, list, int, float):
        _check_leaf(value, path, room)
    flat.leaves[path] = value


def _items(
    flat: Flat, schema: Schema, value: list[Any], steps: list[str], path: Path, room: int
) -> None:
    flat.orders[path] = steps
    if not steps:
        flat.leaves[*path, EMPTY] = []
    item_schema = schema.items or ANY
    # The parts of a condition travel together: a status without its reason would mislead.
    conditions = path[-1] == ".conditions" and schema.list_keys == ("type",)
    atomic = conditions or item_schema.map_type == "atomic"
    for step, item in zip(steps, value, strict=True):
        place = (*path, step)
        if atomic:
            _check_leaf(item, place, room - 1)
            flat.leaves[place] = item
        else:
            flat.leaves[place] = True
            if item:
                _fields(flat, item_schema, item, place, room - 1)


def _members(flat: Flat, schema: Schema, value: list[Any], path: Path) -> None:
    steps = list(dict.fromkeys(_step(MEMBER, item_key(schema, element)) for element in value))
    flat.orders[path] = steps
    if not steps:
        flat.leaves[*path, EMPTY] = []
    for step in steps:
        flat.leaves[*path, step] = True


def _item_steps(schema: Schema, value: list[Any]) -> list[str] | None:
    """Return the steps of a keyed list's items; None when it has to be one leaf."""
    keys = dict.fromkeys(item_key(schema, item) for item in value)
    if None in keys or len(keys) != len(value):
        return None
    return [_step(ITEM, key) for key in keys]


def _step(kind: str, key: str | None) -> str:
    """Return the step of a path element of fieldsV1: both name items alike."""
    assert key is not None
    return kind + key[2:]


def _check_leaf(value: Any, path: Path, room: int) -> None:
    """Refuse what would not be read back as it is: huge integers, excess depth."""
    stack = [(value, room)]
    while stack:
        item, left = stack.pop()
        kind = type(item)
        if kind is int and not _INT_MIN <= item <= _INT_MAX:
            raise InvalidError(f"{path_text(path)} holds {item}, which is not within 64 bits")
        if kind is float and not -1.8e308 < item < 1.8e308:
            raise InvalidError(f"{path_text(path)} holds {item}, which is no number of JSON")
        if kind is dict or kind is list:
            if left <= 0:
                raise TooLargeError(
                    f"{path_text(path)} is nested too deep", code="path_too_deep",
                    limit=room, value=room + 1,
                )  # fmt: skip
            below = item.values() if kind is dict else item
            stack.extend((v, left - 1) for v in below if type(v) in (dict, list, int, float))


def encode_leaf(value: Any) -> bytes:
    """Return the bytes of a cell's value.

    A scalar is CBOR, as everywhere in the store; an object or a list is the CBOR byte string of its
    JSON with sorted keys, which is read several times faster, and holds nothing but JSON.
    """
    kind = type(value)
    if kind is str:
        data: bytes = value.encode()
        return head(0x60, len(data)) + data
    if kind is dict or kind is list:
        text: bytes = _encode_json(value)
        return head(0x40, len(text)) + text
    return encode_value(value)


def leaf_of(cell: Cell) -> Any:
    """Return the value that a read of the cell shows."""
    if len(cell) == 1:
        ((_, data),) = cell.values()
    else:
        data = winner(cell)[2]
    return value_of(data)


def value_of(data: bytes) -> Any:
    """Return the JSON value of a cell's bytes; null for what no correct peer writes.

    Joins never look inside values, so such a cell is kept; it must not hide the rest of its object.
    """
    content = string_content(data)
    try:
        if content is not None:
            return content.decode() if data[0] >= 0x60 else _decode_json(content)
    except (ValueError, RecursionError):
        return None
    if len(data) == 1:
        if data[0] < 0x18:
            return data[0]
        if data == TRUE:
            return True
    return read_value(data)


def is_item(path: Path) -> bool:
    """Tell whether the cell is the presence of an item of a keyed list."""
    return path != () and path[-1][:1] == ITEM


def present_of(cell: Cell) -> Cell:
    """Return those siblings of an item's presence that say that it is there."""
    return {dot: sibling for dot, sibling in cell.items() if sibling[1] != FALSE}


def is_shown(cell: Cell) -> bool:
    """Tell whether an item with this presence is shown: one sibling that says so is enough."""
    return any(data != FALSE for _, data in cell.values())


def path_text(path: Path) -> str:
    """Return the path as people read it: `.spec.containers[name="web"].image`."""
    return "".join(_step_text(step) for step in path) or "."


def _step_text(step: str) -> str:
    kind = ELEMENTS.get(step[:1])
    if kind is None:
        return ""
    try:
        return element_text(kind + step[1:])
    except (ValueError, AttributeError):  # Of a peer that is none of ours.
        return f"[{step[1:]}]"
