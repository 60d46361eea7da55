"""Random histories against the oracle: with repair off as long as nothing was forgotten, and on.

Laws 4, 6, 7, 9, 10, 11, 12 and 25 hold after every step of every history; so do REC-1 to REC-4,
STR-1 to STR-3, CAT-1 to CAT-4, IDX-1, FPR-1, TAB-1, TAB-2, PLN-1, PLN-2, VEC-1 and DOT-1.
`crdtstate.store` asserts some of them itself; `tests.models.world` compares the rest.
"""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.world import schedule

SEEDS, BLOCK = 500, 100
SEEDS_DEEP = 10_000


@pytest.mark.parametrize("block", range(SEEDS // BLOCK))
@pytest.mark.parametrize("repair", [False, True], ids=["repair off", "repair on"])
def test_every_state_is_the_oracle_s(repair: bool, block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        play(seed, repair=repair)


@pytest.mark.deep
@pytest.mark.parametrize("repair", [False, True], ids=["repair off", "repair on"])
def test_every_state_of_many_more_is_the_oracle_s(repair: bool) -> None:
    for seed in range(SEEDS, SEEDS_DEEP):
        play(seed, repair=repair)


@pytest.mark.parametrize("repair", [False, True], ids=["repair off", "repair on"])
def test_five_peers_and_long_histories(repair: bool) -> None:
    for seed in range(40):
        schedule(Random(seed), repair=repair, steps=200, peers=5)


@settings(max_examples=30)
@given(st.randoms(use_true_random=False), st.booleans(), st.integers(5, 40))
def test_a_history_that_can_be_shrunk(rng: Random, repair: bool, steps: int) -> None:
    schedule(rng, repair=repair, steps=steps)


# Histories that showed bugs of ours, each of which was fixed.


def test_two_lives_of_one_key_that_are_not_yet_durable_are_a_conflict() -> None:
    """Lives of the open batch were missed when neither had a number next to the grave's."""
    play(738, repair=False)


def test_a_record_that_changes_while_sums_are_compared_is_joined() -> None:
    """A push that arrived during a repair, into a bucket whose sums were equal, was not."""
    play(73, repair=True)


def test_what_waits_for_a_disk_that_is_gone_is_let_go() -> None:
    """Transactions of a wiped origin were held for ever, and every later push started a pull."""
    play(72, repair=True)


def play(seed: int, *, repair: bool) -> None:
    """Play one history; a failure names it."""
    try:
        schedule(Random(seed), repair=repair)
    except Exception as error:
        raise AssertionError(f"seed {seed}, repair {repair}: {error}") from error
