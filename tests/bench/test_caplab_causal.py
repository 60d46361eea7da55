"""The causality checker accepts honest sessions, and finds each planted violation."""

from bench.caplab.checkers.causal import check_sessions
from bench.caplab.clients.interface import UNKNOWN
from bench.caplab.history import GET, PUT
from tests.bench.histories import event, get, put


def test_honest_sessions_break_nothing() -> None:
    history = [
        put(1, "a", 0, 1), get(2, "a", 2, 3), put(2, "b", 4, 5), get(1, "b", 6, 7),
        get(3, None, 0, 1), get(3, "b", 8, 9),
    ]  # fmt: skip

    assert all(found.total == 0 for found in check_sessions(history).values())


def test_a_session_that_loses_its_own_write_is_found() -> None:
    found = check_sessions([put(1, "a", 0, 1), get(1, None, 2, 3)])[1]

    assert (found.read_your_writes, found.causal) == (1, 1)


def test_a_read_that_goes_back_is_found() -> None:
    history = [put(1, "a", 0, 1), put(1, "b", 2, 3), get(2, "b", 4, 5), get(2, "a", 6, 7)]

    found = check_sessions(history)[2]

    assert (found.monotonic_reads, found.causal) == (1, 1)
    assert "reg/0=a" in found.examples[0]


def test_an_effect_without_its_cause_is_found() -> None:
    # 1 writes x; 2 sees it and writes y; 3 sees y, and then not x.
    history = [
        event(1, PUT, "x", "1", 0, 1), event(2, GET, "x", "1", 2, 3),
        event(2, PUT, "y", "2", 4, 5), event(3, GET, "y", "2", 6, 7),
        event(3, GET, "x", None, 8, 9),
    ]  # fmt: skip

    found = check_sessions(history)[3]

    assert (found.causal, found.read_your_writes, found.monotonic_reads) == (1, 0, 0)


def test_a_value_that_nobody_wrote_is_found() -> None:
    assert check_sessions([get(1, "ghost", 0, 1)])[1].out_of_thin_air == 1


def test_concurrent_writes_may_be_shown_in_either_order() -> None:
    history = [put(1, "a", 0, 1), put(2, "b", 0, 1), get(3, "a", 2, 3), get(4, "b", 2, 3)]

    assert all(found.total == 0 for found in check_sessions(history).values())


def test_a_write_of_unknown_end_binds_nobody() -> None:
    history = [put(1, "a", 0, 1), put(1, "b", 2, 3, status=UNKNOWN), get(1, "a", 4, 5)]

    assert check_sessions(history)[1].total == 0


def test_the_order_of_a_client_without_a_token_binds_itself_alone() -> None:
    # 9 carries nothing between members: the system cannot know that b came after a.
    history = [
        put(1, "a", 0, 1), get(9, "a", 2, 3), put(9, "b", 4, 5), get(2, "b", 6, 7),
        get(2, "a", 8, 9), get(9, "a", 8, 9),
    ]  # fmt: skip

    found = check_sessions(history, loose={9})

    assert found[2].causal == 0
    assert found[9].causal == 1
