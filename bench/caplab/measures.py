"""From the history of one cell to its figures. Pure; every figure of a panel is made here."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import final

import msgspec

from bench.caplab.checkers import promises
from bench.caplab.checkers.causal import check_sessions
from bench.caplab.checkers.linearizable import check_register
from bench.caplab.history import (
    GET,
    INCREMENT,
    LEAD,
    MODIFY,
    PUT,
    SEEN,
    WINDOWS,
    Event,
    History,
    Windows,
)  # fmt: skip
from bench.caplab.panel import Part
from bench.caplab.roles import CONFLICT, COUNTER, MARKS, MODIFIED, OBJECT, REGISTERS, SETS
from bench.caplab.statistics import SHORT, distribution
from bench.caplab.timeline import Line, timeline


@final
class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of client on one side in one window."""

    attempts: int
    accepted: int
    """Served, a refused condition among them."""
    available: float
    """Share of the clients' time not lost in operations that failed."""
    distribution: list[float]
    """Latency of what was accepted, milliseconds, at `statistics.SHORT`."""


@final
class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What the checkers say of the whole cell."""

    lost: list[str]
    """Acknowledged writes of any kind that no member shows at the end."""
    counter: tuple[int, int, int | None]
    """Acknowledged, unknown, final; None: members differ at the end."""
    modified: tuple[int, int, int | None]
    double_leaders: int
    double_leader_ms: float
    leaderless_ms: float
    conflict_keys: int
    conflict_siblings: int
    conflicts_unlisted: list[str]
    conflict_keys_told: int
    linearizable: dict[str, bool | None]
    """Of strong reads and writes, for each key; None: not decided."""
    session_reads: dict[str, int]
    session_anomalies: dict[str, dict[str, int]]
    """For each kind of session: guarantee to count of reads that broke it."""
    examples: list[str]
    converged_after_ms: float | None
    equal: bool


@final
class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of one run of one cell's panel."""

    served: dict[str, dict[str, dict[str, Served]]]
    """Window, role, side (its number as text; "all") to figures."""
    gap_ms: dict[str, float]
    """Window to the longest time without an accepted put of a client beside a survivor."""
    failover_gap_ms: float
    """The same of a client beside the member at fault, which goes to the next one."""
    recovery_ms: float | None
    """From the heal until every member accepts writes and shows all acknowledged before; None:
    not within the run."""
    stale_ms: dict[str, list[float]]
    """Window to the distribution of ages that local reads missed."""
    delivery_ms: dict[str, list[float]]
    """Window to the distribution from the start of a put to its arrival at a watcher elsewhere."""
    lines: list[Line]
    checked: Checked
    generator_share: float


def measure(
    history: History,
    windows: Windows,
    parts: Sequence[Part],
    sides: Sequence[Sequence[int]],
    survivors: Sequence[int],
) -> Measured:
    """Reduce one history. `survivors` are the members that ran all the time."""
    events = history.events
    puts = [e for e in events if e.role == "put"]
    gaps = {w: longest_gap(puts, parts, windows, w, survivors) for w in WINDOWS}
    moving = [e for e in events if e.role == "failover"]
    everywhere = range(max(map(max, sides)) + 1)
    return Measured(
        served=served(events, windows, parts, sides),
        gap_ms=gaps,
        failover_gap_ms=longest_gap(moving, parts, windows, "during", everywhere),
        recovery_ms=recovery(events, windows),
        stale_ms=_by_window(
            windows, [(s.when_ms, s.age_ms) for s in promises.staleness(events, MARKS)]
        ),
        delivery_ms=_by_window(windows, deliveries(events)),
        lines=timeline(events, windows, sides),
        checked=check(history, windows, sides),
        generator_share=history.generator_share,
    )


def _by_window(windows: Windows, samples: Iterable[tuple[float, float]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for when, value in samples:
        found[windows.name_of(when)].append(value)
    return {name: distribution(found[name], SHORT) for name in WINDOWS}


def served(
    events: Iterable[Event], windows: Windows, parts: Sequence[Part], sides: Sequence[Sequence[int]]
) -> dict[str, dict[str, dict[str, Served]]]:
    """Return what each kind of client got, by window and side."""
    groups: dict[tuple[str, str, str], list[Event]] = defaultdict(list)
    for event in events:
        if event.op in (LEAD, SEEN):
            continue
        place = next(n for n, side in enumerate(sides) if event.member in side)
        window = windows.of(event)
        groups[window, event.role, str(place)].append(event)
        groups[window, event.role, "all"].append(event)
    spans = {
        "before": windows.fault_ms - windows.begin_ms,
        "during": windows.heal_ms - windows.fault_ms,
        "after": windows.end_ms - windows.heal_ms,
    }
    result: dict[str, dict[str, dict[str, Served]]] = {name: {} for name in WINDOWS}
    for (window, role, side), found in sorted(groups.items()):
        clients = len({event.session for event in found})
        ends = {"before": windows.fault_ms, "during": windows.heal_ms, "after": windows.end_ms}
        # One that fails at once has lost the time until the client's next turn, too.
        lost_ms = sum(
            max(min(e.end_ms, ends[window]) - e.start_ms, 1000 / parts[e.session].per_s)
            for e in found
            if not e.answered
        )
        time_ms = spans[window] * clients
        result[window].setdefault(role, {})[side] = Served(
            attempts=len(found),
            accepted=sum(event.answered for event in found),
            available=max(0.0, 1 - lost_ms / time_ms) if time_ms else 1.0,
            distribution=distribution([e.end_ms - e.start_ms for e in found if e.ok], SHORT),
        )
    return result


def longest_gap(
    puts: Iterable[Event],
    parts: Sequence[Part],
    windows: Windows,
    window: str,
    members: Sequence[int],
) -> float:
    """Return the longest time between two accepted puts of one client, beyond its own pace."""
    bounds = {
        "before": (windows.begin_ms, windows.fault_ms),
        "during": (windows.fault_ms, windows.heal_ms),
        "after": (windows.heal_ms, windows.end_ms),
    }
    start, end = bounds[window]
    if window == "before":
        start += 500  # Connections open, code is met for the first time.
    accepted: dict[int, list[float]] = defaultdict(list)
    for event in puts:
        if event.member in members:
            found = accepted[event.session]
            if event.ok and start <= event.end_ms <= end:
                found.append(event.end_ms)
    worst = 0.0
    for session, moments in accepted.items():
        pace_ms = 1000 / parts[session].per_s
        edges = [start, *sorted(moments), end]
        worst = max(
            worst,
            *(after - before - pace_ms for before, after in pairwise(edges)),
        )
    return max(0.0, worst)


def recovery(events: Sequence[Event], windows: Windows) -> float | None:
    """Return how long after the heal all accept writes and show what was acknowledged before."""
    heal = windows.heal_ms
    acked: dict[str, int] = {}
    for event in events:
        if event.op == PUT and event.ok and event.key.startswith(MARKS) and event.end_ms < heal:
            acked[event.key] = max(acked.get(event.key, 0), int(event.value or 0))
    moments: list[float] = []
    for member in sorted({event.member for event in events}):
        mine = [e for e in events if e.member == member and e.start_ms >= heal]
        writes = [e for e in mine if e.role == "put"]
        failed = max((e.end_ms for e in writes if not e.ok), default=heal)
        accepted = [e.end_ms for e in writes if e.ok and e.end_ms >= failed]
        if not accepted:
            return None
        shown = [e.end_ms for e in mine if e.role == "probe" and e.ok and _shows(e, acked)]
        if not shown:
            return None
        moments += [min(accepted), min(shown)]
    return max(moments) - heal if moments else None


def _shows(event: Event, acked: dict[str, int]) -> bool:
    marks: dict[str, str] = msgspec.json.decode(event.value or "{}")
    return all(int(marks.get(key, 0)) >= number for key, number in acked.items())


def deliveries(events: Sequence[Event]) -> list[tuple[float, float]]:
    """Return (start of the put, how long until a watcher beside another member had it)."""
    began = {(e.key, e.value): e for e in events if e.op == PUT and e.ok}
    found: list[tuple[float, float]] = []
    for event in events:
        put = began.get((event.key, event.value)) if event.op == SEEN else None
        if put is not None and put.member != event.member:
            found.append((put.start_ms, event.end_ms - put.start_ms))
    return found


def check(history: History, windows: Windows, sides: Sequence[Sequence[int]]) -> Checked:
    """Ask every checker."""
    events, final_state = history.events, history.final
    lost = promises.lost_puts(
        [e for e in events if e.role.startswith(("put", "failover"))], final_state
    )
    lost += promises.lost_puts([e for e in events if e.role == "mark"], final_state)
    lost += promises.lost_elements(events, final_state, f"{SETS}0")
    lost += promises.lost_fields(events, final_state, f"{OBJECT}0")
    counter = promises.count_of(events, final_state, INCREMENT, f"{COUNTER}0")
    if counter.lost:
        lost.append(f"{COUNTER}0: {counter.lost} additions")
    reigns = promises.double_reigns(events)
    conflicts = promises.overridden(
        [e for e in events if e.key.startswith(CONFLICT)], final_state, sides
    )
    anomalies, reads, examples = _sessions(events)
    return Checked(
        lost=lost,
        counter=_counted(counter),
        modified=_counted(promises.count_of(events, final_state, MODIFY, f"{MODIFIED}0")),
        double_leaders=len(reigns),
        double_leader_ms=sum(reign.end_ms - reign.start_ms for reign in reigns),
        leaderless_ms=promises.leaderless_ms(events, windows.fault_ms, windows.heal_ms),
        conflict_keys=conflicts.keys,
        conflict_siblings=conflicts.siblings,
        conflicts_unlisted=conflicts.unlisted,
        conflict_keys_told=conflicts.told,
        linearizable=_linearizable(events),
        session_reads=reads,
        session_anomalies=anomalies,
        examples=examples,
        converged_after_ms=final_state.converged_after_ms,
        equal=all(shown == final_state.values[0] for shown in final_state.values),
    )


def _counted(count: promises.Count) -> tuple[int, int, int | None]:
    return count.acknowledged, count.unknown, count.final if count.settled else None


def _registers(events: Iterable[Event]) -> list[Event]:
    return [e for e in events if e.key.startswith(REGISTERS) and e.op in (PUT, GET)]


STRONG_ROLES = ("register", "roam", "read_strong")


def _linearizable(events: Sequence[Event]) -> dict[str, bool | None]:
    """Check the registers' writes and strong reads, key by key."""
    keys: dict[str, list[Event]] = defaultdict(list)
    for event in _registers(events):
        if event.op == PUT or event.role in STRONG_ROLES:
            keys[event.key].append(event)
    return {key: check_register(found).linearizable for key, found in sorted(keys.items())}


def _sessions(
    events: Sequence[Event],
) -> tuple[dict[str, dict[str, int]], dict[str, int], list[str]]:
    found = _registers(events)
    roles: dict[int, str] = {event.session: event.role for event in found}
    loose = {session for session, role in roles.items() if role.endswith("without token")}
    anomalies: dict[str, dict[str, int]] = {}
    reads: dict[str, int] = {}
    examples: list[str] = []
    for session, one in check_sessions(found, loose).items():
        role = roles[session]
        counts = anomalies.setdefault(role, dict.fromkeys(GUARANTEES, 0))
        for guarantee in GUARANTEES:
            counts[guarantee] += getattr(one, guarantee)
        reads[role] = reads.get(role, 0) + one.reads
        examples += [f"{role}: {text}" for text in one.examples]
    return anomalies, reads, examples[:6]


GUARANTEES = ("read_your_writes", "monotonic_reads", "causal", "out_of_thin_air")
