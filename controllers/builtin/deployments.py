"""Deployment: one ReplicaSet a template; a new template takes over step by step.

The name of a ReplicaSet is a function of the template, so two sides of a cut that see the same
template make the same one. Revisions are numbers that only grow: when two sides have given the same
number to two templates, the newest takes the next one.

Source: Kubernetes' deployment controller for the arithmetic of surge and unavailability.

Invariants:
    DEP-1  A step takes no more available pods away than maxUnavailable allows, and wants no more
           pods than replicas + maxSurge.
    DEP-2  A paused deployment starts nothing new; it is still scaled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from controllers.builtin.deployment_status import status_of_deployment
from controllers.builtin.performing import perform_for
from controllers.builtin.pods import adopt, orphans_by_namespace
from controllers.builtin.templates import (
    HASH_LABEL,
    REVISION_ANNOTATION,
    bare,
    share_of,
    template_hash,
)
from controllers.runtime.actions import Action, Create, Patch, removal, status_patch
from controllers.runtime.objects import (
    Object,
    annotations_of,
    created_ms,
    is_deleting,
    meta,
    name_of,
    namespace_of,
    owner_reference,
    spec_of,
    status_of,
)
from controllers.runtime.registry import controller
from controllers.runtime.request import DONE, Request, Result
from controllers.runtime.scope import Scope
from crdtstate.client.kinds import DEPLOYMENTS, REPLICA_SETS

__all__ = ["DeploymentState", "Deployments", "plan"]

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@final
@dataclass(frozen=True, kw_only=True)
class DeploymentState:
    """What a plan is made of."""

    deployment: Object
    replica_sets: Sequence[Object]
    """Those that it controls."""
    orphans: Sequence[Object] = ()
    """ReplicaSets of the namespace that nobody controls."""
    settled: bool = True
    now_ms: int = 0


def plan(state: DeploymentState) -> tuple[list[Action], int | None]:
    """Return what to do, and in how many milliseconds to look again if nothing changes."""
    owner = state.deployment
    sets = sorted(state.replica_sets, key=lambda rs: (created_ms(rs), name_of(rs)))
    new = _current(owner, sets)
    old = [rs for rs in sets if rs is not new]
    selector = spec_of(owner).get("selector") or {}
    actions = adopt(DEPLOYMENTS, owner, state.orphans, selector, child=REPLICA_SETS)
    if not is_deleting(owner) and not actions:
        if spec_of(owner).get("paused"):
            actions += _scale_in_proportion(owner, new, old)
        else:
            actions += _roll(owner, new, old)
            if state.settled:
                actions += _forget_history(owner, new, old)
    status, again_ms = status_of_deployment(owner, new, old, state.now_ms)
    actions += status_patch(DEPLOYMENTS, owner, status)
    revision = annotations_of(new).get(REVISION_ANNOTATION) if new is not None else None
    if revision is not None and annotations_of(owner).get(REVISION_ANNOTATION) != revision:
        actions.append(_annotated(owner, revision, deployment=True))
    return actions, again_ms


def _current(owner: Object, sets: Sequence[Object]) -> Object | None:
    template = bare(spec_of(owner).get("template") or {})
    name = _set_name(owner)
    same = [
        rs
        for rs in sets
        if bare(spec_of(rs).get("template") or {}) == template or name_of(rs) == name
    ]
    return same[0] if same else None


def _set_name(owner: Object) -> str:
    return f"{name_of(owner)[:240]}-{template_hash(spec_of(owner).get('template') or {})}"


def wanted_of(replica_set: Object) -> int:
    """Return the replicas that a ReplicaSet is asked for."""
    return int(spec_of(replica_set).get("replicas", 1))


def available_of(replica_set: Object) -> int:
    """Return the available pods that a ReplicaSet reports."""
    return int(status_of(replica_set).get("availableReplicas", 0))


def _replicas(owner: Object) -> int:
    return int(spec_of(owner).get("replicas", 1))


def _bounds(owner: Object) -> tuple[int, int]:
    """Return (surge, unavailable)."""
    strategy = spec_of(owner).get("strategy") or {}
    rolling = strategy.get("rollingUpdate") or {}
    replicas = _replicas(owner)
    surge = share_of(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = share_of(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    return surge, unavailable if surge or unavailable else 1


# -- a step of a roll-out --------------------------------------------------------------------------


def _roll(owner: Object, new: Object | None, old: Sequence[Object]) -> list[Action]:
    recreate = (spec_of(owner).get("strategy") or {}).get("type") == "Recreate"
    actions: list[Action] = []
    replicas, before = _replicas(owner), wanted_of(new) if new is not None else 0
    if recreate:
        there = sum(int(status_of(rs).get("replicas", 0)) + wanted_of(rs) for rs in old)
        goal = min(replicas, before) if there else replicas
    else:
        total = sum(map(wanted_of, old)) + before
        goal = min(replicas, before + max(0, replicas + _bounds(owner)[0] - total))
    if new is None:
        actions.append(_creation(owner, goal, _next_revision(old)))
    else:
        revision = _next_revision(old)
        if int(annotations_of(new).get(REVISION_ANNOTATION, "0")) < revision:
            actions.append(_annotated(new, str(revision), deployment=False))
        actions += _scaled(new, goal)
    if recreate:
        return actions + [action for rs in old for action in _scaled(rs, 0)]
    return actions + _shrink(owner, new, old)


def _shrink(owner: Object, new: Object | None, old: Sequence[Object]) -> list[Action]:
    """Scale old sets down, those pods first that are of no use."""
    replicas, (_, unavailable) = _replicas(owner), _bounds(owner)
    fewest = replicas - unavailable
    new_wanted = wanted_of(new) if new is not None else 0
    new_available = available_of(new) if new is not None else 0
    new_missing = max(0, new_wanted - new_available)
    left = sum(map(wanted_of, old)) + new_wanted - fewest - new_missing
    goals = {name_of(rs): wanted_of(rs) for rs in old}
    for rs in old:  # The oldest first.
        useless = max(0, goals[name_of(rs)] - available_of(rs))
        taken = max(0, min(left, useless))
        goals[name_of(rs)] -= taken
        left -= taken
    spare = sum(min(available_of(rs), wanted_of(rs)) for rs in old) + new_available - fewest
    for rs in old:
        taken = max(0, min(left, spare, goals[name_of(rs)]))
        goals[name_of(rs)] -= taken
        left, spare = left - taken, spare - taken
    return [action for rs in old for action in _scaled(rs, goals[name_of(rs)])]


def _scale_in_proportion(owner: Object, new: Object | None, old: Sequence[Object]) -> list[Action]:
    """Give or take what the wish has changed by, without going on with the roll-out."""
    sets = [*old, *([new] if new is not None else [])]
    surge = _bounds(owner)[0] if any(map(wanted_of, old)) and len(sets) > 1 else 0
    goals = {name_of(rs): wanted_of(rs) for rs in sets}
    total, replicas = sum(goals.values()), _replicas(owner)
    if not sets:
        return []
    if total < replicas:
        fullest = max(sets, key=lambda rs: (wanted_of(rs), created_ms(rs), name_of(rs)))
        goals[name_of(fullest)] += replicas - total
    excess = total - (replicas + surge)
    for rs in sets:
        taken = max(0, min(excess, goals[name_of(rs)]))
        goals[name_of(rs)] -= taken
        excess -= taken
    return [action for rs in sets for action in _scaled(rs, goals[name_of(rs)])]


def _scaled(replica_set: Object, goal: int) -> list[Action]:
    if wanted_of(replica_set) == goal:
        return []
    return [
        Patch(
            kind=REPLICA_SETS, namespace=namespace_of(replica_set), name=name_of(replica_set),
            patch={"spec": {"replicas": goal}},
        )
    ]  # fmt: skip


# -- history ---------------------------------------------------------------------------------------


def _next_revision(old: Sequence[Object]) -> int:
    given = [annotations_of(rs).get(REVISION_ANNOTATION, "") for rs in old]
    return max((int(text) for text in given if text.isdigit()), default=0) + 1


def _annotated(body: Object, revision: str, *, deployment: bool) -> Patch:
    return Patch(
        kind=DEPLOYMENTS if deployment else REPLICA_SETS, namespace=namespace_of(body),
        name=name_of(body), patch={"metadata": {"annotations": {REVISION_ANNOTATION: revision}}},
    )  # fmt: skip


def _creation(owner: Object, replicas: int, revision: int) -> Create:
    spec = spec_of(owner)
    template: Mapping[str, Any] = spec.get("template") or {}
    digest = template_hash(template)
    metadata = template.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), HASH_LABEL: digest}
    selector = spec.get("selector") or {}
    annotations = {n: v for n, v in annotations_of(owner).items() if n != _LAST_APPLIED}
    wanted: dict[str, Any] = {
        "replicas": replicas,
        "selector": {
            **selector,
            "matchLabels": {**(selector.get("matchLabels") or {}), HASH_LABEL: digest},
        },
        "template": {**template, "metadata": {**metadata, "labels": labels}},
    }
    if spec.get("minReadySeconds"):
        wanted["minReadySeconds"] = spec["minReadySeconds"]
    return Create(
        REPLICA_SETS,
        {
            "metadata": {
                "name": _set_name(owner),
                "namespace": namespace_of(owner),
                "labels": labels,
                "annotations": {**annotations, REVISION_ANNOTATION: str(revision)},
                "ownerReferences": [owner_reference(DEPLOYMENTS, owner)],
            },
            "spec": wanted,
        },
    )


def _forget_history(owner: Object, new: Object | None, old: Sequence[Object]) -> list[Action]:
    """Remove the oldest sets without pods beyond the limit, once the roll-out is through."""
    if new is None or available_of(new) < _replicas(owner):
        return []
    idle = [
        rs
        for rs in old
        if not wanted_of(rs)
        and not status_of(rs).get("replicas")
        and not is_deleting(rs)
        and status_of(rs).get("observedGeneration") == meta(rs).get("generation")
    ]
    limit = int(spec_of(owner).get("revisionHistoryLimit", 10))
    return [removal(REPLICA_SETS, rs) for rs in idle[: max(0, len(idle) - limit)]]


@final
@controller(
    "deployments", of=DEPLOYMENTS, owns=[REPLICA_SETS], workers=4,
    indexes={REPLICA_SETS: {"orphans": orphans_by_namespace}},
)  # fmt: skip
class Deployments:
    """Reads the caches, plans, performs."""

    async def reconcile(self, request: Request, scope: Scope) -> Result:
        """Take one Deployment a step further."""
        owner = scope.get(DEPLOYMENTS, request.name, request.namespace)
        if owner is None:
            return DONE
        state = DeploymentState(
            deployment=owner, replica_sets=scope.owned(REPLICA_SETS, owner),
            orphans=scope.find(REPLICA_SETS, "orphans", request.namespace),
            settled=scope.view.settled, now_ms=scope.wall_ms,
        )  # fmt: skip
        actions, again_ms = plan(state)
        await perform_for(scope, DEPLOYMENTS, owner, actions)
        return Result(again_ms)
