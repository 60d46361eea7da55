"""What a Deployment reports: counts, and the conditions that `kubectl rollout status` reads."""

from collections.abc import Mapping, Sequence
from typing import Any

from controllers.builtin.templates import share_of
from controllers.runtime.objects import (
    Object,
    condition_of,
    from_ms,
    meta,
    name_of,
    spec_of,
    status_of,
    to_ms,
)

__all__ = ["status_of_deployment"]

Conditions = Sequence[Mapping[str, Any]]
_PROGRESS_S = 600


def _sum(sets: Sequence[Object], field: str) -> int:
    return sum(int(status_of(rs).get(field, 0)) for rs in sets)


def status_of_deployment(
    owner: Object, new: Object | None, old: Sequence[Object], now_ms: int
) -> tuple[dict[str, Any], int | None]:
    """Return the status, and when its words change if nothing else does."""
    sets = [*old, *([new] if new is not None else [])]
    wanted = int(spec_of(owner).get("replicas", 1))
    available = _sum(sets, "availableReplicas")
    counts: dict[str, Any] = {
        "replicas": _sum(sets, "replicas"),
        "updatedReplicas": _sum(sets[len(old) :], "replicas"),
        "readyReplicas": _sum(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, max(wanted, _sum(sets, "replicas")) - available),
    }
    status: dict[str, Any] = {name: count for name, count in counts.items() if count}
    generation = meta(owner).get("generation")
    if generation is not None:
        status["observedGeneration"] = generation
    before: Conditions = status_of(owner).get("conditions") or []
    conditions = _available(owner, before, wanted, available, now_ms)
    conditions, again_ms = _progressing(owner, new, conditions, counts, now_ms)
    status["conditions"] = conditions
    return status, again_ms


def _available(
    owner: Object, before: Conditions, wanted: int, available: int, now_ms: int
) -> Conditions:
    rolling = (spec_of(owner).get("strategy") or {}).get("rollingUpdate") or {}
    fewest = wanted - share_of(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    enough = available >= fewest
    return _moved(
        before, "Available", "True" if enough else "False",
        "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        "Deployment has minimum availability." if enough
        else "Deployment does not have minimum availability.",
        now_ms,
    )  # fmt: skip


def _progressing(
    owner: Object,
    new: Object | None,
    before: Conditions,
    counts: Mapping[str, int],
    now_ms: int,
) -> tuple[Conditions, int | None]:
    name = name_of(new) if new is not None else ""
    wanted = int(spec_of(owner).get("replicas", 1))
    if spec_of(owner).get("paused"):
        text = "Deployment is paused"
        return _moved(before, "Progressing", "Unknown", "DeploymentPaused", text, now_ms), None
    complete = (
        new is not None
        and counts["updatedReplicas"] == counts["replicas"] == wanted
        and counts["availableReplicas"] >= wanted
    )
    if complete:
        text = f'ReplicaSet "{name}" has successfully progressed.'
        return _moved(before, "Progressing", "True", "NewReplicaSetAvailable", text, now_ms), None
    condition = condition_of(owner, "Progressing")
    deadline_ms = int(spec_of(owner).get("progressDeadlineSeconds", _PROGRESS_S)) * 1000
    since_ms = to_ms(condition.get("lastUpdateTime")) if condition is not None else None
    was_through = condition is not None and condition.get("reason") in (
        "NewReplicaSetAvailable", "DeploymentPaused",
    )  # fmt: skip
    text = f'ReplicaSet "{name}" is progressing.'
    if _progressed(owner, counts) or since_ms is None or was_through or condition is None:
        moved = _moved(before, "Progressing", "True", "ReplicaSetUpdated", text, now_ms, again=True)
        return moved, deadline_ms
    left_ms = since_ms + deadline_ms - now_ms
    if left_ms > 0 or condition.get("reason") == "ProgressDeadlineExceeded":
        return before, max(left_ms, 0) or None
    text = f'ReplicaSet "{name}" has timed out progressing.'
    moved = _moved(before, "Progressing", "False", "ProgressDeadlineExceeded", text, now_ms)
    return moved, None


def _progressed(owner: Object, counts: Mapping[str, int]) -> bool:
    """Whether more is updated, ready or available than was reported, or less is old."""
    status = status_of(owner)
    old = int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))
    return (
        any(
            counts[name] > int(status.get(name, 0))
            for name in ("updatedReplicas", "readyReplicas", "availableReplicas")
        )
        or counts["replicas"] - counts["updatedReplicas"] < old
    )


def _moved(
    before: Conditions,
    kind: str,
    status: str,
    reason: str,
    message: str,
    now_ms: int,
    *,
    again: bool = False,
) -> Conditions:
    """Return the conditions with one set, with the time of its last update."""
    found = next((c for c in before if c.get("type") == kind), None)
    said = {"status": status, "reason": reason, "message": message}
    same = found is not None and all(found.get(name) == text for name, text in said.items())
    if same and not again:
        return before
    stamp = from_ms(now_ms)
    moved = found.get("lastTransitionTime") if found and found.get("status") == status else None
    row = {"type": kind, **said, "lastUpdateTime": stamp, "lastTransitionTime": moved or stamp}
    if found is None:
        return [*before, row]
    return [row if c is found else c for c in before]
