"""EDGE: the controllers inside a peer: one manager, on the peer's loop, for as long as it runs."""

import asyncio
from typing import final

import structlog

from controllers.runtime.manager import Manager
from controllers.runtime.registry import ControllerSpec, load_controllers
from crdtstate.client import AsyncClient
from crdtstate.extension import PeerHandle

__all__ = ["ControllersExtension"]

_RESTART_S = 5.0
_log = structlog.get_logger("controllers")


@final
class ControllersExtension:
    """Every installed controller, sharing the work with the other members' controllers."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._client: AsyncClient | None = None
        self._manager: Manager | None = None

    async def start(self, peer: PeerHandle) -> None:
        """Begin. Raises: InvalidError when an installed controller is none."""
        self._client = client = peer.client()
        specs = load_controllers()
        self._task = asyncio.get_running_loop().create_task(self._run(client, specs, peer.name))

    async def _run(self, client: AsyncClient, specs: list[ControllerSpec], name: str) -> None:
        """Run a manager; one that fails is logged and replaced, and the peer goes on."""
        while True:
            self._manager = Manager(client, specs, member=name)
            try:
                await self._manager.run()
            except Exception:  # noqa: BLE001 - a supervisor: it restarts what failed.
                _log.exception("controllers_failed")
            await asyncio.sleep(_RESTART_S)

    async def stop(self) -> None:
        """End all tasks."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._manager is not None:
            await self._manager.withdraw()
        if self._client is not None:
            await self._client.close()
