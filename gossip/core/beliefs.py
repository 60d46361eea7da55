"""What this member believes of the others and of itself, and how news changes it.

Source: [DGM02] section 4.2; [DPC18] section IV-B.

Departures: a death that we have only heard of, of a member that was alive here a moment ago, is
taken as a suspicion first. When a cut heals, each side brings the news that the other is dead,
and the living must have the time to say that it is not so.

Invariants:
    BEL-1  A member never believes anything of itself but that it is alive.
    BEL-2  Every suspect has exactly one running suspicion.
"""

from dataclasses import replace
from typing import final

from gossip.core import effects as fx
from gossip.core.group import Address, Group
from gossip.core.ports import Liveness, Member
from gossip.core.suspicion import Suspicions
from gossip.core.wire import INCARNATION_MAX, Update

__all__ = ["Beliefs"]

CONFLICT_INTERVAL_MS = 10_000  # Two processes of one name contend for it no faster than this.


@final
class Beliefs:
    """Changes the table, spreads what changed, and runs the suspicions."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self.suspicions = Suspicions(group.config)
        self.refutations = 0
        self._conflict_ms: int | None = None

    # -- of others -----------------------------------------------------------------------------

    def learn(
        self, now_ms: int, update: Update, sender: str, address: Address, effects: list[fx.Effect]
    ) -> None:
        """Take in what the member `sender` at `address` said."""
        group = self._group
        if update.member.name == group.name:
            self._hear_of_self(now_ms, update.member, address, effects)
            return
        known = group.table.get(update.member.name)
        hearsay = known is not None and self._is_hearsay(now_ms, update.member, known)
        if hearsay:
            update = Update(replace(update.member, liveness=Liveness.SUSPECT), sender)
        member = update.member
        if group.table.accept(member):
            if known is not None:
                self._note_conflict(now_ms, member, known, address, effects)
            self._believed(now_ms, update, effects)
            if hearsay:
                group.tell_doubt(now_ms, (member.host, member.port), member, effects)
        elif member == known:
            self._confirm(update)
        elif known is None:
            self._refused(member, address, effects)
        elif known.liveness is Liveness.DEAD and member.liveness is Liveness.ALIVE:
            # Somebody believes that it lives: it may well do, and can only say so if it is told.
            group.tell_doubt(now_ms, (known.host, known.port), known, effects)

    def suspect(self, now_ms: int, name: str, effects: list[fx.Effect]) -> None:
        """Our own probe of a member failed."""
        group = self._group
        judged = group.table.judge(name, Liveness.SUSPECT)
        if judged is not None:
            self._believed(now_ms, Update(judged, group.name), effects)
            group.tell_doubt(now_ms, (judged.host, judged.port), judged, effects)
            return
        known = group.table.get(name)
        if known is not None and known.liveness is Liveness.SUSPECT:
            self._confirm(Update(known, group.name))

    def expire(self, now_ms: int, effects: list[fx.Effect]) -> None:
        """Declare dead whoever did not refute in time."""
        for name in self.suspicions.expired(now_ms):
            judged = self._group.table.judge(name, Liveness.DEAD)
            if judged is not None:
                self._believed(now_ms, Update(judged), effects)

    def forget(self, name: str) -> None:
        """Believe nothing of a name any more."""
        if name != self._group.name:
            self.suspicions.close(name)
            self._group.queue.drop(name)
            self._group.table.forget(name)

    def _refused(self, member: Member, sender: Address, effects: list[fx.Effect]) -> None:
        if member.liveness is Liveness.ALIVE and not self._group.table.is_forgotten(member.name):
            members_max = self._group.config.members_max
            reason = f"no room for member {member.name!r}: members_max={members_max} are known"
            effects.append(fx.Rejected(sender, reason))

    def _is_hearsay(self, now_ms: int, member: Member, known: Member) -> bool:
        if member.liveness is not Liveness.DEAD or member.incarnation < known.incarnation:
            return False
        if known.liveness is Liveness.ALIVE:
            return True
        suspected_ms = self.suspicions.has_run_ms(now_ms, member.name)
        grace_ms = self._group.config.probe_interval_ms
        return known.liveness is Liveness.SUSPECT and suspected_ms < grace_ms

    def _confirm(self, update: Update) -> None:
        known = self._group.table.get(update.accuser) is not None
        if known and self.suspicions.confirm(update.member.name, update.accuser):
            self._group.queue.push(update)

    def _believed(self, now_ms: int, update: Update, effects: list[fx.Effect]) -> None:
        """A record of another member changed: spread it, watch it, say so."""
        group, member = self._group, update.member
        group.queue.push(update)
        if member.liveness is Liveness.SUSPECT:
            confirmers = len(group.table.others(Liveness.ALIVE))
            self.suspicions.open(now_ms, member.name, update.accuser, len(group.table), confirmers)
            self.suspicions.expect_at_most(confirmers)
        else:
            self.suspicions.close(member.name)
        effects.append(fx.MemberChanged(member))

    def _note_conflict(
        self, now_ms: int, member: Member, known: Member, sender: Address, effects: list[fx.Effect]
    ) -> None:
        """One life of a process has one address; two of them at one incarnation are two."""
        if member.incarnation == known.incarnation:
            here, there = (known.host, known.port), (member.host, member.port)
            if here != there:
                self._report_conflict(member.name, here, there, sender, effects)

    # -- of this member ------------------------------------------------------------------------

    def assert_self(
        self, above: int, effects: list[fx.Effect], metadata: bytes | None = None
    ) -> None:
        """Say that we are alive, at an incarnation that wins (BEL-1)."""
        table = self._group.table
        me = table.assert_self(above, table.me.metadata if metadata is None else metadata)
        self._group.queue.push(Update(me))
        effects.append(fx.MemberChanged(me))

    def claimed(
        self, now_ms: int, member: Member, sender: Address, effects: list[fx.Effect]
    ) -> None:
        """Somebody else introduced itself by our name."""
        me = self._group.table.me
        here, there = (me.host, me.port), (member.host, member.port)
        if here != there and self._may_contend(now_ms):
            self._report_conflict(me.name, here, there, sender, effects)

    def _hear_of_self(
        self, now_ms: int, member: Member, sender: Address, effects: list[fx.Effect]
    ) -> None:
        """Whatever is said of us and is not so, we refute with a higher incarnation."""
        me = self._group.table.me
        if member.incarnation < me.incarnation or member == me:
            return
        here, there = (me.host, me.port), (member.host, member.port)
        if here != there and member.liveness in (Liveness.ALIVE, Liveness.SUSPECT):
            if not self._may_contend(now_ms):
                return
            self._report_conflict(me.name, here, there, sender, effects)
        if member.incarnation >= INCARNATION_MAX:
            reason = f"own incarnation {member.incarnation} cannot be raised over 2**48"
            effects.append(fx.Rejected(sender, reason))
            return
        self.refutations += 1
        if member.liveness in (Liveness.SUSPECT, Liveness.DEAD):
            self._group.health.note(1)
        self.assert_self(member.incarnation, effects)
        effects += self._group.lists(sender, [Update(self._group.table.me)])

    def _may_contend(self, now_ms: int) -> bool:
        last_ms = self._conflict_ms
        if last_ms is not None and now_ms - last_ms < CONFLICT_INTERVAL_MS:
            return False
        self._conflict_ms = now_ms
        return True

    def _report_conflict(
        self,
        name: str,
        here: Address,
        there: Address,
        sender: Address,
        effects: list[fx.Effect],
    ) -> None:
        both = f"{here[0]}:{here[1]} and {there[0]}:{there[1]}"
        effects.append(fx.Rejected(sender, f"name conflict: {name!r} is claimed at {both}"))
