"""Events live for an hour after they were last told; this peer removes those that are older.

There is no timer: who reads or writes events pays for the sweep, at most once a minute. Every peer
does it; that several remove one event changes nothing.

Source: Kubernetes, `--event-ttl`.
"""

from datetime import UTC, datetime
from typing import Any, final

from crdtstate.api.kube.state import KubeState
from crdtstate.kube.cache import CachedObject
from crdtstate.kube.editing import edit
from crdtstate.kube.objects import Context, Live, Removal, Target
from crdtstate.kube.resources import Resource

__all__ = ["EVENT_TTL_S", "EventExpiry", "last_told_s"]

EVENT_TTL_S = 3_600
_SWEEP_MS, _SWEPT_MAX = 60_000, 256


def last_told_s(body: dict[str, Any]) -> float:
    """Return when an event was last told, in seconds since 1970; 0 when it does not say."""
    series = body.get("series") or {}
    texts = (
        body.get("lastTimestamp"), body.get("eventTime"), series.get("lastObservedTime"),
        body["metadata"].get("creationTimestamp"),
    )  # fmt: skip
    return max((_seconds(text) for text in texts), default=0.0)


def _seconds(text: Any) -> float:
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return 0.0


@final
class EventExpiry:
    """Sweeps the events of one peer."""

    def __init__(self, state: KubeState) -> None:
        self._state = state
        self._due_ms = 0

    async def sweep(self, resource: Resource) -> None:
        """Remove events whose hour is over, some at a time. Cost: O(events), once a minute."""
        state = self._state
        wall_ms = state.backend.wall_ms()
        if wall_ms < self._due_ms:
            return
        self._due_ms = wall_ms + _SWEEP_MS
        oldest_s = wall_ms / 1000 - EVENT_TTL_S
        old = [c for c in state.objects(resource, "") if last_told_s(c.body) < oldest_s]
        if not old:
            return
        cluster_id = state.feed.cluster_id
        await state.feed.commit(
            [
                edit(
                    Target(resource, cached.key.namespace, cached.key.name),
                    _removing(cached),
                    cluster_id,
                )
                for cached in old[:_SWEPT_MAX]
            ]
        )


def _removing(cached: CachedObject) -> Any:
    def change(live: Live | None, _context: Context) -> Removal | None:
        # Told again since: its hour begins anew.
        return Removal() if live is not None and live.digest == cached.digest else None

    return change
