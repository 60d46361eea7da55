"""Lost writes, miscounts, double reigns, stale reads, hidden conflicts: found when planted."""

import json

import pytest

from bench.caplab.checkers import promises
from bench.caplab.clients.interface import FAILED, UNKNOWN
from bench.caplab.history import ADD, EDIT, GET, INCREMENT, LEAD, MODIFY, PUT, Event, Final
from tests.bench.histories import event, final


def writes(*found: tuple[str, str]) -> list[Event]:
    """Puts of one client, a millisecond each: (value, status)."""
    return [
        event(1, PUT, "put/1", value, n, n + 0.5, status=status)
        for n, (value, status) in enumerate(found)
    ]


@pytest.mark.parametrize(
    ("shown", "lost"), [("2", []), ("1", ["put/1=2"]), (None, ["put/1=2"]), ("3", ["put/1=2"])]
)
def test_the_last_acknowledged_write_must_be_there(shown: str | None, lost: list[str]) -> None:
    history = writes(("1", "ok"), ("2", "ok"), ("3", FAILED))
    state = {"put/1": shown} if shown else {}

    assert promises.lost_puts(history, final(state, state)) == lost


def test_a_later_write_of_unknown_end_may_stand_in_its_place() -> None:
    history = writes(("1", "ok"), ("2", UNKNOWN))

    assert promises.lost_puts(history, final({"put/1": "1"}, {"put/1": "2"})) == []
    assert promises.lost_puts(history, final({}, {"put/1": "3"})) == ["put/1=1"]


def test_what_one_member_shows_is_not_lost_however_far_behind_the_others_are() -> None:
    """A member that has not caught up when the run ends has lost nothing."""
    elements = [event(1, ADD, "set/0", name, n, n + 1) for n, name in enumerate("ab")]
    edits = [event(1, EDIT, "obj/0#f1", "x", 0, 1)]

    assert promises.lost_puts(writes(("1", "ok")), final({"put/1": "1"}, {})) == []
    assert (
        promises.lost_elements(elements, final({"set/0/a": "1"}, {"set/0/b": "1"}), "set/0") == []
    )
    assert promises.lost_elements(elements, final({"set/0/a": "1"}, {}), "set/0") == ["b"]
    assert promises.lost_fields(edits, final({}, {"obj/0": '{"f1":"x"}'}), "obj/0") == []


def test_elements_are_found_in_either_form_of_a_set() -> None:
    history = [event(1, ADD, "set/0", name, n, n + 1) for n, name in enumerate("ab")]

    as_keys = final({"set/0/a": "1", "set/0/b": "1"})
    as_value = final({"set/0": json.dumps(["a"])})

    assert promises.lost_elements(history, as_keys, "set/0") == []
    assert promises.lost_elements(history, as_value, "set/0") == ["b"]


def test_a_field_that_another_edit_has_taken_along_is_lost() -> None:
    history = [
        event(1, EDIT, "obj/0#f1", "x", 0, 1), event(2, EDIT, "obj/0#f2", "y", 0, 1),
    ]  # fmt: skip

    assert promises.lost_fields(history, final({"obj/0": '{"f1":"x","f2":"y"}'}), "obj/0") == []
    assert promises.lost_fields(history, final({"obj/0": '{"f2":"y"}'}), "obj/0") == ["obj/0#f1=x"]


@pytest.mark.parametrize(
    ("shown", "lost", "invented"), [(3, 0, 0), (4, 0, 0), (2, 1, 0), (5, 0, 1)]
)
def test_a_counter_is_between_what_was_and_what_may_have_been(
    shown: int, lost: int, invented: int
) -> None:
    history = [event(1, INCREMENT, "cnt/0", None, n, n + 1) for n in range(3)]
    history.append(event(1, INCREMENT, "cnt/0", None, 9, 10, status=UNKNOWN))

    found = promises.count_of(history, final({"cnt/0": str(shown)}), INCREMENT, "cnt/0")

    assert (found.lost, found.invented) == (lost, invented)


def test_a_number_is_judged_when_members_agree_on_it() -> None:
    history = [event(1, MODIFY, "rmw/0", "1", 0, 1), event(1, MODIFY, "rmw/0", "2", 2, 3)]

    differ = promises.count_of(history, final({"rmw/0": "1"}, {"rmw/0": "0"}), MODIFY, "rmw/0")
    agree = promises.count_of(history, final({"rmw/0": "1"}, {"rmw/0": "1"}), MODIFY, "rmw/0")
    nobody = promises.count_of(history, final({}, {}), MODIFY, "rmw/0")

    assert [differ.lost, agree.lost, nobody.lost] == [0, 1, 2]
    assert (differ.final, agree.final, nobody.final) == (1, 1, 0)


def reign(session: int, start: float, end: float) -> Event:
    return event(session, LEAD, "lock/0", f"m{session}", start, end)


def test_two_leaders_at_once_are_found_for_as_long_as_they_are_two() -> None:
    apart = [reign(1, 0, 10), reign(2, 10, 20)]
    together = [reign(1, 0, 10), reign(2, 7, 20), reign(3, 8, 9)]

    assert promises.double_reigns(apart) == []
    assert promises.double_reigns(together) == [(7, 10)]


def test_the_time_without_a_leader_is_counted_within_the_stretch() -> None:
    reigns = [reign(1, 0, 10), reign(2, 14, 20)]

    assert promises.leaderless_ms(reigns, 5, 30) == 14
    assert promises.leaderless_ms(reigns, 14, 20) == 0
    assert promises.leaderless_ms([], 5, 30) == 25


def probe(when: float, **marks: str) -> Event:
    shown = {f"mark/{name[1:]}": number for name, number in marks.items()}
    return event(9, GET, "mark/", json.dumps(shown), when, when + 1, role="probe")


def test_a_read_is_as_stale_as_the_oldest_write_that_it_misses() -> None:
    marks = [event(1, PUT, "mark/0", str(n), 10 * n, 10 * n + 1) for n in range(1, 5)]

    ages = [
        stale.age_ms
        for stale in promises.staleness([*marks, probe(50, m0="4"), probe(60, m0="2")], "mark/")
    ]

    assert ages == [0.0, 60 - 31]


def test_a_write_that_ends_while_the_read_runs_is_not_missed() -> None:
    mark = event(1, PUT, "mark/0", "1", 10, 30)

    assert promises.staleness([mark, probe(20)], "mark/")[0].age_ms == 0


def conflicting(*listed: str, told: bool = True) -> tuple[list[Event], Final]:
    history = [
        event(1, PUT, "conflict/0", "left", 0, 1, member=0),
        event(1, PUT, "conflict/0", "left 2", 2, 3, member=0),
        event(2, PUT, "conflict/0", "right", 0, 1, member=1),
        event(2, PUT, "conflict/1", "alone", 0, 1, member=1),
    ]
    return history, Final(
        values=[{}],
        conflicts={"conflict/0": list(listed)} if listed else {},
        told_keys=["conflict/0"] if told else [],
    )


def test_the_last_value_of_each_side_must_be_listed() -> None:
    sides = [[0], [1, 2]]

    assert promises.overridden(*conflicting("left 2", "right"), sides) == (1, 2, [], 1)
    hidden = promises.overridden(*conflicting("right", told=False), sides)
    assert (hidden.unlisted, hidden.told) == (["conflict/0=left 2"], 0)
