"""EDGE: writes Events about pods and Services, at a bounded rate; what is too much is dropped."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, final

import structlog

from controllers.runtime.actions import Say
from controllers.runtime.recorder import Recorder
from crdtstate.client.kinds import EVENTS
from crdtstate.client.resources import Resources
from crdtstate.errors import AlreadyExistsError, CrdtstateError

__all__ = ["MANAGER", "Announcer"]

MANAGER = "agent"
EVENTS_MAX = 1_000
_log = structlog.get_logger("controllers.agent")


@final
class Announcer:
    """Writes the Events of one agent."""

    def __init__(self, resources: Resources, component: str, now_ms: Callable[[], int]) -> None:
        self._resources, self._now_ms = resources, now_ms
        self._recorder = Recorder(component)
        self._waiting: asyncio.Queue[tuple[dict[str, Any], int]] = asyncio.Queue(EVENTS_MAX)

    def say(self, say: Say, container: str = "") -> None:
        """Write an Event, unless the same was said a moment ago or too much is waiting."""
        now_ms = self._now_ms()
        told = self._recorder.event(say, now_ms, now_ms)
        if told is None or self._waiting.full():
            return
        body, count = told
        if container:
            body["involvedObject"]["fieldPath"] = f"spec.containers{{{container}}}"
        self._waiting.put_nowait((body, count))

    async def run(self) -> None:
        """Write, for ever."""
        while True:
            body, count = await self._waiting.get()
            try:
                await self._write(body, count)
            except CrdtstateError as error:
                _log.info("event_not_written", reason=error.message)

    async def _write(self, body: dict[str, Any], count: int) -> None:
        if count == 1:
            with suppress(AlreadyExistsError):
                await self._resources.create(EVENTS, body, manager=MANAGER)
                return
        change = {"count": count, "lastTimestamp": body["lastTimestamp"]}
        meta = body["metadata"]
        await self._resources.patch(
            EVENTS, meta["name"], change, meta["namespace"], manager=MANAGER
        )
