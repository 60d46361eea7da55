"""ControllerRevisions: the templates that a StatefulSet or a DaemonSet has had.

`kubectl rollout history` lists them by revision, `undo` merges the data of one into the owner.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from controllers.builtin.templates import bare, template_hash
from controllers.runtime.actions import Action, Create, Patch, removal
from controllers.runtime.objects import (
    Object,
    annotations_of,
    name_of,
    namespace_of,
    owner_reference,
    spec_of,
)
from crdtstate.client.kinds import CONTROLLER_REVISIONS
from crdtstate.model import Kind

__all__ = ["HASH_LABEL", "Revisions", "revise"]

HASH_LABEL = "controller-revision-hash"
_CAUSE = "kubernetes.io/change-cause"


@final
@dataclass(frozen=True)
class Revisions:
    """The templates of an owner that are of use now."""

    current: str
    """The name of the revision that belongs to the owner's template."""
    digest: str
    actions: tuple[Action, ...]

    known: tuple[Object, ...]

    def template_of(self, name: str) -> dict[str, Any] | None:
        """Return the template of an earlier revision, None when it is not known."""
        found = next((r for r in self.known if name_of(r) == name), None)
        if found is None:
            return None
        template = dict((found.get("data") or {}).get("spec", {}).get("template") or {})
        template.pop("$patch", None)
        return template


def _number(revision: Object) -> int:
    return int(revision.get("revision") or 0)


def revise(
    kind: Kind, owner: Object, revisions: Sequence[Object], used: Sequence[str], *, settled: bool
) -> Revisions:
    """Return the revisions of an owner, and what makes them complete.

    Args:
        used: Names that pods still run under; they stay.
    """
    template = spec_of(owner).get("template") or {}
    digest = template_hash(template)
    name = f"{name_of(owner)[:240]}-{digest}"
    ordered = sorted(revisions, key=lambda r: (_number(r), name_of(r)))
    others = [r for r in ordered if name_of(r) != name]
    mine = next((r for r in ordered if name_of(r) == name), None)
    number = max((_number(r) for r in others), default=0) + 1
    actions: list[Action] = []
    if mine is None:
        actions.append(Create(CONTROLLER_REVISIONS, _body(kind, owner, name, digest, number)))
    elif _number(mine) < number:
        actions.append(
            Patch(
                kind=CONTROLLER_REVISIONS, namespace=namespace_of(owner), name=name,
                patch={"revision": number},
            )
        )  # fmt: skip
    elif settled:
        idle = [r for r in others if name_of(r) not in used]
        limit = int(spec_of(owner).get("revisionHistoryLimit", 10))
        actions += [removal(CONTROLLER_REVISIONS, r) for r in idle[: max(0, len(idle) - limit)]]
    return Revisions(name, digest, tuple(actions), tuple(revisions))


def _body(kind: Kind, owner: Object, name: str, digest: str, number: int) -> dict[str, Any]:
    template = bare(spec_of(owner).get("template") or {})
    labels = {**(template["metadata"].get("labels") or {}), HASH_LABEL: digest}
    metadata: dict[str, Any] = {
        "name": name, "namespace": namespace_of(owner), "labels": labels,
        "ownerReferences": [owner_reference(kind, owner)],
    }  # fmt: skip
    if _CAUSE in annotations_of(owner):
        metadata["annotations"] = {_CAUSE: annotations_of(owner)[_CAUSE]}
    data = {"spec": {"template": {**template, "$patch": "replace"}}}
    return {"metadata": metadata, "data": data, "revision": number}
