"""What the parts of the membership machine share: table, updates to spread, health, packets.

Invariants:
    GRP-1  Whoever is believed suspect or dead hears it first, in whatever is sent to it, so that
           it can refute at once ([DPC18] section IV-C, buddy system).
"""

import random
from typing import final

from gossip.core import effects as fx
from gossip.core.broadcast import BroadcastQueue
from gossip.core.config import Config
from gossip.core.health import Health
from gossip.core.members import MemberTable
from gossip.core.ports import Liveness, Member
from gossip.core.wire import Kind, Packet, encode, record_bytes

__all__ = ["Group"]

_FIXED_BYTES = 160  # Names, digest and numbers of the largest packet.


@final
class Group:
    """Shared state of one member's machine."""

    def __init__(self, config: Config, rng: random.Random, me: Member) -> None:
        self.config, self.rng = config, rng
        self.table = MemberTable(me, config.members_max)
        self.queue = BroadcastQueue(config.retransmit_mult)
        self.health = Health(config.health_max)
        self.digest = b""
        self._sequence = 0

    @property
    def name(self) -> str:
        """Our own name."""
        return self.table.me.name

    def alive_count(self) -> int:
        """Return how many members are believed alive, this one included."""
        return 1 + len(self.table.others(Liveness.ALIVE))

    def next_sequence(self) -> int:
        """Return a number that no open probe of ours has."""
        self._sequence += 1
        return self._sequence

    def updates_for(self, name: str) -> tuple[Member, ...]:
        """Return what to tell a member along with anything else (GRP-1)."""
        budget = self.config.packet_bytes_max - _FIXED_BYTES
        told: list[Member] = []
        record = self.table.get(name)
        if record is not None and record.liveness is not Liveness.ALIVE:
            told.append(record)
            budget -= record_bytes(record)
        told += [m for m in self.queue.take(budget, len(self.table)) if m.name != name]
        return tuple(told)

    def ping(self, target: Member, sequence: int) -> fx.SendDatagram:
        """Return a ping of a member."""
        packet = Packet(
            Kind.PING, sequence, self.name, target.name, self.table.hash(), self.digest,
            self.updates_for(target.name),
        )  # fmt: skip
        return fx.SendDatagram(target.host, target.port, encode(packet))

    def ack(self, to: tuple[str, int], name: str, sequence: int) -> fx.SendDatagram:
        """Return the answer to a ping."""
        packet = Packet(
            Kind.ACK, sequence, self.name, digest=self.digest, updates=self.updates_for(name)
        )
        return fx.SendDatagram(*to, encode(packet))

    def lists(self, to: tuple[str, int], members: list[Member]) -> list[fx.Effect]:
        """Return as many list packets as the members need."""
        packets: list[fx.Effect] = []
        part: list[Member] = []
        size = 0
        for member in members:
            if part and size + record_bytes(member) > self.config.packet_bytes_max - 80:
                packets.append(self._list(to, part))
                part, size = [], 0
            part.append(member)
            size += record_bytes(member)
        if part:
            packets.append(self._list(to, part))
        return packets

    def _list(self, to: tuple[str, int], members: list[Member]) -> fx.SendDatagram:
        packet = Packet(Kind.LIST, sender=self.name, updates=tuple(members))
        return fx.SendDatagram(*to, encode(packet))
