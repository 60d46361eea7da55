"""Datagrams and byte pipes between simulated hosts, behind gossip's `Network` port.

Datagrams are lost, doubled, delayed, reordered and damaged. A pipe keeps its bytes in order, as TCP
does: what is lost or cut comes later, after the heal; bytes are damaged only when asked for. Paths
have a direction: a cut, a clog (all is held, then let go at once) or a slow rate may have one side.
A process that dies resets its pipes; a host that loses power says nothing, and its pipes stay
half-open at the other end until the host is back and resets what it does not know.

Source: swizzled clogging is FoundationDB's (Zhou et al., SIGMOD 2021).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import final

from crdtstate.sim.loop import Life, SimLoop, settle
from crdtstate.sim.pipe import Pipe
from gossip import Address, Connection, DatagramPort, Listener

__all__ = ["HostNetwork", "Weather", "Wire"]

Path = tuple[str, str]
_RESEND_S = 0.2  # TCP's least time-out before it sends again.
_RETRY_SYN_S = 1.0


@final
@dataclass
class Weather:
    """What may happen to packets. Probabilities are for each packet."""

    loss: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    latency_s: tuple[float, float] = (0.0002, 0.002)
    tail: float = 0.0  # share of datagrams that come up to tail_s late
    tail_s: float = 30.0
    reset: float = 0.0  # share of what a watch sends at which its connection is reset
    fragment: float = 0.0  # share of writes that a pipe hands over in pieces


@final
@dataclass
class Wire:
    """All paths between all hosts."""

    loop: SimLoop
    rng: Random
    weather: Weather = field(default_factory=Weather)
    cut: set[Path] = field(default_factory=set)
    clogged: dict[Path, list[tuple[Callable[..., None], tuple[object, ...]]]] = field(
        default_factory=dict
    )
    rate: dict[Path, float] = field(default_factory=dict)  # bytes a second
    stats: Counter[str] = field(default_factory=Counter)
    bytes_sent: int = 0
    networks: dict[str, "HostNetwork"] = field(default_factory=dict)

    # -- paths ---------------------------------------------------------------------------------

    def is_open(self, source: str, target: str) -> bool:
        """Tell whether packets of this direction arrive."""
        return (source, target) not in self.cut

    def unclog(self, path: Path) -> None:
        """Let go what was held."""
        for call, args in self.clogged.pop(path, []):
            call(*args)

    def heal(self) -> None:
        """Open every path; losses and damage end too."""
        self.cut.clear()
        self.rate.clear()
        for path in list(self.clogged):
            self.unclog(path)
        self.weather = Weather()

    def latency(self) -> float:
        """Draw one way's time, seconds."""
        return self.rng.uniform(*self.weather.latency_s)

    def damaged(self, data: bytes) -> bytes:
        """Perhaps flip one bit."""
        if not data or self.rng.random() >= self.weather.corrupt:
            return data
        self.stats["corrupted"] += 1
        at, bit = self.rng.randrange(len(data)), 1 << self.rng.randrange(8)
        return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]

    # -- datagrams -----------------------------------------------------------------------------

    def send_datagram(self, source: Address, target: Address, data: bytes) -> None:
        """Send once; it may arrive never, late or twice."""
        weather, rng, path = self.weather, self.rng, (source[0], target[0])
        self.stats["datagrams"] += 1
        self.bytes_sent += len(data)
        for _ in range(2 if rng.random() < weather.duplicate else 1):
            if rng.random() < weather.loss or path in self.cut:
                self.stats["lost"] += 1
                continue
            delay = self.latency()
            if rng.random() < weather.tail:
                delay += rng.uniform(0, weather.tail_s)
            args = (path, source, target, self.damaged(data))
            if path in self.clogged:
                self.clogged[path].append((self._hand_over, args))
            else:
                self.loop.at(self.loop.time() + delay, None, self._hand_over, *args)

    def _hand_over(self, path: Path, source: Address, target: Address, data: bytes) -> None:
        network = self.networks.get(target[0])
        if path in self.cut or network is None:
            self.stats["lost"] += 1
            return
        network.take_datagram(source, target[1], data)

    # -- pipes ---------------------------------------------------------------------------------

    def arrival(self, path: Path, size: int, after_s: float) -> float:
        """Return when so many bytes of a pipe arrive, given that those before come at `after_s`."""
        delay = self.latency()
        while self.rng.random() < self.weather.loss:
            delay += _RESEND_S
        rate = self.rate.get(path)
        start = max(self.loop.time() + delay, after_s)
        return start + (size / rate if rate else 0.0)

    def when_open(self, path: Path, call: Callable[..., None], *args: object) -> None:
        """Call now, or when the path is open again: a cut pipe sends again for ever."""
        if path in self.cut:
            retry = self.loop.time() + _RESEND_S * self.rng.uniform(1, 4)
            self.loop.at(retry, None, self.when_open, path, call, *args)
        elif path in self.clogged:
            self.clogged[path].append((call, args))
        else:
            call(*args)


@final
class HostNetwork:
    """The network as one life of one host sees it; it is gossip's `Network` port."""

    def __init__(self, wire: Wire, address: str, life: Life) -> None:
        self.wire, self.address, self.life = wire, address, life
        self._datagrams: dict[int, Callable[[Address, bytes], None]] = {}
        self._listeners: dict[int, Callable[[Connection], None]] = {}
        self._next_port = 40_000
        self.pipes: dict[int, Pipe] = {}
        wire.networks[address] = self

    def port(self) -> int:
        """Return a fresh port number."""
        self._next_port += 1
        return self._next_port

    async def resolve(self, host: str, port: int) -> Address:
        """Names are addresses here."""
        return host, port

    async def open_datagram(
        self, host: str, port: int, on_datagram: Callable[[Address, bytes], None]
    ) -> DatagramPort:
        """Bind."""
        del host
        port = port or self.port()
        if port in self._datagrams:
            raise OSError(98, f"port {port} is taken")
        self._datagrams[port] = on_datagram
        return _Datagrams(self, port)

    async def listen(
        self, host: str, port: int, on_connection: Callable[[Connection], None]
    ) -> Listener:
        """Listen."""
        del host
        port = port or self.port()
        if port in self._listeners:
            raise OSError(98, f"port {port} is taken")
        self._listeners[port] = on_connection
        return _Listener(self, port)

    async def dial(self, host: str, port: int) -> Connection:
        """Connect. A path that is cut, or a host without power, answers nothing at all."""
        wire, loop = self.wire, self.wire.loop
        there, back = (self.address, host), (host, self.address)
        while True:
            sent_at = loop.time()
            await _sleep_until(loop, wire.arrival(there, 1, 0.0) + wire.latency())
            blocked = {there, back} & (wire.cut | wire.clogged.keys())
            network = wire.networks.get(host)
            if blocked or network is None:
                await _sleep_until(loop, sent_at + _RETRY_SYN_S)
                continue
            accept = network._listeners.get(port)
            if accept is None:
                raise ConnectionRefusedError(111, f"{host}:{port} refuses")
            near = Pipe(self, (host, port))
            far = Pipe(network, (self.address, near.number + 40_000))
            near.other, far.other = far, near
            loop.at(loop.time(), network.life, accept, far)
            return near

    def take_datagram(self, source: Address, port: int, data: bytes) -> None:
        """A datagram arrives."""
        receive = self._datagrams.get(port)
        if receive is None:
            self.wire.stats["unheard"] += 1
            return
        self.wire.loop.at(0.0, self.life, receive, source, data)

    def end(self, *, power_lost: bool) -> None:
        """The process is no more: the system resets its pipes, unless the power has gone too."""
        if self.wire.networks.get(self.address) is self:
            del self.wire.networks[self.address]
        for pipe in list(self.pipes.values()):
            pipe.orphan(tells=not power_lost)


@final
class _Datagrams:
    """One open datagram socket."""

    def __init__(self, network: HostNetwork, port: int) -> None:
        self._network, self.port = network, port

    def send(self, host: str, port: int, data: bytes) -> bool:
        """Send; True promises nothing."""
        if self.port not in self._network._datagrams:
            return False
        self._network.wire.send_datagram((self._network.address, self.port), (host, port), data)
        return True

    def close(self) -> None:
        """Close it."""
        self._network._datagrams.pop(self.port, None)


@final
class _Listener:
    """One listening socket."""

    def __init__(self, network: HostNetwork, port: int) -> None:
        self._network, self.port = network, port

    def close(self) -> None:
        """Accept no more."""
        self._network._listeners.pop(self.port, None)


async def _sleep_until(loop: SimLoop, when_s: float) -> None:
    waiter = loop.create_future()
    timer = loop.call_at(when_s, settle, waiter)
    try:
        await waiter
    finally:
        timer.cancel()
