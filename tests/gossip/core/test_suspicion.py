"""The arithmetic of suspicion, and who counts as an accuser."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.core.config import Config
from gossip.core.suspicion import Suspicions, suspicion_bounds_ms, suspicion_timeout_ms


@pytest.mark.parametrize(
    ("members", "least", "most"),
    [(1, 4_000, 24_000), (10, 4_000, 24_000), (200, 9_204, 55_224), (1_000, 12_000, 72_000)],
)
def test_bounds_follow_memberlist(members: int, least: int, most: int) -> None:
    assert suspicion_bounds_ms(members, 1_000, 4) == (least, most)


@given(st.integers(0, 50), st.integers(-2, 10), st.integers(0, 10_000), st.integers(0, 50_000))
def test_the_timeout_stays_in_its_bounds_and_never_grows(
    confirmations: int, expected: int, least: int, extra: int
) -> None:
    """SUS-1"""
    most = least + extra

    now = suspicion_timeout_ms(confirmations, expected, least, most)
    then = suspicion_timeout_ms(confirmations + 1, expected, least, most)

    assert least <= then <= now <= most


@given(st.integers(1, 10), st.integers(1, 10_000))
def test_none_confirming_means_the_most_and_all_expected_the_least(
    expected: int, least: int
) -> None:
    most = 6 * least

    assert suspicion_timeout_ms(0, expected, least, most) == most
    assert suspicion_timeout_ms(expected, expected, least, most) == least


def opened(*, confirmers: int = 8) -> Suspicions:
    """Return suspicions with one, of x by a, which runs since 0."""
    suspicions = Suspicions(Config())
    suspicions.open(0, "x", "a", members=10, confirmers=confirmers)
    return suspicions


def test_an_accuser_counts_once_and_the_suspect_and_nobody_never() -> None:
    """SUS-2"""
    suspicions = opened()

    assert [suspicions.confirm("x", who) for who in ("a", "x", "", "b", "b")] == [
        False, False, False, True, False,
    ]  # fmt: skip


def test_more_confirmations_than_expected_are_not_news() -> None:
    suspicions = opened()

    assert [suspicions.confirm("x", who) for who in "bcde"] == [True, True, False, False]
    assert suspicions.due_ms() == [4_000]


def test_when_nobody_else_could_confirm_it_the_suspicion_is_short() -> None:
    assert opened(confirmers=0).due_ms() == [4_000]
    assert opened(confirmers=1).due_ms() == [24_000]


def test_when_all_who_could_confirm_fall_silent_an_older_suspicion_is_short_too() -> None:
    """SUS-3: two members behind a cut are suspected one after the other."""
    suspicions = opened(confirmers=1)
    assert suspicions.expired(4_000) == []
    suspicions.open(1_000, "y", "me", 3, 0)
    suspicions.expect_at_most(0)
    assert suspicions.expired(4_000) == ["x"]


def test_a_suspect_that_was_heard_gets_its_whole_time_again() -> None:
    suspicions = opened()

    suspicions.restart(1_000, "x")

    assert suspicions.due_ms() == [25_000]
    assert suspicions.expired(24_999) == []
    assert suspicions.expired(25_000) == ["x"]


def test_time_in_which_we_were_deaf_does_not_run() -> None:
    suspicions = opened()

    suspicions.delay(60_000)

    assert suspicions.expired(60_001) == []


def test_a_closed_suspicion_does_not_end() -> None:
    suspicions = opened()

    suspicions.close("x")

    assert suspicions.names() == suspicions.expired(1 << 40) == []
    assert not suspicions.confirm("x", "b")
