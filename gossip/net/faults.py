"""Network faults on demand, for demonstrations and tests: cuts, loss and delay, per member.

They are applied inside this process, to datagrams and streams, in and out. A cut is a black
hole, as a pulled cable is: nothing is refused, nothing is closed, and bytes that a stream lost
in it are lost for good, so that the stream never works again. Loss on a stream is what TCP makes
of it: a pause.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

from gossip.errors import GossipError
from gossip.net.ports import Address, Connection
from gossip.net.tasks import Tasks

Cut = Literal["both", "in", "out"]

RETRANSMIT_MS = 200  # What a lost segment costs: Linux's least retransmission time-out.
DELAY_MS_MAX = 60_000
DELAYED_CHUNKS_MAX = 64
ABANDONED_MAX = 64


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with the way to and from one member."""

    cut: Cut | None = None
    drop: float = 0.0
    delay_ms: int = 0

    def __post_init__(self) -> None:
        if self.cut not in (None, "both", "in", "out"):
            raise GossipError(f"cut={self.cut!r} is none of both, in, out, None")
        if not 0.0 <= self.drop <= 1.0:
            raise GossipError(f"drop={self.drop} is not between 0 and 1")
        if not 0 <= self.delay_ms <= DELAY_MS_MAX:
            raise GossipError(f"delay_ms={self.delay_ms} is not in 0..{DELAY_MS_MAX}")

    @property
    def cut_in(self) -> bool:
        return self.cut in ("both", "in")

    @property
    def cut_out(self) -> bool:
        return self.cut in ("both", "out")


NO_FAULT = Fault()


@final
class Faults:
    """The faults of one mesh, by member name. Without `enabled` it is a wire."""

    def __init__(
        self, *, enabled: bool, rng: random.Random, tasks: Tasks, counters: Counter[str]
    ) -> None:
        self._enabled = enabled
        self._rng = rng
        self._tasks = tasks
        self._counters = counters
        self._faults: dict[str, Fault] = {}
        self._abandoned: deque[Connection] = deque()

    def set_fault(self, name: str, fault: Fault) -> None:
        """Replace the fault of one member.

        Raises:
            GossipError: Faults are not enabled.
        """
        if not self._enabled:
            raise GossipError(f"set_fault on {name!r} needs --dev (MeshConfig.dev)")
        self._faults[name] = fault

    def heal(self, name: str | None = None) -> None:
        """End the fault of one member, or all."""
        if name is None:
            self._faults.clear()
        else:
            self._faults.pop(name, None)

    def of(self, name: str | None) -> Fault:
        """Return what is wrong with the way to `name`; an unknown address is no member."""
        if name is None:
            return NO_FAULT
        return self._faults.get(name, NO_FAULT)

    def send_datagram(self, name: str | None, send: Callable[[], object]) -> None:
        """Call `send` now, later or never."""
        fault = self.of(name)
        self._datagram(fault, fault.cut_out, send)

    def receive_datagram(self, name: str | None, receive: Callable[[], object]) -> None:
        """Call `receive` now, later or never."""
        fault = self.of(name)
        self._datagram(fault, fault.cut_in, receive)

    def _datagram(self, fault: Fault, cut: bool, go_on: Callable[[], object]) -> None:
        if cut or (fault.drop and self._rng.random() < fault.drop):
            self._counters["faults_datagrams_dropped"] += 1
        elif fault.delay_ms:
            asyncio.get_running_loop().call_later(fault.delay_ms / 1000, go_on)
        else:
            go_on()

    def stream_delay_ms(self, fault: Fault) -> int:
        """Return how long one write or read takes now."""
        lost = fault.drop and self._rng.random() < fault.drop
        return fault.delay_ms + (RETRANSMIT_MS if lost else 0)

    def wrap(self, name: str, connection: Connection) -> Connection:
        """Put the faults of `name` in the way of a connection.

        Bytes that came through a cut, because nobody knew yet from whom, count as lost.
        """
        if not self._enabled:
            return connection
        is_lost = self.of(name).cut_in
        return FaultyConnection(self, name, connection, tasks=self._tasks, is_lost=is_lost)

    def abandon(self, connection: Connection) -> None:
        """Keep a connection whose end cannot be told to the peer, because the way is cut."""
        self._abandoned.append(connection)
        if len(self._abandoned) > ABANDONED_MAX:
            self._abandoned.popleft().abort()

    def close(self) -> None:
        """Let go of what was kept."""
        while self._abandoned:
            self._abandoned.popleft().abort()


@final
class FaultyConnection:
    """A connection to one member through whatever is wrong with the way at each moment."""

    def __init__(
        self, faults: Faults, name: str, inner: Connection, *, tasks: Tasks, is_lost: bool
    ) -> None:
        self._faults = faults
        self._name = name
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self._lost_out = is_lost
        self._lost_in = is_lost
        self._closed = False
        self._abandoned = False
        self._out: deque[tuple[float, bytes]] = deque()
        self._out_timer: asyncio.TimerHandle | None = None
        self._last_in = 0.0
        self._arrived: deque[tuple[float, bytes]] = deque()
        self._changed = asyncio.Event()
        tasks.spawn(self._pump(), name=f"faulty connection with {name}")

    @property
    def remote(self) -> Address:
        return self._inner.remote

    # Out.

    def write(self, data: bytes) -> None:
        fault = self._faults.of(self._name)
        if fault.cut_out or self._lost_out:
            self._lost_out = True  # A gap in the bytes: nothing after it can ever be used.
            return
        delay_ms = self._faults.stream_delay_ms(fault)
        if not delay_ms and not self._out:
            self._inner.write(data)
            return
        due = self._loop.time() + delay_ms / 1000
        self._out.append((max(due, self._out[-1][0] if self._out else due), data))
        if self._out_timer is None:
            self._out_timer = self._loop.call_at(self._out[0][0], self._write_due)

    def _write_due(self) -> None:
        self._out_timer = None
        while self._out and self._out[0][0] <= self._loop.time() + 0.0005:
            self._inner.write(self._out.popleft()[1])
        if self._out:
            self._out_timer = self._loop.call_at(self._out[0][0], self._write_due)

    def buffered_bytes(self) -> int:
        return sum(len(data) for _, data in self._out) + self._inner.buffered_bytes()

    async def drain(self) -> None:
        await self._inner.drain()

    # In.

    async def _pump(self) -> None:
        """Take from the connection at once, so that each chunk is delayed from its arrival."""
        while data := await self._inner.read():
            fault = self._faults.of(self._name)
            if self._abandoned:
                if not fault.cut:
                    break
            elif fault.cut_in or self._lost_in:
                self._lost_in = True
            else:
                self._arrive(data, self._faults.stream_delay_ms(fault))
                while len(self._arrived) >= DELAYED_CHUNKS_MAX and not self._closed:
                    self._changed.clear()
                    await self._changed.wait()
        if self._abandoned:
            # What a peer gets that writes to a process long gone: a reset.
            self._inner.abort()
        elif not (self._faults.of(self._name).cut_in or self._lost_in):
            self._arrive(b"", 0)  # In a cut, not even the end gets through.

    def _arrive(self, data: bytes, delay_ms: int) -> None:
        due = self._loop.time() + delay_ms / 1000
        self._arrived.append((max(due, self._last_in), data))
        self._last_in = self._arrived[-1][0]
        self._changed.set()

    async def read(self) -> bytes:
        while not self._closed:
            if not self._arrived:
                self._changed.clear()
                await self._changed.wait()
                continue
            wait_s = self._arrived[0][0] - self._loop.time()
            if wait_s > 0.0005:
                await asyncio.sleep(wait_s)
                continue
            data = self._arrived.popleft()[1]
            self._changed.set()
            return data
        return b""

    # The end.

    def close(self) -> None:
        self._end(self._inner.close)

    def abort(self) -> None:
        self._end(self._inner.abort)

    def _end(self, end: Callable[[], None]) -> None:
        if self._closed:
            return
        self._closed = True
        self._changed.set()
        if self._out_timer is not None:
            self._out_timer.cancel()
        if self._faults.of(self._name).cut_out or self._lost_out:
            self._abandoned = True
            self._faults.abandon(self._inner)
        else:
            end()
