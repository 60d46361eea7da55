"""Random histories of an object on three peers against a statement of what was meant.

After every move of every history: OBC-3, OBC-4, OBJ-1, OBJ-2, WRI-1, WRI-2, WRI-3, DEL-1; the
records below obey the store's oracle as everything does.
"""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.object_histories import play_objects

SEEDS, SEEDS_DEEP = 40, 2_000


@pytest.mark.parametrize("repair", [False, True], ids=["repair off", "repair on"])
def test_what_is_shown_is_what_was_meant(repair: bool) -> None:
    for seed in range(SEEDS):
        play(seed, repair=repair)


@pytest.mark.deep
@pytest.mark.parametrize("repair", [False, True], ids=["repair off", "repair on"])
def test_what_is_shown_in_many_more_is_what_was_meant(repair: bool) -> None:
    for seed in range(SEEDS, SEEDS_DEEP):
        play(seed, repair=repair)


@settings(max_examples=30)
@given(st.randoms(use_true_random=False), st.integers(3, 20))
def test_a_history_of_an_object_that_can_be_shrunk(rng: Random, moves: int) -> None:
    play_objects(rng, moves=moves)


def play(seed: int, *, repair: bool) -> None:
    """Play one history; a failure names it."""
    try:
        play_objects(Random(seed), repair=repair)
    except Exception as error:
        raise AssertionError(f"seed {seed}, repair {repair}: {error!r}") from error
