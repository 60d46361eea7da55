"""Connections without sockets: two ends of a byte pipe in one event loop."""

import asyncio

from gossip.net.ports import Address


class MemoryConnection:
    """One end. `frozen` models a peer that takes nothing and says nothing."""

    def __init__(self) -> None:
        self.other: MemoryConnection = self
        self.inbox = bytearray()
        self.ended = False
        self.frozen = False
        self.written: list[bytes] = []
        self._changed = asyncio.Event()

    @property
    def remote(self) -> Address:
        return ("memory", 0)

    async def read(self) -> bytes:
        while self.frozen or not (self.inbox or self.ended):
            self._changed.clear()
            await self._changed.wait()
        data = bytes(self.inbox)
        self.inbox.clear()
        return data

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self.other.inject(data)

    def inject(self, data: bytes) -> None:
        if not self.ended:
            self.inbox += data
            self._changed.set()

    def buffered_bytes(self) -> int:
        return 0

    async def drain(self) -> None:
        return

    def close(self) -> None:
        for end in (self, self.other):
            end.ended = True
            end._changed.set()

    abort = close


def memory_pipe() -> tuple[MemoryConnection, MemoryConnection]:
    """Return two connected ends."""
    left, right = MemoryConnection(), MemoryConnection()
    left.other, right.other = right, left
    return left, right
