"""What was acknowledged, and what is there? Lost writes, counts, elections, ages, conflicts.

A write is lost when no member shows it. One that only some show when the run ends is on its way:
that members are not equal is reported by itself.
"""

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bench.caplab.clients.interface import UNKNOWN
from bench.caplab.history import ADD, EDIT, GET, INCREMENT, LEAD, MODIFY, PUT, Event, Final


def lost_puts(events: Iterable[Event], final: Final) -> list[str]:
    """Return "key=value" of acknowledged writes that no member shows at the end.

    For keys of one writer each: the last acknowledged value must be there, or a later one of which
    the writer does not know what became of it.
    """
    last: dict[str, tuple[str | None, set[str | None]]] = {}
    for event in events:
        if event.op != PUT:
            continue
        if event.ok:
            last[event.key] = (event.value, set())
        elif event.status == UNKNOWN and event.key in last:
            last[event.key][1].add(event.value)
    return [
        f"{key}={value}"
        for key, (value, unknown) in sorted(last.items())
        if all(shown.get(key) != value and shown.get(key) not in unknown for shown in final.values)
    ]


def lost_elements(events: Iterable[Event], final: Final, key: str) -> list[str]:
    """Return acknowledged elements of a set that no member shows."""
    missing = {event.value for event in events if event.op == ADD and event.ok and event.value}
    for shown in final.values:
        missing -= {name.removeprefix(f"{key}/") for name in shown if name.startswith(f"{key}/")}
        missing -= set(json.loads(shown.get(key, "[]")))
    return sorted(missing)


def lost_fields(events: Iterable[Event], final: Final, key: str) -> list[str]:
    """Return acknowledged edits of an object's fields that no member shows."""
    by_field = [
        Event(e.session, e.member, e.role, PUT, e.key, e.value, e.start_ms, e.end_ms, e.status)
        for e in events
        if e.op == EDIT
    ]
    flat = [
        {f"{key}#{name}": value for name, value in json.loads(shown.get(key, "{}")).items()}
        for shown in final.values
    ]
    return lost_puts(by_field, Final(values=flat))


class Count(NamedTuple):
    """A number that clients raised by one: how often acknowledged, perhaps, and what it is."""

    acknowledged: int
    unknown: int
    final: int
    """The largest that a member shows."""
    settled: bool
    """Whether all members show that."""

    @property
    def lost(self) -> int:
        """Acknowledged additions that are not in it; 0 while members differ: each may have some."""
        return max(0, self.acknowledged - self.final) if self.settled else 0

    @property
    def invented(self) -> int:
        """What is in it beyond all that may have happened."""
        return max(0, self.final - self.acknowledged - self.unknown)


def count_of(events: Iterable[Event], final: Final, op: str, key: str) -> Count:
    """Compare a counter (INCREMENT) or a read-modify-write number (MODIFY) with its end."""
    assert op in (INCREMENT, MODIFY)
    found = [event for event in events if event.op == op]
    ends = {int(shown.get(key, 0)) for shown in final.values}
    return Count(
        sum(event.ok for event in found),
        sum(event.status == UNKNOWN for event in found),
        max(ends, default=0),
        len(ends) == 1,
    )


class Reign(NamedTuple):
    """A stretch with two leaders or more."""

    start_ms: float
    end_ms: float


def double_reigns(events: Iterable[Event]) -> list[Reign]:
    """Return when more than one client held itself the leader."""
    edges = sorted(
        edge
        for event in events
        if event.op == LEAD
        for edge in ((event.start_ms, 1), (event.end_ms, -1))
    )
    found: list[Reign] = []
    leaders = 0
    for when, change in edges:
        if leaders == 1 and change == 1:
            found.append(Reign(when, when))
        elif leaders == 2 and change == -1:
            found[-1] = Reign(found[-1].start_ms, when)
        leaders += change
    return [reign for reign in found if reign.end_ms > reign.start_ms]


def leaderless_ms(events: Iterable[Event], start_ms: float, end_ms: float) -> float:
    """Return how long nobody held itself the leader within a stretch."""
    covered, free = start_ms, 0.0
    for event in sorted((e for e in events if e.op == LEAD), key=lambda e: e.start_ms):
        if event.start_ms > covered:
            free += min(event.start_ms, end_ms) - min(covered, end_ms)
        covered = max(covered, event.end_ms)
    return free + max(0.0, end_ms - covered)


class Stale(NamedTuple):
    """One read of the marks: when, where, and the age of what it missed (0: nothing)."""

    when_ms: float
    member: int
    age_ms: float


def staleness(events: Sequence[Event], marks: str) -> list[Stale]:
    """Return for each read of the marks the age of the oldest acknowledged write it misses."""
    acked: dict[str, tuple[list[float], list[int]]] = defaultdict(lambda: ([], []))
    for event in events:
        if event.op == PUT and event.ok and event.key.startswith(marks) and event.value:
            ends, numbers = acked[event.key]
            ends.append(event.end_ms)
            numbers.append(int(event.value))
    found: list[Stale] = []
    for event in events:
        if event.op != GET or event.key != marks or not event.ok or event.value is None:
            continue
        shown: Mapping[str, str] = json.loads(event.value)
        age = 0.0
        for key, (ends, numbers) in acked.items():
            # Acknowledged before the read began, and newer than what it shows.
            first = bisect_right(numbers, int(shown.get(key, 0)))
            if first < len(ends) and ends[first] < event.start_ms:
                age = max(age, event.start_ms - ends[first])
        found.append(Stale(event.start_ms, event.member, age))
    return found


class Overridden(NamedTuple):
    """Concurrent writes to keys that several sides wrote during a cut."""

    keys: int
    """Written, acknowledged, on more than one side."""
    siblings: int
    """Values that had to be kept: the last of each side."""
    unlisted: list[str]
    """Values that the system neither shows nor lists."""
    told: int
    """Keys whose plain read says that there is a conflict."""


def overridden(events: Iterable[Event], final: Final, sides: Sequence[Sequence[int]]) -> Overridden:
    """Compare what both sides of a cut wrote with the list of conflicts."""
    last: dict[str, dict[int, str]] = defaultdict(dict)
    doubtful: set[str] = set()
    for event in events:
        side = next(n for n, side in enumerate(sides) if event.member in side)
        if event.status == UNKNOWN:
            doubtful.add(event.key)
        elif event.ok and event.value is not None:
            last[event.key][side] = event.value
    both = {k: v for k, v in last.items() if len(v) > 1 and k not in doubtful}
    unlisted = [
        f"{key}={value}"
        for key, found in sorted(both.items())
        for value in found.values()
        if value not in final.conflicts.get(key, ())
    ]
    told = sum(key in final.told_keys for key in both)
    return Overridden(len(both), sum(map(len, both.values())), unlisted, told)
