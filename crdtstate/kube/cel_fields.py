"""Fields in expressions: the names they go by, and whether a schema declares them.

Source: Kubernetes 1.37, `apiserver/pkg/cel/common` (declared types).
"""

from collections.abc import Mapping
from typing import Any

from crdtstate.kube.cel_parser import RESERVED, Expr

__all__ = ["escaped", "undefined_field"]

_Type = Mapping[str, Any] | None
"""A schema node, or None: nothing is known."""
_ESCAPES = (("underscores", "__"), ("dot", "."), ("dash", "-"), ("slash", "/"))
_IMPLIED = ("apiVersion", "kind", "metadata")


def undefined_field(tree: Expr, raw: Mapping[str, Any]) -> str | None:
    """Return a field that the expression selects and `raw`, the schema of `self`, does not have."""
    missing: list[str] = []
    _typed(tree, {"self": raw, "oldSelf": raw}, missing)
    return missing[0] if missing else None


def escaped(name: str) -> str:
    """Return the identifier by which rules reach a field."""
    if name in RESERVED:
        return f"__{name}__"
    for word, text in _ESCAPES:
        name = name.replace(text, f"__{word}__")
    return name


def _unescaped(name: str) -> str:
    if name[2:-2] in RESERVED and name == f"__{name[2:-2]}__":
        return name[2:-2]
    for word, text in reversed(_ESCAPES):
        name = name.replace(f"__{word}__", text)
    return name


def _typed(tree: Expr, scope: Mapping[str, _Type], missing: list[str]) -> _Type:
    match tree.kind:
        case "ident":
            return scope.get(tree.name)
        case "select" | "select?" | "has":
            return _field(_typed(tree.args[0], scope, missing), tree.name, missing)
        case "index" | "index?":
            found = _typed(tree.args[0], scope, missing)
            _typed(tree.args[1], scope, missing)
            return _items(found)
        case "bind" | "optmap" | "comprehension":
            return _bound(tree, scope, missing)
        case _:
            return _other(tree, scope, missing)


def _other(tree: Expr, scope: Mapping[str, _Type], missing: list[str]) -> _Type:
    types = [_typed(arg, scope, missing) for arg in tree.args]
    if tree.kind == "cond":
        return types[1]
    return types[0] if tree.name in ("orValue", "value") and types else None


def _bound(tree: Expr, scope: Mapping[str, _Type], missing: list[str]) -> _Type:
    target = _typed(tree.args[0], scope, missing)
    types: list[_Type] = [target]
    if tree.kind == "comprehension":
        is_list = target is not None and target.get("type") == "array"
        each = _items(target)
        types = [None, each] if len(tree.variables) == 2 else [each if is_list else None]
    inner = {**scope, **dict(zip(tree.variables, types, strict=True))}
    results = [_typed(body, inner, missing) for body in tree.args[1:]]
    return target if tree.name == "filter" else results[-1] if tree.kind == "bind" else None


def _items(found: _Type) -> _Type:
    if found is None:
        return None
    below = found.get("items" if found.get("type") == "array" else "additionalProperties")
    return below if isinstance(below, dict) else None


def _field(found: _Type, name: str, missing: list[str]) -> _Type:
    if found is None or found.get("type") != "object":
        return None
    properties, field = found.get("properties") or {}, _unescaped(name)
    if field in properties and field != "metadata":
        below = properties[field]
        return below if isinstance(below, dict) else None
    open_ended = (
        found.get("additionalProperties")
        or found.get("x-kubernetes-preserve-unknown-fields")
        or found.get("x-kubernetes-embedded-resource")
        or field in _IMPLIED  # At the root, and harmless elsewhere.
    )
    if not open_ended:
        missing.append(field)
    return _items(found)
