"""Scheduler: which host a pod is bound to. A pure function of pods and hosts, without chance.

All pods that wait are one key, so that one peer of those that hear each other decides for all; two
sides of a cut decide each for itself, and where both bind one pod the store keeps one of the two.
The agent of the host has the final word: a pod that does not fit is failed by it, and replaced.

Invariants:
    SCH-1  The same pods and hosts give the same bindings, whatever the order they come in.
    SCH-2  No host is given more than it says it can take, of all that is known here.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, final

from controllers.builtin import fitting
from controllers.builtin.fitting import HostState, hosts_of, requests_of
from controllers.builtin.pods import host_of, is_active
from controllers.runtime.actions import Action, Patch, Say, status_patch
from controllers.runtime.cache import Change
from controllers.runtime.mapping import Caches
from controllers.runtime.objects import (
    Object,
    condition_of,
    created_ms,
    meta,
    name_of,
    namespace_of,
    spec_of,
    status_of,
    uid_of,
    with_condition,
)
from controllers.runtime.registry import Watch, controller
from controllers.runtime.request import DONE, Request, Result
from controllers.runtime.scope import Scope
from controllers.runtime.sharding import weight
from controllers.runtime.view import View
from crdtstate.client.kinds import NODES, PODS

__all__ = ["Scheduler", "SchedulerState", "plan"]

WAITING = Request("", "waiting")
_NAME = "default-scheduler"
_BATCH = 50  # Pods bound in one reconcile; it bounds how long the event loop waits.
_AGAIN_MS = 15_000


@final
@dataclass(frozen=True, kw_only=True)
class SchedulerState:
    """What a plan is made of."""

    waiting: Sequence[Object]
    """Pods that are bound to no host."""
    bound: Iterable[Object]
    nodes: Sequence[Object]
    silent: frozenset[str] = frozenset()
    """Members that are not heard: nothing new goes there."""
    now_ms: int = 0


def plan(state: SchedulerState) -> list[Action]:
    """Bind what can be bound, and say why the rest cannot. Cost: O(bound + waiting x hosts)."""
    hosts = hosts_of(sorted(state.nodes, key=name_of), state.bound)
    actions: list[Action] = []
    for pod in sorted(state.waiting, key=_turn)[:_BATCH]:
        chosen, reasons = _choose(pod, hosts, state.silent)
        if chosen is None:
            actions += _unschedulable(pod, reasons, len(hosts), state.now_ms)
        else:
            chosen.add(pod)
            actions.append(_binding(pod, chosen))
    return actions


def _turn(pod: Object) -> tuple[Any, ...]:
    priority = int(spec_of(pod).get("priority") or 0)
    return (-priority, created_ms(pod), namespace_of(pod), name_of(pod))


def _binding(pod: Object, host: HostState) -> Patch:
    metadata = {"resourceVersion": meta(pod)["resourceVersion"]}
    return Patch(
        kind=PODS, namespace=namespace_of(pod), name=name_of(pod),
        patch={"metadata": metadata, "spec": {"nodeName": name_of(host.node)}},
    )  # fmt: skip


def _choose(
    pod: Object, hosts: Mapping[str, HostState], silent: frozenset[str]
) -> tuple[HostState | None, Counter[str]]:
    wanted = requests_of(pod)
    reasons: Counter[str] = Counter()
    fitting_hosts = []
    for host in hosts.values():
        why = _refusal(pod, host, hosts, silent, wanted)
        if why is None:
            fitting_hosts.append(host)
        else:
            reasons[why] += 1
    best = max(fitting_hosts, key=lambda host: _score(pod, host, hosts, wanted), default=None)
    return best, reasons


def _refusal(
    pod: Object,
    host: HostState,
    hosts: Mapping[str, HostState],
    silent: frozenset[str],
    wanted: Mapping[str, Decimal],
) -> str | None:
    """Return why a pod may not run on a host, None when it may."""
    node = host.node
    if name_of(node) in silent:
        return "node(s) were not heard from"
    ready = condition_of(node, "Ready")
    if ready is not None and ready.get("status") != "True":
        return "node(s) were not ready"
    if spec_of(node).get("unschedulable") and not fitting.tolerates(
        pod, {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    ):
        return "node(s) were unschedulable"
    if not fitting.selected(pod, node):
        return "node(s) didn't match Pod's node affinity/selector"
    for taint in spec_of(node).get("taints") or []:
        if taint.get("effect") != "PreferNoSchedule" and not fitting.tolerates(pod, taint):
            return f"node(s) had untolerated taint {{{taint.get('key')}: {taint.get('value', '')}}}"
    scarce = host.lacks(wanted)
    if scarce is not None:
        return "Too many pods" if scarce == "pods" else f"Insufficient {scarce}"
    return _refusal_by_pods(pod, host, hosts)


def _refusal_by_pods(pod: Object, host: HostState, hosts: Mapping[str, HostState]) -> str | None:
    everywhere = list(hosts.values())
    for term in fitting.terms(pod, "podAffinity", "required"):
        here = fitting.matches_in(pod, term, host, everywhere)
        # The first of its kind has nobody to be near to.
        first = fitting.is_meant(pod, term, pod) and not any(
            fitting.matches_in(pod, term, other, everywhere) for other in everywhere
        )
        if not here and not first:
            return "node(s) didn't match pod affinity rules"
    for term in fitting.terms(pod, "podAntiAffinity", "required"):
        if fitting.matches_in(pod, term, host, everywhere):
            return "node(s) didn't match pod anti-affinity rules"
    for constraint in spec_of(pod).get("topologySpreadConstraints") or []:
        if constraint.get("whenUnsatisfiable") == "ScheduleAnyway":
            continue
        where = fitting.domain(host, str(constraint.get("topologyKey", fitting.HOSTNAME)))
        counts = fitting.spread_counts(pod, constraint, everywhere)
        if where is None:
            return "node(s) didn't have the label of a topology spread constraint"
        if counts[where] + 1 - min(counts.values()) > int(constraint.get("maxSkew", 1)):
            return "node(s) didn't match pod topology spread constraints"
    return None


def _score(
    pod: Object, host: HostState, hosts: Mapping[str, HostState], wanted: Mapping[str, Decimal]
) -> tuple[Any, ...]:
    """Return what a host is worth; the greatest is chosen. The last part breaks ties evenly."""
    everywhere = list(hosts.values())
    preferred = fitting.affinity_score(pod, host.node)
    for which, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
        for row in fitting.terms(pod, which, "preferred"):
            count = fitting.matches_in(pod, row.get("podAffinityTerm") or {}, host, everywhere)
            preferred += sign * int(row.get("weight", 1)) * min(count, 1)
    skew = 0
    for constraint in spec_of(pod).get("topologySpreadConstraints") or []:
        where = fitting.domain(host, str(constraint.get("topologyKey", fitting.HOSTNAME)))
        skew -= fitting.spread_counts(pod, constraint, everywhere).get(where or "", 0)
    avoided = sum(
        taint.get("effect") == "PreferNoSchedule" and not fitting.tolerates(pod, taint)
        for taint in spec_of(host.node).get("taints") or []
    )
    name = name_of(host.node)
    return (
        -avoided, preferred, skew, -host.siblings(pod), -host.load(wanted), -len(host.pods),
        weight(name, uid_of(pod)), name,
    )  # fmt: skip


def _unschedulable(pod: Object, reasons: Counter[str], hosts: int, now_ms: int) -> list[Action]:
    listed = ", ".join(f"{count} {why}" for why, count in sorted(reasons.items()))
    message = f"0/{hosts} nodes are available: {listed or 'there is no node'}."
    conditions = with_condition(
        status_of(pod).get("conditions") or [], "PodScheduled", "False",
        reason="Unschedulable", message=message, now_ms=now_ms,
    )  # fmt: skip
    said = Say(kind=PODS, about=pod, reason="FailedScheduling", message=message, warning=True)
    return [*status_patch(PODS, pod, {**status_of(pod), "conditions": conditions}), said]


# -- reconciling -----------------------------------------------------------------------------------


def is_waiting(pod: Object) -> bool:
    """Whether a pod is ours to bind."""
    ours = spec_of(pod).get("schedulerName") in (None, "", _NAME)
    return ours and not host_of(pod) and is_active(pod) and not spec_of(pod).get("schedulingGates")


def _concerns(change: Change, caches: Caches) -> Iterable[Request]:
    """A pod that waits, or one that goes while others wait."""
    after = change.after
    if after is not None and is_waiting(after):
        return [WAITING]
    ended = after is None or not is_active(after)
    return [WAITING] if ended and caches[PODS].find("waiting", "") else []


@final
@controller(
    "scheduler", of=NODES, watches=[Watch(PODS, _concerns)], workers=1,
    indexes={PODS: {"waiting": lambda pod: [""] if is_waiting(pod) else []}},
    mapper=lambda _change, _caches: [WAITING],
)  # fmt: skip
class Scheduler:
    """Reads the caches, plans, performs. All that waits is one key."""

    async def reconcile(self, request: Request, scope: Scope) -> Result:
        """Bind what waits."""
        waiting = scope.find(PODS, "waiting", "")
        if not waiting:
            return DONE
        state = SchedulerState(
            waiting=waiting, bound=(p for p in scope.list(PODS) if host_of(p)),
            nodes=scope.list(NODES), silent=_silent(scope.view), now_ms=scope.wall_ms,
        )  # fmt: skip
        await scope.perform(plan(state))
        return Result(_AGAIN_MS if len(waiting) <= _BATCH else 0)


def _silent(view: View) -> frozenset[str]:
    return frozenset(view.silent_ms)
