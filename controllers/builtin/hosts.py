"""Nodes of members that were forgotten: they go, and what was bound to them.

That a member is silent is nothing that anybody writes: each peer shows its own belief. What runs on
a lost host is replaced by the controllers that own it, from their own view: nothing that two sides
of a cut write about each other decides that.

Invariants:
    HST-1  A Node goes only when its member was forgotten, never because it is silent.
"""

from dataclasses import dataclass
from typing import final

from controllers.builtin.pods import host_of
from controllers.runtime.actions import Action, removal
from controllers.runtime.objects import Object, created_ms, is_deleting, name_of
from controllers.runtime.registry import controller
from controllers.runtime.request import DONE, Request, Result
from controllers.runtime.scope import Scope
from controllers.runtime.view import View
from crdtstate.client.kinds import NODES, PODS

__all__ = ["HostLifeCycles", "HostsState", "plan"]

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
    """Remove a Node whose member was forgotten.

    A member's record is in the store before its Node, so one that has a Node and no record was
    forgotten; unless the Node is new, or the beliefs are old.
    """
    node, view = state.node, state.view
    if not view.members or name_of(node) in view.members or is_deleting(node):
        return []
    old = state.now_ms - created_ms(node) >= _YOUNG_MS
    sure = view.settled and view.age_ms <= _AGE_MS_MAX and not view.minority
    return [removal(NODES, node)] if old and sure else []


@final
@controller(
    "nodes", of=NODES, reads=[PODS],
    indexes={PODS: {"host": lambda pod: [host_of(pod)] if host_of(pod) else []}},
)  # fmt: skip
class HostLifeCycles:
    """Reads the caches, plans, performs."""

    async def reconcile(self, request: Request, scope: Scope) -> Result:
        """Clean up after a member that was forgotten."""
        node = scope.get(NODES, request.name)
        if node is None:
            await self._clean(request.name, scope)
            return Result(_YOUNG_MS if scope.find(PODS, "host", request.name) else None)
        if request.name in scope.view.members:
            return DONE
        await scope.perform(plan(HostsState(node=node, view=scope.view, now_ms=scope.wall_ms)))
        return Result(_YOUNG_MS)

    async def _clean(self, name: str, scope: Scope) -> None:
        """Remove the pods of a host that has no Node and no member: nobody else ever will."""
        view = scope.view
        if view.members and name not in view.members and view.settled:
            pods = scope.find(PODS, "host", name)
            await scope.perform(removal(PODS, pod, grace_seconds=0) for pod in pods)
