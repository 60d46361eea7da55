"""What a planner may ask for, as values. A planner is pure: state in, actions out.

The status and every patch are differences: what is the same is not written, so that a plan of a
world that is as wanted is empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

from controllers.runtime.objects import (
    Object,
    meta,
    name_of,
    namespace_of,
    status_of,
    uid_of,
)
from crdtstate.model import Kind

__all__ = [
    "Action",
    "Create",
    "Delete",
    "Patch",
    "Say",
    "difference",
    "patch_of",
    "removal",
    "status_patch",
]


@final
@dataclass(frozen=True, slots=True)
class Create:
    """Create an object. That it is there already is no error."""

    kind: Kind
    body: Mapping[str, Any]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete one object of this uid. That it is not there is no error."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    grace_seconds: int | None = None
    propagation: Literal["Background", "Foreground", "Orphan"] | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """Merge a patch into an object. That it is not there is no error.

    A resourceVersion in the patch is a precondition on the peer that answers.
    """

    kind: Kind
    namespace: str
    name: str
    patch: Mapping[str, Any]
    subresource: str | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Record an Event about an object."""

    kind: Kind
    about: Object
    reason: str
    message: str
    warning: bool = False


Action = Create | Delete | Patch | Say


def removal(kind: Kind, body: Object, **options: Any) -> Delete:
    """Return the deletion of exactly this object."""
    return Delete(
        kind=kind, namespace=namespace_of(body), name=name_of(body), uid=uid_of(body), **options
    )


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch that makes `after` of `before`; empty when they are equal."""
    patch: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            inner = difference(old, value)
            if inner:
                patch[name] = inner
        elif name not in before or old != value:
            patch[name] = value
    return patch


def status_patch(kind: Kind, body: Object, wanted: Mapping[str, Any]) -> Sequence[Patch]:
    """Return the patch of the status, none when it is as wanted."""
    change = difference(status_of(body), wanted)
    if not change:
        return []
    return [
        Patch(
            kind=kind, namespace=namespace_of(body), name=name_of(body),
            patch={"status": change}, subresource="status",
        )
    ]  # fmt: skip


def patch_of(
    kind: Kind, body: Object, change: Mapping[str, Any], *, pinned: bool = False
) -> Sequence[Patch]:
    """Return a patch of an object, none when `change` is empty.

    Args:
        pinned: Refuse it when the object is no longer the one that the planner saw.
    """
    if not change:
        return []
    if pinned:
        metadata = {**change.get("metadata", {}), "resourceVersion": meta(body)["resourceVersion"]}
        change = {**change, "metadata": metadata}
    return [Patch(kind=kind, namespace=namespace_of(body), name=name_of(body), patch=change)]
