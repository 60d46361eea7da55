"""EDGE: messages on their way to links. One that is larger than a link's buffer goes as it drains.

Invariants:
    OUT-1  The payloads of a message go in order with nothing between them, as its receiver asks.
    OUT-2  Behind a large message at most BEHIND_BYTES_MAX wait; beyond, messages are dropped whole.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, final

__all__ = ["Links", "Outgoing"]

BEHIND_BYTES_MAX = 4 << 20


class Links(Protocol):
    """What the driver needs of gossip."""

    def linked(self) -> list[str]:
        """Return the names with an open link."""

    def send(self, name: str, payload: bytes) -> bool:
        """Queue one payload; False when the link has no room or is gone."""

    async def wait_writable(self, name: str) -> None:
        """Return once the link's buffer has room again, or the link is gone."""

    def digest_changed(self) -> None:
        """The digest that probes carry is another."""

    def forget(self, name: str) -> None:
        """Never admit this member again."""


@final
class _Queue:
    """What waits for one link to drain."""

    def __init__(self) -> None:
        self.payloads: deque[bytes] = deque()
        self.behind_bytes = 0
        self.pump: asyncio.Task[None] | None = None


@final
class Outgoing:
    """Sends at once what is one payload, and the rest one payload after the other.

    Args:
        start: Runs a coroutine for as long as the peer does.
    """

    def __init__(
        self, links: Links, start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    ) -> None:
        self._links, self._start = links, start
        self._queues: dict[str, _Queue] = {}

    def send(self, name: str, payloads: list[bytes]) -> None:
        """Send one message; it may be lost whole, with its link or for want of room."""
        queue = self._queues.get(name)
        if queue is not None:
            size = sum(map(len, payloads))
            if queue.behind_bytes + size <= BEHIND_BYTES_MAX:
                queue.behind_bytes += size
                queue.payloads += payloads
        elif len(payloads) == 1:
            self._links.send(name, payloads[0])
        else:
            queue = self._queues[name] = _Queue()
            queue.payloads += payloads
            queue.pump = self._start(self._pump(name, queue))

    async def _pump(self, name: str, queue: _Queue) -> None:
        while queue.payloads:
            await self._links.wait_writable(name)
            if self._queues.get(name) is not queue:
                return  # The link is gone, and with it what was sent of the message.
            if not self._links.send(name, queue.payloads.popleft()):
                break
        del self._queues[name]

    async def wait_writable(self, name: str) -> None:
        """Return once nothing waits and the link's buffer has room, or the link is gone."""
        while (queue := self._queues.get(name)) is not None and queue.pump is not None:
            await asyncio.wait([queue.pump])
        await self._links.wait_writable(name)

    def link_down(self, name: str) -> None:
        """Drop what waits for a link that is gone; the next one starts with whole messages."""
        self._queues.pop(name, None)
