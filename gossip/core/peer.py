"""One member of the group as a machine: SWIM with Lifeguard's refinements.

    step(now_ms, input) -> effects

Source: [DGM02], [DPC18].

Departures: pings carry a hash of the table, and whoever sees another one sends its list (instead
of full exchanges every 30 s); a dead member is contacted every few seconds; pings and acks carry
the application's digest; gossip.core.beliefs on deaths that are hearsay.

Invariants:
    PEER-G1  A machine that has left says nothing.
    PEER-G2  Malformed packets change nothing.
    PEER-G3  The same arguments and the same inputs at the same times give the same effects.
"""

import random
from dataclasses import dataclass, replace
from typing import assert_never, final

from gossip.core import effects as fx
from gossip.core import messages as msg
from gossip.core.beliefs import Beliefs
from gossip.core.config import Config
from gossip.core.detector import Detector
from gossip.core.group import Address, Group
from gossip.core.joining import Joining
from gossip.core.ports import Liveness, Member
from gossip.core.wire import (
    DIGEST_BYTES_MAX,
    INCARNATION_MAX,
    METADATA_BYTES_MAX,
    NAME_BYTES_MAX,
    Kind,
    Packet,
    Update,
    decode,
)
from gossip.errors import GossipError, RemoteProtocolError

__all__ = ["Peer", "Stats"]


@final
@dataclass(frozen=True, slots=True)
class Stats:
    """A summary for people."""

    members: int
    alive: int
    suspect: int
    dead: int
    health: int
    probes_failed: int
    refutations: int
    updates_queued: int


@final
class Peer:
    """The machine. Its driver gives inputs and performs effects in order.

    Args:
        incarnation: Higher than in earlier lives of this name; seconds since 1970 will do.

    Raises:
        GossipError: An argument is over its limit.
    """

    def __init__(
        self,
        config: Config,
        rng: random.Random,
        *,
        name: str,
        host: str,
        port: int,
        metadata: bytes = b"",
        incarnation: int = 1,
    ) -> None:
        if not 0 < incarnation < INCARNATION_MAX:
            raise GossipError(f"incarnation {incarnation} is not within 1 to 2**48 - 1")
        if not 0 < len(name.encode()) <= NAME_BYTES_MAX:
            raise GossipError(f"name {name!r} is not text of 1 to {NAME_BYTES_MAX} bytes")
        _check_bytes("metadata", metadata, METADATA_BYTES_MAX)
        me = Member(
            name=name, host=host, port=port, incarnation=incarnation, liveness=Liveness.ALIVE,
            metadata=metadata,
        )  # fmt: skip
        self._group = Group(config, rng, me)
        self._beliefs = Beliefs(self._group)
        self._detector = Detector(self._group)
        self._joining = Joining(self._group)
        self._next_gossip_ms = 0
        self._started = False
        self._left = False

    # -- the one mutating method ---------------------------------------------------------------

    def step(self, now_ms: int, event: msg.Input) -> list[fx.Effect]:
        """Take one input.

        Raises:
            GossipError: Metadata or a digest is over its limit; nothing has changed.

        Cost: O(members) at most.
        """
        effects: list[fx.Effect] = []
        if self._left:
            return effects  # PEER-G1
        match event:
            case msg.Started():
                self._started = True
                self._detector.start(now_ms)
                self._group.queue.push(Update(self._group.table.me))
            case msg.Tick():
                pass
            case msg.Received(sender, data):
                self._receive(now_ms, sender, data, effects)
            case msg.Join(host, port):
                self._joining.ask(now_ms, (host, port), effects)
            case msg.MetadataChanged(metadata):
                self._change_metadata(metadata, effects)
            case msg.DigestChanged(digest):
                _check_bytes("digest", digest, DIGEST_BYTES_MAX)
                self._group.digest = digest
            case msg.LinkObserved(name):
                self._observe(now_ms, name, effects)
            case msg.StreamProbeResult(name, ok):
                if ok:
                    self._observe(now_ms, name, effects)
            case msg.LagObserved(lag_ms):
                self._detector.lagged(lag_ms)
                self._beliefs.suspicions.delay(lag_ms)
            case msg.Forget(name):
                self._beliefs.forget(name)
                self._detector.forget(name)
            case msg.Leave():
                self._leave(effects)
            case _:
                assert_never(event)
        if self._started and not self._left:
            self._advance(now_ms, effects)
            effects.append(fx.WakeAt(self._due_ms(now_ms)))
        return effects

    def _advance(self, now_ms: int, effects: list[fx.Effect]) -> None:
        failed = self._detector.advance(now_ms, effects)
        if failed is not None:
            self._beliefs.suspect(now_ms, failed, effects)
        self._beliefs.expire(now_ms, effects)
        self._joining.advance(now_ms, effects)
        if len(self._group.queue) and now_ms >= self._next_gossip_ms:
            self._gossip(now_ms, effects)

    def _due_ms(self, now_ms: int) -> int:
        due = [self._detector.next_due_ms()]
        due += self._beliefs.suspicions.due_ms()
        due += self._joining.due_ms()
        if len(self._group.queue):
            due.append(self._next_gossip_ms)
        return max(now_ms + 1, min(due))

    def _gossip(self, now_ms: int, effects: list[fx.Effect]) -> None:
        group, config = self._group, self._group.config
        self._next_gossip_ms = now_ms + config.gossip_interval_ms
        others = group.table.others(Liveness.ALIVE, Liveness.SUSPECT)
        if not others:
            group.queue.clear()  # Whoever comes will see that its table has another hash.
        for member in group.rng.sample(others, min(config.gossip_fanout, len(others))):
            updates = list(group.updates_for(member.name))
            effects += group.lists((member.host, member.port), updates)

    # -- packets -------------------------------------------------------------------------------

    def _receive(self, now_ms: int, sender: Address, data: bytes, effects: list[fx.Effect]) -> None:
        try:
            packet = decode(data)
        except RemoteProtocolError as error:  # PEER-G2
            effects.append(fx.Rejected(sender, str(error)))
            return
        group = self._group
        if packet.sender == group.name:
            if packet.kind == Kind.JOIN:
                self._beliefs.claimed(now_ms, packet.updates[0].member, sender, effects)
            return
        if group.table.is_forgotten(packet.sender):
            return
        for update in packet.updates:
            self._beliefs.learn(now_ms, update, packet.sender, sender, effects)
        match packet.kind:
            case Kind.PING:
                self._on_ping(now_ms, sender, packet, effects)
            case Kind.ACK:
                self._detector.acked(packet.sequence, effects)
                self._note_digest(packet, effects)
            case Kind.ASK:
                self._detector.relay(sender, packet, now_ms, effects)
            case Kind.NACK:
                self._detector.nacked(packet.sequence)
            case Kind.JOIN:
                effects += group.table_for(sender)
            case _:
                pass
        if packet.kind != Kind.PING:  # The ack says it already.
            self._tell_if_doubted(now_ms, packet.sender, sender, effects)

    def _on_ping(
        self, now_ms: int, sender: Address, packet: Packet, effects: list[fx.Effect]
    ) -> None:
        group = self._group
        if packet.target != group.name:
            return  # Meant for whoever had this address before.
        effects.append(group.ack(sender, packet.sender, packet.sequence))
        self._note_digest(packet, effects)
        known = group.table.get(packet.sender) is not None
        if known and packet.table_hash != group.table.hash():
            group.tell_table(now_ms, sender, packet.sender, effects)
        elif not known and len(group.table) < group.config.members_max:
            effects.append(group.join(sender))  # It knows us, and we do not know it.

    def _tell_if_doubted(
        self, now_ms: int, name: str, to: Address, effects: list[fx.Effect]
    ) -> None:
        known = self._group.table.get(name)
        if known is not None and known.liveness in (Liveness.SUSPECT, Liveness.DEAD):
            self._group.tell_doubt(now_ms, to, known, effects)

    def _note_digest(self, packet: Packet, effects: list[fx.Effect]) -> None:
        if packet.digest and self._group.table.get(packet.sender) is not None:
            effects.append(fx.DigestSeen(packet.sender, packet.digest))

    # -- the rest ------------------------------------------------------------------------------

    def _observe(self, now_ms: int, name: str, effects: list[fx.Effect]) -> None:
        """A stream delivered: the member lives, and should say so to the others."""
        self._detector.heard(name)
        self._beliefs.suspicions.restart(now_ms, name)
        known = self._group.table.get(name)
        if known is not None:
            self._tell_if_doubted(now_ms, name, (known.host, known.port), effects)

    def _change_metadata(self, metadata: bytes, effects: list[fx.Effect]) -> None:
        _check_bytes("metadata", metadata, METADATA_BYTES_MAX)
        if metadata != self._group.table.me.metadata:
            self._beliefs.assert_self(0, effects, metadata)

    def _leave(self, effects: list[fx.Effect]) -> None:
        group = self._group
        gone = Update(replace(group.table.me, liveness=Liveness.LEFT))
        self._left = True
        for member in group.table.others(Liveness.ALIVE, Liveness.SUSPECT):
            effects += group.lists((member.host, member.port), [gone])

    # -- looking -------------------------------------------------------------------------------

    def members(self) -> list[Member]:
        """Return the table, sorted by name, this member included."""
        return self._group.table.all()

    def stats(self) -> Stats:
        """Return a summary."""
        kinds = [member.liveness for member in self._group.table.all()]
        return Stats(
            members=len(kinds),
            alive=kinds.count(Liveness.ALIVE),
            suspect=kinds.count(Liveness.SUSPECT),
            dead=kinds.count(Liveness.DEAD),
            health=self._group.health.score,
            probes_failed=self._detector.failures,
            refutations=self._beliefs.refutations,
            updates_queued=len(self._group.queue),
        )

    def check(self) -> None:
        """Assert what is redundant."""
        table, health = self._group.table, self._group.health
        assert table.me.liveness is Liveness.ALIVE, "BEL-1"
        suspects = [member.name for member in table.others(Liveness.SUSPECT)]
        assert suspects == self._beliefs.suspicions.names(), "BEL-2"
        assert 0 <= health.score <= self._group.config.health_max, "HEA-1"
        table.check()


def _check_bytes(what: str, value: bytes, bytes_max: int) -> None:
    if len(value) > bytes_max:
        raise GossipError(f"{what} is {len(value)} bytes, over {bytes_max}")
