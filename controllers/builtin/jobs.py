"""Job: pods that run to their end, so many times.

Each completion is a slot; a pod's name is a function of the slot and of how often it was tried, so
that two sides of a cut try the same. Counts of what ended are kept in the status, because the pods
may go; they only grow.

Invariants:
    JOB-1  What has succeeded and was counted is not run again, though its pod is gone.
    JOB-2  No more pods are active than parallelism allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from controllers.builtin.names import slot_name
from controllers.builtin.performing import perform_for
from controllers.builtin.pods import is_active, is_ready, lost_in_ms, phase_of, pod_of, worst_first
from controllers.runtime.actions import Action, Create, Patch, removal, status_patch
from controllers.runtime.objects import (
    Object,
    annotations_of,
    condition_of,
    from_ms,
    is_deleting,
    name_of,
    namespace_of,
    spec_of,
    status_of,
    to_ms,
    uid_of,
    with_condition,
)
from controllers.runtime.registry import controller
from controllers.runtime.request import DONE, Request, Result
from controllers.runtime.scope import Scope
from crdtstate.client.kinds import JOBS, PODS

__all__ = ["JobState", "Jobs", "plan"]

INDEX = "batch.kubernetes.io/job-completion-index"
_JOB_LABEL, _OLD_JOB_LABEL = "batch.kubernetes.io/job-name", "job-name"
_UID_LABEL = "batch.kubernetes.io/controller-uid"
_TRY, _SLOT = "crdtstate.io/try", "crdtstate.io/slot"
_PAUSE_MS, _PAUSE_MS_MAX = 1_000, 600_000
_PODS_MAX = 500  # Active at once, whatever the parallelism says.


@final
@dataclass(frozen=True, kw_only=True)
class JobState:
    """What a plan is made of."""

    job: Object
    pods: Sequence[Object]
    lost: frozenset[str] = frozenset()
    settled: bool = True
    now_ms: int = 0


@final
class _Count:
    """The pods of a Job, by slot."""

    def __init__(self, state: JobState) -> None:
        job = state.job
        self.indexed = spec_of(job).get("completionMode") == "Indexed"
        pods = state.pods
        self.active = [
            pod for pod in pods if is_active(pod) and lost_in_ms(pod, state.lost, state.now_ms) != 0
        ]
        self.tries: dict[int, int] = {}
        self.ended: dict[int, list[str]] = {}
        for pod in pods:
            slot = _number(pod, _SLOT)
            self.tries[slot] = max(self.tries.get(slot, 0), _number(pod, _TRY) + 1)
            if phase_of(pod) in ("Succeeded", "Failed"):
                self.ended.setdefault(slot, []).append(phase_of(pod))
        status = status_of(job)
        self.done = slots_of(str(status.get("completedIndexes") or ""))
        self.done |= {slot for slot, phases in self.ended.items() if "Succeeded" in phases}
        failed = sum(phases.count("Failed") for phases in self.ended.values())
        self.failed = max(failed, int(status.get("failed", 0)))


def _number(pod: Object, name: str) -> int:
    text = annotations_of(pod).get(name, "0")
    return int(text) if text.isdigit() else 0


def slots_of(text: str) -> set[int]:
    """Return the numbers of `1,3-5`."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            found.update(range(int(first), int(last or first) + 1))
    return found


def text_of(slots: set[int]) -> str:
    """Return numbers as `1,3-5`."""
    parts: list[list[int]] = []
    for slot in sorted(slots):
        if parts and parts[-1][-1] == slot - 1:
            parts[-1] = [parts[-1][0], slot]
        else:
            parts.append([slot])
    return ",".join("-".join(map(str, part)) for part in parts)


def plan(state: JobState) -> tuple[list[Action], int | None]:
    """Return what to do, and in how many milliseconds to look again if nothing changes."""
    job, spec = state.job, spec_of(state.job)
    for kind in ("Complete", "Failed"):
        if (condition_of(job, kind) or {}).get("status") == "True":
            return _after_the_end(state)
    if is_deleting(job):
        return [], None
    if not spec.get("selector"):
        # As the API server does it; `kubectl logs job/…` finds the pods by it.
        selector = {"matchLabels": {_UID_LABEL: uid_of(job)}}
        return [Patch(kind=JOBS, namespace=namespace_of(job), name=name_of(job),
                      patch={"spec": {"selector": selector}})], None  # fmt: skip
    count = _Count(state)
    started_ms = to_ms(status_of(job).get("startTime"))
    again_ms: int | None = None
    verdict = _verdict(state, count, started_ms)
    actions: list[Action] = []
    if verdict is not None or spec.get("suspend"):
        if state.settled:
            actions += [removal(PODS, pod) for pod in count.active]
    else:
        steps, again_ms = _steps(state, count)
        actions += steps
        deadline_s = spec.get("activeDeadlineSeconds")
        if deadline_s is not None and started_ms is not None:
            left_ms = max(1, started_ms + int(deadline_s) * 1000 - state.now_ms)
            again_ms = min(left_ms, again_ms or left_ms)
    status = _status(state, count, verdict)
    return [*actions, *status_patch(JOBS, job, status)], again_ms


def _verdict(state: JobState, count: _Count, started_ms: int | None) -> tuple[str, str, str] | None:
    """Return (condition, reason, message) when the Job has ended."""
    spec = spec_of(state.job)
    wanted = spec.get("completions")
    enough = len(count.done) >= int(wanted) if wanted is not None else bool(count.done)
    if enough and (wanted is not None or not count.active):
        return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
    if count.failed > int(spec.get("backoffLimit", 6)):
        return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    deadline_s = spec.get("activeDeadlineSeconds")
    if deadline_s is None or started_ms is None or spec.get("suspend"):
        return None
    if state.now_ms >= started_ms + int(deadline_s) * 1000:
        return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
    return None


def _steps(state: JobState, count: _Count) -> tuple[list[Action], int | None]:
    job, spec = state.job, spec_of(state.job)
    wanted = spec.get("completions")
    parallelism = min(int(spec.get("parallelism", 1)), _PODS_MAX)
    if wanted is None:  # A work queue: once one has succeeded, no more are begun.
        total = parallelism if not count.done else 0
    else:
        total = min(parallelism, int(wanted) - len(count.done))
    surplus = len(count.active) - total
    if surplus > 0 and wanted is not None:
        doomed = worst_first(count.active)[:surplus] if state.settled else []
        return [removal(PODS, pod) for pod in doomed], None
    pause_ms = _pause_ms(state, count)
    if surplus >= 0 or pause_ms:
        return [], pause_ms
    busy = {_number(pod, _SLOT) for pod in count.active} | count.done
    free = [slot for slot in range(int(wanted or parallelism) + len(busy)) if slot not in busy]
    if count.indexed:
        free = [slot for slot in free if slot < int(wanted or 0)]
    return [_creation(job, slot, count) for slot in free[:-surplus]], None


def _pause_ms(state: JobState, count: _Count) -> int | None:
    """Return how long to wait after failures, None for not at all."""
    ends = [
        ended
        for pod in state.pods
        if phase_of(pod) == "Failed"
        for ended in [to_ms(_finished_at(pod))]
        if ended is not None
    ]
    if not count.failed or not ends:
        return None
    pause_ms = min(_PAUSE_MS << min(count.failed, 16), _PAUSE_MS_MAX)
    left_ms = max(ends) + pause_ms - state.now_ms
    return min(left_ms, pause_ms) if left_ms > 0 else None


def _finished_at(pod: Object) -> str | None:
    times = [
        ((row.get("state") or {}).get("terminated") or {}).get("finishedAt")
        for row in status_of(pod).get("containerStatuses") or []
    ]
    return max((t for t in times if t), default=None)


def _creation(job: Object, slot: int, count: _Count) -> Create:
    template = spec_of(job).get("template") or {}
    tried = count.tries.get(slot, 0)
    name = slot_name(name_of(job), f"{slot}.{tried}")
    labels = {_JOB_LABEL: name_of(job), _OLD_JOB_LABEL: name_of(job), _UID_LABEL: uid_of(job)}
    if count.indexed:
        labels[INDEX] = str(slot)
    body = pod_of(JOBS, job, template, name, labels=labels)
    notes = {**(body["metadata"].get("annotations") or {}), _TRY: str(tried), _SLOT: str(slot)}
    if count.indexed:
        notes[INDEX] = str(slot)
        variable = {"name": "JOB_COMPLETION_INDEX", "value": str(slot)}
        body["spec"] = {
            **body["spec"],
            "containers": [
                {**c, "env": [*(c.get("env") or []), variable]}
                for c in body["spec"].get("containers") or []
            ],
        }
    body["metadata"]["annotations"] = notes
    return Create(PODS, body)


def _status(state: JobState, count: _Count, verdict: tuple[str, str, str] | None) -> dict[str, Any]:
    job, now_ms = state.job, state.now_ms
    before = status_of(job)
    suspended = bool(spec_of(job).get("suspend"))
    active = [] if verdict is not None or suspended else count.active
    status: dict[str, Any] = {
        "active": len(active),
        "ready": sum(map(is_ready, active)),
        "succeeded": len(count.done),
        "failed": count.failed,
    }
    status = {name: value for name, value in status.items() if value or name == "ready"}
    if count.done:
        # Kept for both modes: the count must not shrink when pods are removed.
        status["completedIndexes"] = text_of(count.done)
    conditions = list(before.get("conditions") or [])
    if verdict is not None:
        kind, reason, message = verdict
        conditions = list(
            with_condition(conditions, kind, "True", reason=reason, message=message, now_ms=now_ms)
        )
        if kind == "Complete":
            status["completionTime"] = before.get("completionTime") or from_ms(now_ms)
    known = condition_of(job, "Suspended")
    if verdict is None and (suspended or known is not None):
        reason = "JobSuspended" if suspended else "JobResumed"
        conditions = list(
            with_condition(
                conditions, "Suspended", str(suspended), reason=reason,
                message=f"Job {'suspended' if suspended else 'resumed'}", now_ms=now_ms,
            )
        )  # fmt: skip
    if not suspended:
        status["startTime"] = before.get("startTime") or from_ms(now_ms)
    if conditions:
        status["conditions"] = conditions
    return status


def _after_the_end(state: JobState) -> tuple[list[Action], int | None]:
    """Remove what still runs, and the Job itself when its time has come."""
    job = state.job
    actions: list[Action] = []
    if state.settled:
        actions += [removal(PODS, pod) for pod in state.pods if is_active(pod)]
    ttl_s = spec_of(job).get("ttlSecondsAfterFinished")
    if ttl_s is None or is_deleting(job):
        return actions, None
    ended = [
        to_ms(c.get("lastTransitionTime"))
        for c in status_of(job).get("conditions") or []
        if c.get("type") in ("Complete", "Failed")
    ]
    left_ms = max((ms or 0 for ms in ended), default=0) + int(ttl_s) * 1000 - state.now_ms
    if left_ms > 0:
        return actions, left_ms
    return [*actions, removal(JOBS, job, propagation="Background")], None


@final
@controller("jobs", of=JOBS, owns=[PODS], workers=4)
class Jobs:
    """Reads the caches, plans, performs."""

    async def reconcile(self, request: Request, scope: Scope) -> Result:
        """Take one Job a step further."""
        job = scope.get(JOBS, request.name, request.namespace)
        if job is None:
            return DONE
        state = JobState(
            job=job, pods=scope.owned(PODS, job), lost=scope.view.lost,
            settled=scope.view.settled, now_ms=scope.wall_ms,
        )  # fmt: skip
        actions, again_ms = plan(state)
        await perform_for(scope, JOBS, job, actions)
        return Result(again_ms)
