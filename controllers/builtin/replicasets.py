"""ReplicaSet: as many pods as wanted, each under a name that is a function of its slot.

A pod on a lost host is neither counted nor removed: another takes its place, under the next free
name. When the host comes back there is one too many, and the best of all stay: what has run
healthily all the time is not touched.

Invariants:
    RS-1  Two planners with the same slots free create pods of the same names.
    RS-2  Nothing is removed while the view is not settled, and never because it is not seen.
    RS-3  A plan of a world that is as wanted is empty.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, final

from controllers.builtin.names import pod_names
from controllers.builtin.performing import perform_for
from controllers.builtin.pods import (
    adopt,
    available_in_ms,
    is_active,
    is_finished,
    is_ready,
    lost_in_ms,
    orphans_by_namespace,
    pod_of,
    release,
    started_ms,
    worst_first,
)
from controllers.runtime.actions import Action, Create, Delete, Say, removal, status_patch
from controllers.runtime.damping import Budget, Damper
from controllers.runtime.objects import (
    Object,
    is_deleting,
    labels_of,
    meta,
    name_of,
    selects,
    spec_of,
    status_of,
    uid_of,
)
from controllers.runtime.registry import controller
from controllers.runtime.request import DONE, Request, Result
from controllers.runtime.scope import Scope
from crdtstate.client.kinds import PODS, REPLICA_SETS

__all__ = ["ReplicaSetState", "ReplicaSets", "plan"]

BURST_MAX = 500  # Pods made in one reconcile.
BURST_MIN = 20
FAILED_KEPT = 3
_BUDGET_MS = 2_000
_FAILED_PAUSE_MS, _FAILED_PAUSE_MS_MAX = 1_000, 60_000


@final
@dataclass(frozen=True, kw_only=True)
class ReplicaSetState:
    """What a plan is made of."""

    replica_set: Object
    pods: Sequence[Object]
    """Those that it controls."""
    orphans: Sequence[Object] = ()
    """Pods of the namespace that nobody controls."""
    is_taken: Callable[[str], bool] = lambda _name: False
    """Whether there is a pod of this name, whoever owns it."""
    lost: frozenset[str] = frozenset()
    budget: Callable[[int], int] = lambda missing: missing
    """How many of those missing may be made now."""
    settled: bool = True
    """Whether what is too much may be removed."""
    now_ms: int = 0


def plan(state: ReplicaSetState) -> tuple[list[Action], int | None]:
    """Return what to do, and in how many milliseconds to look again if nothing changes."""
    owner = state.replica_set
    selector = spec_of(owner).get("selector") or {}
    pods, actions = release(owner, state.pods, selector)
    actions += adopt(REPLICA_SETS, owner, state.orphans, selector)
    fates = {name_of(pod): lost_in_ms(pod, state.lost, state.now_ms) for pod in pods}
    counted = [pod for pod in pods if is_active(pod) and fates[name_of(pod)] != 0]
    again_ms = min((ms for ms in fates.values() if ms), default=None)
    wanted = wanted_of(owner)
    if not selects(selector, _template_labels(owner)):
        message = "spec.selector does not select the pods of spec.template: none are created"
        actions.append(
            Say(kind=REPLICA_SETS, about=owner, reason="InvalidSelector", message=message,
                warning=True)
        )  # fmt: skip
    elif not is_deleting(owner):
        missing = wanted - len(counted)
        if missing > 0:
            pause_ms = _pause_ms(pods, state.now_ms)
            if pause_ms is None:
                granted = state.budget(missing)
                actions += _creations(state, granted)
                pause_ms = _BUDGET_MS if granted < missing else None
            again_ms = min((ms for ms in (again_ms, pause_ms) if ms), default=None)
        elif missing < 0 and state.settled:
            actions += [removal(PODS, pod) for pod in worst_first(counted)[:-missing]]
        actions += _cleaning(state, pods)
    status, ready_in_ms = _status(state, counted)
    actions += status_patch(REPLICA_SETS, owner, status)
    return actions, min((ms for ms in (again_ms, ready_in_ms) if ms), default=None)


def wanted_of(owner: Object) -> int:
    """Return the pods that a ReplicaSet is asked for."""
    return int(spec_of(owner).get("replicas", 1))


def _template_labels(owner: Object) -> Mapping[str, str]:
    template = spec_of(owner).get("template") or {}
    return (template.get("metadata") or {}).get("labels") or {}


def _creations(state: ReplicaSetState, missing: int) -> list[Action]:
    owner = state.replica_set
    template = spec_of(owner).get("template") or {}
    mine = {name_of(pod) for pod in state.pods}
    free = (n for n in pod_names(name_of(owner)) if n not in mine and not state.is_taken(n))
    return [
        Create(PODS, pod_of(REPLICA_SETS, owner, template, name))
        for name in islice(free, min(missing, BURST_MAX))
    ]


def _cleaning(state: ReplicaSetState, pods: Sequence[Object]) -> list[Action]:
    """Remove all but the last few that have failed, so that a loop of failures stays small."""
    if not state.settled:
        return []
    ended = [pod for pod in pods if is_finished(pod) and not is_deleting(pod)]
    ended.sort(key=lambda pod: (started_ms(pod), name_of(pod)))
    return [removal(PODS, pod) for pod in ended[:-FAILED_KEPT]]


def _pause_ms(pods: Sequence[Object], now_ms: int) -> int | None:
    """Return how long to wait because pods fail at once, None for not at all."""
    ended = sorted(started_ms(pod) for pod in pods if is_finished(pod))
    if not ended:
        return None
    pause_ms = min(_FAILED_PAUSE_MS << (2 * len(ended)), _FAILED_PAUSE_MS_MAX)
    left_ms = ended[-1] + pause_ms - now_ms
    return min(left_ms, pause_ms) if left_ms > 0 else None


def _status(state: ReplicaSetState, counted: Sequence[Object]) -> tuple[dict[str, Any], int | None]:
    owner = state.replica_set
    spec = spec_of(owner)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    delays = [
        available_in_ms(pod, int(spec.get("minReadySeconds") or 0), state.now_ms) for pod in counted
    ]
    status: dict[str, Any] = {
        "replicas": len(counted),
        "fullyLabeledReplicas": sum(labels.items() <= labels_of(p).items() for p in counted),
        "readyReplicas": sum(is_ready(pod) for pod in counted),
        "availableReplicas": sum(delay == 0 for delay in delays),
    }
    # Counts of zero are left out, as the API server's own controllers do; `replicas` is required.
    status = {n: v for n, v in status.items() if v or n == "replicas"}
    generation = meta(owner).get("generation")
    if generation is not None:
        status["observedGeneration"] = generation
    conditions = status_of(owner).get("conditions")
    if conditions:
        status["conditions"] = conditions
    return status, min((delay for delay in delays if delay), default=None)


@final
@controller(
    "replicasets", of=REPLICA_SETS, owns=[PODS], workers=4,
    indexes={PODS: {"orphans": orphans_by_namespace}},
)  # fmt: skip
class ReplicaSets:
    """Reads the caches, plans, performs."""

    def __init__(self) -> None:
        self._removals: Damper[Request] = Damper()
        self._creations: Budget[Request] = Budget(refill_ms=30_000)

    async def reconcile(self, request: Request, scope: Scope) -> Result:
        """Bring one ReplicaSet to its number of pods."""
        owner = scope.get(REPLICA_SETS, request.name, request.namespace)
        if owner is None:
            return DONE
        epoch = uid_of(owner), wanted_of(owner)
        wait_ms = self._removals.wait_ms(request, epoch, scope.now_ms)
        state = ReplicaSetState(
            replica_set=owner, pods=scope.owned(PODS, owner),
            orphans=scope.find(PODS, "orphans", request.namespace),
            is_taken=lambda name: scope.get(PODS, name, request.namespace) is not None,
            budget=lambda missing: self._creations.take(
                request, epoch, missing, max(BURST_MIN, 2 * wanted_of(owner)), scope.now_ms
            ),
            lost=scope.view.lost, settled=scope.view.settled and not wait_ms,
            now_ms=scope.wall_ms,
        )  # fmt: skip
        actions, again_ms = plan(state)
        if any(isinstance(action, Delete) for action in actions):
            self._removals.acted(request, epoch, scope.now_ms)
        if wait_ms:
            again_ms = min(wait_ms, again_ms or wait_ms)
        await perform_for(scope, REPLICA_SETS, owner, actions)
        return Result(again_ms)
