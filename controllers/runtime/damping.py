"""Brakes for what is done again and again about the same wish: two that disagree must not race.

Two peers whose beliefs differ (one hears a member that the other does not) may each undo what the
other does. Doing it once is right; the second time waits, the third longer.

Invariants:
    DMP-1  Within one epoch the n-th act comes at least base * 2 ** (n - 2) after the one before,
           bounded.
"""

from typing import Generic, TypeVar, final

__all__ = ["Damper"]

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
