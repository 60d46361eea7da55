"""EDGE: what an agent tells its peer's API: logs, and what pods use. And it keeps memory limits."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import final

import structlog

from controllers.agent import inputs
from controllers.agent.agent import Agent
from controllers.agent.logs import read_log
from controllers.agent.records import Attempt
from controllers.agent.runner import Runner
from controllers.agent.usage import Sample, Use, rates, take_sample
from controllers.runtime.quantity import to_units
from crdtstate.errors import InvalidError, NotFoundError
from crdtstate.podaccess import ContainerUse, LogQuery, PodUse, Usage

__all__ = ["PodDesk"]

WINDOW_MS, WINDOW_MS_MAX = 1_000, 60_000
MEMORY_PERIOD_S = 1.0
_log = structlog.get_logger("controllers.agent")


@final
class PodDesk:
    """A `PodAccess`. `run` keeps memory limits until it is cancelled."""

    def __init__(self, agent: Agent, now_ms: Callable[[], int]) -> None:
        self._agent, self._now_ms = agent, now_ms
        self._sample: Sample | None = None

    # -- logs ----------------------------------------------------------------------------------

    def logs(
        self, namespace: str, pod: str, container: str, query: LogQuery
    ) -> AsyncGenerator[bytes]:
        """Return a container's output, chunk by chunk. Raises: NotFoundError, InvalidError."""
        runner = self._agent.find(namespace, pod)
        if runner is None:
            raise NotFoundError(f'pods "{pod}" not found on this machine', code="no_such_pod")
        machine = runner.pod.containers.get(container)
        if machine is None:
            raise InvalidError(f"container {container} is not valid for pod {pod}")
        kept = runner.place.directory.attempts(container)
        if query.previous:
            if len(kept) < 2:
                raise InvalidError(
                    f'previous terminated container "{container}" in pod "{pod}" not found'
                )
            attempt = kept[-2]
        elif not kept:
            reason = machine.reason or "ContainerCreating"
            raise InvalidError(
                f'container "{container}" in pod "{pod}" is waiting to start: {reason}'
            )
        else:
            attempt = kept[-1]

        def running() -> bool:
            return machine.phase == "running" and machine.attempt == attempt.number

        return read_log(attempt, query, running)

    # -- use -----------------------------------------------------------------------------------

    def _running(self) -> list[tuple[Runner, Attempt, int]]:
        """Return the processes that run: of which pod, and the pid of the shim."""
        found = []
        for runner in self._agent.runners.values():
            for name, container in runner.pod.containers.items():
                attempt = runner.place.directory.attempt(name, container.attempt)
                run = None if runner.is_idle or container.phase != "running" else attempt.run
                if run is not None:
                    found.append((runner, attempt, int(run["shim_pid"])))
        return found

    async def usage(self) -> Usage:
        """Return what is used now; over the last minute, if somebody has asked in it."""
        running = self._running()
        shims = [shim for _, _, shim in running]
        before = self._sample
        if before is None or self._now_ms() - before.at_ms > WINDOW_MS_MAX:
            before = await asyncio.to_thread(take_sample, self._now_ms(), shims)
            await asyncio.sleep(WINDOW_MS / 1000)
        elif self._now_ms() - before.at_ms < WINDOW_MS:
            await asyncio.sleep(WINDOW_MS / 1000)
        after = self._sample = await asyncio.to_thread(take_sample, self._now_ms(), shims)
        window_ms = after.at_ms - before.at_ms
        pods: dict[str, list[ContainerUse]] = {}
        for runner, attempt, shim in running:
            new = after.of.get(shim, Use(0, 0))
            use = rates(before.of.get(shim, new), new, window_ms)
            pods.setdefault(runner.pod.spec.uid, []).append(
                ContainerUse(attempt.container, use.cpu_ns, use.memory_bytes)
            )
        specs = {runner.pod.spec.uid: runner.pod.spec for runner, _, _ in running}
        machine = rates(before.machine, after.machine, window_ms)
        return Usage(
            self._agent.name, after.at_ms, window_ms, machine.cpu_ns, machine.memory_bytes,
            [PodUse(specs[u].namespace, specs[u].name, tuple(c)) for u, c in pods.items()],
        )  # fmt: skip

    # -- memory --------------------------------------------------------------------------------

    async def run(self) -> None:
        """End every container whose processes hold more memory than its limit."""
        while True:
            await asyncio.sleep(MEMORY_PERIOD_S)
            limited = [
                (runner, attempt, shim, limit)
                for runner, attempt, shim in self._running()
                if (limit := _memory_limit(runner, attempt.container)) is not None
            ]
            if not limited:
                continue
            sample = await asyncio.to_thread(
                take_sample, self._now_ms(), [shim for _, _, shim, _ in limited]
            )
            for runner, attempt, shim, limit in limited:
                use = sample.of.get(shim, Use(0, 0))
                if use.memory_bytes > limit:
                    _log.info(
                        "memory_limit_passed", pod=runner.name, container=attempt.container,
                        limit_bytes=limit, memory_bytes=use.memory_bytes,
                    )  # fmt: skip
                    attempt.mark("oom")
                    self._agent.signal(
                        runner, inputs.Signal(attempt.container, attempt.number, "KILL")
                    )


def _memory_limit(runner: Runner, container: str) -> int | None:
    resources = runner.pod.containers[container].spec.body.get("resources") or {}
    given = (resources.get("limits") or {}).get("memory")
    return None if given is None else to_units(given)
