"""The models that OpenAPI documents are made of: published definitions, and those of CRDs.

Source: the OpenAPI definitions of Kubernetes as the package kubernetes-validate carries them;
for custom kinds, the schema of the CRD and the naming rule of apiextensions.

A model is translated when a document needs it: all 862 of them together take 20 ms.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from crdtstate.kube.builtin import definition_name, definitions
from crdtstate.kube.resources import Resource

__all__ = ["closure", "custom_models", "model", "model_name"]

Dialect = Literal["v2", "v3"]
PREFIXES: Mapping[Dialect, str] = {"v2": "#/definitions/", "v3": "#/components/schemas/"}

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_PUBLISHED_PREFIX = "#/$defs/"
_FREE = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": ("string", "number", ""),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": ("integer", "string", "int-or-string"),
}  # fmt: skip
# What OpenAPI v2 cannot say, or says with another meaning.
_NOT_IN_V2 = frozenset({"allOf", "anyOf", "oneOf", "not", "nullable", "$schema", "example"})


@functools.cache
def _references(name: str) -> frozenset[str]:
    found: set[str] = set()
    waiting: list[Any] = [definitions()[name]]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str):
                found.add(reference.removeprefix(_PUBLISHED_PREFIX))
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return frozenset(found)


def model_name(group: str, version: str, kind: str) -> str:
    """Return the name of the model of a kind; one that is not published gets a CRD's name."""
    try:
        return definition_name(group, version, kind)
    except KeyError:
        return ".".join([*reversed(group.split(".")), version, kind])


def closure(names: Iterable[str]) -> list[str]:
    """Return the published models that are reachable from the names, in order."""
    found: set[str] = set()
    waiting = [name for name in names if name in definitions()]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_references(name))
    return sorted(found)


def model(name: str, dialect: Dialect) -> dict[str, Any]:
    """Return a published model. Cost: under a millisecond but for a few."""
    if name in _FREE:
        return _free(name, dialect)
    found = _translated(definitions()[name], dialect)
    assert isinstance(found, dict)
    return found


def _free(name: str, dialect: Dialect) -> dict[str, Any]:
    """Return the model of a value that is text or a number."""
    one, other, text_format = _FREE[name]
    kind: dict[str, Any] = {"type": "string"}
    if dialect == "v3":
        kind = {"oneOf": [{"type": one}, {"type": other}]}
    return kind | ({"format": text_format} if text_format else {})


def _translated(node: Any, dialect: Dialect) -> Any:
    """Return a node of the published text as the dialect says it."""
    if isinstance(node, list):
        return [_translated(item, dialect) for item in node]
    if not isinstance(node, dict):
        return node
    found: dict[str, Any] = {}
    for key, value in node.items():
        match key:
            case "type":
                found[key] = value[0] if isinstance(value, list) else value
            case "enum":
                pass  # Only of apiVersion and kind, which the API server does not publish.
            case "$ref":
                found[key] = PREFIXES[dialect] + value.removeprefix(_PUBLISHED_PREFIX)
            case "properties":
                found[key] = {name: _translated(inner, dialect) for name, inner in value.items()}
            case _:
                found[key] = _translated(value, dialect)
    if dialect == "v3" and "$ref" in found and len(found) > 1:
        # OpenAPI 3.0 ignores what stands beside a reference, list types among it.
        found = {"allOf": [{"$ref": found.pop("$ref")}]} | found
    return found


def custom_models(resource: Resource, dialect: Dialect) -> dict[str, dict[str, Any]]:
    """Return the models of a custom kind and of its list."""
    prefix = PREFIXES[dialect]
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    name = model_name(resource.group, resource.version, resource.kind)
    schema = dict(resource.schema.raw)
    if dialect == "v2":
        schema = _in_v2(schema)
    one = _with_meta(schema, prefix)
    one["x-kubernetes-group-version-kind"] = [kind]
    many = {
        "description": f"{resource.kind}List is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": _type_properties() | {
            "metadata": {"$ref": f"{prefix}{META}.ListMeta"},
            "items": {"type": "array", "items": {"$ref": prefix + name}},
        },
        "x-kubernetes-group-version-kind": [kind | {"kind": f"{resource.kind}List"}],
    }  # fmt: skip
    return {name: one, f"{name}List": many}


def _type_properties() -> dict[str, Any]:
    return {
        "apiVersion": {"type": "string", "description": "The group and version of this object."},
        "kind": {"type": "string", "description": "The kind of this object."},
    }


def _with_meta(schema: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    own = dict(schema.get("properties") or {})
    properties = _type_properties() | {"metadata": {"$ref": f"{prefix}{META}.ObjectMeta"}}
    return {**schema, "type": "object", "properties": own | properties}


def _in_v2(node: Any) -> Any:
    """Return a CRD's node with only what OpenAPI v2 can say; what it cannot becomes any value.

    Source: apiextensions' conversion to v2: kubectl before 1.22 refuses what it must accept
    when a node that preserves unknown fields, is nullable, or is text or a number, has a type.
    """
    if isinstance(node, list):
        return [_in_v2(item) for item in node]
    if not isinstance(node, dict):
        return node
    found: dict[str, Any] = {}
    for key, value in node.items():
        if key == "properties":
            found[key] = {name: _in_v2(inner) for name, inner in value.items()}
        elif key in ("items", "additionalProperties"):
            found[key] = _in_v2(value)
        elif key not in _NOT_IN_V2:
            found[key] = value
    open_ended = ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string", "nullable")
    if any(node.get(key) for key in open_ended):
        for key in ("type", "properties", "items", "additionalProperties", "required"):
            found.pop(key, None)
    return found
