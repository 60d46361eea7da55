"""managedFields read, written and bounded; and what of an object each endpoint's writers own.

Source: apimachinery `managedfields` (managers, strip meta, cap managers).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, final

from crdtstate.kube.fieldset import FieldSet, Tree, join_trees
from crdtstate.kube.resources import Resource

__all__ = [
    "UPDATERS_MAX", "Entries", "Entry", "Writer", "base_entries", "cap", "decode", "encode",
    "endpoint_part", "owned_part", "strip",
]  # fmt: skip

UPDATERS_MAX = 10
"""Entries of updates; the oldest above are folded into one a version."""
_FOLDED = "ancient-changes"
_UNOWNED = (
    "name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields",
    "resourceVersion",
)  # fmt: skip

Key = tuple[str, str, str, str]


@final
@dataclass(frozen=True, slots=True)
class Writer:
    """On whose behalf a request writes. Its apiVersion is the resource's."""

    manager: str
    operation: Literal["Apply", "Update"]
    subresource: str = ""


@final
@dataclass(frozen=True, slots=True)
class Entry:
    manager: str
    operation: str
    api_version: str
    subresource: str
    time: str
    tree: Tree

    @property
    def key(self) -> Key:
        # A manager's configuration is one, whichever version it was written in.
        version = "" if self.operation == "Apply" else self.api_version
        return (self.manager, self.operation, version, self.subresource)


Entries = dict[Key, Entry]


def owned_part(resource: Resource, config: Mapping[str, Any], subresource: str) -> dict[str, Any]:
    """Return what of a configuration the endpoint writes."""
    part = {name: each for name, each in config.items() if name not in ("apiVersion", "kind")}
    metadata = part.get("metadata")
    if subresource:
        below = {"scale": "spec", "finalize": "spec"}.get(subresource, subresource)
        part = {name: each for name, each in part.items() if name == below}
    elif "status" in resource.subresources:
        part.pop("status", None)
    if not subresource and isinstance(metadata, dict):
        unowned = set(_UNOWNED) - {"name", "namespace"}
        part["metadata"] = {k: v for k, v in metadata.items() if k not in unowned}
    return part


def endpoint_part(resource: Resource, tree: Tree, subresource: str) -> Tree:
    if subresource == "status":
        return {"f:status": tree["f:status"]} if "f:status" in tree else {}
    if "status" in resource.subresources and "f:status" in tree:
        return {element: node for element, node in tree.items() if element != "f:status"}
    return tree


def strip(tree: Tree) -> Tree:
    """Return the tree without what nobody owns."""
    result = {e: node for e, node in tree.items() if e not in ("f:apiVersion", "f:kind")}
    metadata = result.pop("f:metadata", None)
    if metadata:
        unowned = {".", *("f:" + name for name in _UNOWNED)}
        kept = {element: node for element, node in metadata.items() if element not in unowned}
        if kept:
            result["f:metadata"] = kept
    return result


def base_entries(new: Mapping[str, Any], managed: Sequence[Any], writer: Writer) -> Entries:
    given = (new.get("metadata") or {}).get("managedFields")
    if not writer.subresource and isinstance(given, list):
        if given in ([], [{}]):
            return {}
        if entries := decode(given):
            return entries
    return decode(managed)


def decode(managed: Sequence[Any]) -> Entries:
    """Read managedFields; entries that cannot be read make all of them none."""
    entries: Entries = {}
    try:
        for each in managed:
            if each["operation"] not in ("Apply", "Update"):
                return {}
            entry = Entry(
                str(each.get("manager", "")), each["operation"], str(each.get("apiVersion", "")),
                str(each.get("subresource", "")), str(each.get("time") or ""),
                FieldSet.from_v1(each.get("fieldsV1") or {}).tree,
            )  # fmt: skip
            before = entries.get(entry.key)
            if before is not None:
                entry = replace(entry, tree=join_trees(before.tree, entry.tree))
            entries[entry.key] = entry
    except (KeyError, TypeError, AttributeError, ValueError):
        return {}
    return entries


def encode(entries: Entries) -> list[dict[str, Any]]:
    ordered = sorted(
        entries.values(),
        key=lambda e: (e.operation, e.time, e.manager, e.api_version, e.subresource),
    )
    result = []
    for entry in ordered:
        item = {
            "manager": entry.manager, "operation": entry.operation,
            "apiVersion": entry.api_version, "time": entry.time, "fieldsType": "FieldsV1",
            "fieldsV1": FieldSet(entry.tree).to_v1(),
        }  # fmt: skip
        if entry.subresource:
            item["subresource"] = entry.subresource
        if not entry.time:
            del item["time"]
        result.append(item)
    return result


def cap(entries: Entries) -> Entries:
    """Fold the oldest updates into one entry a version until `UPDATERS_MAX` are left."""
    updates = [entry for entry in entries.values() if entry.operation == "Update"]
    if len(updates) <= UPDATERS_MAX:
        return entries
    result = dict(entries)
    count = len(updates)
    for entry in sorted(updates, key=lambda e: (e.time, e.manager, e.api_version, e.subresource)):
        if count <= UPDATERS_MAX:
            break
        folded = replace(entry, manager=_FOLDED, subresource="")
        if entry.key == folded.key:
            continue
        del result[entry.key]
        there = result.get(folded.key)
        if there is not None:
            count -= 1
            folded = replace(
                folded, tree=join_trees(there.tree, entry.tree), time=max(there.time, entry.time)
            )
        result[folded.key] = folded
    return result
