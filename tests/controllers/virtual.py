"""Controllers on virtual time against FakeApi peers, with a stand-in for the node agents."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from controllers.runtime.manager import Manager
from controllers.runtime.objects import from_ms
from controllers.runtime.registry import ControllerSpec, spec_of_class
from crdtstate.client.aio import AsyncClient
from crdtstate.sim.loop import SimLoop
from tests.controllers.fake_api import FakeApi

EPOCH_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z, when FakeApi creates everything.


class VirtualClock:
    """Both clocks, from the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now_ms(self) -> int:
        return int(self._loop.time() * 1000)

    def wall_ms(self) -> int:
        return EPOCH_MS + self.now_ms()


def run(main: Callable[["Stage"], Coroutine[Any, Any, None]], seed: int = 1) -> None:
    """Run a test on virtual time."""
    loop = SimLoop(Random(seed))
    try:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(_main(main, loop, seed))
        assert not loop.problems, loop.problems
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def _main(
    main: Callable[["Stage"], Coroutine[Any, Any, None]], loop: SimLoop, seed: int
) -> None:
    stage = Stage(loop, seed)
    async with asyncio.timeout(3_600):
        try:
            await main(stage)
        finally:
            await stage.close()


class Stage:
    """One FakeApi, the agents of its hosts, and managers."""

    def __init__(self, loop: SimLoop, seed: int) -> None:
        self.loop, self.clock = loop, VirtualClock(loop)
        self.api = FakeApi()
        self.api.create("/namespaces", "", {"metadata": {"name": "default"}})
        self.rng = Random(seed)
        self.managers: list[Manager] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._clients: list[AsyncClient] = []

    def start(self, *classes: type | ControllerSpec, member: str | None = None) -> Manager:
        """Run controllers."""
        specs = [c if isinstance(c, ControllerSpec) else spec_of_class(c) for c in classes]
        client = AsyncClient("fake:1", link=self.api.client()._link, causal=False, rng=self.rng)
        self._clients.append(client)
        manager = Manager(client, specs, member=member, clock=self.clock, rng=self.rng)
        self.managers.append(manager)
        self._tasks.append(self.loop.create_task(manager.run()))
        return manager

    def kill(self, manager: Manager) -> None:
        """End a manager at once."""
        self._tasks[self.managers.index(manager)].cancel()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self._clients:
            await client.close()

    async def until(
        self, condition: Callable[[], Any], what: str = "the condition", deadline_s: float = 120.0
    ) -> float:
        """Wait; return the virtual seconds it took."""
        began = self.loop.time()
        while not condition():
            assert self.loop.time() - began < deadline_s, f"not within {deadline_s} s: {what}"
            await asyncio.sleep(0.05)
        return self.loop.time() - began

    async def quiet(self, seconds: float = 30.0) -> None:
        """Let time pass and assert that nothing is written in it."""
        before, requests = self.api.writes, len(self.api.requests)
        await asyncio.sleep(seconds)
        told = [r for r in self.api.requests[requests:] if r.split()[0] not in ("GET", "WATCH")]
        assert self.api.writes == before, told

    # -- what is there -------------------------------------------------------------------------

    def objects(self, resource: str) -> dict[str, Any]:
        """Return the objects of a kind by name."""
        return {key[2]: body for key, body in self.api.objects.items() if key[0] == resource}

    def node(self, name: str, **spec: Any) -> None:
        """Add a ready Node, and the member behind it."""
        labels = {"kubernetes.io/hostname": name}
        body = {
            "metadata": {"name": name, "labels": labels}, "spec": spec,
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "500"},
            },
        }  # fmt: skip
        self.api.create("/nodes", "", body)
        self.member(name)

    def member(self, name: str, liveness: str = "alive") -> None:
        """Add a member, or say how it is."""
        self.api.members = [m for m in self.api.members if m["name"] != name]
        self.api.members.append({"name": name, "liveness": liveness, "linked": True})

    def ready(self, name: str, namespace: str = "default", **status: Any) -> None:
        """Let a pod run and be ready, as its agent would say it."""
        key = ("/pods", namespace, name)
        now = from_ms(self.clock.wall_ms())
        started = {"state": {"running": {"startedAt": now}}, "name": "main"}
        body = {
            "phase": "Running", "podIP": "10.0.0.1", "startTime": now,
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}],
            "containerStatuses": [started], **status,
        }  # fmt: skip
        self.api.write(key, {"metadata": {}, "status": body}, "status")

    def work(self) -> None:
        """Do what agents do, once: every bound pod runs and is ready, every doomed one ends."""
        for (resource, namespace, name), body in list(self.api.objects.items()):
            if resource == "/pods" and body["spec"].get("nodeName") and not body.get("status"):
                self.ready(name, namespace)

    def agents(self) -> None:
        """Go on doing it."""

        async def go_on() -> None:
            while True:
                self.work()
                await asyncio.sleep(0.2)

        self._tasks.append(self.loop.create_task(go_on()))


def deployment(name: str, replicas: int, image: str = "v1", **spec: Any) -> dict[str, Any]:
    """Return a Deployment."""
    labels = {"app": name}
    return {
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
            **spec,
        },
    }  # fmt: skip
