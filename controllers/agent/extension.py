"""EDGE: the agent as a part of a peer's process: what the machine is, and everything started.

It needs Linux: processes are found, and told apart, by what /proc says of them.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import final

import structlog

from controllers.agent.addresses import machine_address
from controllers.agent.admission import Capacity
from controllers.agent.agent import Agent
from controllers.agent.announcing import Announcer
from controllers.agent.desk import PodDesk
from controllers.agent.driver import IdleDriver, ProcessDriver
from controllers.agent.launching import Machine
from controllers.agent.processes import bare_program, end_processes
from controllers.agent.proxy import ServiceProxy
from controllers.agent.registration import Registration
from controllers.agent.usage import memory_total_bytes, processors
from controllers.runtime.ports import SystemClock
from crdtstate.client import AsyncClient
from crdtstate.errors import CrdtstateError
from crdtstate.extension import PeerHandle

__all__ = ["AgentExtension", "can_mount"]

PODS_MAX = 1_000
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")
RETRY_S, RESTART_S = 1.0, 5.0
_TRY_MOUNTS = "from controllers.agent.mounts import enter_namespace; enter_namespace()"
_log = structlog.get_logger("controllers.agent")


@final
class AgentExtension:
    """Runs the pods that are bound to this peer's machine."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._client: AsyncClient | None = None
        self._ending: Path | None = None

    async def start(self, peer: PeerHandle) -> None:
        """Begin. Raises: OSError where there is no /proc or the directory cannot be made."""
        if not sys.platform.startswith("linux"):
            _log.warning("agent_not_started", reason=f"it needs Linux, this is {sys.platform}")
            return
        pods = peer.data / "pods"
        pods.mkdir(parents=True, exist_ok=True)
        # Root's pods can be other users', who must get to their own files, and list nothing.
        pods.chmod(0o711 if os.getuid() == 0 else 0o700)
        self._ending = pods if peer.end_pods else None
        self._client = peer.client()
        self._task = asyncio.get_running_loop().create_task(self._run(peer, self._client))

    async def stop(self) -> None:
        """End all tasks. The processes of the pods go on, unless they are to end with the peer."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._client is not None:
            await self._client.close()
        if self._ending is not None:
            await end_processes(self._ending)

    async def _run(self, peer: PeerHandle, client: AsyncClient) -> None:
        """Run an agent; one that fails is logged and replaced, and adopts what the last one ran."""
        while True:
            try:
                await run_agent(peer, client)
            except Exception:  # noqa: BLE001 - a supervisor: it restarts what failed.
                _log.exception("agent_failed")
            await asyncio.sleep(RESTART_S)


async def run_agent(peer: PeerHandle, client: AsyncClient) -> None:
    """Run everything of an agent until cancelled."""
    clock = SystemClock()
    offset_ms = clock.wall_ms() - clock.now_ms()

    def now_ms() -> int:
        return clock.now_ms() + offset_ms  # The wall clock when we began, and never back.

    address = machine_address(peer.name, await _advertised(client, peer.name))
    capacity = Capacity(processors() * 1000, memory_total_bytes(), PODS_MAX)
    machine = Machine(
        name=peer.name, address=address, uid=os.getuid(), mounts=await can_mount(),
        podman=shutil.which("podman"), environment=_environment(os.environ),
        allocatable=capacity.quantities(),
    )  # fmt: skip
    announcer = Announcer(client.resources, f"agent-{peer.name}", now_ms)
    proxy = ServiceProxy(client, name=peer.name, address=address, now_ms=now_ms, say=announcer.say)
    driver = ProcessDriver(machine, client.resources, proxy.services_in, clock.wall_ms)
    agent = Agent(
        client, driver, IdleDriver(clock.wall_ms), announcer, pods=peer.data / "pods",
        capacity=capacity, now_ms=now_ms,
    )  # fmt: skip
    registration = Registration(
        client.resources, name=peer.name, address=address, allocatable=capacity.quantities(),
        now_ms=now_ms,
    )  # fmt: skip
    desk = PodDesk(agent, now_ms)
    peer.offer_pods(desk)
    _log.info("agent_started", address=address, mounts=machine.mounts, podman=machine.podman)
    try:
        async with asyncio.TaskGroup() as group:
            for part in (agent, announcer, proxy, registration, desk):
                group.create_task(part.run())
    finally:
        driver.close()


async def _advertised(client: AsyncClient, name: str) -> str:
    """Return the host under which others reach the peer."""
    while True:
        try:
            for row in await client.members():
                if row.name == name and row.address:
                    return row.address.rpartition(":")[0].strip("[]")
        except CrdtstateError as error:
            _log.info("agent_waits", reason=error.message)
        await asyncio.sleep(RETRY_S)


async def can_mount() -> bool:
    """Whether processes may have mounts of their own here."""
    probe = await asyncio.create_subprocess_exec(
        *bare_program(_TRY_MOUNTS), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    return await probe.wait() == 0


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    return {name: own[name] for name in PASSED_ON if name in own}
