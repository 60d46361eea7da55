"""What a planted bug is, and where all of them are listed.

A bug is a small change of the shipping code, made at run time. Its docstring names the mistake and,
in brackets, where it is from: a trap of the research notes (P-a1 to P-g4), an invariant that the
code states, or a published failure.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import pytest

__all__ = ["HISTORIES", "OBJECTS", "REPAIRS", "SIMULATOR", "TEST", "ZOO", "Bug", "Patch", "bug"]

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]
HISTORIES, REPAIRS, SIMULATOR = "histories", "histories, repair on", "simulator"
OBJECTS, TEST = "histories of an object", "a test"


@final
@dataclass(frozen=True)
class Bug:
    """One planted bug.

    Args:
        instrument: The cheapest that finds it.
        test: The test that fails, as module:function, when that is the instrument.
        plan: What is changed of the plan that a seed draws; what is not named stays as drawn.
        cpu_s_max: Within so many CPU seconds it must be found.
    """

    name: str
    plant: Plant
    instrument: str
    cpu_s_max: float
    test: str = ""
    plan: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mistake(self) -> str:
        """What is wrong, in the words of its docstring."""
        return " ".join((inspect.getdoc(self.plant) or "").split())


ZOO: dict[str, Bug] = {}


def bug(
    instrument: str = SIMULATOR,
    *,
    cpu_s_max: float = 60.0,
    test: str = "",
    **plan: Any,
) -> Callable[[Plant], Plant]:
    """Register a planted bug under the name of the function."""

    def register(plant: Plant) -> Plant:
        name = plant.__name__
        assert name not in ZOO, name
        ZOO[name] = Bug(name, plant, TEST if test else instrument, cpu_s_max, test, plan)
        return plant

    return register
