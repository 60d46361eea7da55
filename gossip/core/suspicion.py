"""How long a suspect has to refute: arithmetic, and the suspicions that run.

Source: [DPC18] section IV-B: the time shrinks from most to least, logarithmically, as independent
members confirm the suspicion; a lone accuser, who may be the one at fault, waits longest.

Invariants:
    SUS-1  least <= timeout <= most, and more confirmations never lengthen it.
    SUS-2  One accuser counts once, and a member that only repeats what it was told counts as none.
    SUS-3  What nobody is left to confirm has `least` to refute, also when it was suspected before
           the others were: a member that hears nobody is not kept waiting for their word.
"""

import math
from typing import final

from gossip.core.config import Config

__all__ = ["Suspicions", "suspicion_bounds_ms", "suspicion_timeout_ms"]

MOST_OVER_LEAST = 6
NOBODY = ""


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


@final
class _Suspicion:
    __slots__ = ("accusers", "expected", "least_ms", "most_ms", "started_ms")

    def __init__(self, now_ms: int, expected: int, bounds_ms: tuple[int, int]) -> None:
        self.started_ms = now_ms
        self.expected = expected
        self.least_ms, self.most_ms = bounds_ms
        self.accusers: dict[str, None] = {}

    def ends_at_ms(self) -> int:
        confirmations = max(0, len(self.accusers) - 1)
        return self.started_ms + suspicion_timeout_ms(
            confirmations, self.expected, self.least_ms, self.most_ms
        )


@final
class Suspicions:
    """Every suspect's time to refute."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._running: dict[str, _Suspicion] = {}

    def open(self, now_ms: int, name: str, accuser: str, members: int, confirmers: int) -> None:
        """Begin anew.

        Args:
            accuser: Who says so; "" when that is not known.
            members: How many there are in all.
            confirmers: How many besides us could confirm it.
        """
        bounds_ms = suspicion_bounds_ms(
            members, self._config.probe_interval_ms, self._config.suspicion_mult
        )
        expected = min(self._config.suspicion_mult - 2, confirmers)
        self._running[name] = _Suspicion(now_ms, expected, bounds_ms)
        self.confirm(name, accuser)

    def confirm(self, name: str, accuser: str) -> bool:
        """Count an accuser (SUS-2); tell whether that was news worth spreading."""
        suspicion = self._running.get(name)
        if suspicion is None or accuser in (NOBODY, name) or accuser in suspicion.accusers:
            return False
        if len(suspicion.accusers) > max(0, suspicion.expected):
            return False
        suspicion.accusers[accuser] = None
        return True

    def expect_at_most(self, confirmers: int) -> None:
        """So many members are left that could confirm anything (SUS-3)."""
        for suspicion in self._running.values():
            suspicion.expected = min(suspicion.expected, confirmers)

    def close(self, name: str) -> None:
        """It refuted, or was judged."""
        self._running.pop(name, None)

    def restart(self, now_ms: int, name: str) -> None:
        """The suspect was heard: its time begins anew."""
        if name in self._running:
            self._running[name].started_ms = now_ms

    def delay(self, lag_ms: int) -> None:
        """We did not listen for so long: nobody's time ran."""
        for suspicion in self._running.values():
            suspicion.started_ms += lag_ms

    def has_run_ms(self, now_ms: int, name: str) -> int:
        """Return for how long a member has been suspect; 0 if it is not."""
        suspicion = self._running.get(name)
        return now_ms - suspicion.started_ms if suspicion is not None else 0

    def expired(self, now_ms: int) -> list[str]:
        """Return the suspects whose time is over, by name."""
        return sorted(n for n, s in self._running.items() if now_ms >= s.ends_at_ms())

    def due_ms(self) -> list[int]:
        """Return when each ends."""
        return [suspicion.ends_at_ms() for suspicion in self._running.values()]

    def names(self) -> list[str]:
        """Return the suspects, by name."""
        return sorted(self._running)
