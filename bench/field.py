"""Many peers made of the cores that ship, and nothing else: virtual time, a modelled network.

A peer is `crdtstate.replica.Replica` and `gossip.core.Peer`, with links chosen by
`gossip.core.neighbours`. Sockets, ciphers, threads and HTTP are left out; what they add to a
message is counted in bytes. All peers know each other at the start, as after a long time together.
"""

import heapq
import itertools
import math
from collections.abc import Callable
from random import Random
from typing import Any, final

from crdtstate.replica import events as ev
from crdtstate.replica.machine import Replica, ReplicaConfig
from crdtstate.replica.membership import MemberRecord, announce
from crdtstate.replica.messages import fragments
from crdtstate.storage.memory import MemoryDisk, MemoryStorage
from crdtstate.store import operations as ops
from crdtstate.store.store import Store, StoreConfig
from crdtstate.store.transaction import decode_frame, encode_frame
from gossip import PAYLOAD_BYTES_MAX
from gossip.core import effects as fx
from gossip.core import messages as msg
from gossip.core.config import Config
from gossip.core.neighbours import choose_neighbours
from gossip.core.peer import Peer
from gossip.core.ports import Liveness, Member

__all__ = ["Field", "Host"]

LATENCY_MS = (0.2, 2.0)  # One way. The same as in crdtstate.sim.
SYNC_MS = (0.3, 4.0)  # Until a batch is durable. The same.
RESEND_MS = 200.0  # A lost segment is sent again after this, then after twice as long.
STREAM_OVERHEAD_BYTES = 52 + 24 + 8 + 80  # TCP and IP; the frame and its seal; the item; the ack.
DATAGRAM_OVERHEAD_BYTES = 28 + 57  # UDP and IP; the envelope.
LINKS_MAX = 16
_WALL_MS = 1_700_000_000_000
_STEP_MS = 0.05


@final
class Host:
    """One peer: its replica, its membership machine, and what it knows of the write under way."""

    def __init__(self, field: "Field", number: int, disk: MemoryDisk) -> None:
        self.field, self.name = field, f"p{number:04}"
        self.origin = origin_of(number)
        self.address = (f"10.{number >> 8}.{number & 255}.1", 7481)
        self.storage = MemoryStorage(disk)
        config = ReplicaConfig(name=self.name, new_identity=True)
        self.replica = Replica(self.storage, self.origin, config)
        self.swim = Peer(
            Config(), Random(f"{field.seed} {number}"), name=self.name, host=self.address[0],
            port=self.address[1],
        )  # fmt: skip
        self.links: list[str] = []
        self.hops: int | None = None  # From the writer of the last write, once it is here.
        self._source = ""  # Whose message was taken last.
        self._wake_ms = self._swim_wake_ms = math.inf
        self._digest_ms = -math.inf

    # -- the replica ---------------------------------------------------------------------------

    def step(self, event: ev.Input) -> None:
        """Give the replica one input and perform its effects."""
        field = self.field
        if type(event) is ev.PeerMessage:
            self._source = event.name
        now_ms = int(field.now_ms)
        for effect in self.replica.step(now_ms, _WALL_MS + now_ms, event):
            self._perform(effect)
        if self.hops is None and field.has(self):
            self.hops = (field.hosts[self._source].hops or 0) + 1
            field.reached(self)

    def _perform(self, effect: ev.Effect) -> None:
        field = self.field
        match effect:
            case ev.Send():
                payloads = fragments(effect.message, PAYLOAD_BYTES_MAX)
                for name in self.links if effect.name is None else [effect.name]:
                    field.send(self, field.hosts[name], payloads)
            case ev.Persist():
                field.later(field.rng.uniform(*SYNC_MS), self._durable, effect.batch)
            case ev.RunAgain():
                field.later(_STEP_MS, self.step, ev.Again(effect.work))
            case ev.WakeAt():
                if effect.at_ms < self._wake_ms:
                    self._wake_ms = effect.at_ms
                    field.later(max(1.0, effect.at_ms - field.now_ms), self._wake, effect.at_ms)
            case _:
                pass

    def _durable(self, batch: Any) -> None:
        self.storage.write(batch)
        self.step(ev.Durable())

    def _wake(self, at_ms: int) -> None:
        if at_ms == self._wake_ms:
            self._wake_ms = math.inf
            self.step(ev.Tick())

    # -- membership ----------------------------------------------------------------------------

    def meet(self, members: list[Member]) -> None:
        """Know all members and be linked with some, as after a long time together."""
        table = self.swim._group.table
        for member in members:
            if member.name != self.name:
                table.accept(member)

    def gossip(self, event: msg.Input) -> None:
        """Give the membership machine one input and perform its effects."""
        now_ms = int(self.field.now_ms)
        if now_ms - self._digest_ms >= 200:
            self._digest_ms = now_ms
            digest = self.replica.shown.digest(_WALL_MS + now_ms)
            self._perform_gossip(self.swim.step(now_ms, msg.DigestChanged(digest)))
        self._perform_gossip(self.swim.step(now_ms, event))

    def _perform_gossip(self, effects: list[fx.Effect]) -> None:
        for effect in effects:
            match effect:
                case fx.SendDatagram(host, port, data):
                    self.field.send_datagram(self, (host, port), data)
                case fx.DigestSeen(name, digest):
                    self.step(ev.DigestSeen(name, digest))
                case fx.ProbeStream(name):
                    result = msg.StreamProbeResult(name, ok=name in self.links)
                    self.field.later(2 * LATENCY_MS[1], self.gossip, result)
                case fx.WakeAt(at_ms):
                    self._swim_wake_ms = at_ms
                    self.field.later(at_ms - self.field.now_ms, self._swim_wake, at_ms)
                case _:
                    pass

    def _swim_wake(self, at_ms: int) -> None:
        if at_ms == self._swim_wake_ms:
            self.gossip(msg.Tick())


def origin_of(number: int) -> int:
    """Return the identity of a peer."""
    return (1 << 63) | (number + 1) << 20 | 1


@final
class Field:
    """All peers, what is under way between them, and the clock."""

    def __init__(self, peers: int, *, seed: int = 1, loss: float = 0.0) -> None:
        self.seed, self.loss = seed, loss
        self.rng = Random(f"field {seed} {peers} {loss}")
        self.now_ms = 1_000.0
        self.stream_bytes = self.messages = self.datagram_bytes = 0
        self.dot: tuple[int, int] | None = None
        self.missing: dict[str, None] = {}
        self.reached_ms: list[float] = []
        self._order = itertools.count()
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._free_ms: dict[tuple[str, str], float] = {}
        disk = _common_disk(peers)
        made = [Host(self, number, _shared(disk)) for number in range(peers)]
        self.hosts = {host.name: host for host in made}
        self._at = {host.address: host for host in made}
        self._link_all(made)

    def _link_all(self, hosts: list[Host]) -> None:
        members = [
            Member(
                name=host.name, host=host.address[0], port=host.address[1], incarnation=1,
                liveness=Liveness.ALIVE, metadata=b"",
            )
            for host in hosts
        ]  # fmt: skip
        pairs: set[tuple[str, str]] = set()
        for host in hosts:
            others = [name for name in self.hosts if name != host.name]
            chosen = choose_neighbours(host.name, others, LINKS_MAX)
            pairs |= {(min(host.name, name), max(host.name, name)) for name in chosen}
        for a, b in sorted(pairs):
            self.hosts[a].links.append(b)
            self.hosts[b].links.append(a)
        for host in hosts:
            host.meet(members)
            host.links.sort()
            host.step(ev.Tick())
            self.later(self.rng.uniform(0, 1_000), host.gossip, msg.Started())
        for a, b in sorted(pairs):
            self.hosts[a].step(ev.LinkUp(b))
            self.hosts[b].step(ev.LinkUp(a))

    # -- time and the network ------------------------------------------------------------------

    def later(self, delay_ms: float, call: Callable[..., None], *args: Any) -> None:
        """Call after a delay."""
        heapq.heappush(self._queue, (self.now_ms + delay_ms, next(self._order), call, args))

    def run(self, for_ms: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass; stop early, and return True, once `until` holds."""
        end_ms = self.now_ms + for_ms
        while not until():
            if not self._queue or self._queue[0][0] > end_ms:
                self.now_ms = end_ms
                return False
            self.now_ms, _, call, args = heapq.heappop(self._queue)
            call(*args)
        return True

    def send(self, source: Host, target: Host, payloads: list[bytes]) -> None:
        """Send over a link: in order, and later when segments are lost."""
        for payload in payloads:
            self.messages += 1
            self.stream_bytes += len(payload) + STREAM_OVERHEAD_BYTES
            delay_ms, resend_ms = self.rng.uniform(*LATENCY_MS), RESEND_MS
            while self.rng.random() < self.loss:
                delay_ms += resend_ms
                resend_ms *= 2
            path = (source.name, target.name)
            arrives_ms = max(self.now_ms + delay_ms, self._free_ms.get(path, 0.0))
            self._free_ms[path] = arrives_ms
            event = ev.PeerMessage(source.name, payload)
            self.later(arrives_ms - self.now_ms, target.step, event)

    def send_datagram(self, source: Host, to: tuple[str, int], data: bytes) -> None:
        """Send once; it may be lost."""
        self.datagram_bytes += len(data) + DATAGRAM_OVERHEAD_BYTES
        if self.rng.random() >= self.loss:
            event = msg.Received(source.address, data)
            self.later(self.rng.uniform(*LATENCY_MS), self._at[to].gossip, event)

    # -- one write -----------------------------------------------------------------------------

    def write(self, name: str, value: str) -> float:
        """Write at a peer, and note from now on who has it. Returns the time."""
        writer = self.hosts[name]
        seq = writer.replica.store.vector.get(writer.origin, 0) + 1
        self.dot = (writer.origin, seq)
        for host in self.hosts.values():
            host.hops = None
        writer.hops = 0
        self.missing = dict.fromkeys(n for n in self.hosts if n != name)
        self.reached_ms = []
        writer.step(ev.Submit(None, [ops.Put("k", value=value)]))
        return self.now_ms

    def has(self, host: Host) -> bool:
        """Tell whether a peer has applied the last write."""
        return self.dot is not None and (
            host.replica.store.vector.get(self.dot[0], 0) >= self.dot[1]
        )

    def reached(self, host: Host) -> None:
        """A peer has it."""
        self.missing.pop(host.name, None)
        self.reached_ms.append(self.now_ms)


def _common_disk(peers: int) -> MemoryDisk:
    """Return a disk on which every peer has entered itself as a member."""
    storage = MemoryStorage()
    store = Store(storage, origin_of(peers), StoreConfig())
    for number in range(peers):
        origin = origin_of(number)
        one = Store(MemoryStorage(), origin, StoreConfig())
        record = MemberRecord(f"p{number:04}", f"{origin:016x}", "")
        one.submit_system([announce(record)], _WALL_MS)
        first, bodies = one.take_outbox()
        store.receive(decode_frame(encode_frame(origin, first, bodies)), _WALL_MS)
    storage.write(store.close_batch())
    return storage.disk


def _shared(disk: MemoryDisk) -> MemoryDisk:
    """Return a copy that is made when it is first written to."""
    copied = MemoryDisk()
    copied.data, copied.keys = disk.data, disk.keys
    copied.shared = True
    return copied
