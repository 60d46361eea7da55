"""EDGE: the Node of this machine, kept as it is. Nothing is written while nothing changes.

Whether the machine is there is gossip's business: no Lease is renewed, and others set the Ready
condition to Unknown when they do not hear from it. When they do again, it is set back from here.
"""

import asyncio
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from random import SystemRandom
from typing import Any, final

import structlog

from controllers.runtime.actions import difference
from controllers.runtime.cache import Cache
from controllers.runtime.informer import Informer
from controllers.runtime.objects import status_of, with_condition
from controllers.runtime.request import Request
from crdtstate.client.kinds import NODES
from crdtstate.client.resources import Resources
from crdtstate.errors import AlreadyExistsError, CrdtstateError, NotFoundError
from crdtstate.version import VERSION

__all__ = ["Registration"]

PERIOD_S = 2.0  # The least time between two writes: nobody's opinion is fought over faster.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_log = structlog.get_logger("controllers.agent")


@final
class Registration:
    """`run` goes on until it is cancelled.

    Args:
        allocatable: What pods may request in all, as quantities.
    """

    def __init__(
        self,
        resources: Resources,
        *,
        name: str,
        address: str,
        allocatable: Mapping[str, str],
        now_ms: Callable[[], int],
    ) -> None:
        self._resources, self._name, self._now_ms = resources, name, now_ms
        self._address, self._allocatable = address, dict(allocatable)
        self._cache = Cache(NODES)
        self._informer = Informer(
            NODES, self._cache, resources, SystemRandom(), field_selector=f"metadata.name={name}"
        )
        self._informer.listen(lambda _: self._woken.set())
        self._woken = asyncio.Event()
        self._facts = _machine_facts()

    async def run(self) -> None:
        """Create the Node, and keep its status true, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informer.run())
            await self._informer.synced.wait()
            self._woken.set()
            while True:
                await self._woken.wait()
                self._woken.clear()
                try:
                    await self._settle()
                except CrdtstateError as error:
                    _log.info("node_not_written", reason=error.message)
                    self._woken.set()
                await asyncio.sleep(PERIOD_S)

    async def _settle(self) -> None:
        body = self._cache.get(Request("", self._name))
        if body is None:
            labels = {
                "kubernetes.io/hostname": self._name, "kubernetes.io/os": "linux",
                "kubernetes.io/arch": self._facts["architecture"],
            }  # fmt: skip
            try:
                body = await self._resources.create(
                    NODES, {"metadata": {"name": self._name, "labels": labels}}, manager="agent"
                )
            except AlreadyExistsError:
                return  # The watch will bring it.
        change = difference(status_of(body), self._wanted(status_of(body)))
        if change:
            try:
                await self._resources.patch(
                    NODES, self._name, {"status": change}, subresource="status", manager="agent"
                )
            except NotFoundError:
                return

    def _wanted(self, status: Mapping[str, Any]) -> dict[str, Any]:
        now_ms = self._now_ms()
        conditions = status.get("conditions") or []
        for kind, value, reason, message in (
            ("MemoryPressure", "False", "AgentHasSufficientMemory", "memory is available"),
            ("DiskPressure", "False", "AgentHasNoDiskPressure", "the disk is not full"),
            ("PIDPressure", "False", "AgentHasSufficientPID", "processes can be started"),
            ("Ready", "True", "AgentReady", "the agent runs pods as processes"),
        ):
            conditions = with_condition(
                conditions, kind, value, reason=reason, message=message, now_ms=now_ms
            )
        return {
            **status,
            "addresses": [
                {"type": "InternalIP", "address": self._address},
                {"type": "Hostname", "address": self._name},
            ],
            "capacity": self._allocatable, "allocatable": self._allocatable,
            "conditions": conditions, "nodeInfo": self._facts,
        }  # fmt: skip


def _machine_facts() -> dict[str, Any]:
    machine = platform.machine()
    return {
        "machineID": _read("/etc/machine-id"),
        "systemUUID": "",
        "bootID": _read("/proc/sys/kernel/random/boot_id"),
        "kernelVersion": platform.release(),
        "osImage": _os_name(),
        "containerRuntimeVersion": f"process://{VERSION}",
        "kubeletVersion": f"v{VERSION}",
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": _ARCHITECTURES.get(machine, machine),
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _os_name() -> str:
    try:
        return str(platform.freedesktop_os_release().get("PRETTY_NAME", os.name))
    except OSError:
        return os.name
