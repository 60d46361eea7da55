"""Nodes: whether the member behind a Node is heard, by gossip's word, for people and for taints.

The agent of a host says that it is ready; this controller says so when nobody hears it, and takes
that back when it is heard again. What runs on a lost host is replaced by the controllers that own
it, from their own view: nothing that two sides of a cut write about each other decides that.

Invariants:
    HST-1  A Node goes only when its member was forgotten, never because it is silent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from controllers.builtin.pods import host_of
from controllers.runtime.actions import Action, Patch, removal, status_patch
from controllers.runtime.objects import (
    Object,
    condition_of,
    created_ms,
    is_deleting,
    name_of,
    spec_of,
    status_of,
    with_condition,
)
from controllers.runtime.registry import controller
from controllers.runtime.request import Request, Result
from controllers.runtime.scope import Scope
from controllers.runtime.view import View
from crdtstate.client.kinds import NODES, PODS

__all__ = ["HostLifeCycles", "HostsState", "plan"]

UNREACHABLE = "node.kubernetes.io/unreachable"
_SILENT, _HEARD = "MemberNotHeard", "MemberHeard"
_YOUNG_MS = 60_000
"""A Node this young may be here before its member is."""
_AGE_MS_MAX = 5_000


@final
@dataclass(frozen=True, kw_only=True)
class HostsState:
    """What a plan is made of."""

    node: Object
    view: View
    now_ms: int = 0


def plan(state: HostsState) -> list[Action]:
    """Return what to do about one Node."""
    node, view = state.node, state.view
    name = name_of(node)
    if not view.members or is_deleting(node):
        return []
    if name not in view.members:
        return _forgotten(state)
    if name in view.lost:
        return _lost(state)
    return _heard(state) if name in view.heard else []


def _forgotten(state: HostsState) -> list[Action]:
    """A member's record is in the store before its Node, so one without was forgotten."""
    old = state.now_ms - created_ms(state.node) >= _YOUNG_MS
    sure = state.view.settled and state.view.age_ms <= _AGE_MS_MAX and not state.view.minority
    return [removal(NODES, state.node)] if old and sure else []


def _condition(state: HostsState, status: str, reason: str, message: str) -> list[Action]:
    node = state.node
    conditions = with_condition(
        status_of(node).get("conditions") or [], "Ready", status, reason=reason, message=message,
        now_ms=state.now_ms,
    )  # fmt: skip
    return [*status_patch(NODES, node, {**status_of(node), "conditions": conditions})]


def _taints(node: Object, taints: Sequence[Any]) -> list[Action]:
    if list(taints) == list(spec_of(node).get("taints") or []):
        return []
    return [Patch(kind=NODES, namespace="", name=name_of(node),
                  patch={"spec": {"taints": list(taints) or None}})]  # fmt: skip


def _lost(state: HostsState) -> list[Action]:
    taints = list(spec_of(state.node).get("taints") or [])
    if not any(taint.get("key") == UNREACHABLE for taint in taints):
        taints.append({"key": UNREACHABLE, "effect": "NoSchedule"})
    text = "No member of this side of the cluster hears it."
    return [*_condition(state, "Unknown", _SILENT, text), *_taints(state.node, taints)]


def _heard(state: HostsState) -> list[Action]:
    """Take back what was said while it was silent; the rest is the agent's word."""
    actions: list[Action] = []
    ready = condition_of(state.node, "Ready")
    if ready is not None and ready.get("reason") == _SILENT:
        actions += _condition(state, "True", _HEARD, "The member is heard again.")
    taints = spec_of(state.node).get("taints") or []
    return [*actions, *_taints(state.node, [t for t in taints if t.get("key") != UNREACHABLE])]


@final
@controller(
    "nodes", of=NODES, reads=[PODS],
    indexes={PODS: {"host": lambda pod: [host_of(pod)] if host_of(pod) else []}},
)  # fmt: skip
class HostLifeCycles:
    """Reads the caches, plans, performs."""

    async def reconcile(self, request: Request, scope: Scope) -> Result:
        """Say of one Node whether its member is heard; clean up after one that was forgotten."""
        node = scope.get(NODES, request.name)
        if node is None:
            await self._clean(request.name, scope)
            return Result(_YOUNG_MS if scope.find(PODS, "host", request.name) else None)
        state = HostsState(node=node, view=scope.view, now_ms=scope.wall_ms)
        await scope.perform(plan(state))
        return Result(_YOUNG_MS if request.name not in scope.view.members else None)

    async def _clean(self, name: str, scope: Scope) -> None:
        """Remove the pods of a host that has no Node and no member: nobody else ever will."""
        view = scope.view
        if name in view.members or not view.members or not view.settled:
            return
        pods = scope.find(PODS, "host", name)
        await scope.perform(removal(PODS, pod, grace_seconds=0) for pod in pods)
