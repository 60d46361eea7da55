"""What a CustomResourceDefinition brings: kinds by version, and the status that says so.

The status is a function of the definitions that a peer has, so it is computed and not stored. Of
two that claim one name the older has it, on every peer alike, and the other waits.

Source: apiextensions-apiserver `status/naming_controller.go`, `establish`.

Invariants:
    CRD-1  Names are given out by (creationTimestamp, name) of the definitions: who holds a name
           does not depend on the order in which a peer heard of them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from crdtstate.kube.builtin import builtin_resources
from crdtstate.kube.crd_schema import preserving, structural_schema
from crdtstate.kube.resources import Resource

__all__ = ["JOIN_ANNOTATION", "crd_status", "name_conflicts", "resources_of"]

JOIN_ANNOTATION = "crdtstate.io/join"
"""On a definition: `whole` makes each of its objects one register; else they join by field."""

Body = Mapping[str, Any]


def resources_of(crd: Body) -> list[Resource]:
    """Return one resource a version, also of those not served; none of what is malformed.

    Cost: 10 ms for a schema of 300 KB.
    """
    spec = crd.get("spec") or {}
    metadata = crd.get("metadata") or {}
    names = _names(spec)
    whole = (metadata.get("annotations") or {}).get(JOIN_ANNOTATION) == "whole"
    if not (names["plural"] and names["kind"] and spec.get("group")):
        return []
    return [
        _resource(spec, names, version, "whole" if whole else "fields")
        for version in spec.get("versions") or ()
        if isinstance(version, dict) and isinstance(version.get("name"), str)
    ]


def _resource(
    spec: Body, names: Body, version: Body, policy: Literal["fields", "whole"]
) -> Resource:
    raw = (version.get("schema") or {}).get("openAPIV3Schema")
    given = version.get("subresources") or {}
    scale = given.get("scale") or {}
    group, name, kind = spec["group"], version["name"], names["kind"]
    deprecation = version.get("deprecationWarning") or f"{group}/{name} {kind} is deprecated"
    return Resource(
        group=group,
        version=name,
        kind=kind,
        plural=names["plural"],
        singular=names["singular"],
        namespaced=spec.get("scope") == "Namespaced",
        schema=structural_schema(raw) if isinstance(raw, dict) else preserving(),
        short_names=tuple(names["shortNames"]),
        categories=tuple(names["categories"]),
        subresources=tuple(sub for sub in ("status", "scale") if sub in given),
        scale={key: path for key, path in scale.items() if isinstance(path, str)},
        has_generation=True,
        policy=policy,
        columns=tuple(version.get("additionalPrinterColumns") or ()),
        selectable=tuple(
            each["jsonPath"].removeprefix(".")
            for each in version.get("selectableFields") or ()
            if isinstance(each.get("jsonPath"), str)
        ),
        custom=True,
        served=version.get("served") is True,
        deprecation=deprecation if version.get("deprecated") is True else "",
    )


def _names(spec: Body) -> dict[str, Any]:
    given = spec.get("names") or {}
    kind = str(given.get("kind") or "")
    return {
        "plural": str(given.get("plural") or ""),
        "singular": str(given.get("singular") or kind.lower()),
        "kind": kind,
        "listKind": str(given.get("listKind") or f"{kind}List"),
        "shortNames": list(given.get("shortNames") or ()),
        "categories": list(given.get("categories") or ()),
    }


def name_conflicts(crds: Iterable[Body]) -> dict[str, str]:
    """Return, by name of the definition, why its names are not accepted; accepted ones are absent.

    Args:
        crds: All definitions of one peer.
    """
    taken: dict[tuple[str, str], str] = {}
    for builtin in builtin_resources():
        for name in (builtin.plural, builtin.singular, *builtin.short_names):
            taken[builtin.group, name] = "a built-in resource"
        taken[builtin.group, f"kind {builtin.kind}"] = "a built-in resource"
    conflicts: dict[str, str] = {}
    for crd in sorted(crds, key=_seniority):
        own = crd["metadata"]["name"]
        spec = crd.get("spec") or {}
        names = _names(spec)
        wanted = [names["plural"], names["singular"], *names["shortNames"]]
        wanted += [f"kind {names['kind']}", f"kind {names['listKind']}"]
        claims = list(dict.fromkeys((str(spec.get("group")), name) for name in wanted))
        lost = [claim for claim in claims if claim in taken]
        if lost:
            name = lost[0][1].removeprefix("kind ")
            conflicts[own] = f'"{name}" is already in use by {taken[lost[0]]}'
        else:
            taken.update((claim, own) for claim in claims)
    return conflicts


def _seniority(crd: Body) -> tuple[str, str]:
    metadata = crd["metadata"]
    return (str(metadata.get("creationTimestamp") or "9999"), metadata["name"])


def crd_status(crd: Body, conflict: str = "") -> dict[str, Any]:
    """Return the status of a definition.

    Args:
        conflict: Why its names are not accepted (`name_conflicts`), or empty.
    """
    spec = crd.get("spec") or {}
    metadata = crd.get("metadata") or {}
    since = metadata.get("creationTimestamp")

    def condition(kind: str, holds: bool, reason: str, message: str) -> dict[str, Any]:
        return {
            "type": kind,
            "status": "True" if holds else "False",
            "lastTransitionTime": since,
            "reason": reason,
            "message": message,
        }

    if conflict:
        conditions = [
            condition("NamesAccepted", False, "NameConflict", conflict),
            condition("Established", False, "NotAccepted", "not all names are accepted"),
        ]
    else:
        accepted = "the initial names have been accepted"
        conditions = [
            condition("NamesAccepted", True, "NoConflicts", "no conflicts found"),
            condition("Established", True, "InitialNamesAccepted", accepted),
        ]
    if metadata.get("deletionTimestamp"):
        text = "CustomResource deletion is in progress"
        conditions.append(condition("Terminating", True, "InstanceDeletionInProgress", text))
    names = {key: value for key, value in _names(spec).items() if value}
    stored = [v["name"] for v in spec.get("versions") or () if v.get("storage") is True]
    return {
        "conditions": conditions,
        "acceptedNames": {"plural": "", "kind": ""} if conflict else names,
        "storedVersions": stored,
    }
