"""A hybrid logical clock in 64 bits: 48 of milliseconds, 16 of counter, with natural carry.

It only orders concurrent siblings; causality is carried by dots and vectors. So a bad clock can win
a race, and can never hold a key: whoever has seen its write replaces it at once.

Source: [KDM14].

Invariants:
    HLC-1  `tick` grows strictly, whatever the wall clock does.
    HLC-2  A remote reading more than AHEAD_MS_MAX ahead of the wall clock is not absorbed.

Departures: HLC-2. The paper absorbs every reading; one bad clock would then move all others.
"""

from typing import final

__all__ = ["AHEAD_MS_MAX", "HybridClock", "stamp_ms"]

AHEAD_MS_MAX = 60_000
_COUNTER_BITS = 16
STAMP_MAX = (1 << 64) - 1


def stamp_ms(stamp: int) -> int:
    """Return the wall-clock part of a stamp, in milliseconds since 1970."""
    return stamp >> _COUNTER_BITS


@final
class HybridClock:
    """One replica's clock. Time enters as an argument."""

    __slots__ = ("_last",)

    def __init__(self, last: int = 0) -> None:
        self._last = last

    @property
    def last(self) -> int:
        """The greatest stamp given or absorbed."""
        return self._last

    def next(self, wall_ms: int) -> int:
        """Return what `tick` would return."""
        return max(self._last + 1, wall_ms << _COUNTER_BITS)

    def tick(self, wall_ms: int) -> int:
        """Return a stamp greater than every earlier one (HLC-1)."""
        self._last = self.next(wall_ms)
        return self._last

    def absorb(self, stamp: int, wall_ms: int) -> None:
        """Take a remote stamp into account, unless it is absurd (HLC-2)."""
        if self._last < stamp <= (wall_ms + AHEAD_MS_MAX) << _COUNTER_BITS:
            self._last = stamp
