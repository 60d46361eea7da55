"""Local health: how far this member trusts its own judgement.

Source: [DPC18] section IV-A, local health multiplier.

Invariants:
    HEA-1  0 <= score <= health_max.
"""

from typing import final

__all__ = ["Health"]


@final
class Health:
    """A score; 0 is well. Probe intervals and timeouts stretch by score + 1."""

    __slots__ = ("_most", "score")

    def __init__(self, most: int) -> None:
        self._most = most
        self.score = 0

    def note(self, change: int) -> None:
        """Positive: something suggests that we are slow. Negative: we did well."""
        self.score = min(self._most, max(0, self.score + change))

    def stretch(self, duration_ms: int) -> int:
        """Return the duration for our state of health."""
        return duration_ms * (self.score + 1)
