"""The production network: asyncio (or uvloop) transports behind the ports.

Connections are protocols of our own rather than asyncio's streams: one copy less, and a read
returns everything that has arrived.
"""

import asyncio
import functools
import ipaddress
import socket
import time
from collections.abc import Callable
from typing import cast, final

from gossip.net.ports import Address, Connection, DatagramPort, Listener

READ_BUFFER_BYTES_MAX = 256 * 1024  # Above it the socket is not read, and TCP holds the sender.
WRITE_BUFFER_BYTES_HIGH = 256 * 1024
WRITE_BUFFER_BYTES_LOW = 64 * 1024
UNSENT_BYTES_LOW = 128 * 1024  # In the kernel; keeps acknowledgements from queueing behind data.
USER_TIMEOUT_MS = 5_000  # The last resort behind our own deadlines.
BACKLOG = 128


@functools.lru_cache(maxsize=4096)
def is_numeric(host: str) -> bool:
    """Return whether `host` is an address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@final
class SystemClock:
    """The clocks of this machine."""

    def now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000


@final
class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, on_datagram: Callable[[Address, bytes], None]) -> None:
        self._on_datagram = on_datagram
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports only look like asyncio's; hence no isinstance.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        # IPv6 addresses come with two more fields, which mean nothing to other peers.
        self._on_datagram((addr[0], addr[1]), data)

    @property
    def port(self) -> int:
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    def send(self, host: str, port: int, data: bytes) -> bool:
        # A name would be resolved by a blocking call in the middle of the loop.
        if self._transport is None or self._transport.is_closing() or not is_numeric(host):
            return False
        try:
            self._transport.sendto(data, (host, port))
        except (OSError, ValueError, OverflowError):  # Port 0, wrong family, no route.
            return False
        return True

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@final
class _Pipe(asyncio.Protocol):
    """One connection; `on_connected` is None on the dialling side."""

    def __init__(self, on_connected: Callable[["_Pipe"], None] | None) -> None:
        self._on_connected = on_connected
        self._transport: asyncio.Transport | None = None
        self._arrived = bytearray()
        self._ended = False
        self._reading = True
        self._writable = True
        self._waiting_read: asyncio.Future[None] | None = None
        self._waiting_write: list[asyncio.Future[None]] = []

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(WRITE_BUFFER_BYTES_HIGH, WRITE_BUFFER_BYTES_LOW)
        _tune(transport.get_extra_info("socket"))
        if self._on_connected is not None:
            self._on_connected(self)

    def data_received(self, data: bytes) -> None:
        self._arrived += data
        if self._reading and len(self._arrived) > READ_BUFFER_BYTES_MAX:
            assert self._transport is not None
            self._reading = False
            self._transport.pause_reading()
        self._wake_reader()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._wake_reader()
        self.resume_writing()

    def eof_received(self) -> bool:
        self._ended = True
        self._wake_reader()
        return False  # Close our side too: half-open connections serve nobody here.

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        waiting, self._waiting_write = self._waiting_write, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _wake_reader(self) -> None:
        if self._waiting_read is not None and not self._waiting_read.done():
            self._waiting_read.set_result(None)

    # The port.

    @property
    def remote(self) -> Address:
        assert self._transport is not None
        name = self._transport.get_extra_info("peername")
        return (name[0], name[1]) if name else ("", 0)

    async def read(self) -> bytes:
        if not self._arrived and not self._ended:
            self._waiting_read = asyncio.get_running_loop().create_future()
            try:
                await self._waiting_read
            finally:
                self._waiting_read = None
        data = bytes(self._arrived)
        self._arrived.clear()
        if not self._reading and not self._ended and self._transport is not None:
            self._reading = True
            self._transport.resume_reading()
        return data

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def buffered_bytes(self) -> int:
        if self._transport is None or self._ended:
            return 0
        return self._transport.get_write_buffer_size()

    async def drain(self) -> None:
        if not self._writable and not self._ended:
            future = asyncio.get_running_loop().create_future()
            self._waiting_write.append(future)
            await future

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _tune(sock: socket.socket | None) -> None:
    """Set what this system knows of; none of it is needed for correctness."""
    if sock is None:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option, value in (
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
        ("TCP_NOTSENT_LOWAT", UNSENT_BYTES_LOW),
    ):
        number = getattr(socket, option, None)
        if number is not None:
            sock.setsockopt(socket.IPPROTO_TCP, number, value)


@final
class _Listening:
    def __init__(self, server: asyncio.Server) -> None:
        self._server = server

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        self._server.close()


@final
class AsyncioNetwork:
    """Sockets of the running event loop."""

    async def resolve(self, host: str, port: int) -> Address:
        if is_numeric(host):
            return host, port
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        # IPv4 first: a name of both families is most often served on 0.0.0.0.
        found.sort(key=lambda info: info[0] != socket.AF_INET)
        return str(found[0][4][0]), port

    async def open_datagram(
        self, host: str, port: int, on_datagram: Callable[[Address, bytes], None]
    ) -> DatagramPort:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_datagram_endpoint(
            lambda: _Datagrams(on_datagram), local_addr=(host, port)
        )
        return protocol

    async def listen(
        self, host: str, port: int, on_connection: Callable[[Connection], None]
    ) -> Listener:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: _Pipe(on_connection), host, port, reuse_address=True, backlog=BACKLOG
        )
        return _Listening(server)

    async def dial(self, host: str, port: int) -> Connection:
        loop = asyncio.get_running_loop()
        _, pipe = await loop.create_connection(lambda: _Pipe(None), host, port)
        return pipe


def local_host(towards: str) -> str:
    """Return the address by which this machine reaches `towards`; nothing is sent."""
    family = socket.AF_INET6 if ":" in towards else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((towards, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"
