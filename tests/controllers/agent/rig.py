"""An agent with real processes, on a resource API in memory."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from controllers.agent.admission import Capacity
from controllers.agent.agent import Agent
from controllers.agent.announcing import Announcer
from controllers.agent.desk import PodDesk
from controllers.agent.driver import IdleDriver, ProcessDriver
from controllers.agent.extension import can_mount
from controllers.agent.launching import Machine
from controllers.agent.processes import end_processes
from controllers.runtime.ports import SystemClock
from crdtstate.errors import InvalidError
from crdtstate.podaccess import LogQuery
from tests.controllers.fake_api import FakeApi, Key

DEADLINE_S = 40.0


class PodApi(FakeApi):
    """Uids that can be names of directories; pods that run are marked before they are gone."""

    def _store(self, key: Key, body: dict[str, Any], kind: str) -> dict[str, Any]:
        uid = body["metadata"]["uid"].replace("/", "-").replace("#", "-")
        return super()._store(key, {**body, "metadata": {**body["metadata"], "uid": uid}}, kind)

    def delete(self, key: Key, options: dict[str, Any]) -> dict[str, Any]:
        old = self.objects.get(key)
        grace_s = options.get("gracePeriodSeconds", 30)
        if old is not None and key[0] == "/pods" and grace_s:
            meta = {**old["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z",
                    "deletionGracePeriodSeconds": grace_s}  # fmt: skip
            return self._store(key, {**old, "metadata": meta}, "MODIFIED")
        return super().delete(key, options)


class Rig:
    """One agent. `api` outlives it, as do the processes."""

    def __init__(self, path: Path) -> None:
        self.path, self.api = path, PodApi()
        self.capacity = Capacity(2_000, 8 << 30, 2_000)
        self.mounts = False
        """Whether processes may have mounts of their own."""

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[Agent]:
        """Run an agent."""
        clock, client = SystemClock(), self.api.client()
        mounts = self.mounts and await can_mount()
        machine = Machine(
            name="a", address="127.1.2.3", uid=os.getuid(), mounts=mounts,
            podman=None, environment={"PATH": os.environ["PATH"]},
            allocatable=self.capacity.quantities(),
        )  # fmt: skip
        driver = ProcessDriver(machine, client.resources, lambda _: [], clock.wall_ms)
        announcer = Announcer(client.resources, "agent-a", clock.wall_ms)
        agent = Agent(
            client, driver, IdleDriver(clock.wall_ms), announcer, pods=self.path,
            capacity=self.capacity, now_ms=clock.wall_ms,
        )  # fmt: skip
        self.desk = PodDesk(agent, clock.wall_ms)
        tasks = [asyncio.create_task(part.run()) for part in (agent, announcer, self.desk)]
        try:
            yield agent
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            driver.close()
            await client.close()

    def create(self, name: str, *containers: dict[str, Any], **spec: Any) -> None:
        """Create a pod that is bound to this agent's machine."""
        filled = [{"name": "c", "image": "here", **c} for c in containers]
        body = {
            "metadata": {"name": name, "annotations": spec.pop("annotations", {})},
            "spec": {"nodeName": "a", "containers": filled, **spec},
        }
        self.api.create("/pods", "default", body)

    def store(self, resource: str, name: str, body: dict[str, Any]) -> None:
        """Create, or replace, another object."""
        key = (f"/{resource}", "default", name)
        if key in self.api.objects:
            self.api.write(key, {"metadata": {"name": name}, **body}, None)
        else:
            self.api.create(f"/{resource}", "default", {"metadata": {"name": name}, **body})

    def delete(self, name: str, grace_s: int = 30) -> None:
        """Delete a pod as a user does."""
        self.api.delete(("/pods", "default", name), {"gracePeriodSeconds": grace_s})

    def pod(self, name: str) -> dict[str, Any] | None:
        """Return a pod."""
        return self.api.objects.get(("/pods", "default", name))

    def status(self, name: str) -> dict[str, Any]:
        """Return a pod's status."""
        return (self.pod(name) or {}).get("status", {})

    def container(self, name: str, at: int = 0) -> dict[str, Any]:
        """Return the status of a container; empty before there is one."""
        found = self.status(name).get("containerStatuses") or [{}] * (at + 1)
        return dict(found[at])

    def waiting(self, name: str) -> dict[str, Any]:
        """Return why a container waits."""
        return dict(self.container(name).get("state", {}).get("waiting", {}))

    def pid(self, name: str, at: int = 0) -> int:
        """Return the pid of a container that runs, 0 when none does."""
        container = self.container(name, at)
        if "running" not in container.get("state", {}):
            return 0
        return int(container["containerID"].removeprefix("process://").split("-")[0])

    def ready(self, name: str) -> bool:
        """Whether a pod is ready."""
        conditions = self.status(name).get("conditions", [])
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def reasons(self) -> set[str]:
        """Return the reasons of all Events."""
        return {body["reason"] for key, body in self.api.objects.items() if key[0] == "/events"}

    async def log(self, name: str, **query: Any) -> str:
        """Return a container's output."""
        chunks = self.desk.logs("default", name, "c", LogQuery(**query))
        return b"".join([chunk async for chunk in chunks]).decode()

    async def wait_log(self, name: str, text: str = "\n") -> str:
        """Wait until a container has said something; return all that it has said."""
        said = ""
        async with asyncio.timeout(DEADLINE_S):
            while text not in said:
                await asyncio.sleep(0.02)
                with contextlib.suppress(InvalidError):
                    said = await self.log(name)
        return said

    def end_all(self) -> None:
        """Kill whatever still runs."""
        asyncio.run(end_processes(self.path))


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for it."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + DEADLINE_S
    while not condition():
        assert loop.time() < deadline_s, f"not within {DEADLINE_S} s: {what}"
        await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process is there, and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
