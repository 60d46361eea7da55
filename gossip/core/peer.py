"""One member of the group as a machine: SWIM with Lifeguard's refinements.

    step(now_ms, input) -> effects

Source: [DGM02], [DPC18]. Departures: pings carry a hash of the table, and whoever sees another one
sends its list (instead of full exchanges every 30 s); a dead member is contacted every few seconds;
pings and acks carry the application's digest.

Invariants:
    PEER-G1  A machine never believes anything of itself but that it is alive, until it leaves.
    PEER-G2  Malformed packets change nothing.
    PEER-G3  Every suspect has exactly one running suspicion.
"""

import random
from dataclasses import dataclass, replace
from typing import assert_never, final

from gossip.core import effects as fx
from gossip.core import messages as msg
from gossip.core.config import Config
from gossip.core.detector import Detector
from gossip.core.group import Group
from gossip.core.ports import Liveness, Member
from gossip.core.suspicion import suspicion_bounds_ms, suspicion_timeout_ms
from gossip.core.wire import INCARNATION_MAX, Kind, Packet, decode, encode
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
class _Suspicion:
    """A suspect's time to refute."""

    __slots__ = ("accusers", "expected", "least_ms", "most_ms", "started_ms")

    def __init__(self, now_ms: int, accuser: str, members: int, config: Config) -> None:
        self.started_ms = now_ms
        self.accusers = {accuser: None}
        self.least_ms, self.most_ms = suspicion_bounds_ms(
            members, config.probe_interval_ms, config.suspicion_mult
        )
        self.expected = min(config.suspicion_mult - 2, members - 2)

    def ends_at_ms(self) -> int:
        """Return when the suspect is declared dead."""
        return self.started_ms + suspicion_timeout_ms(
            len(self.accusers) - 1, self.expected, self.least_ms, self.most_ms
        )


@final
class Peer:
    """The machine. Its driver gives inputs and performs effects in order."""

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
        if not 0 < incarnation <= INCARNATION_MAX:
            raise GossipError(f"incarnation {incarnation} is not within 1 to 2**48")
        me = Member(
            name=name, host=host, port=port, incarnation=incarnation, liveness=Liveness.ALIVE,
            metadata=metadata,
        )  # fmt: skip
        self._config = config
        self._group = Group(config, rng, me)
        self._detector = Detector(self._group)
        self._suspicions: dict[str, _Suspicion] = {}
        self._told_ms: dict[str, int] = {}  # When a list last went to a member.
        self._next_gossip_ms = 0
        self._left = False
        self._refutations = 0

    # -- the one mutating method ---------------------------------------------------------------

    def step(self, now_ms: int, event: msg.Input) -> list[fx.Effect]:
        """Take one input. Cost: O(members) at most."""
        effects: list[fx.Effect] = []
        match event:
            case msg.Started():
                self._detector.start(now_ms)
                self._group.queue.push(self._group.table.me)
            case msg.Tick():
                pass
            case msg.Received(sender, data):
                self._receive(now_ms, sender, data, effects)
            case msg.Join(host, port):
                join = Packet(Kind.JOIN, updates=(self._group.table.me,))
                effects.append(fx.SendDatagram(host, port, encode(join)))
            case msg.MetadataChanged(metadata):
                self._assert_self(0, effects, metadata=metadata)
            case msg.DigestChanged(digest):
                self._group.digest = digest
            case msg.LinkObserved(name):
                self._detector.heard(name)
            case msg.StreamProbeResult(name, ok):
                if ok:
                    self._detector.heard(name)
            case msg.LagObserved(lag_ms):
                self._detector.lagged(lag_ms)
            case msg.Forget(name):
                self._forget(name)
            case msg.Leave():
                self._leave(effects)
            case _:
                assert_never(event)
        if not self._left and self._detector.next_probe_ms is not None:
            self._advance(now_ms, effects)
            effects.append(fx.WakeAt(self._next_due_ms(now_ms)))
        return effects

    def _advance(self, now_ms: int, effects: list[fx.Effect]) -> None:
        failed = self._detector.advance(now_ms, effects)
        if failed is not None:
            judged = self._group.table.judge(failed, Liveness.SUSPECT)
            if judged is not None:
                self._believed(now_ms, judged, self._group.name, effects)
        for name in sorted(self._suspicions):
            if now_ms >= self._suspicions[name].ends_at_ms():
                del self._suspicions[name]
                judged = self._group.table.judge(name, Liveness.DEAD)
                if judged is not None:
                    self._believed(now_ms, judged, self._group.name, effects)
        if len(self._group.queue) and now_ms >= self._next_gossip_ms:
            self._gossip(now_ms, effects)

    def _next_due_ms(self, now_ms: int) -> int:
        due = [self._detector.next_due_ms()]
        due += [suspicion.ends_at_ms() for suspicion in self._suspicions.values()]
        if len(self._group.queue):
            due.append(self._next_gossip_ms)
        return max(now_ms + 1, min(due))

    def _gossip(self, now_ms: int, effects: list[fx.Effect]) -> None:
        group = self._group
        self._next_gossip_ms = now_ms + self._config.gossip_interval_ms
        others = group.table.others(Liveness.ALIVE, Liveness.SUSPECT)
        count = min(self._config.gossip_fanout, len(others))
        for member in group.rng.sample(others, count):
            updates = list(group.updates_for(member.name))
            effects += group.lists((member.host, member.port), updates)

    # -- packets -------------------------------------------------------------------------------

    def _receive(
        self, now_ms: int, sender: tuple[str, int], data: bytes, effects: list[fx.Effect]
    ) -> None:
        try:
            packet = decode(data)
        except RemoteProtocolError as error:  # PEER-G2
            effects.append(fx.Rejected(sender, str(error)))
            return
        group = self._group
        if packet.sender == group.name:
            if packet.kind != Kind.JOIN or packet.updates[0] != group.table.me:
                self._name_conflict(sender, packet, effects)
            return
        if group.table.is_forgotten(packet.sender):
            return
        for member in packet.updates:
            self._learn(now_ms, member, packet.sender, sender, effects)
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
                effects += group.lists(sender, group.table.all())
            case _:
                pass
        known = group.table.get(packet.sender)
        doubted = known is not None and known.liveness in (Liveness.SUSPECT, Liveness.DEAD)
        if known is not None and doubted and packet.kind != Kind.PING:  # Its ack said so already.
            self._tell(now_ms, known, [known], effects)

    def _on_ping(
        self, now_ms: int, sender: tuple[str, int], packet: Packet, effects: list[fx.Effect]
    ) -> None:
        group = self._group
        if packet.target != group.name:
            return  # Meant for whoever had this address before.
        effects.append(group.ack(sender, packet.sender, packet.sequence))
        self._note_digest(packet, effects)
        known = group.table.get(packet.sender)
        if known is None:  # It knows us, and we do not know it: introduce ourselves.
            join = Packet(Kind.JOIN, updates=(group.table.me,))
            effects.append(fx.SendDatagram(*sender, encode(join)))
        elif packet.table_hash != group.table.hash():
            self._tell(now_ms, known, group.table.all(), effects)

    def _tell(
        self, now_ms: int, member: Member, records: list[Member], effects: list[fx.Effect]
    ) -> None:
        last = self._told_ms.get(member.name)
        if last is None or now_ms - last >= self._config.list_interval_ms:
            self._told_ms[member.name] = now_ms
            effects += self._group.lists((member.host, member.port), records)

    def _note_digest(self, packet: Packet, effects: list[fx.Effect]) -> None:
        if packet.digest and self._group.table.get(packet.sender) is not None:
            effects.append(fx.DigestSeen(packet.sender, packet.digest))

    def _name_conflict(
        self, sender: tuple[str, int], packet: Packet, effects: list[fx.Effect]
    ) -> None:
        me = self._group.table.me
        if sender != (me.host, me.port):
            effects.append(
                fx.Rejected(sender, f"name conflict: {packet.sender!r} is this member's own name")
            )

    # -- beliefs -------------------------------------------------------------------------------

    def _learn(
        self,
        now_ms: int,
        member: Member,
        teller: str,
        sender: tuple[str, int],
        effects: list[fx.Effect],
    ) -> None:
        group = self._group
        if member.name == group.name:
            self._hear_of_self(member, sender, effects)
        elif group.table.accept(member):
            self._believed(now_ms, member, teller, effects)
        elif member.liveness is Liveness.SUSPECT and member == group.table.get(member.name):
            suspicion = self._suspicions.get(member.name)
            if suspicion is not None:
                suspicion.accusers[teller] = None  # An independent confirmation.

    def _hear_of_self(
        self, member: Member, sender: tuple[str, int], effects: list[fx.Effect]
    ) -> None:
        """PEER-G1: whatever is said of us and is not so, we refute with a higher incarnation."""
        me = self._group.table.me
        if self._left or member.incarnation < me.incarnation or member == me:
            return
        elsewhere = (member.host, member.port) != (me.host, me.port)
        if elsewhere and member.liveness is Liveness.ALIVE:
            where = f"{member.host}:{member.port}"
            reason = f"name conflict: {me.name!r} is also said to be at {where}"
            effects.append(fx.Rejected(sender, reason))
        if member.incarnation >= INCARNATION_MAX:
            effects.append(fx.Rejected(sender, "own incarnation is at its bound"))
            return
        self._refutations += 1
        if member.liveness is not Liveness.ALIVE:
            self._group.health.note(1)
        self._assert_self(member.incarnation, effects)

    def _assert_self(self, above: int, effects: list[fx.Effect], **changes: object) -> None:
        me = self._group.table.assert_self(above, **changes)
        self._group.queue.push(me)
        effects.append(fx.MemberChanged(me))

    def _believed(self, now_ms: int, member: Member, teller: str, effects: list[fx.Effect]) -> None:
        """A record of another member changed: spread it, watch it, say so."""
        group = self._group
        group.queue.push(member)
        if member.liveness is Liveness.SUSPECT:
            self._suspicions[member.name] = _Suspicion(
                now_ms, teller, len(group.table), self._config
            )
        else:
            self._suspicions.pop(member.name, None)
        effects.append(fx.MemberChanged(member))

    def _forget(self, name: str) -> None:
        member = self._group.table.forget(name)
        self._suspicions.pop(name, None)
        self._told_ms.pop(name, None)
        self._group.queue.drop(name)
        if member is not None:
            self._detector.forget(member)

    def _leave(self, effects: list[fx.Effect]) -> None:
        group = self._group
        gone = replace(group.table.me, liveness=Liveness.LEFT)
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
            refutations=self._refutations,
            updates_queued=len(self._group.queue),
        )

    def check(self) -> None:
        """Assert what is redundant."""
        table = self._group.table
        assert table.me.liveness is Liveness.ALIVE, "PEER-G1"
        suspects = {m.name for m in table.others(Liveness.SUSPECT)}
        assert suspects == self._suspicions.keys(), "PEER-G3"
        assert 0 <= self._group.health.score <= self._config.health_max, "HEA-1"
        assert len(table) <= self._config.members_max, "TBL-3"
