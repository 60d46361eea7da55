"""Who is probed when, who is asked to help, and what a probe concludes.

Source: [DGM02] sections 3 and 4.3; stretching by local health, nacks: [DPC18].

Invariants:
    DET-1  A relayed probe is answered exactly once: by an ack or by a nack.
"""

from typing import NamedTuple, final

from gossip.core import effects as fx
from gossip.core.group import Group
from gossip.core.ports import Liveness
from gossip.core.probe import Probe, Rounds
from gossip.core.wire import Kind, Packet, encode

__all__ = ["Detector"]

RELAYS_MAX = 256


@final
class _Relay(NamedTuple):
    """A ping that we sent for somebody else."""

    asker: tuple[str, int]
    sequence: int
    ends_at_ms: int


@final
class Detector:
    """The failure detector of one member; `advance` returns the name that failed, if one did."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._rounds = Rounds(group.rng)
        self._relays: dict[int, _Relay] = {}
        self.probe: Probe | None = None
        self.next_probe_ms: int | None = None
        self.next_dead_ms = 0
        self.failures = 0

    def start(self, now_ms: int) -> None:
        """Begin within one interval, at a moment of chance: members must not march in step."""
        interval = self._group.config.probe_interval_ms
        self.next_probe_ms = now_ms + self._group.rng.randrange(interval)
        dead_interval = self._group.config.dead_probe_interval_ms
        self.next_dead_ms = now_ms + self._group.rng.randrange(dead_interval)

    def next_due_ms(self) -> int:
        """Return when `advance` has something to do."""
        assert self.next_probe_ms is not None
        due = min(self.next_probe_ms, self.next_dead_ms)
        if self.probe is not None:
            due = min(due, self.probe.ends_at_ms if self.probe.asked else self.probe.indirect_at_ms)
        return min([due, *(relay.ends_at_ms for relay in self._relays.values())])

    def advance(self, now_ms: int, effects: list[fx.Effect]) -> str | None:
        """Do what is due."""
        failed = self._advance_probe(now_ms, effects)
        assert self.next_probe_ms is not None
        if self.probe is None and now_ms >= self.next_probe_ms:
            self._open(now_ms, effects)
        if now_ms >= self.next_dead_ms:
            self._contact_dead(now_ms, effects)
        for sequence in [s for s, r in self._relays.items() if now_ms >= r.ends_at_ms]:
            relay = self._relays.pop(sequence)
            nack = Packet(Kind.NACK, relay.sequence, self._group.name)
            effects.append(fx.SendDatagram(*relay.asker, encode(nack)))
        return failed

    def _advance_probe(self, now_ms: int, effects: list[fx.Effect]) -> str | None:
        probe = self.probe
        if probe is None:
            return None
        if now_ms >= probe.ends_at_ms:
            self.probe = None
            self.failures += 1
            if probe.helpers and probe.nacks < probe.helpers:
                self._group.health.note(1)  # Helpers were silent too: it may be us.
            return probe.target
        if now_ms >= probe.indirect_at_ms and not probe.asked:
            probe.asked = True
            self._ask_helpers(probe, effects)
        return None

    def _open(self, now_ms: int, effects: list[fx.Effect]) -> None:
        group, config = self._group, self._group.config
        self.next_probe_ms = now_ms + group.health.stretch(config.probe_interval_ms)
        names = [m.name for m in group.table.others(Liveness.ALIVE, Liveness.SUSPECT)]
        name = self._rounds.next(names)
        target = group.table.get(name) if name is not None else None
        if target is None:
            return
        timeout_ms = group.health.stretch(config.probe_timeout_ms)
        sequence = group.next_sequence()
        self.probe = Probe(target.name, sequence, now_ms + timeout_ms, self.next_probe_ms)
        effects.append(group.ping(target, sequence))

    def _ask_helpers(self, probe: Probe, effects: list[fx.Effect]) -> None:
        group = self._group
        others = [m for m in group.table.others(Liveness.ALIVE) if m.name != probe.target]
        helpers = group.rng.sample(others, min(group.config.helpers, len(others)))
        probe.helpers = len(helpers)
        for helper in helpers:
            packet = Packet(
                Kind.ASK, probe.sequence, group.name, probe.target,
                updates=group.updates_for(helper.name),
            )  # fmt: skip
            effects.append(fx.SendDatagram(helper.host, helper.port, encode(packet)))
        effects.append(fx.ProbeStream(probe.target))

    def _contact_dead(self, now_ms: int, effects: list[fx.Effect]) -> None:
        """Ping one dead member, so that a cut heals by itself: it hears it is dead, and refutes."""
        group = self._group
        self.next_dead_ms = now_ms + group.config.dead_probe_interval_ms
        dead = group.table.others(Liveness.DEAD)
        if dead:
            target = dead[group.rng.randrange(len(dead))]
            effects.append(group.ping(target, group.next_sequence()))

    def relay(
        self, asker: tuple[str, int], packet: Packet, now_ms: int, effects: list[fx.Effect]
    ) -> None:
        """Ping a target for somebody who cannot reach it."""
        target = self._group.table.get(packet.target)
        if target is None or len(self._relays) >= RELAYS_MAX or target.name == self._group.name:
            return
        sequence = self._group.next_sequence()
        ends_at_ms = now_ms + self._group.config.probe_timeout_ms
        self._relays[sequence] = _Relay(asker, packet.sequence, ends_at_ms)
        effects.append(self._group.ping(target, sequence))

    def acked(self, sequence: int, effects: list[fx.Effect]) -> None:
        """An ack arrived: of our probe, or of one that we relay."""
        relay = self._relays.pop(sequence, None)
        if relay is not None:
            ack = Packet(Kind.ACK, relay.sequence, self._group.name, digest=self._group.digest)
            effects.append(fx.SendDatagram(*relay.asker, encode(ack)))
        elif self.probe is not None and self.probe.sequence == sequence:
            self._confirm()

    def nacked(self, sequence: int) -> None:
        """A helper lives, and could not reach the target either."""
        if self.probe is not None and self.probe.sequence == sequence:
            self.probe.nacks += 1

    def heard(self, name: str) -> None:
        """The member was heard in another way."""
        if self.probe is not None and self.probe.target == name:
            self._confirm()

    def _confirm(self) -> None:
        self.probe = None
        self._group.health.note(-1)

    def lagged(self, lag_ms: int) -> None:
        """We were late ourselves: the open probe gets the time back."""
        self._group.health.note(1)
        if self.probe is not None:
            self.probe.indirect_at_ms += lag_ms
            self.probe.ends_at_ms += lag_ms

    def forget(self, name: str) -> None:
        """The member is gone for good."""
        if self.probe is not None and self.probe.target == name:
            self.probe = None
