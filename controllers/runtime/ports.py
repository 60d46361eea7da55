"""What a controller needs of the world beside the client: time and chance, so that it runs in a
simulated one as well.
"""

import time
from typing import Protocol, final

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Two clocks: one that never goes back, and one that people read."""

    def now_ms(self) -> int:
        """Milliseconds since some moment."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""


@final
class SystemClock:
    """This machine's."""

    def now_ms(self) -> int:
        """Milliseconds since some moment."""
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000
