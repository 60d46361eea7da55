"""managedFields as cells: one register for each (manager, operation, apiVersion, subresource).

Concurrent siblings of one register are read as the union of their sets, with the later time: a
manager that applied on two sides of a partition owns what it applied on either.

Source: structured-merge-diff's FieldsV1.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import msgspec

from crdtstate.crdt.record import Cell, Path, Record
from crdtstate.kube.cells import ELEMENTS, value_of
from crdtstate.kube.fieldset import FieldSet

__all__ = ["MANAGED", "entry_cells", "joined_entry", "managers_of", "owners_of"]

MANAGED = "@managed"
_NAMED = ("manager", "operation", "apiVersion", "subresource")
_HELD = ("fieldsV1", "time")
_encode_json = msgspec.json.Encoder(order="sorted").encode


def entry_cells(entries: Iterable[Any]) -> dict[Path, dict[str, Any]]:
    """Return the register of each entry of a managedFields list; what is no entry is left out."""
    cells: dict[Path, dict[str, Any]] = {}
    for entry in entries:
        if type(entry) is not dict:
            continue
        name = _encode_json([entry.get(part) or "" for part in _NAMED]).decode()
        value = {k: entry[k] for k in _HELD if entry.get(k) is not None}
        cells[MANAGED, name] = value
    return cells


def managers_of(record: Record) -> list[dict[str, Any]]:
    """Return managedFields as the API shows it, by operation, time and manager."""
    found = []
    for path, cell in record.items():
        if len(path) == 2 and path[0] == MANAGED and (entry := _entry(path[1], cell)):
            found.append(entry)
    found.sort(key=lambda e: (e["operation"], e.get("time", ""), _encode_json(e)))
    return found


def _entry(name: str, cell: Cell) -> dict[str, Any] | None:
    try:
        parts = msgspec.json.decode(name, type=tuple[str, str, str, str])
    except msgspec.DecodeError:
        return None
    entry: dict[str, Any] = {k: v for k, v in zip(_NAMED, parts, strict=True) if v}
    entry.setdefault("operation", "")
    entry.update(joined_entry(cell))
    if "fieldsV1" in entry:
        entry["fieldsType"] = "FieldsV1"
    return entry


def joined_entry(cell: Cell) -> dict[str, Any]:
    """Return the union of a register's siblings: {fieldsV1, time}, as far as there.

    In this order, however many there are: what peers show is compared as text.
    """
    values = [value_of(cell[dot][1]) for dot in sorted(cell)]
    entries = [value for value in values if type(value) is dict]
    joined: dict[str, Any] = {}
    times = [e["time"] for e in entries if type(e.get("time")) is str]
    if times:
        joined["time"] = max(times)
    fields = [e["fieldsV1"] for e in entries if type(e.get("fieldsV1")) is dict]
    if len(fields) == 1:
        joined["fieldsV1"] = fields[0]
    elif fields:
        union = FieldSet()
        for some in fields:
            with suppress(ValueError):  # Of a peer that is none of ours.
                union = union.union(FieldSet.from_v1(some))
        joined["fieldsV1"] = union.to_v1()
    return joined


def owners_of(record: Record, path: Path, dots: Iterable[Any]) -> list[str]:
    """Return who wrote at `path` with one of `dots`, else who owns it; names, in order."""
    wanted, writers, owners = set(dots), set[str](), set[str]()
    for place, cell in record.items():
        if len(place) != 2 or place[0] != MANAGED:
            continue
        entry = _entry(place[1], cell)
        if entry is None or not _owns(entry.get("fieldsV1"), path):
            continue
        owners.add(str(entry.get("manager", "")))
        if wanted & cell.keys():
            writers.add(str(entry.get("manager", "")))
    return sorted(writers or owners)


def _owns(fields: Any, path: Path) -> bool:
    for step in path:
        kind = ELEMENTS.get(step[:1])
        if type(fields) is not dict or kind is None:
            return False
        fields = fields.get(kind + step[1:])
        if fields is None:
            return False
        if not fields:
            return True  # An atomic value around the path.
    return type(fields) is dict
