"""Pruning: what the schema does not know is left out, and named.

Source: apiextensions-apiserver `pruning`; Go's decoding of null for built-in kinds.
"""

from typing import Any

from crdtstate.kube.schema import Schema

__all__ = ["UNKNOWN_MAX", "prune"]

UNKNOWN_MAX = 100
"""Unknown fields named for one body; more are left out all the same."""


def prune(schema: Schema, body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the body without unknown fields, and their paths (`spec.ports[0].nodeport`).

    Nulls go too, unnamed, where no null may be: they mean absent. The result shares with
    `body` whatever did not change.
    """
    unknown: list[str] = []
    pruned = _prune(schema, body, "", unknown)
    assert isinstance(pruned, dict)
    return pruned, unknown


def _prune(schema: Schema, value: Any, path: str, unknown: list[str]) -> Any:
    if isinstance(value, dict):
        if schema.kind == "object":
            return _prune_object(schema, value, path, unknown)
    elif isinstance(value, list) and schema.kind == "array" and schema.items is not None:
        items = schema.items
        if items.kind == "scalar":
            return value
        pruned = [_prune(items, each, f"{path}[{i}]", unknown) for i, each in enumerate(value)]
        if any(a is not b for a, b in zip(pruned, value, strict=True)):
            return pruned
    return value


def _prune_object(
    schema: Schema, value: dict[str, Any], path: str, unknown: list[str]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    changed = False
    properties, additional = schema.properties, schema.additional
    for name, each in value.items():
        below = properties.get(name) or additional
        if below is None:
            if schema.preserve_unknown:
                result[name] = each
                continue
            changed = True
            if len(unknown) < UNKNOWN_MAX:
                unknown.append(f"{path}.{name}" if path else name)
        elif each is None and not below.nullable and (below.drops_null or below.kind != "any"):
            changed = True
            if below is additional and below.kind == "scalar" and below.drops_null:
                result[name] = ""  # Go decodes a null of a map of strings to the empty string.
        elif below.kind == "scalar":
            result[name] = each
        else:
            kept = _prune(below, each, f"{path}.{name}" if path else name, unknown)
            changed = changed or kept is not each
            result[name] = kept
    return result if changed else value
