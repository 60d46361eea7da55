"""One end of a simulated byte pipe, behind gossip's `Connection` port."""

import asyncio
from typing import TYPE_CHECKING, final

from crdtstate.sim.loop import settle

if TYPE_CHECKING:
    from crdtstate.sim.network import HostNetwork

__all__ = ["Pipe"]

WINDOW_BYTES = 256 * 1024  # On the way or unread; more is the sender's buffer.
BUFFER_BYTES_LOW = 64 * 1024
_SEGMENT_BYTES = 16 * 1024


@final
class Pipe:
    """One end. Its reader and writer live in the network's life; what is on the way does not."""

    def __init__(self, network: "HostNetwork", remote: tuple[str, int]) -> None:
        self._network, self.remote = network, remote
        self.number = network.port()
        network.pipes[self.number] = self
        self.other: Pipe | None = None
        self._arrived = bytearray()
        self._ended = False  # No more bytes will arrive.
        self._closed = False  # No more bytes may be written.
        self._gone = False  # The process of this end is no more.
        self._out = bytearray()
        self._unread = 0  # Bytes on the way to the other end, or there and not read.
        self._due_s = 0.0
        self._sent = self._taken = 0  # Segments, counted, so that they are taken in order.
        self._early: dict[int, bytes] = {}
        self._farewell = False  # After what is buffered, the end.
        self._readers: list[asyncio.Future[None]] = []
        self._writers: list[asyncio.Future[None]] = []

    # -- the port ------------------------------------------------------------------------------

    async def read(self) -> bytes:
        """Return what has arrived, waiting for at least one byte; b"" at the end."""
        while not self._arrived and not self._ended:
            await self._wait(self._readers)
        data = bytes(self._arrived)
        self._arrived.clear()
        if self.other is not None:
            self.other._credit(len(data))
        return data

    def write(self, data: bytes) -> None:
        """Queue bytes; after the end they vanish."""
        if not self._closed and data:
            self._out += data
            self._pump()

    def buffered_bytes(self) -> int:
        """Return how many bytes have not been sent."""
        return len(self._out)

    async def drain(self) -> None:
        """Wait until few are buffered, or the pipe has ended."""
        while len(self._out) > BUFFER_BYTES_LOW and not self._closed:
            await self._wait(self._writers)

    def close(self) -> None:
        """Send what is buffered, then end."""
        if not self._closed:
            self._closed = self._farewell = True
            self._pump()
        self._finish()

    def abort(self) -> None:
        """End now; what is buffered or on the way is lost."""
        if not self._closed or self._out:
            self._closed = True
            self._out.clear()
            self._reset_other()
        self._finish()

    def orphan(self, *, tells: bool) -> None:
        """The process of this end has died; `tells`: its system resets the pipe."""
        self._gone = self._closed = True
        self._out.clear()
        self._network.pipes.pop(self.number, None)
        if tells:
            self._reset_other()

    # -- within --------------------------------------------------------------------------------

    def _finish(self) -> None:
        self._ended = True
        self._network.pipes.pop(self.number, None)
        self._wake(self._readers)
        self._wake(self._writers)

    def _pump(self) -> None:
        wire = self._network.wire
        while self._out and self._unread < WINDOW_BYTES:
            size = min(len(self._out), _SEGMENT_BYTES, WINDOW_BYTES - self._unread)
            if size > 1 and wire.rng.random() < wire.weather.fragment:
                size = wire.rng.randint(1, size)
            data = bytes(self._out[:size])
            del self._out[:size]
            self._send(data)
        if not self._out and self._farewell:
            self._farewell = False
            self._send(b"")
        if len(self._out) <= BUFFER_BYTES_LOW:
            self._wake(self._writers)

    def _send(self, data: bytes) -> None:
        """Put one segment on its way; an empty one is the end."""
        wire, path = self._network.wire, (self._network.address, self.remote[0])
        self._unread += len(data)
        wire.bytes_sent += len(data)
        wire.stats["segments"] += 1
        self._due_s = wire.arrival(path, len(data), self._due_s)
        args = (self._sent, wire.damaged(data))
        self._sent += 1
        wire.loop.at(self._due_s, None, wire.when_open, path, self._deliver, *args)

    def _deliver(self, number: int, data: bytes) -> None:
        other = self.other
        assert other is not None
        if other._gone:  # Nobody knows this pipe there; a system that is up says so.
            if other._network.address in self._network.wire.networks:
                other._reset_other()
            return
        other._early[number] = data
        while (data_now := other._early.pop(other._taken, None)) is not None:
            other._taken += 1
            if not data_now:
                other._take_end()
            elif other._ended:
                self._unread -= len(data_now)
            else:
                other._arrived += data_now
        other._wake(other._readers)

    def _reset_other(self) -> None:
        wire, path = self._network.wire, (self._network.address, self.remote[0])
        assert self.other is not None
        wire.loop.at(wire.arrival(path, 0, 0.0), None, wire.when_open, path, self.other._take_reset)

    def _take_end(self) -> None:
        self._ended = True
        self._wake(self._readers)

    def _take_reset(self) -> None:
        if self._gone:
            return
        self._arrived.clear()
        self._out.clear()
        self._closed = True
        self._finish()

    def _credit(self, size: int) -> None:
        self._unread -= size
        if self._out and not self._gone:
            self._pump()

    async def _wait(self, waiters: list[asyncio.Future[None]]) -> None:
        waiter: asyncio.Future[None] = self._network.wire.loop.create_future()
        waiters.append(waiter)
        await waiter

    def _wake(self, waiters: list[asyncio.Future[None]]) -> None:
        for waiter in waiters:
            settle(waiter)
        waiters.clear()
