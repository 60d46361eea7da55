"""What a reconcile is told of its view of the cluster, and the policies that ask about it.

There is no "the" state of a cluster that accepts every write: there is what this peer has, who it
hears, and for how long it has not heard the others. Silence is not death: what follows from it is
decided by policy, for each object.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self, final

from crdtstate.errors import InvalidError

__all__ = ["ACT", "HOLD", "LOST_MS", "MAJORITY", "POLICY_ANNOTATION", "Policy", "View"]

POLICY_ANNOTATION = "crdtstate.io/policy"
LOST_MS = 8_000
"""Silence after which what ran on a member is replaced elsewhere. Shorter replaces what is only
slow; longer leaves services with less than they should have."""


@final
@dataclass(frozen=True, slots=True)
class Policy:
    """When a controller may act: always, or only while enough members are heard.

    As text: `act`, `hold` (all members must be heard), `majority`, or `2-of-3` (at least 2 must be
    heard, whatever their number is now).
    """

    text: str
    _COUNTED: ClassVar[re.Pattern[str]] = re.compile(r"([1-9][0-9]{0,3})-of-([1-9][0-9]{0,3})")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the policy. Raises: InvalidError."""
        counted = cls._COUNTED.fullmatch(text)
        if counted and int(counted[1]) <= int(counted[2]):
            return cls(text)
        if text in ("act", "hold", "majority"):
            return cls(text)
        raise InvalidError(
            f"policy {text!r} is not act, hold, majority or K-of-N with K at most N",
            code="invalid_policy",
        )

    def needs(self, members: int) -> int:
        """Return how many of the members must be heard, this one included."""
        counted = self._COUNTED.fullmatch(self.text)
        if counted:
            return int(counted[1])
        return {"act": 0, "hold": members, "majority": members // 2 + 1}[self.text]


ACT, HOLD, MAJORITY = Policy("act"), Policy("hold"), Policy("majority")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Who was heard from, how long ago, and whether what is seen has come to rest."""

    members: tuple[str, ...] = ()
    """Everyone who counts: joined, and not forgotten."""
    heard: tuple[str, ...] = ()
    """The members that are there now, as gossip believes."""
    silent_ms: Mapping[str, int] = field(default_factory=dict)
    """For every other member: for how long nothing was heard from it, as far as is known here."""
    age_ms: int = 0
    """How old the belief is: it grows when the peer that is asked does not answer."""
    settled: bool = True
    """Whether things may be removed now. Not for a while after a member came back, whose state may
    not all be here yet, and not while one is silent and it is not clear whether it is lost."""

    @property
    def minority(self) -> bool:
        """Whether at most half of the members are heard."""
        return 2 * len(self.heard) <= len(self.members)

    def allows(self, policy: Policy) -> bool:
        """Whether a policy lets a controller act now."""
        return not self.members or len(self.heard) >= policy.needs(len(self.members))

    @property
    def lost(self) -> frozenset[str]:
        """The members that have been silent for LOST_MS and longer."""
        return frozenset(name for name, ms in self.silent_ms.items() if ms >= LOST_MS)
