"""Every planted bug is found by the same histories that the laws are tested with."""

import time
from random import Random

import pytest

from tests.models.world import schedule
from tests.zoo.planted import BUGS

SEEDS_MAX = 1_500


def seeds_until_found(name: str) -> tuple[int, float]:
    """Return how many seeds and CPU seconds it took."""
    plant, repair = BUGS[name]
    started = time.process_time()
    for seed in range(SEEDS_MAX):
        with pytest.MonkeyPatch.context() as patch:
            plant(patch)
            try:
                schedule(Random(seed), repair=repair)
            except Exception:  # noqa: BLE001 - however it shows itself.
                return seed + 1, time.process_time() - started
    pytest.fail(f"planted bug {name} was not found in {SEEDS_MAX} seeds")


def test_the_zoo_is_large_enough() -> None:
    assert len(BUGS) >= 20


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str) -> None:
    seeds, cpu_s = seeds_until_found(name)

    print(f"{name:45} {seeds:5} seeds {cpu_s:6.2f} CPU s")  # noqa: T201
