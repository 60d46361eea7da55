"""The membership table: for each name the greatest record, ordered by (incarnation, liveness).

Source: [DGM02] section 4.2, suspicion with incarnation numbers.

Invariants:
    TBL-1  A record is replaced only by a greater one: the table of joined updates is the join of
           tables, whatever their order.
    TBL-2  Only a member itself raises its incarnation.
    TBL-3  At most members_max names; a forgotten name is never one of them.
"""

from dataclasses import replace
from typing import final

from xxhash import xxh3_64_intdigest

from gossip.core.ports import Liveness, Member
from gossip.core.wire import encoded_record

__all__ = ["MemberTable", "is_newer"]


def is_newer(member: Member, than: Member) -> bool:
    """Tell whether a record replaces another of the same name."""
    return (member.incarnation, member.liveness) > (than.incarnation, than.liveness)


@final
class MemberTable:
    """All known members, this one included."""

    def __init__(self, me: Member, members_max: int) -> None:
        self._members = {me.name: me}
        self._name = me.name
        self._max = members_max
        self._forgotten: dict[str, None] = {}
        self._hash: int | None = None

    @property
    def me(self) -> Member:
        """This member's own record."""
        return self._members[self._name]

    def __len__(self) -> int:
        return len(self._members)

    def get(self, name: str) -> Member | None:
        """Return the record of a name."""
        return self._members.get(name)

    def all(self) -> list[Member]:
        """Return all records by name."""
        return [self._members[name] for name in sorted(self._members)]

    def others(self, *liveness: Liveness) -> list[Member]:
        """Return the other members of these kinds, by name."""
        return [m for m in self.all() if m.name != self._name and m.liveness in liveness]

    def is_forgotten(self, name: str) -> bool:
        """Tell whether the name may not be a member."""
        return name in self._forgotten

    def accept(self, member: Member) -> bool:
        """Join one record (TBL-1); tell whether it changed the table."""
        known = self._members.get(member.name)
        if known is None:
            if len(self._members) >= self._max or member.name in self._forgotten:  # TBL-3
                return False
        elif not is_newer(member, known):
            return False
        self._members[member.name] = member
        self._hash = None
        return True

    def judge(self, name: str, liveness: Liveness) -> Member | None:
        """Change what is believed of a member at its incarnation; None when that is older news."""
        known = self._members.get(name)
        if known is None:
            return None
        judged = replace(known, liveness=liveness)
        return judged if self.accept(judged) else None

    def assert_self(self, above: int, **changes: object) -> Member:
        """Raise our own incarnation over `above` (TBL-2), with other changes of our record."""
        incarnation = max(self.me.incarnation, above) + 1
        self._members[self._name] = replace(
            self.me,
            incarnation=incarnation,
            liveness=Liveness.ALIVE,
            **changes,  # type: ignore[arg-type]
        )
        self._hash = None
        return self.me

    def forget(self, name: str) -> Member | None:
        """Remove a name for good. The list of such names is bounded by the operator's patience."""
        if name == self._name:
            return None
        self._forgotten[name] = None
        self._hash = None
        return self._members.pop(name, None)

    def hash(self) -> int:
        """Return a hash of the table; peers whose hashes differ exchange lists. Cost: O(1) mostly.

        Suspicion is left out: it is news, and would differ all the time.
        """
        if self._hash is None:
            parts = []
            for member in self.all():
                settled = member.liveness in (Liveness.DEAD, Liveness.LEFT)
                fields = encoded_record(member)
                fields[4] = int(settled)
                parts.append(repr(fields))
            self._hash = xxh3_64_intdigest("\n".join(parts).encode()) >> 32
        return self._hash
