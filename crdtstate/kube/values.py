"""One value against one schema node: type, bounds, pattern, enum, format, and the combinators.

The rules of a node are compiled once. Patterns run on RE2, whose time is linear in the text: a
pattern comes from whoever may write a CRD.

Source: apiextensions-apiserver's validation through kube-openapi `validate`.
"""

import math
from collections.abc import Callable, Mapping, Sized
from functools import lru_cache
from typing import Any

from crdtstate.kube import causes as c
from crdtstate.kube.causes import Cause
from crdtstate.kube.formats import FORMATS
from crdtstate.kube.schema import Schema

__all__ = ["compiled_pattern", "is_type", "rules_of", "value_causes"]

Rule = Callable[[Any, str], list[Cause]]
"""(value, path) to what is wrong; called with a value of the declared type."""


@lru_cache(maxsize=1024)
def compiled_pattern(pattern: str) -> Any:
    """Return a compiled RE2 pattern. ValueError: it is none."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as problem:
        text = problem.args[0] if problem.args else b""
        detail = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        raise ValueError(f"pattern {pattern!r}: {detail}") from problem


def is_type(value: Any, wanted: str) -> bool:
    """Whether a JSON value has an OpenAPI type."""
    if wanted == "integer" and isinstance(value, float):
        return value.is_integer()
    types = _TYPES.get(wanted)
    if types is None:
        return True
    return isinstance(value, types) and (wanted == "boolean" or not isinstance(value, bool))


_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "array": (list,), "object": (dict,), "null": (type(None),),
}  # fmt: skip


def rules_of(schema: Schema) -> tuple[Rule, ...]:
    """Return the compiled rules of a node; most have none."""
    found: tuple[Rule, ...] | None = schema.memo.get("rules")
    if found is None:
        found = schema.memo["rules"] = _compile(schema.raw)
    return found


def value_causes(raw: Mapping[str, Any], value: Any, path: str) -> list[Cause]:
    """Check a value against a raw OpenAPI node, descending: for the combinators' branches."""
    declared = raw.get("type")
    given = declared if isinstance(declared, list) else [declared] if declared else []
    if value is None and (raw.get("nullable") or "null" in given):
        return []
    types = [wanted for wanted in given if wanted != "null"]
    if types and not any(is_type(value, wanted) for wanted in types):
        return [c.type_invalid(path, value, types[0])]
    found = [cause for rule in _compile(raw) for cause in rule(value, path)]
    if isinstance(value, dict):
        found += [
            c.required(f"{path}.{name}" if path else name)
            for name in raw.get("required") or ()
            if name not in value
        ]
        properties, additional = raw.get("properties") or {}, raw.get("additionalProperties")
        for name, each in value.items():
            below = properties.get(name, additional)
            if isinstance(below, dict):
                found += value_causes(below, each, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and isinstance(raw.get("items"), dict):
        for i, each in enumerate(value):
            found += value_causes(raw["items"], each, f"{path}[{i}]")
    return found


def _compile(raw: Mapping[str, Any]) -> tuple[Rule, ...]:
    return tuple(_RULES[word](raw) for word in _RULES if word in raw)


def _number(word: str, wrong: Callable[[float, float], bool], text: str) -> Any:
    exclusive = "exclusive" + word.capitalize()

    def make(raw: Mapping[str, Any]) -> Rule:
        bound = raw[word]
        strict = raw.get(exclusive) is True
        detail = text if not strict else text.removesuffix(" or equal to")

        def rule(value: Any, path: str) -> list[Cause]:
            if isinstance(value, bool) or not isinstance(value, int | float):
                return []
            if wrong(value, bound) or (strict and value == bound):
                return [c.invalid(path, value, f"{path} in body should be {detail} {bound}")]
            return []

        return rule

    return make


def _size(word: str) -> Any:
    def make(raw: Mapping[str, Any]) -> Rule:
        bound = raw[word]

        def rule(value: Any, path: str) -> list[Cause]:
            kind, text = _SIZES[word]
            if not isinstance(value, kind) or not isinstance(value, Sized):
                return []
            size = len(value)
            if word.startswith("min"):
                if size >= bound:
                    return []
                return [c.invalid(path, value, f"{path} in body should {text.format(bound)}")]
            if size <= bound:
                return []
            if word == "maxLength":
                return [c.too_long(path, bound)]
            return [c.too_many(path, size, bound)]

        return rule

    return make


_SIZES: Mapping[str, tuple[type, str]] = {
    "minLength": (str, "be at least {} chars long"),
    "maxLength": (str, ""),
    "minItems": (list, "have at least {} items"),
    "maxItems": (list, ""),
    "minProperties": (dict, "have at least {} properties"),
    "maxProperties": (dict, ""),
}


def _enum(raw: Mapping[str, Any]) -> Rule:
    allowed = raw["enum"]

    def rule(value: Any, path: str) -> list[Cause]:
        if value is None or any(value == a and type(value) is type(a) for a in allowed):
            return []
        return [c.not_supported(path, value, allowed)]

    return rule


def _pattern(raw: Mapping[str, Any]) -> Rule:
    pattern = raw["pattern"]

    def rule(value: Any, path: str) -> list[Cause]:
        if not isinstance(value, str) or compiled_pattern(pattern).search(value) is not None:
            return []
        return [c.invalid(path, value, f"{path} in body should match '{pattern}'")]

    return rule


def _format(raw: Mapping[str, Any]) -> Rule:
    name = raw["format"]
    check = FORMATS.get(name)
    low, high = _INTEGERS.get(name, (-math.inf, math.inf))

    def rule(value: Any, path: str) -> list[Cause]:
        if isinstance(value, str) and check is not None and not check(value):
            wanted = f"{path} in body must be of type {name}: {c.shown(value)}"
            return [c.invalid(path, value, wanted)]
        if isinstance(value, int) and not low <= value <= high:
            return [c.invalid(path, value, f"{path} in body must be of type {name}")]
        return []

    return rule


_INTEGERS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


def _multiple(raw: Mapping[str, Any]) -> Rule:
    step = raw["multipleOf"]

    def rule(value: Any, path: str) -> list[Cause]:
        if isinstance(value, bool) or not isinstance(value, int | float) or not step:
            return []
        ratio = value / step
        if abs(ratio - round(ratio)) < 1e-9:
            return []
        return [c.invalid(path, value, f"{path} in body should be a multiple of {step}")]

    return rule


def _combined(word: str) -> Any:
    def make(raw: Mapping[str, Any]) -> Rule:
        branches = raw[word]

        def rule(value: Any, path: str) -> list[Cause]:
            if word == "not":
                if value_causes(branches, value, path):
                    return []
                return [c.invalid(path, value, "must not validate the schema (not)")]
            wrong = [value_causes(branch, value, path) for branch in branches]
            if word == "allOf":
                return [cause for each in wrong for cause in each]
            right = sum(not each for each in wrong)
            if right == 1 or (word == "anyOf" and right):
                return []
            wanted = "at least one schema" if word == "anyOf" else "one and only one schema"
            found = "none" if not right else f"{right}"
            detail = f"{path} in body must validate {wanted} ({word}). Found {found} valid"
            nearest = min(wrong, key=len) if not right and wrong else []
            return [c.invalid(path, value, detail), *nearest]

        return rule

    return make


_RULES: Mapping[str, Callable[[Mapping[str, Any]], Rule]] = {
    "enum": _enum,
    "pattern": _pattern,
    "format": _format,
    "minimum": _number("minimum", lambda v, b: v < b, "greater than or equal to"),
    "maximum": _number("maximum", lambda v, b: v > b, "less than or equal to"),
    "multipleOf": _multiple,
    **{word: _size(word) for word in _SIZES},
    **{word: _combined(word) for word in ("allOf", "anyOf", "oneOf", "not")},
}
