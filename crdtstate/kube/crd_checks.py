"""Is a CustomResourceDefinition sound? Names, versions, columns, and each version's schema.

Source: apiextensions-apiserver `apis/apiextensions/validation` and `apiserver/schema` (structural
schemas).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from crdtstate.kube import causes as c
from crdtstate.kube import formats
from crdtstate.kube.causes import Cause
from crdtstate.kube.structural import structural_causes

__all__ = ["crd_causes", "crd_spec_causes"]

Value = Mapping[str, Any]
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_SELECTABLE_MAX = 8
_APPROVED = "api-approved.kubernetes.io"


def crd_causes(crd: Value, path: str) -> Iterator[Cause]:
    """Rules that need more than the spec."""
    spec, metadata = crd.get("spec") or {}, crd.get("metadata") or {}
    wanted = f"{(spec.get('names') or {}).get('plural')}.{spec.get('group')}"
    if metadata.get("name") != wanted:
        text = f'must be spec.names.plural+"."+spec.group: {wanted}'
        yield c.invalid("metadata.name", metadata.get("name"), text)
    group = str(spec.get("group"))
    protected = group.endswith((".k8s.io", ".kubernetes.io")) or group in (
        "k8s.io",
        "kubernetes.io",
    )
    if protected and not (metadata.get("annotations") or {}).get(_APPROVED):
        text = "protected groups must have approval annotation"
        yield c.required(f"metadata.annotations[{_APPROVED}]", text)


def crd_spec_causes(spec: Value, path: str) -> Iterator[Cause]:
    """Rules of the spec."""
    group = spec.get("group") or ""
    if group and (wrong := formats.dns_subdomain(group)) is not None:
        yield c.invalid(f"{path}.group", group, wrong)
    elif group and "." not in group:
        yield c.invalid(f"{path}.group", group, "should be a domain with at least one dot")
    if spec.get("scope") not in (None, "Cluster", "Namespaced"):
        yield c.not_supported(f"{path}.scope", spec.get("scope"), ["Cluster", "Namespaced"])
    if spec.get("preserveUnknownFields") is True:
        text = "must be false: set x-kubernetes-preserve-unknown-fields in the schema instead"
        yield c.invalid(f"{path}.preserveUnknownFields", True, text)
    yield from _names(spec.get("names") or {}, f"{path}.names")
    versions = spec.get("versions") or []
    if spec.get("versions") == []:
        yield c.required(f"{path}.versions", "must have exactly one version marked as storage")
        return
    yield from _conversion(spec, versions, f"{path}.conversion")
    if versions and sum(version.get("storage") is True for version in versions) != 1:
        text = "must have exactly one version marked as storage version"
        yield c.invalid(f"{path}.versions", [v.get("name") for v in versions], text)
    seen: set[Any] = set()
    for i, version in enumerate(versions):
        at = f"{path}.versions[{i}]"
        name = version.get("name") or ""
        if name and (wrong := formats.dns_label_1035(name)) is not None:
            yield c.invalid(f"{at}.name", name, wrong)
        if name in seen:
            yield c.duplicate(f"{at}.name", name)
        seen.add(name)
        yield from _version(version, at)


def _names(names: Value, path: str) -> Iterator[Cause]:
    for field in ("plural", "singular", "kind", "listKind"):
        name = names.get(field)
        if name == "":
            yield c.required(f"{path}.{field}")
        elif name:
            text = name.lower() if field in ("kind", "listKind") else name
            if (wrong := formats.dns_label_1035(text)) is not None:
                yield c.invalid(f"{path}.{field}", name, wrong)
    for field in ("shortNames", "categories"):
        for i, name in enumerate(names.get(field) or []):
            if (wrong := formats.dns_label_1035(name)) is not None:
                yield c.invalid(f"{path}.{field}[{i}]", name, wrong)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        text = "kind and listKind may not be the same"
        yield c.invalid(f"{path}.listKind", names["listKind"], text)


def _conversion(spec: Value, versions: list[Any], path: str) -> Iterator[Cause]:
    strategy = (spec.get("conversion") or {}).get("strategy", "None")
    served = sum(version.get("served") is True for version in versions)
    # With one served version nothing is ever converted, whatever the strategy.
    if strategy != "None" and (served > 1 or strategy != "Webhook"):
        yield c.not_supported(f"{path}.strategy", strategy, ["None"])


def _version(version: Value, path: str) -> Iterator[Cause]:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    at = f"{path}.schema.openAPIV3Schema"
    if schema is None:
        yield c.required(at, "schemas are required")
    else:
        yield from structural_causes(schema, at)
    scale = (version.get("subresources") or {}).get("scale") or {}
    for field, roots in (
        ("specReplicasPath", (".spec.",)),
        ("statusReplicasPath", (".status.",)),
        ("labelSelectorPath", (".spec.", ".status.")),
    ):
        given = scale.get(field)
        if given is not None and not given.startswith(roots):
            text = f"should be a json path under {' or '.join(roots)}"
            yield c.invalid(f"{path}.subresources.scale.{field}", given, text)
    for i, column in enumerate(version.get("additionalPrinterColumns") or []):
        here = f"{path}.additionalPrinterColumns[{i}]"
        for field in ("name", "jsonPath"):
            if column.get(field) == "":
                yield c.required(f"{here}.{field}")
        if column.get("type") not in _COLUMN_TYPES:
            yield c.not_supported(f"{here}.type", column.get("type"), _COLUMN_TYPES)
    yield from _selectable(version, schema or {}, f"{path}.selectableFields")


def _selectable(version: Value, schema: Value, path: str) -> Iterator[Cause]:
    fields = version.get("selectableFields") or []
    if len(fields) > _SELECTABLE_MAX:
        yield c.too_many(path, len(fields), _SELECTABLE_MAX)
    seen: set[Any] = set()
    for i, field in enumerate(fields):
        where = field.get("jsonPath") or ""
        at = f"{path}[{i}].jsonPath"
        if where in seen:
            yield c.duplicate(at, where)
        seen.add(where)
        if not where.startswith(".") or where.startswith(".metadata"):
            yield c.invalid(at, where, "must be a simple path to a field outside metadata")
            continue
        node: Any = schema
        for name in where[1:].split("."):
            node = (node.get("properties") or {}).get(name) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            text = f"does not refer to a valid field: {where}"
            yield c.invalid(at, where, text)
        elif node.get("type") not in ("string", "integer", "boolean"):
            text = "must point to a field of type string, boolean or integer"
            yield c.invalid(at, where, text)
