"""Every planted bug is found: a third of the zoo in each run, all of it in `make deep`.

The third follows the day; CRDTSTATE_ZOO_THIRD=0, 1 or 2 chooses one.
"""

import os
import time
from collections.abc import Callable
from inspect import Parameter, signature
from math import inf
from statistics import median
from types import FunctionType
from typing import Any, final

import pytest

from tests.zoo.all_bugs import ZOO
from tests.zoo.bugs import SIMULATOR
from tests.zoo.hunt import Found, hunt
from tests.zoo.page import listed

THIRD = int(os.environ.get("CRDTSTATE_ZOO_THIRD") or time.time() // 86_400) % 3
MEDIAN_CPU_S_MAX = 5.0
NAMES = list(ZOO)
_found: list[Found] = []


def test_the_zoo_is_large_enough() -> None:
    assert len(NAMES) >= 90
    assert sum(bug.instrument == SIMULATOR for bug in ZOO.values()) >= 50


def test_every_bug_names_its_mistake() -> None:
    assert [bug.name for bug in ZOO.values() if len(bug.mistake) < 10] == []


def test_the_page_lists_the_zoo() -> None:
    assert sorted(listed()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_bug_can_be_planted(name: str) -> None:
    """Those of the other two thirds, too: what they are planted in moves."""
    with _Fitting.context() as patch:
        ZOO[name].plant(patch)


@final
class _Fitting(pytest.MonkeyPatch):
    """Refuses a function that is not called as the one in whose place it is.

    It would fail at its first call, and its bug would be found by that and nothing else.
    """

    def setattr(self, target: Any, name: Any, *value: Any, **more: Any) -> None:
        if value and isinstance(real := getattr(target, name, None), FunctionType):
            assert _takes(value[0]) >= _takes(real), f"{target.__name__}.{name}"
        super().setattr(target, name, *value, **more)


def _takes(function: Callable[..., Any]) -> float:
    """Return how many arguments can be given by position."""
    kinds = [p.kind for p in signature(function).parameters.values()]
    if Parameter.VAR_POSITIONAL in kinds:
        return inf
    return kinds.count(Parameter.POSITIONAL_OR_KEYWORD) + kinds.count(Parameter.POSITIONAL_ONLY)


@pytest.mark.parametrize("name", NAMES[THIRD::3])
def test_a_planted_bug_is_found(name: str) -> None:
    found = hunt(name)

    assert found.shown_by is not None, f"not found in {found.seeds} seeds, {found.cpu_s:.0f} CPU s"


@pytest.mark.deep
@pytest.mark.parametrize("name", NAMES)
def test_each_bug_of_the_whole_zoo_is_found(name: str) -> None:
    found = hunt(name)
    _found.append(found)

    assert found.shown_by is not None, f"not found in {found.seeds} seeds, {found.cpu_s:.0f} CPU s"


@pytest.mark.deep
def test_the_whole_zoo_is_found_soon(figure: Callable[[str], None]) -> None:
    """Runs after the others of this file."""
    if len(_found) < len(NAMES):
        pytest.skip(f"only {len(_found)} of {len(NAMES)} bugs were hunted")
    costs = sorted(f.cpu_s for f in _found)
    figure(
        f"zoo: {len(costs)} bugs found; median {median(costs):.2f} CPU s, slowest {costs[-1]:.1f}"
    )
    assert median(costs) < MEDIAN_CPU_S_MAX
