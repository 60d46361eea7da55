"""DaemonSet: one pod on every host that it fits, bound when it is made.

The name is a function of the DaemonSet and the host, and the pod is made with its host, so that two
sides of a cut never bind one pod twice.

Invariants:
    DS-1  At most one active pod of a DaemonSet is wanted on a host.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from controllers.builtin import fitting
from controllers.builtin.names import slot_name
from controllers.builtin.performing import perform_for
from controllers.builtin.pods import (
    host_of,
    is_active,
    is_available,
    is_finished,
    is_ready,
    pod_of,
    started_ms,
    worst_first,
)
from controllers.builtin.revisions import HASH_LABEL, Revisions, revise
from controllers.builtin.templates import share_of
from controllers.runtime.actions import Action, Create, removal, status_patch
from controllers.runtime.mapping import everyone
from controllers.runtime.objects import (
    Object,
    is_deleting,
    labels_of,
    meta,
    name_of,
    spec_of,
    status_of,
)
from controllers.runtime.predicates import any_of, metadata_changed, spec_changed
from controllers.runtime.registry import Watch, controller
from controllers.runtime.request import DONE, Request, Result
from controllers.runtime.scope import Scope
from crdtstate.client.kinds import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS

__all__ = ["DaemonSetState", "DaemonSets", "plan"]

_ALWAYS_TOLERATED: Sequence[Mapping[str, Any]] = [
    {"key": f"node.kubernetes.io/{name}", "operator": "Exists"}
    for name in ("not-ready", "unreachable", "unschedulable", "disk-pressure", "memory-pressure")
]
_RETRY_MS = 10_000  # A pod that failed is replaced, but not at once for ever.


@final
@dataclass(frozen=True, kw_only=True)
class DaemonSetState:
    """What a plan is made of."""

    daemon_set: Object
    pods: Sequence[Object]
    nodes: Sequence[Object]
    revisions: Sequence[Object]
    lost: frozenset[str] = frozenset()
    settled: bool = True
    now_ms: int = 0


def plan(state: DaemonSetState) -> tuple[list[Action], int | None]:
    """Return what to do, and in how many milliseconds to look again if nothing changes."""
    owner = state.daemon_set
    used = [f"{name_of(owner)[:240]}-{labels_of(p).get(HASH_LABEL, '')}" for p in state.pods]
    revisions = revise(DAEMON_SETS, owner, state.revisions, used, settled=state.settled)
    actions, again_ms = [*revisions.actions], None
    eligible = [name_of(node) for node in state.nodes if _fits(owner, node)]
    on: dict[str, list[Object]] = {}
    for pod in state.pods:
        on.setdefault(host_of(pod), []).append(pod)
    if not is_deleting(owner):
        steps, again_ms = _steps(state, eligible, on, revisions)
        actions += steps
    status = _status(state, eligible, on, revisions)
    return [*actions, *status_patch(DAEMON_SETS, owner, status)], again_ms


def _fits(owner: Object, node: Object) -> bool:
    template = spec_of(owner).get("template") or {}
    pod = {"metadata": template.get("metadata") or {}, "spec": template.get("spec") or {}}
    if not fitting.selected(pod, node):
        return False
    return all(
        taint.get("effect") == "PreferNoSchedule"
        or fitting.tolerates(pod, taint, *_ALWAYS_TOLERATED)
        for taint in spec_of(node).get("taints") or []
    )


def _steps(
    state: DaemonSetState,
    eligible: Sequence[str],
    on: Mapping[str, Sequence[Object]],
    revisions: Revisions,
) -> tuple[list[Action], int | None]:
    actions: list[Action] = []
    again_ms: int | None = None
    for host in eligible:
        here = on.get(host, [])
        active = [pod for pod in here if is_active(pod)]
        failed = [pod for pod in here if is_finished(pod) and not is_deleting(pod)]
        if not here:
            actions.append(_creation(state.daemon_set, host, revisions))
        for pod in failed:
            left_ms = started_ms(pod) + _RETRY_MS - state.now_ms
            if left_ms > 0:
                again_ms = min(left_ms, _RETRY_MS)
            else:
                actions.append(removal(PODS, pod))
        if state.settled:
            actions += [removal(PODS, pod) for pod in worst_first(active)[:-1]]
    if state.settled:
        for host in sorted(on.keys() - set(eligible) - {""}):
            known = any(name_of(node) == host for node in state.nodes)
            actions += [removal(PODS, p) for p in on[host] if known and not is_deleting(p)]
        actions += _update(state, eligible, on, revisions)
    return actions, again_ms


def _creation(owner: Object, host: str, revisions: Revisions) -> Create:
    template = spec_of(owner).get("template") or {}
    tolerations = [*((template.get("spec") or {}).get("tolerations") or []), *_ALWAYS_TOLERATED]
    spec = {"nodeName": host, "tolerations": tolerations}
    labels = {HASH_LABEL: revisions.digest}
    name = slot_name(name_of(owner), host)
    return Create(PODS, pod_of(DAEMON_SETS, owner, template, name, labels=labels, spec=spec))


def _min_ready_s(owner: Object) -> int:
    return int(spec_of(owner).get("minReadySeconds") or 0)


def _update(
    state: DaemonSetState,
    eligible: Sequence[str],
    on: Mapping[str, Sequence[Object]],
    revisions: Revisions,
) -> list[Action]:
    """Remove pods of older templates, as many as may be away; lost hosts do not count."""
    owner = state.daemon_set
    strategy = spec_of(owner).get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return []
    rolling = strategy.get("rollingUpdate") or {}
    most = max(1, share_of(rolling.get("maxUnavailable", 1), len(eligible), up=True))
    hosts = [host for host in eligible if host not in state.lost]
    fine = {
        host
        for host in hosts
        if any(
            is_active(pod) and is_available(pod, _min_ready_s(owner), state.now_ms)
            for pod in on.get(host, [])
        )
    }
    old = [
        (host in fine, host, pod)
        for host in hosts
        for pod in on.get(host, [])
        if is_active(pod) and labels_of(pod).get(HASH_LABEL) != revisions.digest
    ]
    actions: list[Action] = []
    away = len(hosts) - len(fine)
    for was_fine, _, pod in sorted(old, key=lambda row: row[:2]):
        if was_fine and away >= most:
            break
        away += was_fine
        actions.append(removal(PODS, pod))
    return actions


def _status(
    state: DaemonSetState,
    eligible: Sequence[str],
    on: Mapping[str, Sequence[Object]],
    revisions: Revisions,
) -> dict[str, Any]:
    owner = state.daemon_set
    active = {host: [p for p in pods if is_active(p)] for host, pods in on.items()}
    here = {host: pods for host, pods in active.items() if host not in state.lost}
    ready = sum(any(map(is_ready, here.get(host, []))) for host in eligible)
    available = sum(
        any(is_available(p, _min_ready_s(owner), state.now_ms) for p in here.get(host, []))
        for host in eligible
    )
    updated = sum(
        any(labels_of(p).get(HASH_LABEL) == revisions.digest for p in active.get(host, []))
        for host in eligible
    )
    status: dict[str, Any] = {
        "currentNumberScheduled": sum(bool(active.get(host)) for host in eligible),
        "desiredNumberScheduled": len(eligible),
        "numberReady": ready,
        "numberMisscheduled": sum(bool(p) for h, p in active.items() if h not in eligible and h),
    }
    more = {
        "numberAvailable": available,
        "numberUnavailable": len(eligible) - available,
        "updatedNumberScheduled": updated,
    }
    status |= {name: count for name, count in more.items() if count}
    generation = meta(owner).get("generation")
    if generation is not None:
        status["observedGeneration"] = generation
    if status_of(owner).get("conditions"):
        status["conditions"] = status_of(owner)["conditions"]
    return status


@final
@controller(
    "daemonsets", of=DAEMON_SETS, owns=[PODS, CONTROLLER_REVISIONS], workers=4,
    watches=[Watch(NODES, everyone(DAEMON_SETS), any_of(spec_changed, metadata_changed))],
)  # fmt: skip
class DaemonSets:
    """Reads the caches, plans, performs."""

    async def reconcile(self, request: Request, scope: Scope) -> Result:
        """Bring one DaemonSet to its hosts."""
        owner = scope.get(DAEMON_SETS, request.name, request.namespace)
        if owner is None:
            return DONE
        state = DaemonSetState(
            daemon_set=owner, pods=scope.owned(PODS, owner), nodes=scope.list(NODES),
            revisions=scope.owned(CONTROLLER_REVISIONS, owner),
            lost=scope.view.lost, settled=scope.view.settled, now_ms=scope.wall_ms,
        )  # fmt: skip
        actions, again_ms = plan(state)
        await perform_for(scope, DAEMON_SETS, owner, actions)
        waits = bool(_min_ready_s(owner)) and any(map(is_ready, state.pods))
        return Result(again_ms or (1_000 if waits else None))
