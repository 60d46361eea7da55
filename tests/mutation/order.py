"""In which order the tests are tried on a mutant, and until when.

First what has found its neighbours before, then what is quick. Whoever has passed all of them, or
as many as its budget allows, survives: a budget makes the score a lower bound.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import final

import pytest
from _pytest.runner import runtestprotocol

from tests.mutation.children import limit_cpu
from tests.mutation.mutants import Mutant

__all__ = ["SURVIVED", "Order", "fails", "first_failure"]

SURVIVED = "survived"
TEST_CPU_S_MAX = 3  # Who takes longer turns for ever; four times what it takes otherwise besides.


@final
class Order:
    """What each test costs in CPU seconds, and how many mutants it has found where."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = {}
        self._found: dict[str, Counter[str]] = {}

    def note(self, mutant: Mutant, result: str) -> None:
        """Remember what became of a mutant."""
        for place in _places(mutant):
            self._found.setdefault(place, Counter())[result] += 1

    def tests(self, mutant: Mutant) -> list[str]:
        """Return the tests by what they cost for each chance to find something here."""
        near, far = (self._found.get(place, Counter()) for place in _places(mutant))
        tried = near.total() + 0.1 * far.total() + 1

        def cost(test: str) -> float:
            return (self.cpu_s[test] + 0.002) * tried / (near[test] + 0.1 * far[test] + 0.01)

        return sorted(self.cpu_s, key=cost)


def _places(mutant: Mutant) -> tuple[str, str]:
    return f"{mutant.path}:{mutant.function}", str(mutant.path)


def first_failure(
    items: Iterable[pytest.Item], cpu_s: Mapping[str, float], budget_cpu_s: float
) -> str:
    """Return the name of the first test that fails, or SURVIVED.

    This process ends (by its limit of CPU time) in a test that takes too long.
    """
    end_s = time.process_time() + budget_cpu_s
    for item in items:
        if time.process_time() > end_s:
            break
        limit_cpu(TEST_CPU_S_MAX + 4 * cpu_s.get(item.nodeid, 0.0))
        if fails(item):
            return item.nodeid
    return SURVIVED


def fails(item: pytest.Item) -> bool:
    """Run one test. Return whether it failed."""
    return any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))
