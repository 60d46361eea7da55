"""Membership machines on a lossy network of virtual milliseconds, drawn from one seed.

Every machine is checked after every step. Streams do not lose, and follow the same cuts.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Iterable
from typing import Any

from gossip.core import effects as fx
from gossip.core import messages as msg
from gossip.core.config import Config
from gossip.core.peer import Peer
from gossip.core.ports import Liveness, Member

DELAY_MS = (1, 5)
OVERHEAD_BYTES = 28 + 62  # IP and UDP; the envelope, at its most.
DIGEST = bytes(range(24))


def record(name: str = "x", incarnation: int = 1, liveness: int = 0, **changes: Any) -> Member:
    """Return a member's record."""
    fields: dict[str, Any] = {"host": "10.0.0.9", "port": 7946, "metadata": b""} | changes
    return Member(name=name, incarnation=incarnation, liveness=Liveness(liveness), **fields)


def machine(name: str = "a", *, seed: int = 1, **changes: Any) -> Peer:
    """Return a started machine that knows nobody."""
    arguments: dict[str, Any] = {"host": "10.0.0.1", "port": 7946} | changes
    config = arguments.pop("config", Config())
    peer = Peer(config, random.Random(seed), name=name, **arguments)
    peer.step(0, msg.Started())
    return peer


class Host:
    """One process at one address."""

    def __init__(self, number: int, name: str) -> None:
        self.name = name
        self.address = (f"10.0.0.{number}", 7946)
        self.peer: Peer | None = None
        self.wake_ms: int | None = None
        self.life = 0
        self.frozen_until_ms = 0
        self.side = 0


class Net:
    """The network, its hosts and its clock."""

    def __init__(
        self, names: Iterable[str], *, seed: int = 1, config: Config | None = None,
        loss: float = 0.0, streams: bool = True, joined: bool = True,
    ) -> None:  # fmt: skip
        self.now_ms = 1_000_000
        self.rng = random.Random(seed)
        self.config = config or Config()
        self.loss, self.streams = loss, streams
        self.packets = self.bytes = 0
        self.sizes: list[int] = []
        self.changes: list[tuple[int, str, Member]] = []
        self.rejected: list[tuple[str, str]] = []
        self.digests: list[tuple[str, str, bytes]] = []
        self.story: list[tuple[int, str, fx.Effect]] = []
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.hosts: dict[str, Host] = {}
        self._blocked: set[tuple[str, str]] = set()
        self._at: dict[tuple[str, int], Host] = {}
        for name in names:
            self.add(name)
        if joined:
            first = next(iter(self.hosts.values()))
            for host in list(self.hosts.values())[1:]:
                self.give(host.name, msg.Join(*first.address))
            self.run_until(self.agreed, 5_000)

    # Hosts.

    def add(self, name: str, *, incarnation: int = 1, label: str | None = None) -> Host:
        """Start a process; `label` tells two of one name apart."""
        host = Host(len(self.hosts) + 1, name)
        self.hosts[label or name] = host
        self._at[host.address] = host
        self._boot(host, incarnation)
        return host

    def _boot(self, host: Host, incarnation: int) -> None:
        rng = random.Random(self.rng.getrandbits(64))
        host.life += 1
        host.peer = Peer(
            self.config, rng, name=host.name, host=host.address[0], port=host.address[1],
            incarnation=incarnation,
        )  # fmt: skip
        self._step(host, msg.DigestChanged(DIGEST))
        self._step(host, msg.Started())

    def peer(self, name: str) -> Peer:
        """Return the machine of a host that runs."""
        peer = self.hosts[name].peer
        assert peer is not None
        return peer

    def give(self, name: str, event: msg.Input) -> None:
        """Give one input."""
        self._step(self.hosts[name], event)

    def crash(self, name: str) -> None:
        """The process is no more; nobody is told."""
        self.hosts[name].peer = None

    def restart(self, name: str, *, incarnation: int, seed: str) -> None:
        """A new life at the same address, which knows only a seed."""
        self._boot(self.hosts[name], incarnation)
        self.give(name, msg.Join(*self.hosts[seed].address))

    def freeze(self, name: str, for_ms: int) -> None:
        """The event loop stands still; packets wait in its socket."""
        self.hosts[name].frozen_until_ms = self.now_ms + for_ms

    # The network.

    def cut(self, *names: str) -> None:
        """Separate these from the rest."""
        for name, host in self.hosts.items():
            host.side = int(name in names)

    def block(self, one: str, other: str) -> None:
        """Drop whatever these two send to each other directly."""
        self._blocked |= {(one, other), (other, one)}

    def heal(self) -> None:
        """End all cuts."""
        self._blocked.clear()
        for host in self.hosts.values():
            host.side = 0

    def _reaches(self, source: Host, target: Host) -> bool:
        return source.side == target.side and (source.name, target.name) not in self._blocked

    def _send(self, source: Host, effect: fx.SendDatagram) -> None:
        self.packets += 1
        self.bytes += len(effect.data) + OVERHEAD_BYTES
        self.sizes.append(len(effect.data))
        target = self._at.get((effect.host, effect.port))
        lost = self.rng.random() < self.loss
        delay_ms = self.rng.randint(*DELAY_MS)
        if target is not None and self._reaches(source, target) and not lost:
            event = msg.Received(source.address, effect.data)
            self._later(delay_ms, lambda: self._step(target, event))

    def _probe_stream(self, source: Host, name: str) -> None:
        target = self.hosts[name]
        life = source.life

        def answer() -> None:
            up = target.peer is not None and target.frozen_until_ms <= self.now_ms
            ok = self.streams and up and self._reaches(source, target)
            if source.life == life:
                self._step(source, msg.StreamProbeResult(name, ok))

        self._later(2 * DELAY_MS[1], answer)

    # Time.

    def _later(self, delay_ms: int, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now_ms + delay_ms, next(self._order), action))

    def _step(self, host: Host, event: msg.Input) -> None:
        if host.peer is None:
            return
        if host.frozen_until_ms > self.now_ms:
            self._later(host.frozen_until_ms - self.now_ms, lambda: self._step(host, event))
            return
        for effect in host.peer.step(self.now_ms, event):
            self._perform(host, effect)
        host.peer.check()

    def _perform(self, host: Host, effect: fx.Effect) -> None:
        self.story.append((self.now_ms, host.name, effect))
        match effect:
            case fx.SendDatagram():
                self._send(host, effect)
            case fx.ProbeStream(name):
                self._probe_stream(host, name)
            case fx.MemberChanged(member):
                self.changes.append((self.now_ms, host.name, member))
            case fx.DigestSeen(name, digest):
                self.digests.append((host.name, name, digest))
            case fx.Rejected(_, reason):
                self.rejected.append((host.name, reason))
            case fx.WakeAt(at_ms):
                host.wake_ms = at_ms
                life = host.life
                self._later(at_ms - self.now_ms, lambda: self._wake(host, life, at_ms))

    def _wake(self, host: Host, life: int, due_ms: int) -> None:
        if host.life != life or host.wake_ms != due_ms:
            return  # Another WakeAt has replaced it.
        if host.frozen_until_ms > self.now_ms:
            delay_ms = host.frozen_until_ms - self.now_ms
            self._later(delay_ms, lambda: self._thaw(host, life, due_ms))
            return
        host.wake_ms = None
        self._step(host, msg.Tick())

    def _thaw(self, host: Host, life: int, due_ms: int) -> None:
        """As the driver: tell of the lag, read the socket, then let time run."""
        if host.life == life and host.peer is not None:
            self._step(host, msg.LagObserved(self.now_ms - due_ms))
            host.wake_ms = due_ms
            self._later(20, lambda: self._wake(host, life, due_ms))

    def run(self, duration_ms: int) -> None:
        """Let time pass."""
        end_ms = self.now_ms + duration_ms
        while self._queue and self._queue[0][0] <= end_ms:
            self.now_ms, _, action = heapq.heappop(self._queue)
            action()
        self.now_ms = end_ms

    def run_until(self, is_so: Callable[[], bool], limit_ms: int) -> int:
        """Let time pass until something is so; return how long it took."""
        start_ms = self.now_ms
        while not is_so():
            assert self.now_ms - start_ms < limit_ms, f"not so within {limit_ms} ms"
            self.run(10)
        return self.now_ms - start_ms

    # Looking.

    def sees(self, name: str, other: str) -> Liveness | None:
        """Return what one member believes of another."""
        found = [m for m in self.peer(name).members() if m.name == other]
        return found[0].liveness if found else None

    def all_see(self, other: str, liveness: Liveness) -> bool:
        """Tell whether everyone that runs, but for itself, believes this of a member."""
        return all(
            self.sees(name, other) is liveness
            for name, host in self.hosts.items()
            if host.peer is not None and name != other
        )

    def agreed(self) -> bool:
        """Tell whether all that run have equal tables in which all of those are alive."""
        tables = [host.peer.members() for host in self.hosts.values() if host.peer is not None]
        running = [name for name, host in self.hosts.items() if host.peer is not None]
        alive = [m.name for m in tables[0] if m.liveness is Liveness.ALIVE]
        return all(table == tables[0] for table in tables) and alive == sorted(running)

    def believed(self, liveness: Liveness, since_ms: int = 0) -> list[str]:
        """Return of whom anyone has ever said this, in order."""
        return [m.name for at, _, m in self.changes if at >= since_ms and m.liveness is liveness]
