"""What the parts of the membership machine share: table, updates to spread, health, packets.

Invariants:
    GRP-1  Whoever is believed suspect, dead or left hears it first, in whatever is sent to it, so
           that it can refute at once ([DPC18] section IV-C, buddy system).
    GRP-2  No packet is over packet_bytes_max.
"""

import random
from typing import final

from gossip.core import effects as fx
from gossip.core.broadcast import BroadcastQueue
from gossip.core.config import Config
from gossip.core.health import Health
from gossip.core.members import MemberTable
from gossip.core.ports import Liveness, Member
from gossip.core.wire import (
    DIGEST_BYTES_MAX,
    NAME_BYTES_MAX,
    Kind,
    Packet,
    Update,
    encode,
    update_bytes,
)

__all__ = ["Address", "Group"]

Address = tuple[str, int]

_FIXED_BYTES = 2 * NAME_BYTES_MAX + DIGEST_BYTES_MAX + 32  # The largest packet without updates.
_LIST_STRETCH_MEMBERS = 32


@final
class Group:
    """Shared state of one member's machine."""

    def __init__(self, config: Config, rng: random.Random, me: Member) -> None:
        self.config, self.rng = config, rng
        self.table = MemberTable(me, config)
        self.queue = BroadcastQueue(config.retransmit_mult)
        self.health = Health(config.health_max)
        self.digest = b""
        self._sequence = 0
        self._told_ms: dict[tuple[str, bool], int] = {}

    @property
    def name(self) -> str:
        """Our own name."""
        return self.table.me.name

    def next_sequence(self) -> int:
        """Return a number that no open probe of ours has."""
        self._sequence += 1
        return self._sequence

    def updates_for(self, name: str) -> tuple[Update, ...]:
        """Return what to tell a member along with anything else (GRP-1)."""
        budget = self.config.packet_bytes_max - _FIXED_BYTES
        told: list[Update] = []
        record = self.table.get(name)
        if record is not None and record.liveness is not Liveness.ALIVE:
            told.append(Update(record))
            budget -= update_bytes(told[0])
        told += self.queue.take(budget, len(self.table), to=name)
        return tuple(told)

    def ping(self, target: Member, sequence: int) -> fx.SendDatagram:
        """Return a ping of a member."""
        packet = Packet(
            Kind.PING, sequence, self.name, target.name, self.table.hash(), self.digest,
            self.updates_for(target.name),
        )  # fmt: skip
        return fx.SendDatagram(target.host, target.port, encode(packet))

    def ack(self, to: Address, name: str, sequence: int) -> fx.SendDatagram:
        """Return the answer to a ping."""
        packet = Packet(
            Kind.ACK, sequence, self.name, digest=self.digest, updates=self.updates_for(name)
        )
        return fx.SendDatagram(*to, encode(packet))

    def join(self, to: Address) -> fx.SendDatagram:
        """Return an introduction of ourselves, which asks for the list."""
        packet = Packet(Kind.JOIN, updates=(Update(self.table.me),))
        return fx.SendDatagram(*to, encode(packet))

    def lists(self, to: Address, updates: list[Update]) -> list[fx.Effect]:
        """Return as many list packets as the updates need."""
        packets: list[fx.Effect] = []
        part: list[Update] = []
        budget = size = self.config.packet_bytes_max - _FIXED_BYTES
        for update in updates:
            size -= update_bytes(update)
            if part and size < 0:
                packets.append(self._list(to, part))
                part, size = [], budget - update_bytes(update)
            part.append(update)
        if part:
            packets.append(self._list(to, part))
        return packets

    def table_for(self, to: Address) -> list[fx.Effect]:
        """Return the whole table in list packets. Cost: O(members)."""
        return self.lists(to, [Update(member) for member in self.table.all()])

    def tell_table(self, now_ms: int, to: Address, name: str, effects: list[fx.Effect]) -> None:
        """Send the whole table to a member, unless it got it a moment ago.

        Args:
            to: Where it speaks from: of two processes of one name, both must hear of the other.
        """
        interval_ms = self.config.list_interval_ms * (1 + len(self.table) // _LIST_STRETCH_MEMBERS)
        if self._may_tell(now_ms, name, interval_ms, whole=True):
            effects += self.table_for(to)

    def tell_doubt(
        self, now_ms: int, to: Address, member: Member, effects: list[fx.Effect]
    ) -> None:
        """Tell a member what we believe of it, unless it was told a moment ago (GRP-1)."""
        if self._may_tell(now_ms, member.name, self.config.gossip_interval_ms, whole=False):
            effects += self.lists(to, [Update(member)])

    def _may_tell(self, now_ms: int, name: str, interval_ms: int, *, whole: bool) -> bool:
        last_ms = self._told_ms.pop((name, whole), None)
        if last_ms is not None and now_ms - last_ms < interval_ms:
            self._told_ms[name, whole] = last_ms
            return False
        self._told_ms[name, whole] = now_ms
        if len(self._told_ms) > 2 * self.config.members_max:
            del self._told_ms[next(iter(self._told_ms))]  # The one that was told longest ago.
        return True

    def _list(self, to: Address, updates: list[Update]) -> fx.SendDatagram:
        packet = Packet(Kind.LIST, sender=self.name, updates=tuple(updates))
        return fx.SendDatagram(*to, encode(packet))
