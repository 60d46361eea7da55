"""resourceVersion: numbers that one peer mints, strictly growing, at most 63 bits.

    42 bits of milliseconds since 2024 | 11 bits of counter | 10 bits that name the minter

Decimal in text. Values of two peers compare sensibly, and are never taken for one another's: a peer
accepts only what it minted and still remembers (crdtstate.kube.cache).

Source: KEP-5504 (comparable resource versions).

Invariants:
    VER-1  `mint` grows strictly, whatever the wall clock does, and above what was absorbed.
"""

from typing import final

__all__ = ["VersionClock"]

_EPOCH_MS = 1_704_067_200_000  # 2024-01-01
_COUNTER_BITS, _SLOT_BITS = 11, 10
_AHEAD_MS_MAX = 60_000
_MS_MAX = (1 << 42) - (1 << 20)  # In 2163; from then on the counter counts.
VERSION_MAX = (1 << 63) - 1


@final
class VersionClock:
    """Mints the versions of one peer.

    Args:
        origin: Who mints; a hash of it is part of each version.
        start_ms: Wall clock or hybrid clock, whichever is ahead: restarts must not go back.
    """

    def __init__(self, origin: int, start_ms: int) -> None:
        self._slot = (origin ^ origin >> 31) % (1 << _SLOT_BITS)
        self._tick = self._tick_at(start_ms)

    @staticmethod
    def _tick_at(wall_ms: int) -> int:
        return min(max(1, wall_ms - _EPOCH_MS), _MS_MAX) << _COUNTER_BITS

    def mint(self, wall_ms: int) -> int:
        """Return a version greater than all before (VER-1)."""
        self._tick = max(self._tick + 1, self._tick_at(wall_ms))
        return self._tick << _SLOT_BITS | self._slot

    def absorb(self, version: int, wall_ms: int) -> None:
        """A client showed another peer's version: what is minted next is above it, within reason.

        A version more than a minute ahead of the wall clock is not believed.
        """
        tick = version >> _SLOT_BITS
        if self._tick < tick <= self._tick_at(wall_ms + _AHEAD_MS_MAX):
            self._tick = tick
