"""Server-side printing: objects as rows of a Table, which kubectl shows as they come.

Source: Kubernetes, "Receiving resources as Tables"; printers of the built-in kinds
(`table_columns`), additionalPrinterColumns of CRDs. Whoever asks for another form of time gets
the object with the row and prints it himself.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

import msgspec

from crdtstate.kube import jsonpath
from crdtstate.kube.durations import since
from crdtstate.kube.resources import Resource
from crdtstate.kube.statuses import StatusError
from crdtstate.kube.table_cells import Column
from crdtstate.kube.table_columns import COLUMNS, CREATED, NAME, row_conditions

__all__ = ["include_of", "table"]

Include = Literal["None", "Metadata", "Object"]
_AGE: Mapping[str, Any] = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def include_of(text: str) -> Include:
    """Return the query parameter includeObject. Raises: StatusError (BadRequest)."""
    if text not in ("", "None", "Metadata", "Object"):
        raise StatusError(
            "BadRequest", f"includeObject is {text[:32]!r}, not None, Metadata or Object"
        )
    return cast(Include, text or "Metadata")


def table(
    resource: Resource,
    objects: Iterable[Mapping[str, Any]],
    now_ms: int,
    *,
    include: str = "Metadata",
    version: str = "v1",
) -> dict[str, Any]:
    """Return the Table of some objects of one kind, without list metadata.

    Args:
        objects: As clients see them, with apiVersion and kind.
        include: What comes with each row: nothing, its metadata, or all of it.
    """
    columns = _columns(resource)
    wanted = include_of(include)
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": {},
        "columnDefinitions": [column.definition() for column in columns],
        "rows": [_row(resource, columns, body, now_ms, wanted, version) for body in objects],
    }


def _row(
    resource: Resource,
    columns: Iterable[Column],
    body: Mapping[str, Any],
    now_ms: int,
    include: Include,
    version: str,
) -> dict[str, Any]:
    row: dict[str, Any] = {"cells": [column.cell(body, now_ms) for column in columns]}
    conditions = row_conditions(resource, body)
    if conditions:
        row["conditions"] = conditions
    if include == "Object":
        row["object"] = body
    elif include == "Metadata":
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": f"meta.k8s.io/{version}",
            "metadata": body.get("metadata") or {},
        }
    return row


def _columns(resource: Resource) -> tuple[Column, ...]:
    if not resource.custom:
        return COLUMNS.get(resource.stored_as, (NAME, CREATED))
    return (NAME, *(_custom(column) for column in resource.columns or (_AGE,)))


def _custom(given: Mapping[str, Any]) -> Column:
    path, kind = given.get("jsonPath", ""), given.get("type", "string")

    def cell(body: Mapping[str, Any], now_ms: int) -> Any:
        try:
            found = jsonpath.find(path, body)
        except ValueError:
            return None  # Of a CRD that was stored before paths were checked.
        return _typed(found[0], kind, now_ms) if found else None

    return Column(
        given.get("name", ""), cell, given.get("priority", 0), kind if kind != "date" else "string",
        given.get("format", ""), given.get("description", ""),
    )  # fmt: skip


def _typed(value: Any, kind: str, now_ms: int) -> Any:
    """Return a value as a column of that type shows it; None where it is of another type."""
    match kind:
        case "integer":
            number = isinstance(value, int | float) and not isinstance(value, bool)
            return int(value) if number else None
        case "number":
            return value if isinstance(value, int | float) else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            return since(value, now_ms) if isinstance(value, str) else None
        case _:
            return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    return "" if value is None else str(value)
