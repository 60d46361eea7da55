"""Is an `openAPIV3Schema` structural? Only then can the walker prune, default and merge by it.

Source: apiextensions-apiserver `apiserver/schema/{structural,validation}.go`, KEP-1693's rules.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from crdtstate.kube import causes as c
from crdtstate.kube.causes import Cause
from crdtstate.kube.cel_rules import rule_faults
from crdtstate.kube.crd_schema import structural_schema
from crdtstate.kube.defaulting import apply_defaults
from crdtstate.kube.pruning import prune
from crdtstate.kube.values import compiled_pattern, value_causes

__all__ = ["structural_causes"]

Value = Mapping[str, Any]
_DEPTH_MAX = 64
_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_FORBIDDEN = ("$ref", "$schema", "id", "definitions", "dependencies", "patternProperties",
              "additionalItems")  # fmt: skip
_COMBINATORS = ("allOf", "anyOf", "oneOf")
_NOT_IN_COMBINATORS = (
    "additionalProperties", "default", "description", "nullable", "title",
    "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string", "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type", "x-kubernetes-map-type", "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
)  # fmt: skip
_SCALARS = ("boolean", "integer", "number", "string")


def structural_causes(raw: Value, path: str) -> Iterator[Cause]:
    """Return what keeps a schema from being structural, and rules of it that cannot work."""
    if raw.get("type") != "object":
        yield c.invalid(f"{path}.type", raw.get("type"), "must be object at the root")
    for name, node in (raw.get("properties") or {}).items():
        if name in ("apiVersion", "kind") and node.get("type") != "string":
            text = "must be string"
            yield c.invalid(f"{path}.properties[{name}].type", node.get("type"), text)
    yield from _root_metadata(raw, f"{path}.properties[metadata]")
    found = list(_node(raw, path, 0, correlated=True))
    yield from found
    if not found:
        yield from _defaults(raw, path)


def _root_metadata(raw: Value, path: str) -> Iterator[Cause]:
    metadata = (raw.get("properties") or {}).get("metadata") or {}
    if metadata and metadata.get("type") != "object":
        yield c.invalid(f"{path}.type", metadata.get("type"), "must be object")
    for name in metadata.get("properties") or {}:
        if name not in ("name", "generateName"):
            text = (
                "must not specify anything other than name and generateName, but metadata is "
                "implicitly specified"
            )
            yield c.forbidden(f"{path}.properties[{name}]", text)


def _node(raw: Value, path: str, depth: int, *, correlated: bool) -> Iterator[Cause]:
    if depth > _DEPTH_MAX:
        yield c.invalid(path, "...", f"is nested over {_DEPTH_MAX} deep")
        return
    yield from _types(raw, path)
    yield from _lists_and_maps(raw, path)
    yield from _values(raw, path)
    yield from rule_faults(raw, path, correlated=correlated)
    additional, items = raw.get("additionalProperties"), raw.get("items")
    inner = [(f".properties[{name}]", node) for name, node in (raw.get("properties") or {}).items()]
    inner += [(".additionalProperties", additional)] if isinstance(additional, dict) else []
    for step, below in inner:
        yield from _node(below, path + step, depth + 1, correlated=correlated)
    if isinstance(items, dict):
        known = correlated and raw.get("x-kubernetes-list-type") == "map"
        yield from _node(items, f"{path}.items", depth + 1, correlated=known)
    for word in _COMBINATORS:
        for i, branch in enumerate(raw.get(word) or []):
            yield from _branch(raw, branch, path, f".{word}[{i}]", depth + 1)
    if isinstance(raw.get("not"), dict):
        yield from _branch(raw, raw["not"], path, ".not", depth + 1)


def _types(raw: Value, path: str) -> Iterator[Cause]:
    declared = raw.get("type") or ""
    either = raw.get("x-kubernetes-int-or-string") is True
    preserve = raw.get("x-kubernetes-preserve-unknown-fields")
    if either and declared:
        text = "must be empty if x-kubernetes-int-or-string is true"
        yield c.invalid(f"{path}.type", declared, text)
    if not declared and not either and preserve is not True:
        yield c.required(f"{path}.type", "must not be empty for specified fields")
    if declared and declared not in _TYPES:
        yield c.not_supported(f"{path}.type", declared, _TYPES)
    if preserve not in (None, True):
        text = "must be true or undefined"
        yield c.invalid(f"{path}.x-kubernetes-preserve-unknown-fields", preserve, text)
    if preserve is True and declared not in ("", "object"):
        text = "must be object if x-kubernetes-preserve-unknown-fields is true"
        yield c.invalid(f"{path}.type", declared, text)
    if raw.get("x-kubernetes-embedded-resource") is True:
        if declared != "object":
            text = "must be object if x-kubernetes-embedded-resource is true"
            yield c.invalid(f"{path}.type", declared, text)
        if preserve is not True and not raw.get("properties"):
            text = (
                "must not be empty if x-kubernetes-embedded-resource is true without "
                "x-kubernetes-preserve-unknown-fields"
            )
            yield c.required(f"{path}.properties", text)
    if raw.get("properties") and raw.get("additionalProperties") is not None:
        text = "additionalProperties and properties are mutual exclusive"
        yield c.forbidden(f"{path}.additionalProperties", text)
    if raw.get("additionalProperties") is False:
        text = "additionalProperties cannot be set to false"
        yield c.forbidden(f"{path}.additionalProperties", text)
    if declared == "array" and not isinstance(raw.get("items"), dict):
        text = "must be specified, and one schema" if "items" in raw else "must be specified"
        yield c.required(f"{path}.items", text)
    for word in _FORBIDDEN:
        if raw.get(word):
            yield c.forbidden(f"{path}.{word}", f"{word} is not supported")
    if raw.get("uniqueItems") is True:
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield c.forbidden(f"{path}.uniqueItems", text)


def _lists_and_maps(raw: Value, path: str) -> Iterator[Cause]:
    list_type, keys = raw.get("x-kubernetes-list-type"), raw.get("x-kubernetes-list-map-keys")
    at = f"{path}.x-kubernetes-list-type"
    items = raw.get("items") if isinstance(raw.get("items"), dict) else {}
    assert items is not None
    if list_type is not None and raw.get("type") != "array":
        text = "must be array if x-kubernetes-list-type is specified"
        yield c.invalid(f"{path}.type", raw.get("type"), text)
    if list_type not in (None, "atomic", "map", "set"):
        yield c.not_supported(at, list_type, ["atomic", "map", "set"])
    if list_type == "set" and not _is_unit(items):
        text = "items of a set must be scalars or atomic"
        yield c.invalid(f"{path}.items", items.get("type"), text)
    if list_type == "map":
        if not keys:
            text = "must not be empty if x-kubernetes-list-type is map"
            yield c.required(f"{path}.x-kubernetes-list-map-keys", text)
        yield from _map_keys(raw, items, list(keys or ()), path)
    elif keys:
        text = "must be map if x-kubernetes-list-map-keys is non-empty"
        yield c.invalid(at, list_type, text)
    map_type = raw.get("x-kubernetes-map-type")
    if map_type not in (None, "atomic", "granular"):
        yield c.not_supported(f"{path}.x-kubernetes-map-type", map_type, ["atomic", "granular"])
    if map_type is not None and raw.get("type") != "object":
        text = "must be object if x-kubernetes-map-type is specified"
        yield c.invalid(f"{path}.type", raw.get("type"), text)


def _is_unit(items: Value) -> bool:
    if items.get("type") == "object":
        return bool(items.get("x-kubernetes-map-type") == "atomic")
    if items.get("type") == "array":
        return bool(items.get("x-kubernetes-list-type", "atomic") == "atomic")
    return True


def _map_keys(raw: Value, items: Value, keys: list[Any], path: str) -> Iterator[Cause]:
    if items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        yield c.invalid(f"{path}.items.type", items.get("type"), text)
        return
    properties, required = items.get("properties") or {}, items.get("required") or ()
    for i, key in enumerate(keys):
        node = properties.get(key)
        at = f"{path}.x-kubernetes-list-map-keys[{i}]"
        if keys.index(key) != i:
            yield c.duplicate(at, key)
        if not isinstance(node, dict):
            yield c.invalid(at, key, "entries must all be names of item properties")
            continue
        if node.get("type") not in _SCALARS and not node.get("x-kubernetes-int-or-string"):
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield c.invalid(f"{path}.items.properties[{key}].type", node.get("type"), text)
        if key not in required and "default" not in node:
            text = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be "
                "a required property"
            )
            yield c.required(f"{path}.items.properties[{key}].default", text)


def _values(raw: Value, path: str) -> Iterator[Cause]:
    pattern = raw.get("pattern")
    if isinstance(pattern, str):
        try:
            compiled_pattern(pattern)
        except ValueError as wrong:
            text = f"must be a valid regular expression: {wrong}"
            yield c.invalid(f"{path}.pattern", pattern, text)
    for word in ("Length", "Items", "Properties"):
        for bound in ("min" + word, "max" + word):
            number = raw.get(bound)
            if isinstance(number, int | float) and number < 0:
                yield c.invalid(f"{path}.{bound}", number, "must be greater than or equal to 0")


def _branch(parent: Value, branch: Any, outer: str, inner: str, depth: int) -> Iterator[Cause]:
    """Rules of what stands in allOf, anyOf, oneOf and not: values only, no structure.

    Args:
        parent: The node that `branch` constrains; it stands at `outer`.
        inner: Where the branch stands, from there.
    """
    path = outer + inner
    if not isinstance(branch, dict) or depth > _DEPTH_MAX:
        yield c.invalid(path, "...", f"must be a schema, nested at most {_DEPTH_MAX} deep")
        return
    either = parent.get("x-kubernetes-int-or-string") is True
    for word in _NOT_IN_COMBINATORS:
        if branch.get(word):
            yield c.forbidden(f"{path}.{word}", "must be empty to be structural")
    if branch.get("type") and not (either and branch["type"] in ("integer", "string")):
        yield c.forbidden(f"{path}.type", "must be empty to be structural")
    yield from _values(branch, path)
    known = parent.get("properties") or {}
    free = parent.get("additionalProperties") or parent.get("x-kubernetes-preserve-unknown-fields")
    for name, below in (branch.get("properties") or {}).items():
        step = f".properties[{name}]"
        if name in known:
            yield from _branch(known[name], below, outer + step, inner, depth + 1)
        elif not free:
            yield c.required(outer + step, f"because it is defined in {inner[1:]}{step}")
    items = parent.get("items")
    if isinstance(branch.get("items"), dict) and isinstance(items, dict):
        yield from _branch(items, branch["items"], f"{outer}.items", inner, depth + 1)
    for word in _COMBINATORS:
        for i, each in enumerate(branch.get(word) or []):
            yield from _branch(parent, each, outer, f"{inner}.{word}[{i}]", depth + 1)
    if isinstance(branch.get("not"), dict):
        yield from _branch(parent, branch["not"], outer, f"{inner}.not", depth + 1)


def _defaults(raw: Value, path: str) -> Iterator[Cause]:
    """Defaults must themselves be valid, and hold nothing that pruning would take."""
    for name, below in (raw.get("properties") or {}).items():
        at = f"{path}.properties[{name}]"
        if "default" in below:
            wrapped = structural_schema({"type": "object", "properties": {"v": below}})
            value = {"v": below["default"]}
            if prune(wrapped, value)[1]:
                yield c.invalid(f"{at}.default", below["default"], "must not have unknown fields")
            filled = apply_defaults(wrapped, value)["v"]
            yield from value_causes(below, filled, f"{at}.default")
        yield from _defaults(below, at)
    for word in ("items", "additionalProperties"):
        if isinstance(raw.get(word), dict):
            yield from _defaults(raw[word], f"{path}.{word}")
