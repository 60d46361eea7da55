"""From a history to the figures of a cell: availability, gaps, recovery, windows."""

import json
from collections.abc import Sequence

import pytest

from bench.caplab.history import GET, PUT, SEEN, Event, Windows
from bench.caplab.measures import deliveries, longest_gap, recovery, served
from bench.caplab.panel import Part
from bench.caplab.timeline import BIN_MS, timeline
from tests.bench.histories import event

WINDOWS = Windows(begin_ms=0, fault_ms=1_000, heal_ms=2_000, end_ms=3_000)
PARTS = [Part(role="put", member=0, per_s=10), Part(role="put", member=1, per_s=10)]


def puts(member: int, *turns: int, status: str = "ok", took: float = 2.0) -> list[Event]:
    """A put each 100 ms of the turns."""
    return [
        event(member, PUT, f"put/{member}", str(n), 100.0 * n, 100.0 * n + took, status=status,
              member=member, role="put")
        for n in turns
    ]  # fmt: skip


def test_each_window_and_side_has_its_own_figures() -> None:
    history = [*puts(0, *range(10)), *puts(0, *range(10, 20), status="failed"), *puts(1, 15)]

    found = served(history, WINDOWS, PARTS, [[0], [1]])

    assert found["before"]["put"]["0"].accepted == 10
    assert (found["during"]["put"]["0"].accepted, found["during"]["put"]["0"].attempts) == (0, 10)
    assert found["during"]["put"]["1"].accepted == 1
    assert found["during"]["put"]["all"].attempts == 11


def test_what_the_heal_lets_through_was_not_accepted_during_the_fault() -> None:
    found = served(puts(0, 19, took=150.0), WINDOWS, PARTS, [[0], [1]])

    assert "put" not in found["during"]
    assert found["after"]["put"]["0"].accepted == 1


def test_a_client_that_is_refused_at_once_is_not_served_until_its_next_turn() -> None:
    refused_at_once = puts(0, *range(10, 20), status="failed", took=0.1)
    hung = puts(0, 10, 13, 16, status="unknown", took=300.0)

    for history in (refused_at_once, hung):
        available = served(history, WINDOWS, PARTS, [[0], [1]])["during"]["put"]["0"].available
        assert available == pytest.approx(0.0, abs=0.11)


def test_a_condition_that_does_not_hold_is_an_answer() -> None:
    history = puts(0, *range(10, 20), status="refused")

    found = served(history, WINDOWS, PARTS, [[0], [1]])["during"]["put"]["0"]

    assert (found.accepted, found.available, found.distribution) == (10, 1.0, [])


def test_the_gap_is_what_goes_beyond_the_pace_at_those_who_can_serve() -> None:
    steady = puts(0, *range(30))
    broken = [p for p in puts(1, *range(30)) if not 1_200 <= p.start_ms < 1_700]

    def gap(members: Sequence[int]) -> float:
        return longest_gap([*steady, *broken], PARTS, WINDOWS, "during", members)

    assert gap([0]) == pytest.approx(0.0, abs=5)
    assert gap([0, 1]) == pytest.approx(500, abs=5)


def test_a_gap_that_lasts_until_the_heal_is_seen() -> None:
    history = [p for p in puts(0, *range(30)) if p.start_ms < 1_400]

    assert longest_gap(history, PARTS, WINDOWS, "during", [0]) == pytest.approx(598, abs=5)


def marks(member: int, when: float, **shown: str) -> Event:
    value = json.dumps({f"mark/{name[1:]}": number for name, number in shown.items()})
    return event(9, GET, "mark/", value, when, when + 1, member=member, role="probe")


def healed(first_write: float, first_sight: float) -> list[Event]:
    acked = event(1, PUT, "mark/1", "7", 1_500, 1_501, member=1, role="mark")
    return [
        acked,
        *puts(1, *range(10, 30)),
        *[p for p in puts(0, *range(20, 30)) if p.start_ms >= first_write],
        *[marks(0, when, m1="6") for when in (2_000, 2_050) if when < first_sight],
        marks(0, first_sight, m1="7"), marks(1, 2_000, m1="7"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("write", "sight", "took"), [(2_000, 2_000, 2), (2_500, 2_000, 502), (2_000, 2_600, 601)]
)
def test_recovery_waits_for_writes_and_for_sight(write: int, sight: int, took: float) -> None:
    assert recovery(healed(write, sight), WINDOWS) == pytest.approx(took, abs=2)


def test_without_sight_of_what_was_acknowledged_there_is_no_recovery() -> None:
    history = [e for e in healed(2_000, 2_000) if "7" not in (e.value or "") or e.role != "probe"]

    assert recovery(history, WINDOWS) is None


def test_a_failure_after_a_success_puts_recovery_off() -> None:
    again = puts(0, 25, status="unknown", took=50.0)

    assert recovery([*healed(2_000, 2_000), *again], WINDOWS) == pytest.approx(602, abs=3)


def test_a_delivery_counts_beside_other_members_only() -> None:
    put = puts(0, 3)[0]
    here = event(8, SEEN, "put/0", "3", 301, 301, member=0, role="watch")
    there = event(8, SEEN, "put/0", "3", 309, 309, member=1, role="watch")

    assert deliveries([put, here, there]) == [(300.0, 9.0)]


def test_the_timeline_has_each_put_in_its_bin() -> None:
    history = [*puts(0, 0, 1, 2), *puts(0, 15, status="failed"), *puts(1, 4)]

    one, other = timeline(history, WINDOWS, [[0], [1]])

    assert one.accepted[:3] == [1, 1, 1]
    assert one.failed[int(1_500 // BIN_MS)] == 1
    assert other.accepted[int(400 // BIN_MS)] == 1
    assert sum(one.accepted) + sum(other.accepted) == 4
