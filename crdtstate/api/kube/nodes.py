"""EDGE: Nodes as this peer believes them to be: one whose member is silent is not Ready.

Each Node is written by its own peer, and only when something of it changes; nobody renews a lease,
so idle peers stay silent. Whether a member is heard from is what gossip knows, and the two sides of
a cut know differently. So it is never written: each peer adds it to what it shows, as an event of
its own, and takes it back when the member is heard again.

Source: Kubernetes' node lifecycle: Ready becomes Unknown.

Invariants:
    NOD-1  A belief makes no write: the record of a Node stays as its own peer left it.
    NOD-2  While no Node and no belief changes, nothing is told.
"""

import asyncio
import contextlib
from typing import Any, final

from crdtstate.api.kube.feed import Feed
from crdtstate.errors import CrdtstateError
from crdtstate.kube.cache import CachedObject
from crdtstate.kube.reading import format_time

__all__ = ["MemberBeliefs"]

NODES = "/nodes"
LOOK_MS, LOOK_EMPTY_MS = 2_000, 60_000
GRACE_MS = 30_000
"""A member that was never heard from since this peer began counts as silent after so long."""
SILENT = {
    "status": "Unknown", "reason": "MemberNotHeard",
    "message": "No member of this side of the cluster hears it.",
}  # fmt: skip
"""In the words of the controller of Nodes, so that it finds nothing left to write."""


@final
class MemberBeliefs:
    """Follows Nodes and members. Started and stopped with the feed."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._stored: dict[str, CachedObject] = {}
        """Of each Node that is shown otherwise than it is stored: what is stored."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        feed = self._feed
        began_ms = feed.backend.now_ms()
        try:
            await feed.caught_up(0)
            while True:
                seen = feed.cache.last(NODES)
                at_ms = feed.backend.now_ms()
                nodes = feed.cache.list(NODES)
                silent = self._silent(at_ms - began_ms) if nodes else set()
                for cached in nodes:
                    self._show(cached, cached.key.name in silent)
                if feed.cache.last(NODES) == seen:
                    await feed.wait(NODES, seen, LOOK_MS if nodes else LOOK_EMPTY_MS)
        except CrdtstateError:
            return  # The peer stops or has failed; so does what it shows.

    def _silent(self, age_ms: int) -> set[str]:
        counted = ("dead", "left", "unknown") if age_ms > GRACE_MS else ("dead", "left")
        members = self._feed.backend.cluster.members()
        return {m["name"] for m in members if m["liveness"] in counted and not m["self"]}

    def _show(self, cached: CachedObject, silent: bool) -> None:
        name, cache = cached.key.name, self._feed.cache
        stored = self._stored.get(name)
        if stored is not None and (stored.uid, stored.digest) != (cached.uid, cached.digest):
            del self._stored[name]  # It was written meanwhile, and that is shown.
            stored = None
        wall_ms = self._feed.backend.wall_ms()
        if silent and stored is None:
            body = unheard(cached.body, format_time(wall_ms))
            if body is not cached.body:
                self._stored[name] = cached
                cache.retell(cached.key, body, wall_ms)
        elif not silent and stored is not None:
            del self._stored[name]
            cache.retell(cached.key, stored.body, wall_ms)


def unheard(body: dict[str, Any], now: str) -> dict[str, Any]:
    """Return a Node of which only the past is known. One that says so already is left alone."""
    status = body.get("status") or {}
    conditions = status.get("conditions") or []
    told = [
        condition | SILENT | {"lastTransitionTime": now}
        if condition.get("type") == "Ready" and condition.get("status") != "Unknown"
        else condition
        for condition in conditions
    ]
    return body if told == conditions else {**body, "status": {**status, "conditions": told}}
