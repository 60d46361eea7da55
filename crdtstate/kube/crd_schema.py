"""The schema of a CRD's version as the walker sees it. `crd_checks` says what is wrong with it.

Source: apiextensions-apiserver `schema` (structural schemas), `schema/objectmeta`.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from crdtstate.kube.builtin import object_meta
from crdtstate.kube.schema import ANY, Schema

__all__ = ["preserving", "structural_schema"]

_STRING = Schema("scalar", raw={"type": "string"})


@cache
def preserving() -> Schema:
    """Return the schema of a version without one: anything goes, as its author said."""
    return structural_schema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})


def structural_schema(raw: Mapping[str, Any]) -> Schema:
    """Return the schema of `openAPIV3Schema`. What `crd_checks` refuses is read with leniency."""
    node = _build(raw, ())
    properties = {
        **node.properties,
        "apiVersion": _STRING,
        "kind": _STRING,
        "metadata": object_meta(),
    }
    return replace(node, kind="object", properties=properties, map_type="granular")


def _build(raw: Mapping[str, Any], path: tuple[str, ...]) -> Schema:
    declared = raw.get("type")
    preserve = raw.get("x-kubernetes-preserve-unknown-fields") is True
    if raw.get("x-kubernetes-int-or-string") is True:
        return Schema("scalar", int_or_string=True, **_common(raw))
    if declared == "object" or (declared is None and "properties" in raw):
        return _build_object(raw, path, preserve)
    if declared == "array":
        return _build_array(raw, path)
    if declared is None:
        return Schema("any", preserve_unknown=True, **_common(raw))
    return Schema("scalar", **_common(raw))


def _common(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "nullable": raw.get("nullable") is True,
        "has_default": "default" in raw,
        "default": raw.get("default"),
        "raw": raw,
    }


def _build_object(raw: Mapping[str, Any], path: tuple[str, ...], preserve: bool) -> Schema:
    properties = {
        name: _build(below, (*path, name))
        for name, below in _mapping(raw.get("properties")).items()
        if isinstance(below, Mapping)
    }
    required = tuple(raw.get("required") or ())
    embedded = raw.get("x-kubernetes-embedded-resource") is True
    if embedded:
        properties |= {"apiVersion": _STRING, "kind": _STRING, "metadata": object_meta()}
        required = (*required, *({"apiVersion", "kind"} - set(required)))
    additional = raw.get("additionalProperties")
    return Schema(
        "object",
        properties=properties,
        additional=_build(additional, (*path, "*")) if isinstance(additional, Mapping)
        else ANY if additional is True else None,
        map_type="atomic" if raw.get("x-kubernetes-map-type") == "atomic" else "granular",
        required=required,
        preserve_unknown=preserve,
        embedded=embedded,
        **_common(raw),
    )  # fmt: skip


def _build_array(raw: Mapping[str, Any], path: tuple[str, ...]) -> Schema:
    below = raw.get("items")
    items = _build(below, (*path, "[]")) if isinstance(below, Mapping) else ANY
    list_type = raw.get("x-kubernetes-list-type")
    keys = tuple(raw.get("x-kubernetes-list-map-keys") or ())
    if path == ("status", "conditions") and list_type == "map" and keys == ("type",):
        # Status, reason, message and time of one condition travel together.
        items = replace(items, map_type="atomic")
    return Schema(
        "array",
        items=items,
        list_type=list_type if list_type in ("set", "map") else "atomic",
        list_keys=keys,
        **_common(raw),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
