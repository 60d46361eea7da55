"""The suite of the core, and how it is imported with a module that is not the one on the disk."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, final

import pytest

from tests.mutation.mutants import Mutant
from tests.mutation.order import Order, first_failure

__all__ = ["OPTIONS", "ROOT", "SUITE", "judge_anew"]

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
_PLUGINS = ("terminal", "cacheprovider", "xdist", "logging", "anyio", "schemathesis")
OPTIONS = ("--assert=plain", *(f"-pno:{name}" for name in _PLUGINS))


def judge_anew(mutant: Mutant, order: Order, budget_cpu_s: float) -> str:
    """Import everything with a mutant in the place of its module; return the test that fails."""
    assert not any(module.startswith("crdtstate") for module in sys.modules), "imported already"
    name = ".".join(mutant.path.relative_to(ROOT).with_suffix("").parts)
    sys.meta_path.insert(0, _Finder(name, mutant))
    judge = _Judge(mutant, order, budget_cpu_s)
    pytest.main([*OPTIONS, *SUITE], plugins=[judge])
    return judge.result


@final
class _Judge:
    """A pytest plugin that runs tests until one fails."""

    def __init__(self, mutant: Mutant, order: Order, budget_cpu_s: float) -> None:
        self._mutant, self._order, self._budget_cpu_s = mutant, order, budget_cpu_s
        self.result = "it cannot be imported"

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of the loop that runs every test once."""
        if session.testsfailed:
            return True
        place = {test: n for n, test in enumerate(self._order.tests(self._mutant))}
        # Who is not known has parameters that come from the module: first.
        order = sorted(session.items, key=lambda item: place.get(item.nodeid, -1))
        self.result = first_failure(order, self._order.cpu_s, self._budget_cpu_s)
        return True


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
