"""Brakes for what is done again and again about the same wish: two that disagree must not race.

Two peers whose beliefs differ (one hears a member that the other does not) may each undo what the
other does. Doing it once is right; the second time waits, the third longer.

Invariants:
    DMP-1  Within one epoch the n-th act comes at least base * 2 ** (n - 2) after the one before,
           bounded.
    DMP-2  Within one epoch no more is made for a key than its burst, and as much again for every
           `refill_ms` that pass.
"""

from typing import Generic, TypeVar, final

__all__ = ["Budget", "Damper"]

K = TypeVar("K")
_BASE_MS, _MAX_MS = 5_000, 120_000
_FORGET_MS = 600_000
_REMEMBERED_MAX = 10_000


@final
class Damper(Generic[K]):
    """Acts on each key. An epoch is what the act follows from: another wish is another epoch."""

    def __init__(self) -> None:
        self._acts: dict[K, tuple[object, int, int]] = {}

    def wait_ms(self, key: K, epoch: object, now_ms: int) -> int:
        """Return how long the next act has to wait, 0 for not at all."""
        known, count, last_ms = self._acts.get(key, (epoch, 0, now_ms))
        if known != epoch or not count or now_ms - last_ms > _FORGET_MS:
            return 0
        return max(0, last_ms + min(_MAX_MS, _BASE_MS << min(count - 1, 16)) - now_ms)

    def acted(self, key: K, epoch: object, now_ms: int) -> None:
        """Note an act."""
        known, count, last_ms = self._acts.get(key, (epoch, 0, now_ms))
        if known != epoch or now_ms - last_ms > _FORGET_MS:
            count = 0
        if len(self._acts) >= _REMEMBERED_MAX and key not in self._acts:
            self._acts.clear()  # Acting at once again is harmless, once.
        self._acts[key] = (epoch, count + 1, now_ms)


@final
class Budget(Generic[K]):
    """How much may be made for each key: a burst, and then slowly more.

    Args:
        refill_ms: How long the whole burst takes to come back.
    """

    def __init__(self, *, refill_ms: int) -> None:
        self._refill_ms = refill_ms
        self._left: dict[K, tuple[object, float, int]] = {}

    def take(self, key: K, epoch: object, wanted: int, burst: int, now_ms: int) -> int:
        """Return how much of `wanted` may be made now, and count it as made.

        Another epoch begins with the whole burst.
        """
        known, left, since_ms = self._left.get(key, (epoch, float(burst), now_ms))
        if known != epoch:
            left, since_ms = float(burst), now_ms
        left = min(float(burst), left + burst * (now_ms - since_ms) / self._refill_ms)
        granted = min(wanted, int(left))
        if len(self._left) >= _REMEMBERED_MAX and key not in self._left:
            self._left.clear()
        self._left[key] = (epoch, left - granted, now_ms)
        return granted
