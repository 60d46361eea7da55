"""EDGE: one port on which connections are accepted, each carried on to an endpoint.

A connection that is made stays with its endpoint, whatever becomes of the Service, until one side
ends it. Each direction ends by itself, as in TCP. A side that does not read holds the other back.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import final

from controllers.agent.balancing import Balancer, Endpoint

__all__ = ["Relay"]

CONNECT_S, PAUSE_S = 2.0, 0.1
CONNECTIONS_MAX, BACKLOG = 4_096, 256
BLOCK_BYTES = 64 << 10


@final
class Relay:
    """A listening port. `sticky`: one client's connections go to one endpoint (ClientIP)."""

    def __init__(self, balancer: Balancer, now_ms: Callable[[], int], *, sticky: bool) -> None:
        self.balancer, self.sticky = balancer, sticky
        self._now_ms = now_ms
        self._listening: dict[tuple[str, int], socket.socket] = {}
        self._fresh: set[socket.socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, host: str, port: int) -> int:
        """Listen on one more address; return the port. Raises: OSError.

        Agents that share a machine share the address: the kernel deals connections among them.
        """
        if (host, port) in self._listening:
            return port
        listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind((host, port))
            listening.listen(BACKLOG)
            listening.setblocking(False)
        except OSError:
            listening.close()
            raise
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)
        self._listening[host, port] = listening
        return int(listening.getsockname()[1])

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return len(self._tasks)

    def addresses(self) -> list[tuple[str, int]]:
        """Return where it listens."""
        return list(self._listening)

    def unlisten(self, host: str, port: int) -> None:
        """Accept no more on an address; connections that are there stay."""
        listening = self._listening.pop((host, port), None)
        if listening is not None:
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()  # The kernel refuses what was not accepted yet.

    async def close(self, *, cut: bool) -> None:
        """Accept no more at all.

        Args:
            cut: Also end the connections that are there.
        """
        for address in self.addresses():
            self.unlisten(*address)
        if cut:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, listening: socket.socket) -> None:
        """Accept one connection; the loop calls again while there are more."""
        try:
            near, address = listening.accept()
        except OSError as error:
            # The client has left already, or another agent was faster; or files have run out.
            if error.errno in (errno.EMFILE, errno.ENFILE):
                loop = asyncio.get_running_loop()
                loop.remove_reader(listening)
                loop.call_later(PAUSE_S, self._resume, listening)
            return
        if len(self._tasks) >= CONNECTIONS_MAX:
            near.close()
            return
        near.setblocking(False)
        self._fresh.add(near)
        task = asyncio.get_running_loop().create_task(self._carry(near, str(address[0])))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._forget(near))

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._listening.values():
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _forget(self, near: socket.socket) -> None:
        """Close a connection whose task was cancelled before it began."""
        if near in self._fresh:
            self._fresh.discard(near)
            near.close()

    async def _carry(self, near: socket.socket, client: str) -> None:
        self._fresh.discard(near)
        reader, writer = await asyncio.open_connection(sock=near, limit=BLOCK_BYTES)
        try:
            found = await self._connect(client if self.sticky else "")
            if found is None:
                writer.transport.abort()  # The client sees a reset, as from a closed port.
                return
            far_reader, far_writer = found
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(_copy(reader, far_writer))
                    both.create_task(_copy(far_reader, writer))
            finally:
                far_writer.close()
        except* OSError:
            writer.transport.abort()  # What broke on one side is broken on the other.
        finally:
            writer.close()

    async def _connect(
        self, client: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Connect to the first endpoint that answers; None when none does."""
        for endpoint in self.balancer.order(self._now_ms(), client):
            try:
                async with asyncio.timeout(CONNECT_S):
                    found = await _open(endpoint)
            except (OSError, TimeoutError):
                self.balancer.failed(endpoint, self._now_ms())
            else:
                self.balancer.succeeded(endpoint)
                return found
        return None


async def _open(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(endpoint.host, endpoint.port, limit=BLOCK_BYTES)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry one direction until its end. Raises: OSError when either side breaks."""
    while block := await reader.read(BLOCK_BYTES):
        writer.write(block)
        await writer.drain()
    if writer.can_write_eof() and not writer.is_closing():
        writer.write_eof()
