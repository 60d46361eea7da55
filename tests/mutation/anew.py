"""The suite of the core, and how it is run with a module that is not the one on the disk."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, final

import pytest

from tests.mutation.mutants import Mutant

__all__ = ["OPTIONS", "ROOT", "SUITE", "SURVIVED", "suite_anew"]

ROOT = Path(__file__).parents[2]
SURVIVED = "survived"
# Of the long histories the first hundred do: what later ones find, they find in most cases too.
_LONG = ["five_peers_and_long_histories"] + [
    f"every_state_is_the_oracle_s[repair {repair}-{block}]"
    for repair in ("off", "on") for block in range(1, 5)
]  # fmt: skip
SUITE = (
    "tests/crdtstate/crdt", "tests/crdtstate/store", "tests/laws", "tests/crdtstate/replica",
    *(f"--deselect=tests/laws/test_histories.py::test_{name}" for name in _LONG),
)  # fmt: skip
_PLUGINS = ("terminal", "cacheprovider", "xdist", "logging")
OPTIONS = ("--assert=plain", *(f"-pno:{name}" for name in _PLUGINS))


def suite_anew(mutant: Mutant | None) -> str:
    """Import everything with a mutant in the place of its module; return the test that fails."""
    assert not any(module.startswith("crdtstate") for module in sys.modules), "imported already"
    if mutant is not None:
        name = ".".join(mutant.path.relative_to(ROOT).with_suffix("").parts)
        sys.meta_path.insert(0, _Finder(name, mutant))
    first = _First()
    code = pytest.main([*OPTIONS, "-x", *SUITE], plugins=[first])
    return first.failed or (SURVIVED if code == 0 else "it cannot be imported")


@final
class _First:
    """A pytest plugin that runs what is quick first, and remembers what failed."""

    failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Long histories last."""
        items.sort(key=lambda item: "test_histories" in item.nodeid)

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
