"""EDGE: writes the statuses of pods, and removes the objects of those that have ended.

Invariants:
    PUB-1  A status is written only when it differs from what the API has.
    PUB-2  A pod's object is removed only after its last process has ended.
"""

import asyncio
from collections.abc import Callable
from typing import final

import structlog

from controllers.agent.announcing import MANAGER
from controllers.agent.runner import Runner
from controllers.runtime.actions import difference
from controllers.runtime.objects import status_of
from crdtstate.client.kinds import PODS
from crdtstate.client.resources import Resources
from crdtstate.errors import ConflictError, CrdtstateError, InvalidError, NotFoundError

__all__ = ["Publisher"]

TOGETHER_S = 0.05
RETRY_S, RETRY_S_MAX = 0.5, 10.0
TOGETHER = 8
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

    def __init__(self, resources: Resources, finished: Callable[[Runner], None]) -> None:
        self._resources, self._finished = resources, finished
        self._dirty: dict[str, Runner] = {}
        self._busy: set[str] = set()
        self._woken = asyncio.Event()
        self._places = asyncio.Semaphore(TOGETHER)
        self.writes = 0

    def touch(self, runner: Runner) -> None:
        """Write the pod's status, soon, if it differs."""
        self._dirty[runner.pod.spec.uid] = runner
        self._woken.set()

    async def run(self) -> None:
        """Write, for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._woken.wait()
                await asyncio.sleep(TOGETHER_S)  # What happens together is written together.
                self._woken.clear()
                ready = {u: r for u, r in self._dirty.items() if u not in self._busy}
                for uid, runner in ready.items():
                    del self._dirty[uid]
                    self._busy.add(uid)
                    group.create_task(self._work(uid, runner))

    async def _work(self, uid: str, runner: Runner) -> None:
        """Write for one pod; what happens to it meanwhile is written next."""
        try:
            async with self._places:
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
