"""Are the sessions' reads causally consistent, and which session guarantees did each session get?

Every value is written once, so a read names the write that it returns. Causal order is the
transitive closure of each session's own order and of "this read returned that write"; a vector of
positions for each operation decides it. A history is causally consistent when no read returns a
value that causal order had already overwritten, or nothing where causal order had a write.

Source: bad patterns ThinAirRead, WriteCOInitRead and WriteCORead of [BEG17]; session guarantees
after [TDP94].
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import final

from msgspec.structs import replace

from bench.caplab.clients.interface import UNKNOWN
from bench.caplab.history import GET, PUT, Event


@final
@dataclass
class Anomalies:
    """How often something was not kept; `examples` says where, for the first few."""

    reads: int = 0
    read_your_writes: int = 0
    monotonic_reads: int = 0
    causal: int = 0
    out_of_thin_air: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All of them; one read may break several guarantees."""
        return self.causal + self.out_of_thin_air

    def note(self, what: str, read: Event) -> None:
        """Remember where."""
        if len(self.examples) < 3:
            self.examples.append(
                f"{what}: session {read.session} read {read.key}={read.value} at member "
                f"{read.member}"
            )


Vector = dict[int, int]
_LOOSE = 1 << 32
"""Operations of loose sessions count down from here, each a session of its own."""


@final
class _Order:
    """Causal order as vectors: session to the position of the last operation in the past."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.by_value: dict[tuple[str, str | None], Event] = {}
        sessions: dict[int, list[Event]] = defaultdict(list)
        for event in sorted(events, key=lambda e: e.start_ms):
            if event.op == PUT and event.ok:
                self.by_value[event.key, event.value] = event
                sessions[event.session].append(event)
            elif event.op == PUT and event.status == UNKNOWN:
                # It may happen long after the session has gone on: ordered with nothing.
                apart = replace(event, session=-1 - len(self.by_value))
                self.by_value[event.key, event.value] = apart
                sessions[apart.session].append(apart)
            elif event.op == GET and event.ok:
                sessions[event.session].append(event)
        self.sessions = dict(sessions)
        self.position = {
            id(event): n for found in sessions.values() for n, event in enumerate(found, 1)
        }
        self._known: dict[int, Vector] = {}
        self._compute()

    def _compute(self) -> None:
        """Fill in the vectors, each session as far as the writes it read are known."""
        at = dict.fromkeys(self.sessions, 0)
        moved = True
        while moved:
            moved = False
            for session, events in self.sessions.items():
                while at[session] < len(events) and self._step(events, at[session]):
                    at[session] += 1
                    moved = True
        # What is left reads from its own future, which no honest history does.
        self.cyclic = sum(len(e) - at[s] for s, e in self.sessions.items())

    def _step(self, events: list[Event], index: int) -> bool:
        event = events[index]
        past = dict(self._known[id(events[index - 1])]) if index else {}
        if event.op == GET and event.value is not None:
            write = self.by_value.get((event.key, event.value))
            if write is not None:
                if id(write) not in self._known:
                    return False
                for session, position in self._known[id(write)].items():
                    past[session] = max(past.get(session, 0), position)
        past[event.session] = index + 1
        self._known[id(event)] = past
        return True

    def of(self, event: Event) -> Vector:
        """Return the causal past of an operation, itself included."""
        return self._known.get(id(event), {})

    def precedes(self, first: Event, second: Event) -> bool:
        """Whether `first` is in the causal past of `second`."""
        return self.of(second).get(first.session, 0) >= self.position[id(first)]


def check_sessions(events: Iterable[Event], loose: Collection[int] = ()) -> dict[int, Anomalies]:
    """Return what each session's reads broke.

    `loose` sessions carry nothing from one operation to the next: the system cannot know their
    order, so it binds nobody else. They are judged by their own order all the same, which counts
    what a client without a token may see.
    """
    found = list(events)
    result = _check(found, {event.session for event in found} & set(loose)) if loose else {}
    apart = [
        replace(event, session=-_LOOSE - number) if event.session in loose else event
        for number, event in enumerate(found)
    ]
    bound = {event.session for event in apart if event.session > -_LOOSE}
    return _check(apart, bound) | result


def _check(events: list[Event], judged: Collection[int]) -> dict[int, Anomalies]:
    order = _Order(events)
    writes: dict[str, dict[int, list[Event]]] = defaultdict(lambda: defaultdict(list))
    for session, found in order.sessions.items():
        for event in found:
            if event.op == PUT:
                writes[event.key][session].append(event)
    result: dict[int, Anomalies] = {}
    for session in sorted(judged):
        result[session] = _check_session(order, writes, order.sessions.get(session, []))
    return result


def _check_session(
    order: _Order, writes: dict[str, dict[int, list[Event]]], events: list[Event]
) -> Anomalies:
    found = Anomalies()
    own: dict[str, Event] = {}
    shown: dict[str, Event] = {}
    for event in events:
        if event.op == PUT:
            if event.ok:
                own[event.key] = event
            continue
        found.reads += 1
        write = order.by_value.get((event.key, event.value)) if event.value is not None else None
        if event.value is not None and write is None:
            found.out_of_thin_air += 1
            found.note("a value that nobody wrote", event)
            continue
        if _is_before(order, write, own.get(event.key)):
            found.read_your_writes += 1
        if _is_before(order, write, shown.get(event.key)):
            found.monotonic_reads += 1
        if _is_overwritten(order, write, event, writes[event.key]):
            found.causal += 1
            found.note("a value that causal order had overwritten", event)
        if write is not None:
            shown[event.key] = write
    return found


def _is_before(order: _Order, write: Event | None, known: Event | None) -> bool:
    """Whether a read went back behind what the session knew: to its causal past, or to nothing."""
    if known is None or write is known:
        return False
    return write is None or order.precedes(write, known)


def _is_overwritten(
    order: _Order, write: Event | None, read: Event, writes: dict[int, list[Event]]
) -> bool:
    past = order.of(read)
    for session, found in writes.items():
        horizon = past.get(session, 0)
        last = next((w for w in reversed(found) if order.position[id(w)] <= horizon), None)
        if last is not None and last is not write and (
            write is None or order.precedes(write, last)
        ):  # fmt: skip
            return True
    return False
