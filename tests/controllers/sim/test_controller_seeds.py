"""Random stories: a few in every run of the tests, 300 in a deep one."""

import pytest

from tests.controllers.sim.campaign import run_seed


@pytest.mark.parametrize("seed", [1, 5, 28, 41, 232])
def test_what_is_wanted_runs_soon_after_the_trouble_and_then_nobody_fights(seed: int) -> None:
    run_seed(seed)


@pytest.mark.deep
@pytest.mark.parametrize("first", range(100, 400, 20))
def test_three_hundred_stories_end_well(first: int) -> None:
    for seed in range(first, first + 20):
        run_seed(seed)
