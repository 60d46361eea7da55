"""Is the history of one register linearizable? Wing and Gong's search with Lowe's memory.

A write that nobody knows the end of is concurrent with all that follows. One whose value nobody
read may be left out: it can always be placed last.

Source: [WG93], [Low17]; the shape of the search is Porcupine's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

from bench.caplab.clients.interface import FAILED, UNKNOWN
from bench.caplab.history import GET, PUT, Event

STEPS_MAX = 2_000_000


@final
@dataclass(frozen=True)
class Verdict:
    """`linearizable` None: not decided within the bound on steps."""

    linearizable: bool | None
    operations: int
    steps: int


@final
class _Entry:
    """A call or a return in the order of time."""

    __slots__ = ("at", "before", "match", "next", "number", "operation")

    def __init__(self, at: float, number: int, operation: Event) -> None:
        self.at, self.number, self.operation = at, number, operation
        self.match: _Entry | None = None  # Of a call: its return.
        self.next: _Entry | None = None
        self.before: _Entry | None = None


def relevant(events: Iterable[Event]) -> list[Event]:
    """Return what the search has to explain: reads with an answer, writes that may matter."""
    found = list(events)
    read = {event.value for event in found if event.op == GET and event.ok}
    return [
        event
        for event in found
        if (event.op == GET and event.ok)
        or (event.op == PUT and event.status not in (FAILED, UNKNOWN))
        or (event.op == PUT and event.status == UNKNOWN and event.value in read)
    ]


def check_register(events: Iterable[Event], steps_max: int = STEPS_MAX) -> Verdict:
    """Search for an order of one key's operations that explains every read."""
    operations = relevant(events)
    head = _link(operations)
    state: str | None = None
    done = steps = 0
    seen: set[tuple[int, str | None]] = set()
    stack: list[tuple[_Entry, str | None]] = []
    entry = head.next
    while head.next is not None:
        steps += 1
        if steps > steps_max:
            return Verdict(None, len(operations), steps)
        assert entry is not None
        if entry.match is not None:  # A call: may it be next?
            operation = entry.operation
            if operation.op == PUT or operation.value == state:
                after = operation.value if operation.op == PUT else state
                mark = (done | 1 << entry.number, after)
                if mark not in seen:
                    seen.add(mark)
                    stack.append((entry, state))
                    state, done = after, mark[0]
                    _lift(entry)
                    entry = head.next
                    continue
            entry = entry.next
        else:  # A return whose call has not been placed: go back.
            if not stack:
                return Verdict(False, len(operations), steps)
            entry, state = stack.pop()
            done &= ~(1 << entry.number)
            _unlift(entry)
            entry = entry.next
    return Verdict(True, len(operations), steps)


def _link(operations: list[Event]) -> _Entry:
    entries: list[tuple[float, int, _Entry]] = []
    for number, operation in enumerate(operations):
        open_end = operation.status == UNKNOWN
        call = _Entry(operation.start_ms, number, operation)
        back = _Entry(float("inf") if open_end else operation.end_ms, number, operation)
        call.match = back
        # At the same moment calls go first, which allows more orders, not fewer.
        entries += [(call.at, 0, call), (back.at, 1, back)]
    entries.sort(key=lambda found: found[:2])
    head = _Entry(float("-inf"), -1, Event(0, 0, "", "", "", None, 0, 0, ""))
    last = head
    for _, _, entry in entries:
        last.next, entry.before = entry, last
        last = entry
    return head


def _lift(call: _Entry) -> None:
    """Take a call and its return out of the list."""
    back = call.match
    assert back is not None
    assert call.before is not None
    assert back.before is not None
    call.before.next = call.next
    if call.next is not None:
        call.next.before = call.before
    back.before.next = back.next
    if back.next is not None:
        back.next.before = back.before


def _unlift(call: _Entry) -> None:
    """Put them back where they were; the entries still know their neighbours."""
    back = call.match
    assert back is not None
    assert call.before is not None
    assert back.before is not None
    back.before.next = back
    if back.next is not None:
        back.next.before = back
    call.before.next = call
    if call.next is not None:
        call.next.before = call
