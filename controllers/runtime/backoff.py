"""How long a key that failed waits: exponential for each key, with jitter, and bounded.

Source: client-go's item exponential failure rate limiter; jitter as in Brooker, "Exponential
Backoff and Jitter" (AWS Architecture Blog, 2015), but never below half, so that a key that fails
does not spin.
"""

from random import Random
from typing import Generic, TypeVar, final

__all__ = ["Backoff"]

K = TypeVar("K")


@final
class Backoff(Generic[K]):
    """Failures of each key. Memory: the keys that failed last time they were tried."""

    def __init__(self, rng: Random, *, base_ms: int = 50, max_ms: int = 60_000) -> None:
        self._rng, self._base_ms, self._max_ms = rng, base_ms, max_ms
        self._failures: dict[K, int] = {}

    def failed(self, key: K) -> int:
        """Count a failure; return the milliseconds to wait."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        whole = min(self._max_ms, self._base_ms << min(count - 1, 24))
        return self._rng.randint((whole + 1) // 2, whole)

    def succeeded(self, key: K) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """Return how often a key has failed in a row."""
        return self._failures.get(key, 0)
