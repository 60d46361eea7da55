"""Runs the suite of the core against one mutant after the other, each in a fork of its own.

The suite is imported and run once, which tells what each test calls. Then a child gets the code of
one mutant in the place of the right one, and runs the tests that call it until the first fails:
those that have found its neighbours before, then the quickest. What is not in a function (a
constant, a default) needs modules that are imported anew, and costs a second before the tests.
"""

import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from types import CodeType, FrameType, FunctionType
from typing import NamedTuple, final

import pytest

from tests.mutation.anew import OPTIONS, ROOT, SUITE, judge_anew
from tests.mutation.children import child_cpu_s, in_child, lines_of
from tests.mutation.mutants import Mutant
from tests.mutation.order import Order, fails, first_failure

__all__ = ["Verdict", "judge"]

IMPORT_CPU_S_MAX = 30  # To plant a mutant, or to import everything with it: a tenth of this.


@final
class Verdict(NamedTuple):
    """What became of one mutant: the test that failed, "no end", or "survived"."""

    mutant: Mutant
    result: str
    cpu_s: float


def judge(mutants: Sequence[Mutant], note: Callable[[Verdict], None], budget_cpu_s: float) -> None:
    """Judge all; `note` is told each verdict as it comes.

    Raises: RuntimeError if the suite fails without any mutant.
    """
    os.environ["HYPOTHESIS_PROFILE"] = "mutation"
    os.environ.pop("PYTEST_ADDOPTS", None)  # Options of plugins that are not there would end it.
    os.chdir(ROOT)
    swaps = {n: exchanged_code(mutant) for n, mutant in enumerate(mutants)}
    in_place = {n: (mutants[n], swap) for n, swap in swaps.items() if swap is not None}
    order = Order()
    for line in lines_of(lambda say: _Nursery(in_place, say, budget_cpu_s).run()):
        number, result, cpu_s = line.split("\t")
        if number == _FAILED:
            raise RuntimeError(f"the suite fails on the right code: {result}")
        if number == _COST:
            order.cpu_s[result] = float(cpu_s)
            continue
        order.note(mutants[int(number)], result)
        note(Verdict(mutants[int(number)], result, float(cpu_s)))
    for mutant in (mutants[n] for n, swap in swaps.items() if swap is None):
        before_s = child_cpu_s()
        result = in_child(lambda m=mutant: judge_anew(m, order, budget_cpu_s), IMPORT_CPU_S_MAX)  # type: ignore[misc]
        order.note(mutant, result)
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


_Place = tuple[str, str, int]  # File, name, first line of a function.


def _place(code: CodeType) -> _Place:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _functions() -> dict[_Place, list[FunctionType]]:
    """Return every function that there is."""
    found: dict[_Place, list[FunctionType]] = {}
    for function in gc.get_objects():
        if isinstance(function, FunctionType):
            found.setdefault(_place(function.__code__), []).append(function)
    return found


# -- the suite -----------------------------------------------------------------------------------

_FAILED, _COST = "failed", "cost"


def _traced(item: pytest.Item) -> tuple[bool, set[_Place]]:
    """Run a test; return whether it failed, and which functions it called."""
    seen: dict[int, CodeType] = {}

    def trace(frame: FrameType, *_: object) -> None:
        seen.setdefault(id(frame.f_code), frame.f_code)

    sys.settrace(trace)
    try:
        failed = fails(item)
    finally:
        sys.settrace(None)
    return failed, {_place(code) for code in seen.values()}


@final
class _Nursery:
    """A pytest plugin that runs the suite once, and then against each mutant."""

    def __init__(
        self,
        mutants: dict[int, tuple[Mutant, _Swap]],
        say: Callable[[str], None],
        budget_cpu_s: float,
    ) -> None:
        self._mutants, self._say, self._budget_cpu_s = mutants, say, budget_cpu_s
        self._functions: dict[_Place, list[FunctionType]] = {}
        self._items: dict[str, pytest.Item] = {}
        self._calls: dict[str, set[_Place]] = {}
        self._order = Order()

    def run(self) -> None:
        """Say what each test costs and then a line for each mutant, or which test fails."""
        pytest.main([*OPTIONS, *SUITE], plugins=[self])
        if not self._items:
            self._say(f"{_FAILED}\tit cannot be collected\t0")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of the loop that runs every test once."""
        for item in session.items:
            began = time.process_time()
            self._items[item.nodeid] = item
            failed, self._calls[item.nodeid] = _traced(item)
            if failed:
                self._say(f"{_FAILED}\t{item.nodeid}\t0")
                return True
            self._order.cpu_s[item.nodeid] = cpu_s = time.process_time() - began
            self._say(f"{_COST}\t{item.nodeid}\t{cpu_s:.3f}")
        gc.collect()
        self._functions = _functions()
        gc.freeze()  # So that no child copies what is there by looking at it.
        for number, (mutant, swap) in self._mutants.items():
            before_s = child_cpu_s()
            result = in_child(lambda m=mutant, s=swap: self._judge(m, s), IMPORT_CPU_S_MAX)  # type: ignore[misc]
            self._order.note(mutant, result)
            self._say(f"{number}\t{result}\t{child_cpu_s() - before_s:.2f}")
        return True

    def _judge(self, mutant: Mutant, swap: _Swap) -> str:
        places = [(str(mutant.path), *key) for key in swap]
        for place, code in zip(places, swap.values(), strict=True):
            for function in self._functions.get(place, ()):
                function.__code__ = code
        tests = self._order.tests(mutant)
        order = [self._items[test] for test in tests if not self._calls[test].isdisjoint(places)]
        return first_failure(order, self._order.cpu_s, self._budget_cpu_s)
