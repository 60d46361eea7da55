"""Rules of metadata: names by kind, labels, annotations, owners, and what may not change.

Source: apimachinery `api/validation/objectmeta.go`; each kind's `ValidateXName`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from crdtstate.kube import causes as c
from crdtstate.kube import formats
from crdtstate.kube.causes import Cause
from crdtstate.kube.resources import Resource

__all__ = ["ANNOTATIONS_BYTES_MAX", "label_causes", "metadata_causes", "name_cause"]

ANNOTATIONS_BYTES_MAX = 256 * 1024
"""All keys and values of an object's annotations together."""

_NAMES: Mapping[tuple[str, str], Callable[[str], str | None]] = {
    ("", "Namespace"): formats.dns_label,
    ("", "Service"): formats.dns_label,
    ("rbac.authorization.k8s.io", "ClusterRole"): formats.path_segment,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): formats.path_segment,
    ("rbac.authorization.k8s.io", "Role"): formats.path_segment,
    ("rbac.authorization.k8s.io", "RoleBinding"): formats.path_segment,
}
"""Kinds whose names are no subdomains."""


def name_cause(resource: Resource, name: Any) -> Cause | None:
    """Return what is wrong with the name of an object."""
    if not isinstance(name, str) or not name:
        return c.required("metadata.name", "name or generateName is required")
    check = _NAMES.get((resource.group, resource.kind), formats.dns_subdomain)
    wrong = check(name)
    if wrong is None and len(name) > 253:
        wrong = "must be no more than 253 bytes"
    return c.invalid("metadata.name", name, wrong) if wrong else None


def metadata_causes(
    resource: Resource, new: Mapping[str, Any], old: Mapping[str, Any] | None
) -> list[Cause]:
    """Return what is wrong with the metadata of `new`, and what of `old` it may not change.

    Args:
        new: Right by its schema.
    """
    metadata = new.get("metadata") or {}
    before = (old or {}).get("metadata") or {}
    found = []
    if old is None:
        found += [cause] if (cause := name_cause(resource, metadata.get("name"))) else []
    found += _namespace_causes(resource, metadata)
    if metadata.get("labels") != before.get("labels"):
        found += label_causes(metadata.get("labels") or {}, "metadata.labels")
    if metadata.get("annotations") != before.get("annotations"):
        found += _annotation_causes(metadata.get("annotations") or {})
    if metadata.get("finalizers") != before.get("finalizers"):
        found += _finalizer_causes(metadata, before)
    if metadata.get("ownerReferences") != before.get("ownerReferences"):
        found += _owner_causes(metadata.get("ownerReferences") or [])
    if old is not None:
        found += [
            c.invalid(f"metadata.{name}", metadata.get(name), "field is immutable")
            for name in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp")
            if metadata.get(name) and before.get(name) != metadata[name]
        ]
    return found


def label_causes(labels: Mapping[str, Any], path: str) -> list[Cause]:
    """Return what is wrong with labels, or with the matchLabels of a selector."""
    found = []
    for key, value in labels.items():
        if (wrong := formats.qualified_name(key)) is not None:
            found.append(c.invalid(path, key, wrong))
        if (wrong := formats.label_value(value)) is not None:
            found.append(c.invalid(path, value, wrong))
    return found


def _namespace_causes(resource: Resource, metadata: Mapping[str, Any]) -> list[Cause]:
    namespace = metadata.get("namespace")
    if not resource.namespaced:
        return [c.forbidden("metadata.namespace", "not allowed on this type")] if namespace else []
    if not isinstance(namespace, str) or not namespace:
        return [c.required("metadata.namespace")]
    wrong = formats.dns_label(namespace)
    return [c.invalid("metadata.namespace", namespace, wrong)] if wrong else []


def _annotation_causes(annotations: Mapping[str, Any]) -> list[Cause]:
    found = []
    size = 0
    for key, value in annotations.items():
        # Keys of annotations may have upper case; the rules are otherwise those of labels.
        if (wrong := formats.qualified_name(key.lower())) is not None:
            found.append(c.invalid("metadata.annotations", key, wrong))
        size += len(key.encode()) + len(value.encode())
    if size > ANNOTATIONS_BYTES_MAX:
        found.append(c.too_long("metadata.annotations", ANNOTATIONS_BYTES_MAX))
    return found


def _finalizer_causes(metadata: Mapping[str, Any], before: Mapping[str, Any]) -> list[Cause]:
    names = metadata.get("finalizers") or []
    found = [
        c.invalid("metadata.finalizers", name, wrong)
        for name in names
        if (wrong := formats.qualified_name(name)) is not None
    ]
    if {"orphan", "foregroundDeletion"} <= set(names):
        detail = "finalizer orphan and finalizer foregroundDeletion cannot be both set"
        found.append(c.invalid("metadata.finalizers", names, detail))
    added = [name for name in names if name not in (before.get("finalizers") or [])]
    if added and before.get("deletionTimestamp"):
        detail = (
            "no new finalizers can be added if the object is being deleted, found new "
            f"finalizers {c.shown(added)}"
        )
        found.append(c.forbidden("metadata.finalizers", detail))
    return found


def _owner_causes(owners: list[Any]) -> list[Cause]:
    found = []
    controllers = 0
    for i, owner in enumerate(owners):
        at = f"metadata.ownerReferences[{i}]"
        found += [
            c.invalid(f"{at}.{name}", "", f"{name} must not be empty")
            for name in ("apiVersion", "kind", "name", "uid")
            if owner.get(name) == ""
        ]
        controllers += owner.get("controller") is True
    if controllers > 1:
        detail = "Only one reference can have Controller set to true"
        found.append(c.invalid("metadata.ownerReferences", owners, detail))
    return found
