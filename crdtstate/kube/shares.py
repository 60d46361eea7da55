"""A limit that holds under any partition: it is split into shares, one a peer. Pure arithmetic.

The rights to a limit are a bounded counter: what was granted, less what was given up, moves between
peers by transfers that only the giver writes. A peer admits what fits into its own share, counting
what it has admitted before; so all together never admit more than was granted, whoever hears whom.
Rights are granted by one member only, a function of names that all compute alike.

Source: [BDF15]; what is spent is not counted down, it is what is there.

Invariants:
    SHR-1  Of every peer: what it admitted and what it gives away is within its share, as it knows
           it; what it does not know yet can only be more.
    SHR-2  The rights granted are never more than the limit, as the granting member has seen it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import final

__all__ = ["Ledger", "granter_of"]


def granter_of(limit: str, members: Iterable[str]) -> str | None:
    """Return the member that grants the rights to a limit. Cost: O(members)."""

    def bid(member: str) -> tuple[bytes, str]:
        return hashlib.blake2b(f"{limit}\0{member}".encode(), digest_size=8).digest(), member

    return max(members, key=bid, default=None)


@final
@dataclass(frozen=True, slots=True)
class Ledger:
    """What one peer knows of one limit.

    Args:
        shares: Rights of each origin, as far as is known here.
        used: What the objects of each origin cost, as far as is known here.
        reserved: Of this peer: what is being admitted or given away and is not in the rest yet.
    """

    me: int
    limit: int
    shares: Mapping[int, int]
    used: Mapping[int, int]
    reserved: int = 0
    wants: Mapping[int, int] = field(default_factory=dict)
    """What a peer would have admitted lately if it had had the rights."""

    @property
    def granted(self) -> int:
        """All rights there are."""
        return sum(self.shares.values())

    def left_of(self, origin: int) -> int:
        """Return what is left of a share; below 0 for objects that were there before the limit."""
        left = self.shares.get(origin, 0) - self.used.get(origin, 0)
        return left - (self.reserved if origin == self.me else 0)

    @property
    def overdrawn(self) -> int:
        """What others use beyond their shares: they cannot give it back, so it counts here."""
        origins = (self.shares.keys() | self.used.keys()) - {self.me}
        return sum(max(0, -self.left_of(origin)) for origin in origins)

    @property
    def spare(self) -> int:
        """What this peer may admit, or give away, now (SHR-1)."""
        return max(0, self.left_of(self.me) - self.overdrawn)

    def to_grant(self) -> int:
        """Return what the granting member grants now (SHR-2)."""
        return max(0, self.limit - self.granted)

    def to_give_up(self) -> int:
        """Return what this peer gives up now, because the limit was lowered."""
        return min(self.spare, max(0, self.granted - self.limit))

    def to_send(self, origins: Iterable[int]) -> list[tuple[int, int]]:
        """Return what to send to whom, so that all can admit about the same.

        Who is overdrawn comes first, then who wants more than it has, then who has less than half
        of what all have on average: sharing evenly to the last would never come to rest.

        Args:
            origins: Of the members that are heard, in any order; this one may be among them.
        """
        others = sorted(set(origins) - {self.me})
        left = {origin: self.left_of(origin) for origin in others}
        mine = max(0, self.left_of(self.me) - self.wants.get(self.me, 0))
        sent: dict[int, int] = {}
        for origin in others:  # What was there before the limit.
            amount = min(mine, max(0, -left[origin]))
            _add(sent, origin, amount)
            left[origin], mine = left[origin] + amount, mine - amount
        for origin in others:
            amount = min(mine, max(0, self.wants.get(origin, 0) - left[origin]))
            _add(sent, origin, amount)
            left[origin], mine = left[origin] + amount, mine - amount
        average = (sum(max(0, amount) for amount in left.values()) + mine) // (len(others) + 1)
        for origin in others:
            if 2 * left[origin] < average:
                amount = min(mine - average, average - left[origin])
                _add(sent, origin, max(0, amount))
                mine -= max(0, amount)
        return list(sent.items())


def _add(sent: dict[int, int], origin: int, amount: int) -> None:
    if amount > 0:
        sent[origin] = sent.get(origin, 0) + amount
