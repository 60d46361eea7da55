"""EDGE: writes what an agent has to say: statuses, deletions of pods that have ended, Events.

Invariants:
    PUB-1  A status is written only when it differs from what the API has.
    PUB-2  A pod's object is removed only after its last process has ended.
"""

import asyncio
from collections.abc import Callable
from typing import Any, final

import structlog

from controllers.agent import inputs
from controllers.agent.runner import Runner
from controllers.runtime.actions import Say, difference
from controllers.runtime.objects import status_of
from controllers.runtime.recorder import Recorder
from crdtstate.client.kinds import EVENTS, PODS
from crdtstate.client.resources import Resources
from crdtstate.errors import (
    AlreadyExistsError,
    ConflictError,
    CrdtstateError,
    InvalidError,
    NotFoundError,
)

__all__ = ["Publisher"]

MANAGER = "agent"
TOGETHER_S = 0.05
RETRY_S, RETRY_S_MAX = 0.5, 10.0
WORKERS, EVENTS_MAX = 8, 1_000
OWN_FIELDS = frozenset(
    {
        "phase", "conditions", "hostIP", "hostIPs", "podIP", "podIPs", "startTime", "qosClass",
        "reason", "message", "initContainerStatuses", "containerStatuses",
    }
)  # fmt: skip
_log = structlog.get_logger("controllers.agent")


@final
class Publisher:
    """Writes for all pods of an agent.

    Args:
        finished: The pod is over here: its object is gone, or another machine's.
    """

    def __init__(
        self,
        resources: Resources,
        component: str,
        finished: Callable[[Runner], None],
        now_ms: Callable[[], int],
    ) -> None:
        self._resources, self._finished, self._now_ms = resources, finished, now_ms
        self._recorder = Recorder(component)
        self._dirty: dict[str, Runner] = {}
        self._busy: set[str] = set()
        self._woken = asyncio.Event()
        self._events: asyncio.Queue[tuple[dict[str, Any], int]] = asyncio.Queue(EVENTS_MAX)
        self.writes = 0

    def touch(self, runner: Runner) -> None:
        """Write the pod's status, soon, if it differs."""
        self._dirty[runner.pod.spec.uid] = runner
        self._woken.set()

    def announce(self, runner: Runner, what: inputs.Announce) -> None:
        """Write an Event, unless the same was said a moment ago or too much is waiting."""
        now_ms = self._now_ms()
        say = Say(
            kind=PODS, about=runner.body, reason=what.reason, message=what.message,
            warning=what.type == "Warning",
        )  # fmt: skip
        told = self._recorder.event(say, now_ms, now_ms)
        if told is None or self._events.full():
            return
        body, count = told
        if what.container:
            body["involvedObject"]["fieldPath"] = f"spec.containers{{{what.container}}}"
        self._events.put_nowait((body, count))

    async def run(self) -> None:
        """Write, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write_events())
            for _ in range(WORKERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            await self._woken.wait()
            await asyncio.sleep(TOGETHER_S)  # What happens together is written together.
            ready = [uid for uid in self._dirty if uid not in self._busy]
            if not ready:
                self._woken.clear()
                continue
            uid = ready[0]
            runner = self._dirty.pop(uid)
            self._busy.add(uid)
            try:
                await self._publish(runner)
            finally:
                self._busy.discard(uid)
                if uid in self._dirty:
                    self._woken.set()

    async def _publish(self, runner: Runner) -> None:
        delay_s = RETRY_S
        while True:
            try:
                await self._write(runner)
            except (InvalidError, ConflictError) as error:
                _log.warning("status_refused", pod=runner.name, reason=error.message)
                return
            except NotFoundError:
                return  # Its watch will tell.
            except CrdtstateError as error:
                _log.info("status_not_written", pod=runner.name, reason=error.message)
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RETRY_S_MAX)
            else:
                return

    async def _write(self, runner: Runner) -> None:
        if runner.vanished:
            if runner.pod.gone:
                self._finished(runner)
            return
        meta = runner.body["metadata"]
        change = difference(status_of(runner.body), runner.report())
        change = {name: value for name, value in change.items() if name in OWN_FIELDS}
        if change:  # PUB-1
            self.writes += 1
            runner.wrote(
                await self._resources.patch(
                    PODS, meta["name"], {"metadata": {"uid": meta["uid"]}, "status": change},
                    meta["namespace"], subresource="status", manager=MANAGER,
                )
            )  # fmt: skip
        if runner.pod.gone and runner.pod.deleted:  # PUB-2
            self.writes += 1
            await self._resources.delete(
                PODS, meta["name"], meta["namespace"], uid=meta["uid"], grace_seconds=0
            )
            self._finished(runner)

    async def _write_events(self) -> None:
        while True:
            body, count = await self._events.get()
            try:
                await self._write_event(body, count)
            except CrdtstateError as error:
                _log.info("event_not_written", reason=error.message)

    async def _write_event(self, body: dict[str, Any], count: int) -> None:
        if count == 1:
            try:
                await self._resources.create(EVENTS, body, manager=MANAGER)
            except AlreadyExistsError:
                pass
            else:
                return
        change = {"count": count, "lastTimestamp": body["lastTimestamp"]}
        meta = body["metadata"]
        await self._resources.patch(
            EVENTS, meta["name"], change, meta["namespace"], manager=MANAGER
        )
