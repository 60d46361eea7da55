"""The membership table: for each name the greatest record, ordered by (incarnation, liveness).

Source: [DGM02] section 4.2, suspicion with incarnation numbers.

Departures: the dead stay, so that a cut heals by itself, and because tables that drop them at
different moments give them back to each other for ever.

Invariants:
    TBL-1  A record is replaced only by a greater one, and no two differ that are equal in the
           order: the table of joined updates is the join of tables, whatever their order.
    TBL-2  Only a member itself raises its incarnation.
    TBL-3  At most members_max names; a forgotten name is never one of them.
    TBL-4  The hash is a function of the records alone.
"""

from dataclasses import replace
from typing import final

from xxhash import xxh3_64_intdigest

from gossip.core.config import Config
from gossip.core.ports import Liveness, Member

__all__ = ["MemberTable", "is_newer"]

_HASH_MASK = (1 << 32) - 1
_SETTLED = (Liveness.DEAD, Liveness.LEFT)


def _rank(member: Member) -> tuple[int, int, str, int, bytes]:
    # What follows liveness decides only between two processes that claim one name at once.
    return (
        member.incarnation, int(member.liveness), member.host, member.port, member.metadata,
    )  # fmt: skip


def is_newer(member: Member, than: Member) -> bool:
    """Tell whether a record replaces another of the same name."""
    return _rank(member) > _rank(than)


def _hash_of(member: Member) -> int:
    # Suspicion is left out: it is news, and would differ all the time.
    settled = int(member.liveness) if member.liveness in _SETTLED else 0
    fields = (
        member.name, member.host, member.port, member.incarnation, settled, member.metadata,
    )  # fmt: skip
    return xxh3_64_intdigest(repr(fields).encode())


@final
class MemberTable:
    """All known members, this one included."""

    def __init__(self, me: Member, config: Config) -> None:
        self._name = me.name
        self._config = config
        self._members: dict[str, Member] = {}
        self._forgotten: dict[str, None] = {}
        self._hash = 0
        self._put(me)

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
            if member.name in self._forgotten or not self._make_room(member):  # TBL-3
                return False
        elif not is_newer(member, known):
            return False
        self._put(member)
        return True

    def judge(self, name: str, liveness: Liveness) -> Member | None:
        """Change what is believed of a member at its incarnation; None when that is older news."""
        known = self._members.get(name)
        if known is None:
            return None
        judged = replace(known, liveness=liveness)
        return judged if self.accept(judged) else None

    def assert_self(self, above: int, metadata: bytes) -> Member:
        """Raise our own incarnation over `above` (TBL-2)."""
        incarnation = max(self.me.incarnation, above) + 1
        self._put(
            replace(self.me, incarnation=incarnation, liveness=Liveness.ALIVE, metadata=metadata)
        )
        return self.me

    def forget(self, name: str) -> None:
        """Remove a name for good; our own stays."""
        if name == self._name:
            return
        self._forgotten[name] = None
        if len(self._forgotten) > self._config.forgotten_max:
            del self._forgotten[next(iter(self._forgotten))]
        self._remove(name)

    def hash(self) -> int:
        """Return 32 bits of the table; peers whose hashes differ exchange lists."""
        return self._hash & _HASH_MASK

    def check(self) -> None:
        """Assert what is redundant. Cost: O(members)."""
        assert len(self._members) <= self._config.members_max, "TBL-3"
        assert not any(name in self._members for name in self._forgotten), "TBL-3"
        summed = sum(_hash_of(member) for member in self._members.values())
        assert self.hash() == summed & _HASH_MASK, "TBL-4"

    def _put(self, member: Member) -> None:
        self._remove(member.name)
        self._members[member.name] = member
        self._hash += _hash_of(member)

    def _remove(self, name: str) -> None:
        member = self._members.pop(name, None)
        if member is not None:
            self._hash -= _hash_of(member)

    def _make_room(self, newcomer: Member) -> bool:
        """Tell whether a new name fits, after it has pushed a settled one out of a full table.

        Which one goes depends on the records alone, so that full tables come to agree.
        """
        if len(self._members) < self._config.members_max:
            return True
        settled = [(m.incarnation, m.name) for m in self.others(*_SETTLED)]
        if not settled:
            return False
        least = min(settled)
        if newcomer.liveness in _SETTLED and (newcomer.incarnation, newcomer.name) < least:
            return False
        self._remove(least[1])
        return True
