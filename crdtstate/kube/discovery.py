"""Discovery: what a peer serves, as the documents under /version, /api and /apis.

Source: Kubernetes API concepts, "Discovery API"; apidiscovery.k8s.io/v2; the order of versions
is that of CustomResourceDefinition versions (general availability first, then the number).

Documents are plain functions of the registry, cheap enough to be made anew: kr8s asks for them
before nearly every call, so the caller keeps the encoded form by `Registry.generation`.
"""

import re
from collections.abc import Sequence
from typing import Any

from crdtstate.kube.resources import Registry, Resource
from crdtstate.kube.schema import ANY
from crdtstate.version import VERSION

__all__ = [
    "AGGREGATED_TYPE",
    "REVIEWS",
    "aggregated",
    "api_versions",
    "group_list",
    "group_of",
    "resource_list",
    "subresource_kind",
    "subresource_verbs",
    "subresources_of",
    "version_document",
    "version_rank",
]

MAJOR, MINOR = 1, 35
"""The version that is announced: the newest that every client library knows (kr8s warns above)."""
AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

_VERSION = re.compile(r"v(\d{1,9})(?:(alpha|beta)(\d{1,9}))?")
_CHANGED = ("get", "patch", "update")
_SUBRESOURCE_VERBS = {"finalize": ("update",), "log": ("get",)}
_READ_ONLY = {"/pods": ("log",)}
"""Sub-resources that are no part of the object: what they give is asked elsewhere."""


def _review(group: str, kind: str, *, namespaced: bool = False) -> Resource:
    plural = f"{kind.lower()}s"
    return Resource(group, "v1", kind, plural, kind.lower(), namespaced, ANY, verbs=("create",))


REVIEWS = (
    _review("authentication.k8s.io", "SelfSubjectReview"),
    _review("authentication.k8s.io", "TokenReview"),
    _review("authorization.k8s.io", "LocalSubjectAccessReview", namespaced=True),
    _review("authorization.k8s.io", "SelfSubjectAccessReview"),
    _review("authorization.k8s.io", "SelfSubjectRulesReview"),
    _review("authorization.k8s.io", "SubjectAccessReview"),
)
"""Questions that are answered and not stored; so they are in no registry, yet are discovered."""


def version_document() -> dict[str, str]:
    """Return /version. Clients read `major` and `minor` as integers."""
    return {
        "major": str(MAJOR), "minor": str(MINOR),
        "gitVersion": f"v{MAJOR}.{MINOR}.0+crdtstate-{VERSION}",
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none", "compiler": "cpython", "platform": "any",
    }  # fmt: skip


def version_rank(version: str) -> tuple[Any, ...]:
    """Return a sort key: v2 before v1 before v2beta1 before v1alpha1 before other names."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (3, 0, 0, version)
    major, stage, minor = match.groups()
    return ({None: 0, "beta": 1, "alpha": 2}[stage], -int(major), -int(minor or 0), version)


def subresource_verbs(subresource: str) -> tuple[str, ...]:
    """Return the verbs of a sub-resource."""
    return _SUBRESOURCE_VERBS.get(subresource, _CHANGED)


def subresources_of(resource: Resource) -> tuple[str, ...]:
    """Return the sub-resources that are discovered."""
    return (*resource.subresources, *_READ_ONLY.get(resource.stored_as, ()))


def subresource_kind(resource: Resource, subresource: str) -> tuple[str, str, str]:
    """Return group, version and kind of what a sub-resource takes and gives."""
    if subresource == "scale":
        return ("autoscaling", "v1", "Scale")
    return (resource.group, resource.version, resource.kind)


def api_versions(address: str) -> dict[str, Any]:
    """Return /api. `address`: host and port under which this peer is asked."""
    return {
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }  # fmt: skip


def group_list(registry: Registry) -> dict[str, Any]:
    """Return /apis in its plain form."""
    groups = [_group(name, resources) for name, resources in _groups(registry) if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group_of(registry: Registry, name: str) -> dict[str, Any] | None:
    """Return /apis/GROUP, or None when there is no such group."""
    for group, resources in _groups(registry):
        if group == name and group:
            return {"kind": "APIGroup", "apiVersion": "v1"} | _group(group, resources)
    return None


def resource_list(registry: Registry, group: str, version: str) -> dict[str, Any] | None:
    """Return /api/v1 or /apis/GROUP/VERSION, or None when it is not served."""
    own = [r for r in _served(registry) if (r.group, r.version) == (group, version)]
    if not own:
        return None
    rows = [row for resource in own for row in _rows(resource)]
    rows.sort(key=lambda row: row["name"])
    return {
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": own[0].api_version,
        "resources": rows,
    }  # fmt: skip


def aggregated(registry: Registry, *, core: bool) -> dict[str, Any]:
    """Return /api (core) or /apis in the form that says all in one document."""
    items = [
        {
            "metadata": {"name": name, "creationTimestamp": None} if name else {},
            "versions": [
                {
                    "version": version,
                    "resources": [_aggregated(r) for r in resources if r.version == version],
                    "freshness": "Current",
                }
                for version in _versions(resources)
            ],
        }
        for name, resources in _groups(registry)
        if core is (name == "")
    ]
    return {
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
        "items": items,
    }  # fmt: skip


def _served(registry: Registry) -> list[Resource]:
    return [resource for resource in (*registry.all(), *REVIEWS) if resource.served]


def _groups(registry: Registry) -> list[tuple[str, list[Resource]]]:
    """Return the groups: built-in ones first, since a client takes the first that has a name."""
    found: dict[str, list[Resource]] = {}
    for resource in _served(registry):
        found.setdefault(resource.group, []).append(resource)
    return sorted(found.items(), key=lambda pair: (all(r.custom for r in pair[1]), pair[0]))


def _versions(resources: Sequence[Resource]) -> list[str]:
    return sorted({resource.version for resource in resources}, key=version_rank)


def _group(name: str, resources: Sequence[Resource]) -> dict[str, Any]:
    versions = [
        {"groupVersion": f"{name}/{version}", "version": version}
        for version in _versions(resources)
    ]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _rows(resource: Resource) -> list[dict[str, Any]]:
    row: dict[str, Any] = {
        "name": resource.plural, "singularName": resource.singular,
        "namespaced": resource.namespaced, "kind": resource.kind, "verbs": list(resource.verbs),
    }  # fmt: skip
    if resource.short_names:
        row["shortNames"] = list(resource.short_names)
    if resource.categories:
        row["categories"] = list(resource.categories)
    rows = [row]
    for name in subresources_of(resource):
        group, version, kind = subresource_kind(resource, name)
        inner: dict[str, Any] = {
            "name": f"{resource.plural}/{name}", "singularName": "",
            "namespaced": resource.namespaced, "kind": kind,
            "verbs": list(subresource_verbs(name)),
        }  # fmt: skip
        if (group, version) != (resource.group, resource.version):
            inner |= {"group": group, "version": version}
        rows.append(inner)
    return rows


def _aggregated(resource: Resource) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": _response_kind(resource.group, resource.version, resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        found["shortNames"] = list(resource.short_names)
    if resource.categories:
        found["categories"] = list(resource.categories)
    inner = subresources_of(resource)
    if inner:
        found["subresources"] = [
            {
                "subresource": name,
                "responseKind": _response_kind(*subresource_kind(resource, name)),
                "verbs": list(subresource_verbs(name)),
            }
            for name in inner
        ]
    return found


def _response_kind(group: str, version: str, kind: str) -> dict[str, str]:
    return {"group": group, "version": version, "kind": kind}
