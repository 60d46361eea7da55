"""Puts and staleness of each side of a fault over time, as the report draws them. Pure."""

from collections.abc import Sequence
from typing import final

import msgspec

from bench.caplab.checkers import promises
from bench.caplab.history import Event, Windows
from bench.caplab.roles import MARKS

BIN_MS = 100


@final
class Line(msgspec.Struct, frozen=True, kw_only=True):
    """Puts of one side over time, in bins of `BIN_MS` from the begin of the load."""

    side: int
    accepted: list[int]
    failed: list[int]
    worst_ms: list[float]
    """Latency of the slowest accepted put that began in the bin; 0 without one."""
    stale_ms: list[float]
    """Greatest age of what local reads of the side missed."""


def timeline(
    events: Sequence[Event], windows: Windows, sides: Sequence[Sequence[int]]
) -> list[Line]:
    """Return the puts and the staleness of each side over time."""
    count = int((windows.end_ms - windows.begin_ms) // BIN_MS) + 1
    stale = promises.staleness(events, MARKS)
    return [_line(n, side, events, stale, windows.begin_ms, count) for n, side in enumerate(sides)]


def _line(
    number: int, side: Sequence[int], events: Sequence[Event],
    stale: Sequence[promises.Stale], begin_ms: float, count: int,
) -> Line:  # fmt: skip
    accepted, failed = [0] * count, [0] * count
    worst, old = [0.0] * count, [0.0] * count
    for event in events:
        when = int((event.start_ms - begin_ms) // BIN_MS)
        if event.role != "put" or event.member not in side or not 0 <= when < count:
            continue
        if event.ok:
            accepted[when] += 1
            worst[when] = max(worst[when], round(event.end_ms - event.start_ms, 2))
        else:
            failed[when] += 1
    for one in stale:
        when = int((one.when_ms - begin_ms) // BIN_MS)
        if one.member in side and 0 <= when < count:
            old[when] = max(old[when], round(one.age_ms, 1))
    return Line(side=number, accepted=accepted, failed=failed, worst_ms=worst, stale_ms=old)
