"""CronJob: a Job for each time of a schedule, named after the time, so that it is made once.

Invariants:
    CRO-1  The Job of a moment has the same name on every peer: both sides of a cut make one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, final

from controllers.builtin.performing import perform_for
from controllers.builtin.schedule import Schedule, zone_of
from controllers.errors import TerminalError
from controllers.runtime.actions import Action, Create, Say, removal, status_patch
from controllers.runtime.objects import (
    Object,
    annotations_of,
    condition_of,
    created_ms,
    from_ms,
    is_deleting,
    name_of,
    namespace_of,
    owner_reference,
    spec_of,
    status_of,
    to_ms,
    uid_of,
)
from controllers.runtime.registry import controller
from controllers.runtime.request import DONE, Request, Result
from controllers.runtime.scope import Scope
from crdtstate.client.kinds import CRON_JOBS, JOBS
from crdtstate.errors import InvalidError

__all__ = ["CronJobState", "CronJobs", "plan"]

_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_WINDOWS_MS = (3_600_000, 86_400_000, 31 * 86_400_000, 366 * 86_400_000)


@final
@dataclass(frozen=True, kw_only=True)
class CronJobState:
    """What a plan is made of."""

    cron_job: Object
    jobs: Sequence[Object]
    settled: bool = True
    now_ms: int = 0


def plan(state: CronJobState) -> tuple[list[Action], int | None]:
    """Return what to do, and in how many milliseconds to look again.

    Raises: InvalidError for a schedule or a zone that is none.
    """
    owner = state.cron_job
    if is_deleting(owner):
        return [], None
    spec = spec_of(owner)
    schedule, zone = Schedule.parse(str(spec.get("schedule"))), zone_of(spec.get("timeZone"))
    now = datetime.fromtimestamp(state.now_ms / 1000, zone)
    due_ms = _due_ms(state, schedule, now)
    active = [job for job in state.jobs if not _has_ended(job) and not is_deleting(job)]
    actions: list[Action] = []
    last = status_of(owner).get("lastScheduleTime")
    if due_ms is not None and not spec.get("suspend"):
        policy = spec.get("concurrencyPolicy", "Allow")
        made = [job for job in state.jobs if name_of(job) == _name(owner, due_ms)]
        if policy == "Forbid" and active and not made:
            message = "Not starting job because prior execution is running and policy is Forbid"
            actions.append(Say(kind=CRON_JOBS, about=owner, reason="JobAlreadyActive",
                               message=message))  # fmt: skip
        elif not made:
            if policy == "Replace":
                actions += [removal(JOBS, job, propagation="Background") for job in active]
                active = []
            actions.append(_creation(owner, due_ms))
            last = from_ms(due_ms)
        else:
            last = from_ms(due_ms)
    if state.settled:
        actions += _history(state)
    actions += status_patch(CRON_JOBS, owner, _status(owner, active, state.jobs, last))
    following = next(schedule.after(now), None)
    if following is None:
        return actions, None
    return actions, max(1, int(following.timestamp() * 1000) - state.now_ms)


def _due_ms(state: CronJobState, schedule: Schedule, now: datetime) -> int | None:
    """Return the latest time that has passed and was not seen to; None when there is none."""
    owner = state.cron_job
    since_ms = to_ms(status_of(owner).get("lastScheduleTime")) or created_ms(owner)
    deadline_s = spec_of(owner).get("startingDeadlineSeconds")
    if deadline_s is not None:
        since_ms = max(since_ms, state.now_ms - int(deadline_s) * 1000)
    for window_ms in _WINDOWS_MS:  # What was missed long ago is not walked through.
        begin_ms = max(since_ms, state.now_ms - window_ms)
        times = _until(schedule, datetime.fromtimestamp(begin_ms / 1000, now.tzinfo), now)
        if times:
            return int(times[-1].timestamp() * 1000)
    return None


def _until(schedule: Schedule, since: datetime, now: datetime) -> list[datetime]:
    found = []
    for at in schedule.after(since):
        if at > now:
            break
        found.append(at)
    return found


def _name(owner: Object, at_ms: int) -> str:
    return f"{name_of(owner)[:52]}-{at_ms // 60_000}"


def _creation(owner: Object, at_ms: int) -> Create:
    template = spec_of(owner).get("jobTemplate") or {}
    given = template.get("metadata") or {}
    at = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata: dict[str, Any] = {
        "name": _name(owner, at_ms), "namespace": namespace_of(owner),
        "annotations": {**(given.get("annotations") or {}), _AT: at},
        "ownerReferences": [owner_reference(CRON_JOBS, owner)],
    }  # fmt: skip
    if given.get("labels"):
        metadata["labels"] = given["labels"]
    return Create(JOBS, {"metadata": metadata, "spec": template.get("spec") or {}})


def _has_ended(job: Object) -> bool:
    return any(
        (condition_of(job, kind) or {}).get("status") == "True" for kind in ("Complete", "Failed")
    )


def _history(state: CronJobState) -> list[Action]:
    spec = spec_of(state.cron_job)
    actions: list[Action] = []
    limits = (
        ("Complete", "successfulJobsHistoryLimit", 3),
        ("Failed", "failedJobsHistoryLimit", 1),
    )
    for kind, field, default in limits:
        ended = [
            job
            for job in state.jobs
            if (condition_of(job, kind) or {}).get("status") == "True"
            and _AT in annotations_of(job)
            and not is_deleting(job)
        ]
        ended.sort(key=lambda job: (created_ms(job), name_of(job)))
        limit = int(spec.get(field, default))
        doomed = ended[: max(0, len(ended) - limit)]
        actions += [removal(JOBS, job, propagation="Background") for job in doomed]
    return actions


def _status(
    owner: Object, active: Sequence[Object], jobs: Sequence[Object], last: str | None
) -> dict[str, Any]:
    status: dict[str, Any] = {}
    if active:
        status["active"] = [
            {
                "apiVersion": JOBS.api_version, "kind": JOBS.kind, "name": name_of(job),
                "namespace": namespace_of(job), "uid": uid_of(job),
            }
            for job in active
        ]  # fmt: skip
    if last:
        status["lastScheduleTime"] = last
    ends = [str(status_of(job).get("completionTime") or "") for job in jobs]
    ended = max([*ends, str(status_of(owner).get("lastSuccessfulTime") or "")])
    if ended:
        status["lastSuccessfulTime"] = ended
    return status


@final
@controller("cronjobs", of=CRON_JOBS, owns=[JOBS])
class CronJobs:
    """Reads the caches, plans, performs."""

    async def reconcile(self, request: Request, scope: Scope) -> Result:
        """Start what is due. Raises: TerminalError for a schedule that is none."""
        owner = scope.get(CRON_JOBS, request.name, request.namespace)
        if owner is None:
            return DONE
        state = CronJobState(
            cron_job=owner, jobs=scope.owned(JOBS, owner), settled=scope.view.settled,
            now_ms=scope.wall_ms,
        )  # fmt: skip
        try:
            actions, again_ms = plan(state)
        except InvalidError as error:
            await scope.say(
                Say(kind=CRON_JOBS, about=owner, reason="InvalidSchedule", message=error.message,
                    warning=True)
            )  # fmt: skip
            raise TerminalError(error.message) from error
        await perform_for(scope, CRON_JOBS, owner, actions)
        return Result(again_ms)
