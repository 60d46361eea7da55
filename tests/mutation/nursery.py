"""Runs the suite of the core against one mutant after the other, each in a fork of its own.

The suite is imported and run once. Then a child gets the code of one mutant in the place of the
right one, and runs tests until the first fails: those that have found its neighbours before, then
the quickest. What is not in a function (a constant, a default) needs modules that are imported
anew, and costs seconds instead of a fraction of one.
"""

import gc
import importlib.abc
import importlib.machinery
import importlib.util
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple, final

import pytest
from _pytest.runner import runtestprotocol

from tests.mutation.mutants import Mutant

__all__ = ["ROOT", "Verdict", "judge"]

ROOT = Path(__file__).parents[2]
# Of the long histories the first hundred do: what later ones find, they find in most cases too.
_LONG = ["five_peers_and_long_histories"] + [
    f"every_state_is_the_oracle_s[repair {repair}-{block}]"
    for repair in ("off", "on") for block in range(1, 5)
]  # fmt: skip
SUITE = (
    "tests/crdtstate/crdt", "tests/crdtstate/store", "tests/laws", "tests/crdtstate/replica",
    *(f"--deselect=tests/laws/test_histories.py::test_{name}" for name in _LONG),
)  # fmt: skip
_OPTIONS = (
    "--assert=plain",
    "-p",
    "no:terminal",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "-p",
    "no:logging",
)
CPU_S_MAX = 90  # Whoever takes longer turns for ever; the whole suite takes a third.
TEST_CPU_S_MAX = 3  # The same of one test, beside four times of what it takes with the right code.
SURVIVED, ENDLESS = "survived", "no end"


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
    swaps = {mutant: exchanged_code(mutant) if mutant.within else None for mutant in mutants}
    nursery = _Nursery({m: swap for m, swap in swaps.items() if swap is not None}, note)
    left = [mutant for mutant, swap in swaps.items() if swap is None]
    if left and (failure := _in_child(lambda: _suite_anew(None))[0]) != SURVIVED:
        raise RuntimeError(f"the suite fails on the right code: {failure}")
    for mutant in left:
        note(Verdict(mutant, *_in_child(lambda m=mutant: _suite_anew(m))))  # type: ignore[misc]
    if nursery.swaps and pytest.main([*_OPTIONS, *SUITE], plugins=[nursery]) != 0:
        raise RuntimeError(f"the suite fails on the right code: {nursery.failure}")


# -- one mutant ----------------------------------------------------------------------------------


def _in_child(work: Callable[[], str]) -> tuple[str, float]:
    """Do the work in a fork with bounded CPU time and memory; return what it says, and the cost."""
    reading, writing = os.pipe()
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    child = os.fork()
    if child == 0:
        result = "died"
        try:
            spent = int(time.process_time())
            resource.setrlimit(resource.RLIMIT_CPU, (spent + CPU_S_MAX, resource.RLIM_INFINITY))
            resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            result = work()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the mutant did it.
            result = type(error).__name__
        finally:
            os.write(writing, result.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        result = pipe.read().decode()
    os.waitpid(child, 0)
    spent_s = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    return result or ENDLESS, spent_s


def _failure(costs: Iterable[tuple[pytest.Item, float]]) -> str:
    """Run tests until one fails; return its name."""
    for item, cost_s in costs:
        limit = int(time.process_time() + TEST_CPU_S_MAX + 4 * cost_s) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        if any(report.failed for report in runtestprotocol(item, log=False, nextitem=None)):
            return item.nodeid
    return SURVIVED


# -- in place ------------------------------------------------------------------------------------

_Swap = dict[tuple[str, int], CodeType]


def exchanged_code(mutant: Mutant) -> _Swap | None:
    """Return the changed code objects by name and line, None when they do not fit in place."""
    right = _codes(compile(mutant.path.read_text(), str(mutant.path), "exec"))
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


@final
class _Nursery:
    """A pytest plugin that runs the suite once, and then against each mutant."""

    def __init__(self, swaps: dict[Mutant, _Swap], note: Callable[[Verdict], None]) -> None:
        self.swaps, self._note = swaps, note
        self._cpu_s: dict[pytest.Item, float] = {}
        self._found: dict[str, Counter[str]] = {}
        self.failure = "it was not collected"

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of the loop that runs every test once."""
        for item in session.items:
            began = time.process_time()
            self.failure = _failure([(item, 1e6)])
            if self.failure != SURVIVED:
                session.testsfailed += 1
                return True
            self._cpu_s[item] = time.process_time() - began
        for mutant, swap in self.swaps.items():
            self._judge(mutant, swap)
        return True

    def _judge(self, mutant: Mutant, swap: _Swap) -> None:
        def work() -> str:
            _plant(mutant.path, swap)
            return _failure((item, self._cpu_s[item]) for item in self._in_order(mutant))

        verdict = Verdict(mutant, *_in_child(work))
        for place in (str(mutant.path), f"{mutant.path}:{mutant.function}"):
            self._found.setdefault(place, Counter())[verdict.result] += 1
        self._note(verdict)

    def _in_order(self, mutant: Mutant) -> list[pytest.Item]:
        near = self._found.get(f"{mutant.path}:{mutant.function}", Counter())
        far = self._found.get(str(mutant.path), Counter())

        def cost(item: pytest.Item) -> float:
            chance = (near[item.nodeid] + 0.1 * far[item.nodeid] + 0.01) / (
                near.total() + 0.1 * far.total() + 1
            )
            return (self._cpu_s[item] + 0.002) / chance

        return sorted(self._cpu_s, key=cost)


# -- imported anew -------------------------------------------------------------------------------


def _suite_anew(mutant: Mutant | None) -> str:
    """Import everything with the mutant in the place of its module, and run the suite."""
    assert not any(module.startswith("crdtstate") for module in sys.modules), "imported already"
    if mutant is not None:
        name = ".".join(mutant.path.relative_to(ROOT).with_suffix("").parts)
        sys.meta_path.insert(0, _Finder(name, mutant))
    first = _First()
    code = pytest.main([*_OPTIONS, "-x", *SUITE], plugins=[first])
    return first.failed or (SURVIVED if code == 0 else "it cannot be imported")


@final
class _First:
    """A pytest plugin that runs what is quick first, and remembers what failed."""

    failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Long histories last."""
        items.sort(key=lambda item: "laws" in item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember."""
        if report.failed:
            self.failed = self.failed or report.nodeid


@final
class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the mutant under the name of its module."""

    def __init__(self, name: str, mutant: Mutant) -> None:
        self._name, self._mutant = name, mutant

    def find_spec(self, fullname: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        """Find it."""
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._mutant.path, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        """Load it."""
        exec(self._mutant.compile(), module.__dict__)
