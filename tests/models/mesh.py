"""Replicas on memory disks, joined by links that the test opens, cuts and delays. Time is a number.

Effects are performed as the driver performs them; `run` goes on until nothing is left to do.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from crdtstate.errors import CrdtstateError
from crdtstate.replica import events as ev
from crdtstate.replica.machine import Replica, ReplicaConfig
from crdtstate.replica.messages import fragments
from crdtstate.storage.memory import MemoryDisk, MemoryStorage
from crdtstate.store import operations as ops
from crdtstate.store.reading import find_view
from crdtstate.store.store import StoreConfig

PAYLOAD_BYTES = 65_000


class Request:
    """Stands for a client's future."""

    def __init__(self) -> None:
        self.outcome: ev.Outcome | CrdtstateError | None = None

    @property
    def committed(self) -> Any:
        """What was committed; raises what was refused."""
        if isinstance(self.outcome, CrdtstateError):
            raise self.outcome
        assert self.outcome is not None, "not answered yet"
        return self.outcome.committed


class Host:
    """One replica with its disk; `restart` is a kill and a new life."""

    def __init__(self, mesh: "Mesh", name: str, number: int, **config: Any) -> None:
        self.mesh, self.name, self.config = mesh, name, config
        self.disk = MemoryDisk()
        self.origin = (1 << 63) | (number << 32) | 1
        self.wall_offset_ms = 0
        self.batch: Any = None
        self.stalled = False  # The disk does not answer: batches stay in flight.
        self.wake_ms: int | None = None
        self.again: deque[str] = deque()
        self.identities: list[str] = []
        self.told: list[ev.OtherVersion] = []
        self._boot(clean=True)

    def _boot(self, *, clean: bool) -> None:
        self.storage = MemoryStorage(self.disk)
        self.replica = Replica(
            self.storage, self.origin, ReplicaConfig(name=self.name, clean=clean, **self.config)
        )
        self.batch, self.wake_ms = None, None
        self.again.clear()
        self.step(ev.Tick())

    def restart(self) -> None:
        """Kill the process: what was not durable is gone; links drop."""
        for other in self.mesh.hosts.values():
            if other is not self:
                self.mesh.unlink(self.name, other.name)
        self._boot(clean=False)

    def step(self, event: ev.Input) -> None:
        """Give an input and perform the effects."""
        wall_ms = self.mesh.now_ms + self.wall_offset_ms + 1_700_000_000_000
        for effect in self.replica.step(self.mesh.now_ms, wall_ms, event):
            self._perform(effect)
        self.replica.check()

    def _perform(self, effect: ev.Effect) -> None:
        match effect:
            case ev.Persist():
                assert self.batch is None, "REP-2"
                self.batch = effect.batch
            case ev.Reply():
                assert effect.request.outcome is None, "answered twice"
                effect.request.outcome = effect.outcome
            case ev.Send():
                for payload in fragments(effect.message, PAYLOAD_BYTES):
                    self.mesh.send(self.name, effect.name, payload)
            case ev.RunAgain():
                self.again.append(effect.work)
            case ev.WakeAt():
                if self.wake_ms is None or effect.at_ms < self.wake_ms:
                    self.wake_ms = effect.at_ms
            case ev.NewIdentity():
                self.identities.append(effect.reason)
                self.origin += 1
                self.step(ev.IdentityTaken(self.origin))
            case ev.OtherVersion():
                self.told.append(effect)
            case ev.RevisionDurable() | ev.Forgotten():
                pass

    def submit(self, *operations: ops.Operation, **how: Any) -> Request:
        """Give a transaction in; it is answered when durable."""
        request = Request()
        self.step(ev.Submit(request, operations, **how))
        return request

    def value(self, key: str) -> Any:
        """Return what a reader of the durable state sees."""
        wall_ms = self.mesh.now_ms + self.wall_offset_ms + 1_700_000_000_000
        found = find_view(self.storage, key.encode(), wall_ms)
        return found[0].value if found else None


class Mesh:
    """All hosts, the links between them and the messages under way."""

    def __init__(self, *names: str, store: StoreConfig | None = None, **config: Any) -> None:
        self.now_ms = 1_000
        self.links: set[frozenset[str]] = set()
        self.wire: deque[tuple[str, str, bytes]] = deque()
        self.lose = False
        self.loses: Callable[[bytes], bool] = lambda _payload: False
        self.bytes_sent = 0
        self.hosts: dict[str, Host] = {}
        if store is not None:
            config["store"] = store
        for number, name in enumerate(names, 1):
            self.hosts[name] = Host(self, name, number, **config)

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def link(self, a: str, b: str) -> None:
        """Open a link."""
        pair = frozenset((a, b))
        if pair not in self.links:
            self.links.add(pair)
            self.hosts[a].step(ev.LinkUp(b))
            self.hosts[b].step(ev.LinkUp(a))

    def unlink(self, a: str, b: str) -> None:
        """Break a link: what is under way on it is gone."""
        pair = frozenset((a, b))
        if pair in self.links:
            self.links.discard(pair)
            self.wire = deque(m for m in self.wire if frozenset(m[:2]) != pair)
            self.hosts[a].step(ev.LinkDown(b))
            self.hosts[b].step(ev.LinkDown(a))

    def link_all(self) -> None:
        """Link everybody with everybody."""
        names = sorted(self.hosts)
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                self.link(a, b)

    def isolate(self, name: str) -> None:
        """Break all links of one host."""
        for other in sorted(self.hosts):
            if other != name:
                self.unlink(name, other)

    def send(self, source: str, target: str | None, payload: bytes) -> None:
        """Put a payload on the wire; None is everybody linked."""
        names = sorted(self.hosts) if target is None else [target]
        for name in names:
            if frozenset((source, name)) in self.links and name != source:
                self.bytes_sent += len(payload)
                if not self.lose and not self.loses(payload):
                    self.wire.append((source, name, payload))

    def gossip_digests(self) -> None:
        """Let every linked pair exchange probes."""
        for pair in sorted(map(sorted, self.links)):
            for me, other in (pair, pair[::-1]):
                host = self.hosts[other]
                digest = host.replica.shown.digest(
                    self.now_ms + host.wall_offset_ms + 1_700_000_000_000
                )
                self.hosts[me].step(ev.DigestSeen(other, digest))

    def busy(self) -> bool:
        """Something can be done without time passing."""
        return bool(self.wire) or any(
            (h.batch is not None and not h.stalled) or h.again for h in self.hosts.values()
        )

    def settle(self) -> None:
        """Do all that needs no time."""
        if not self.settle_some(200_000):
            raise AssertionError("no end of work")

    def settle_some(self, rounds: int) -> bool:
        """Do some of it; tell whether nothing is left."""
        for _ in range(rounds):
            if not self.busy():
                return True
            if self.wire:
                source, target, payload = self.wire.popleft()
                self.hosts[target].step(ev.PeerMessage(source, payload))
            for host in self.hosts.values():
                if host.batch is not None and not host.stalled:
                    batch, host.batch = host.batch, None
                    host.storage.write(batch)
                    host.step(ev.Durable())
                for _ in range(len(host.again)):
                    host.step(ev.Again(host.again.popleft()))
        return False

    def run(self, duration_ms: int, *, digests: bool = True) -> None:
        """Let time pass in steps of 50 ms."""
        end = self.now_ms + duration_ms
        self.settle()
        while self.now_ms < end:
            self.now_ms += 50
            if digests and self.now_ms % 1000 == 0:
                self.gossip_digests()
            for host in self.hosts.values():
                if host.wake_ms is not None and host.wake_ms <= self.now_ms:
                    host.wake_ms = None
                    host.step(ev.Tick())
            self.settle()

    def assert_converged(self) -> None:
        """Equal vectors, equal fingerprints, equal bytes of every record."""
        first, *rest = self.hosts.values()
        for host in rest:
            assert host.replica.shown.vector == first.replica.shown.vector
            assert host.replica.shown.root == first.replica.shown.root
            assert records(host) == records(first)
        for host in self.hosts.values():
            assert host.replica.store.held_count == 0


def records(host: Host) -> dict[bytes, bytes]:
    """Return every stored record of a host."""
    return dict(host.storage.scan(b"r", b"s"))


def three() -> Mesh:
    """Return three replicas that have found each other."""
    mesh = Mesh("a", "b", "c")
    mesh.link_all()
    mesh.run(500)
    return mesh


def put(key: str, value: str) -> ops.Put:
    """Return the operation that puts a text."""
    return ops.Put(key, value=value)
