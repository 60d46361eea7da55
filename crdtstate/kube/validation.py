"""Is a body what its kind allows? One walk by schema, then metadata, then rules of the kind.

Ratcheting (KEP-4008) in two steps: what the update did not change is not looked at, and a fault
that the stored object has as well is not held against the update. After a join has broken a rule
that spans fields, the object stays writable.

Source: apiextensions-apiserver `validation`, KEP-4008.
"""

from collections.abc import Mapping
from typing import Any

from crdtstate.kube import causes as c
from crdtstate.kube.causes import Cause
from crdtstate.kube.cel_rules import rule_causes
from crdtstate.kube.checks import CHECKS
from crdtstate.kube.defaulting import apply_defaults
from crdtstate.kube.fieldset import item_key
from crdtstate.kube.immutable import transition_causes
from crdtstate.kube.metadata import metadata_causes
from crdtstate.kube.resources import Resource
from crdtstate.kube.schema import Schema
from crdtstate.kube.values import is_type, rules_of

__all__ = ["schema_causes", "validate"]

_MISSING: Any = object()


def validate(
    resource: Resource, new: Mapping[str, Any], old: Mapping[str, Any] | None
) -> list[Cause]:
    """Return what is wrong with `new`; nothing that was wrong before and is unchanged.

    Args:
        new: Pruned, as it would be stored. Defaults are filled in here.
        old: The stored object that `new` replaces; None at creation.
    """
    schema = resource.schema
    new = apply_defaults(schema, dict(new))
    old = None if old is None else apply_defaults(schema, dict(old))
    found = schema_causes(schema, new, old)
    if found and old is not None:
        before = set(schema_causes(schema, old))
        found = [cause for cause in found if cause not in before]
    if any(cause.reason == c.WRONG_TYPE for cause in found):
        return found  # The rules below take a body of the right shape.
    found += metadata_causes(resource, new, old)
    if resource.custom:
        found += rule_causes(schema, new, old)
    return found if old is None else found + transition_causes(resource, new, old)


def schema_causes(
    schema: Schema, new: Mapping[str, Any], old: Mapping[str, Any] | None = None
) -> list[Cause]:
    """Return where `new` departs from its schema; parts that equal those of `old` are passed."""
    found: list[Cause] = []
    _check(schema, new, _MISSING if old is None else old, "", found)
    return found


def _check(schema: Schema, value: Any, old: Any, path: str, found: list[Cause]) -> None:
    if old is not _MISSING and value == old and type(value) is type(old):
        return
    if not _right_type(schema, value, path, found):
        return
    before = len(found)
    for rule in rules_of(schema):
        found += rule(value, path)
    if isinstance(value, dict) and schema.kind == "object":
        _check_object(schema, value, old if isinstance(old, dict) else {}, path, found)
    elif isinstance(value, list) and schema.kind == "array" and schema.items is not None:
        _check_items(schema, schema.items, value, old, path, found)
    check = CHECKS.get(schema.definition)
    if check is not None and not any(each.reason == c.WRONG_TYPE for each in found[before:]):
        found += check(value, path)


def _check_object(
    schema: Schema, value: dict[str, Any], old: dict[str, Any], path: str, found: list[Cause]
) -> None:
    prefix = f"{path}." if path else ""
    for name in schema.required:
        if name not in value:
            found += [c.required(prefix + name)]
    properties, additional = schema.properties, schema.additional
    for name, each in value.items():
        below = properties.get(name) or additional
        if below is not None:
            _check(below, each, old.get(name, _MISSING), prefix + name, found)


def _check_items(
    schema: Schema, items: Schema, value: list[Any], old: Any, path: str, found: list[Cause]
) -> None:
    if schema.list_type == "atomic":
        for i, each in enumerate(value):
            _check(items, each, _MISSING, f"{path}[{i}]", found)
        return
    before = {item_key(schema, each): each for each in old} if isinstance(old, list) else {}
    seen: set[str] = set()
    for i, each in enumerate(value):
        at = f"{path}[{i}]"
        key = item_key(schema, each)
        if key is None and isinstance(each, dict):
            found += [c.required(f"{at}.{name}") for name in schema.list_keys if name not in each]
        elif key in seen:
            shown = each
            if schema.list_type == "map" and isinstance(each, dict):
                shown = {name: each.get(name) for name in schema.list_keys}
            found.append(c.duplicate(at, shown))
        if key is not None:
            seen.add(key)
        _check(items, each, before.get(key, _MISSING), at, found)


def _right_type(schema: Schema, value: Any, path: str, found: list[Cause]) -> bool:
    if schema.kind == "any":
        return True
    if value is None:
        if schema.nullable:
            return False  # Nothing more to check.
        found.append(c.type_invalid(path, value, _wanted(schema)))
        return False
    wanted = _wanted(schema)
    if wanted == "integer or string":
        right = is_type(value, "integer") or isinstance(value, str)
        right = right or (bool(schema.definition) and is_type(value, "number"))
    else:
        right = is_type(value, wanted)
    if not right:
        found.append(c.type_invalid(path, value, wanted))
    return right


def _wanted(schema: Schema) -> str:
    if schema.int_or_string:
        return "integer or string"
    if schema.kind != "scalar":
        return schema.kind
    declared = schema.raw.get("type", "")
    if isinstance(declared, list):
        return next((str(each) for each in declared if each != "null"), "")
    return str(declared)
