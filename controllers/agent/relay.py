"""EDGE: one port on which connections are accepted, each carried on to an endpoint.

A connection that is made stays with its endpoint, whatever becomes of the Service, until one side
ends it. Each direction ends by itself, as in TCP. A side that does not read holds the other back.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, final

from controllers.agent.balancing import Balancer, Endpoint

__all__ = ["Relay"]

CONNECT_S = 2.0
CONNECTIONS_MAX = 4_096
BLOCK_BYTES = 64 << 10


@final
class Relay:
    """A listening port. `sticky`: one client's connections go to one endpoint (ClientIP)."""

    def __init__(self, balancer: Balancer, now_ms: Callable[[], int], *, sticky: bool) -> None:
        self.balancer, self.sticky = balancer, sticky
        self._now_ms = now_ms
        self._servers: dict[tuple[str, int], asyncio.Server] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0

    async def listen(self, host: str, port: int) -> None:
        """Listen on one more address. Raises: OSError.

        Agents that share a machine share the address: the kernel deals connections among them.
        """
        if (host, port) in self._servers:
            return
        listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind((host, port))
            listening.setblocking(False)
            self._servers[host, port] = await asyncio.start_server(
                self._accept, sock=listening, backlog=256, limit=BLOCK_BYTES
            )
        except BaseException:
            listening.close()
            raise

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return len(self._tasks)

    def addresses(self) -> list[tuple[str, int]]:
        """Return where it listens."""
        return list(self._servers)

    def unlisten(self, host: str, port: int) -> None:
        """Accept no more on an address; connections that are there stay."""
        server = self._servers.pop((host, port), None)
        if server is not None:
            server.close()

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

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            peer: Any = writer.get_extra_info("peername")
            found = await self._connect(str(peer[0]) if self.sticky and peer else "")
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
