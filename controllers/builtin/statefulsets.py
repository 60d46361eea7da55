"""StatefulSet: pods with stable names, started and updated in order.

Another pod never takes the place of one on a lost host, unless the object says with the annotation
crdtstate.io/policy when that is wanted: the host may only be cut off, and then there are two.

Invariants:
    STS-1  In order, a pod is created only when all before it are available.
    STS-2  A pod on a lost host is replaced only where the object's policy was given, and allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from controllers.builtin.performing import perform_for
from controllers.builtin.pods import (
    host_of,
    is_active,
    is_available,
    is_finished,
    is_ready,
    lost_in_ms,
    pod_of,
)
from controllers.builtin.revisions import HASH_LABEL, Revisions, revise
from controllers.builtin.templates import share_of
from controllers.runtime.actions import Action, Create, removal, status_patch
from controllers.runtime.objects import (
    Object,
    annotations_of,
    is_deleting,
    labels_of,
    meta,
    name_of,
    spec_of,
    status_of,
)
from controllers.runtime.registry import controller
from controllers.runtime.request import DONE, Request, Result
from controllers.runtime.scope import Scope
from controllers.runtime.view import POLICY_ANNOTATION
from crdtstate.client.kinds import CONTROLLER_REVISIONS, PODS, STATEFUL_SETS

__all__ = ["StatefulSetState", "StatefulSets", "plan"]

_NAME_LABEL, _INDEX_LABEL = "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"
_AGAIN_MS = 1_000


@final
@dataclass(frozen=True, kw_only=True)
class StatefulSetState:
    """What a plan is made of."""

    stateful_set: Object
    pods: Sequence[Object]
    revisions: Sequence[Object]
    lost: frozenset[str] = frozenset()
    settled: bool = True
    now_ms: int = 0


def plan(state: StatefulSetState) -> list[Action]:
    """Return what to do."""
    owner = state.stateful_set
    used = [f"{name_of(owner)[:240]}-{labels_of(p).get(HASH_LABEL, '')}" for p in state.pods]
    before = str(status_of(owner).get("currentRevision") or "")
    revisions = revise(
        STATEFUL_SETS, owner, state.revisions, [*used, before], settled=state.settled
    )
    actions = [*revisions.actions]
    if not is_deleting(owner):
        actions += _steps(state, revisions, before or revisions.current)
    return [*actions, *status_patch(STATEFUL_SETS, owner, _status(state, revisions, before))]


def _ordinals(owner: Object) -> range:
    start = int((spec_of(owner).get("ordinals") or {}).get("start", 0))
    return range(start, start + int(spec_of(owner).get("replicas", 1)))


def _is_fine(state: StatefulSetState, pod: Object) -> bool:
    min_ready_s = int(spec_of(state.stateful_set).get("minReadySeconds") or 0)
    return is_active(pod) and is_available(pod, min_ready_s, state.now_ms)


def _steps(state: StatefulSetState, revisions: Revisions, before: str) -> list[Action]:
    owner = state.stateful_set
    parallel = spec_of(owner).get("podManagementPolicy") == "Parallel"
    pods = {name_of(pod): pod for pod in state.pods}
    actions: list[Action] = []
    for ordinal in _ordinals(owner):
        name = f"{name_of(owner)}-{ordinal}"
        pod = pods.pop(name, None)
        step = _step(state, pod, ordinal, revisions, before)
        actions += step
        blocks = bool(step) or pod is None or not _is_fine(state, pod)
        if blocks and not parallel:
            return actions
    if actions or not state.settled:
        return actions
    surplus = sorted(pods.values(), key=lambda pod: -_ordinal(pod))
    if surplus:
        doomed = surplus if parallel else surplus[:1]
        return [removal(PODS, pod) for pod in doomed if not is_deleting(pod)]
    return _update(state, revisions)


def _ordinal(pod: Object) -> int:
    text = name_of(pod).rpartition("-")[2]
    return int(text) if text.isdigit() else -1


def _step(
    state: StatefulSetState, pod: Object | None, ordinal: int, revisions: Revisions, before: str
) -> list[Action]:
    """Return what one ordinal needs now: a pod, or the end of one that is of no more use."""
    owner = state.stateful_set
    if pod is None:
        return [_creation(owner, ordinal, revisions, before)]
    if is_deleting(pod):
        return []
    if is_finished(pod):
        return [removal(PODS, pod)]
    lost = lost_in_ms(pod, state.lost, state.now_ms) == 0
    if lost and POLICY_ANNOTATION in annotations_of(owner):
        # That the policy allows it was asked before this plan was made.
        return [removal(PODS, pod, grace_seconds=0)]
    return []


def _creation(owner: Object, ordinal: int, revisions: Revisions, before: str) -> Create:
    template = spec_of(owner).get("template") or {}
    digest = revisions.digest
    if ordinal < _partition(owner):
        earlier = revisions.template_of(before)
        if earlier is not None:
            template, digest = earlier, before.rpartition("-")[2]
    name = f"{name_of(owner)}-{ordinal}"
    labels = {_NAME_LABEL: name, _INDEX_LABEL: str(ordinal), HASH_LABEL: digest}
    spec: dict[str, Any] = {"hostname": name}
    if spec_of(owner).get("serviceName"):
        spec["subdomain"] = spec_of(owner)["serviceName"]
    return Create(PODS, pod_of(STATEFUL_SETS, owner, template, name, labels=labels, spec=spec))


def _strategy(owner: Object) -> tuple[bool, int, int]:
    """Return (whether to update, the partition, how many may be away)."""
    strategy = spec_of(owner).get("updateStrategy") or {}
    rolling = strategy.get("rollingUpdate") or {}
    most = share_of(rolling.get("maxUnavailable", 1), len(_ordinals(owner)), up=True)
    return (
        strategy.get("type", "RollingUpdate") == "RollingUpdate",
        int(rolling.get("partition", 0)),
        max(1, most),
    )


def _partition(owner: Object) -> int:
    updates, partition, _ = _strategy(owner)
    return partition if updates else 0


def _update(state: StatefulSetState, revisions: Revisions) -> list[Action]:
    updates, partition, most = _strategy(state.stateful_set)
    if not updates:
        return []
    away = sum(not _is_fine(state, pod) for pod in state.pods)
    actions: list[Action] = []
    for pod in sorted(state.pods, key=lambda pod: -_ordinal(pod)):
        old = labels_of(pod).get(HASH_LABEL) != revisions.digest
        if old and _ordinal(pod) >= partition and away < most and not is_deleting(pod):
            actions.append(removal(PODS, pod))
            away += 1
        elif not _is_fine(state, pod) and not old:
            break  # One that has been updated is waited for.
    return actions


def _status(state: StatefulSetState, revisions: Revisions, before: str) -> dict[str, Any]:
    owner = state.stateful_set
    pods = [pod for pod in state.pods if is_active(pod)]
    wanted = len(_ordinals(owner))
    here = [pod for pod in pods if host_of(pod) not in state.lost]
    updated = [pod for pod in pods if labels_of(pod).get(HASH_LABEL) == revisions.digest]
    through = len(updated) == len(pods) == wanted and all(map(is_ready, updated))
    current = revisions.current if through or not before else before
    old = [p for p in pods if labels_of(p).get(HASH_LABEL) == current.rpartition("-")[2]]
    status: dict[str, Any] = {
        "replicas": len(pods),
        "readyReplicas": sum(is_ready(pod) for pod in here),
        "availableReplicas": sum(_is_fine(state, pod) for pod in here),
        "currentReplicas": len(old),
        "updatedReplicas": len(updated),
    }
    status = {n: v for n, v in status.items() if v or n in ("replicas", "availableReplicas")}
    status |= {"currentRevision": current, "updateRevision": revisions.current}
    status["collisionCount"] = 0
    generation = meta(owner).get("generation")
    if generation is not None:
        status["observedGeneration"] = generation
    conditions = status_of(owner).get("conditions")
    if conditions:  # None are its own; those of others stay.
        status["conditions"] = conditions
    return status


@final
@controller("statefulsets", of=STATEFUL_SETS, owns=[PODS, CONTROLLER_REVISIONS], workers=4)
class StatefulSets:
    """Reads the caches, plans, performs."""

    async def reconcile(self, request: Request, scope: Scope) -> Result:
        """Take one StatefulSet a step further."""
        owner = scope.get(STATEFUL_SETS, request.name, request.namespace)
        if owner is None:
            return DONE
        state = StatefulSetState(
            stateful_set=owner, pods=scope.owned(PODS, owner),
            revisions=scope.owned(CONTROLLER_REVISIONS, owner),
            lost=scope.view.lost, settled=scope.view.settled, now_ms=scope.wall_ms,
        )  # fmt: skip
        await perform_for(scope, STATEFUL_SETS, owner, plan(state))
        waits = bool(spec_of(owner).get("minReadySeconds"))
        return Result(_AGAIN_MS if waits and any(map(is_ready, state.pods)) else None)
