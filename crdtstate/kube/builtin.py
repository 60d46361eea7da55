"""Schemas of the built-in kinds, from the definitions that kubernetes-validate carries.

The file (1.8 MB) is read once in a process, at the first call; after that all is memory. What the
published schema leaves to Go code is corrected by three small tables: defaults, types of which
one member excludes another (atomic here, so that two sides of a partition cannot join into an
object that has both), and conditions, whose items travel whole.

Source: kubernetes-validate 1.37.0, `v1.37.0-local/_definitions.json`.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any, Literal, cast

import msgspec

from crdtstate.kube.builtin_defaults import DEFAULTS
from crdtstate.kube.kinds import KINDS, SCALE, SELECTABLE, Row
from crdtstate.kube.resources import Resource
from crdtstate.kube.schema import Schema

__all__ = ["builtin_resources", "definition_name", "definitions", "object_meta"]

_FILE = "kubernetes-json-schema/v1.37.0-local/_definitions.json"
_PREFIX = "#/$defs/"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_CORE = "io.k8s.api.core.v1."
_APPS = "io.k8s.api.apps.v1."

_UNIONS = frozenset({
    _APPS + "DeploymentStrategy", _APPS + "StatefulSetUpdateStrategy",
    _APPS + "DaemonSetUpdateStrategy",
    _CORE + "EnvVar", _CORE + "Volume", _CORE + "Probe", _CORE + "LifecycleHandler",
    _CORE + "SeccompProfile", _CORE + "AppArmorProfile",
    "io.k8s.api.networking.v1.IngressBackend",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceConversion",
})  # fmt: skip
"""Types whose members exclude each other: one register each."""

_OPAQUE = frozenset({_META + "FieldsV1", "io.k8s.apimachinery.pkg.runtime.RawExtension"})
_INT_OR_STRING = frozenset({
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    "io.k8s.apimachinery.pkg.api.resource.Quantity",
})  # fmt: skip


@cache
def definitions() -> Mapping[str, Mapping[str, Any]]:
    """Return the published definitions by name; a reference reads `#/$defs/<name>`.

    Cost: some 20 ms, once in a process.
    """
    text = files("kubernetes_validate").joinpath(_FILE).read_bytes()
    return cast("Mapping[str, Mapping[str, Any]]", msgspec.json.decode(text)["$defs"])


@cache
def definition_name(group: str, version: str, kind: str) -> str:
    """Return the name of a kind's definition. KeyError: there is none."""
    return _names()[(group, version, kind)]


@cache
def object_meta() -> Schema:
    """Return the schema of metadata, which built-in and custom kinds share."""
    return _definition(_META + "ObjectMeta")


@cache
def builtin_resources() -> tuple[Resource, ...]:
    """Return every built-in kind, one entry a version."""
    return tuple(_resource(row) for row in KINDS)


@cache
def _names() -> Mapping[tuple[str, str, str], str]:
    return {
        (gvk["group"], gvk["version"], gvk["kind"]): name
        for name, raw in definitions().items()
        for gvk in raw.get("x-kubernetes-group-version-kind", ())
        # DeleteOptions and WatchEvent are listed under every group; kinds under one.
        if len(raw["x-kubernetes-group-version-kind"]) == 1
    }


def _resource(row: Row) -> Resource:
    group, _, version = row.group_version.rpartition("/")
    subresources = tuple(row.subresources.split())
    return Resource(
        group=group,
        version=version,
        kind=row.kind,
        plural=row.plural,
        singular=row.kind.lower(),
        namespaced="n" in row.flags,
        schema=_definition(definition_name(group, version, row.kind)),
        short_names=tuple(row.short_names.split()),
        categories=("all",) if "a" in row.flags else (),
        subresources=subresources,
        scale=SCALE if "scale" in subresources else {},
        has_generation="g" in row.flags,
        policy=row.policy,
        selectable=SELECTABLE.get((group, row.kind), ()),
    )


_built: dict[str, Schema] = {}


def _definition(name: str) -> Schema:
    """Return the schema of a definition, made once. Recursion ends at the half-made node."""
    found = _built.get(name)
    if found is not None:
        return found
    raw = definitions()[name]
    if name in _OPAQUE or not (raw.keys() & {"type", "oneOf", "properties"}):
        node = Schema(
            "any", map_type="atomic", preserve_unknown=True, drops_null=True, definition=name,
            raw=raw,
        )  # fmt: skip
    elif name in _INT_OR_STRING:
        node = Schema("scalar", int_or_string=True, drops_null=True, definition=name, raw=raw)
    elif "object" not in raw["type"]:
        node = replace(_node(raw), definition=name)
    else:
        properties: dict[str, Schema] = {}
        node = Schema(
            "object",
            properties=properties,
            map_type="atomic" if name in _UNIONS else raw.get("x-kubernetes-map-type", "granular"),
            required=tuple(raw.get("required", ())),
            drops_null=True,
            definition=name,
            raw=raw,
        )
        _built[name] = node
        defaults = DEFAULTS.get(name, {})
        for field, below in raw.get("properties", {}).items():
            made = _property(field, below)
            if field in defaults:
                made = replace(made, has_default=True, default=defaults[field])
            properties[field] = made
    _built[name] = node
    return node


def _property(field: str, raw: Mapping[str, Any]) -> Schema:
    made = _node(raw)
    if field == "conditions" and made.list_type == "map" and made.items is not None:
        return replace(made, items=replace(made.items, map_type="atomic"))
    return made


def _node(raw: Mapping[str, Any]) -> Schema:
    """Make the node of a property, an item or a map value."""
    reference = raw.get("$ref")
    if reference is not None:
        found = _definition(reference.removeprefix(_PREFIX))
        strategy = raw.get("x-kubernetes-patch-strategy", "")
        return replace(found, retain_keys=True) if "retainKeys" in strategy else found
    declared = raw.get("type", ())
    types = declared if isinstance(declared, list) else [declared]
    if "object" in types:
        additional = raw.get("additionalProperties")
        return Schema(
            "object",
            additional=_node(additional) if additional else None,
            map_type=raw.get("x-kubernetes-map-type", "granular"),
            drops_null=True,
            raw=raw,
        )
    if "array" not in types:
        return Schema("scalar", drops_null=True, raw=raw)
    strategy = raw.get("x-kubernetes-patch-strategy", "")
    list_type: Literal["atomic", "set", "map"] = raw.get("x-kubernetes-list-type", "atomic")
    return Schema(
        "array",
        items=_node(raw["items"]),
        list_type=list_type,
        list_keys=tuple(raw.get("x-kubernetes-list-map-keys", ())),
        merge_key=raw.get("x-kubernetes-patch-merge-key", "") if "merge" in strategy else None,
        retain_keys="retainKeys" in strategy,
        drops_null=True,
        raw=raw,
    )
