"""Failure detection of one target at a time: ping, ask helpers and the stream, give up.

Source: [DGM02] section 3.1; the order of targets is a shuffled round, section 4.3, so that the
time to first detection is bounded; nacks after [DPC18].

Invariants:
    PROBE-1  At most one probe is open.
    PROBE-2  Every opened probe ends exactly once: confirmed or failed.
"""

import random
from typing import final

__all__ = ["Probe", "Rounds"]


@final
class Probe:
    """The open probe of one target."""

    __slots__ = ("asked", "ends_at_ms", "helpers", "indirect_at_ms", "nacks", "sequence", "target")

    def __init__(self, target: str, sequence: int, indirect_at_ms: int, ends_at_ms: int) -> None:
        self.target, self.sequence = target, sequence
        self.indirect_at_ms, self.ends_at_ms = indirect_at_ms, ends_at_ms
        self.asked = False
        self.helpers = 0
        self.nacks = 0


@final
class Rounds:
    """Shuffled rounds over whoever is to be probed: nobody waits longer than two rounds."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._queue: list[str] = []

    def next(self, names: list[str]) -> str | None:
        """Return the next target among `names`."""
        present = set(names)
        while self._queue:
            name = self._queue.pop()
            if name in present:
                return name
        if not names:
            return None
        self._queue = sorted(names)
        self._rng.shuffle(self._queue)
        return self._queue.pop()
