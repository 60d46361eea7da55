"""Runs the suite of the core against one mutant after the other, each in a fork of its own.

The suite is imported and run once. Then a child gets the code of one mutant in the place of the
right one, and runs tests until the first fails: those that have found its neighbours before, then
the quickest. What is not in a function (a constant, a default) needs modules that are imported
anew, and costs seconds instead of a fraction of one.
"""

import gc
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple, final

import pytest
from _pytest.runner import runtestprotocol

from tests.mutation.anew import OPTIONS, ROOT, SUITE, SURVIVED, suite_anew
from tests.mutation.children import child_cpu_s, in_child, limit_cpu, lines_of
from tests.mutation.mutants import Mutant

__all__ = ["Verdict", "judge"]

SUITE_CPU_S_MAX = 90  # Whoever takes longer turns for ever; the whole suite takes a third.
TEST_CPU_S_MAX = 3  # The same of one test, beside four times of what it takes with the right code.


@final
class Verdict(NamedTuple):
    """What became of one mutant: the test that failed, "no end", or "survived"."""

    mutant: Mutant
    result: str
    cpu_s: float


def judge(mutants: Sequence[Mutant], note: Callable[[Verdict], None]) -> None:
    """Judge all; `note` is told each verdict as it comes.

    Raises: RuntimeError if the suite fails without any mutant.
    """
    os.environ["HYPOTHESIS_PROFILE"] = "mutation"
    os.chdir(ROOT)
    swaps = {n: exchanged_code(mutant) for n, mutant in enumerate(mutants)}
    in_place = {n: (mutants[n], swap) for n, swap in swaps.items() if swap is not None}
    for line in lines_of(lambda say: _Nursery(in_place, say).run()) if in_place else ():
        number, result, cpu_s = line.split("\t")
        if not number:
            raise RuntimeError(f"the suite fails on the right code: {result}")
        note(Verdict(mutants[int(number)], result, float(cpu_s)))
    left = [mutant for mutant, swap in zip(mutants, swaps.values(), strict=True) if swap is None]
    if left and (result := in_child(lambda: suite_anew(None), SUITE_CPU_S_MAX)) != SURVIVED:
        raise RuntimeError(f"the suite fails on the right code: {result}")
    for mutant in left:
        before_s = child_cpu_s()
        result = in_child(lambda m=mutant: suite_anew(m), SUITE_CPU_S_MAX)  # type: ignore[misc]
        note(Verdict(mutant, result, child_cpu_s() - before_s))


# -- code in place -------------------------------------------------------------------------------

_Swap = dict[tuple[str, int], CodeType]


def exchanged_code(mutant: Mutant) -> _Swap | None:
    """Return the changed code objects by name and line, None when they do not fit in place."""
    if not mutant.within:
        return None
    right = _codes(compile(mutant.path.read_text(encoding="utf-8"), str(mutant.path), "exec"))
    wrong = _codes(mutant.compile())
    changed = {key: code for key, code in wrong.items() if right.get(key) != code}
    for key, code in changed.items():
        if key in right and right[key].co_freevars != code.co_freevars:
            return None
    return changed


def _codes(module: CodeType) -> _Swap:
    found: _Swap = {}
    left = [module]
    while left:
        code = left.pop()
        left += [const for const in code.co_consts if isinstance(const, CodeType)]
        if code is not module:
            found.setdefault((code.co_qualname, code.co_firstlineno), code)
    return found


def _plant(path: Path, swap: _Swap) -> None:
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and function.__code__.co_filename == str(path):
            code = function.__code__
            other = swap.get((code.co_qualname, code.co_firstlineno))
            if other is not None:
                function.__code__ = other


# -- the suite -----------------------------------------------------------------------------------


def _fails(item: pytest.Item) -> bool:
    return any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


@final
class _Nursery:
    """A pytest plugin that runs the suite once, and then against each mutant."""

    def __init__(
        self, mutants: dict[int, tuple[Mutant, _Swap]], say: Callable[[str], None]
    ) -> None:
        self._mutants, self._say = mutants, say
        self._cpu_s: dict[pytest.Item, float] = {}
        self._found: dict[str, Counter[str]] = {}

    def run(self) -> None:
        """Say a line for each mutant, or one without a number when the suite itself fails."""
        pytest.main([*OPTIONS, *SUITE], plugins=[self])
        if not self._cpu_s:
            self._say("\tit cannot be collected\t0")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of the loop that runs every test once."""
        for item in session.items:
            began = time.process_time()
            if _fails(item):
                self._say(f"\t{item.nodeid}\t0")
                return True
            self._cpu_s[item] = time.process_time() - began
        for number, (mutant, swap) in self._mutants.items():
            before_s = child_cpu_s()
            order = self._in_order(mutant)
            result = in_child(lambda m=mutant, s=swap, o=order: self._judge(m, s, o), 10)  # type: ignore[misc]
            for place in _places(mutant):
                self._found.setdefault(place, Counter())[result] += 1
            self._say(f"{number}\t{result}\t{child_cpu_s() - before_s:.2f}")
        return True

    def _judge(self, mutant: Mutant, swap: _Swap, order: list[pytest.Item]) -> str:
        _plant(mutant.path, swap)
        for item in order:
            limit_cpu(TEST_CPU_S_MAX + 4 * self._cpu_s[item])
            if _fails(item):
                return item.nodeid
        return SURVIVED

    def _in_order(self, mutant: Mutant) -> list[pytest.Item]:
        """The tests by what they cost for each chance to find something here."""
        near, far = (self._found.get(place, Counter()) for place in _places(mutant))

        def cost(item: pytest.Item) -> float:
            found = near[item.nodeid] + 0.1 * far[item.nodeid] + 0.01
            tried = near.total() + 0.1 * far.total() + 1
            return (self._cpu_s[item] + 0.002) * tried / found

        return sorted(self._cpu_s, key=cost)


def _places(mutant: Mutant) -> tuple[str, str]:
    return f"{mutant.path}:{mutant.function}", str(mutant.path)
