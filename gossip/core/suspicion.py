"""How long a suspect has to refute, as arithmetic.

Source: [DPC18] section IV-B: the time shrinks from most to least, logarithmically, as independent
members confirm the suspicion; a lone accuser, who may be the one at fault, waits longest.

Invariants:
    SUS-1  least <= timeout <= most, and more confirmations never lengthen it.
"""

import math

__all__ = ["suspicion_bounds_ms", "suspicion_timeout_ms"]

MOST_OVER_LEAST = 6


def suspicion_bounds_ms(members: int, interval_ms: int, mult: int) -> tuple[int, int]:
    """Return (least, most) for a group of so many members."""
    least = int(mult * max(1.0, math.log10(max(members, 1))) * interval_ms)
    return least, MOST_OVER_LEAST * least


def suspicion_timeout_ms(confirmations: int, expected: int, least: int, most: int) -> int:
    """Return the time to refute after so many independent confirmations.

    Args:
        expected: How many confirmations bring it down to `least`; below 1, nobody else could
            confirm, and it is `least` at once.
    """
    if expected < 1:
        return least
    share = math.log(confirmations + 1) / math.log(expected + 1)
    return max(least, int(most - share * (most - least)))
