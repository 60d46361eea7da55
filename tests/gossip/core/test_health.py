"""The local health score."""

from hypothesis import given
from hypothesis import strategies as st

from gossip.core.health import Health


@given(st.lists(st.integers(-3, 3)))
def test_the_score_stays_between_zero_and_its_most(changes: list[int]) -> None:
    """HEA-1"""
    health = Health(8)

    for change in changes:
        health.note(change)
        assert 0 <= health.score <= 8


def test_a_score_of_three_makes_everything_take_four_times_as_long() -> None:
    health = Health(8)

    health.note(3)

    assert health.stretch(1_000) == 4_000
