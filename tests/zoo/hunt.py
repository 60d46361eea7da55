"""Look for a planted bug: with random histories of stores, or with the simulator.

CPU seconds of this process are counted, not time on a wall, so that a busy machine changes nothing.
"""

import importlib
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, NamedTuple

import pytest

from crdtstate.sim.campaign import quiet_logs
from crdtstate.sim.plan import draw_plan
from crdtstate.sim.run import run_seed
from tests.models.object_histories import play_objects
from tests.models.world import schedule
from tests.zoo.all_bugs import ZOO
from tests.zoo.bugs import OBJECTS, REPAIRS, SIMULATOR, TEST, Bug

__all__ = ["Found", "hunt"]


STUCK_S = 10.0  # A seed costs a second.


class _Stuck(KeyboardInterrupt):
    """Of all exceptions a task lets only this kind through."""


class Found(NamedTuple):
    """What it took to see a planted bug; `shown_by` is None when nothing did."""

    bug: Bug
    shown_by: str | None
    seeds: int
    cpu_s: float

    def row(self) -> str:
        """Return its row of the table in docs/simulator.md."""
        mistake = self.bug.mistake.replace("|", "/")
        how = self.bug.instrument
        if self.bug.plan:
            how += ", " + " ".join(f"{name}={value:g}" for name, value in self.bug.plan.items())
        return (
            f"| `{self.bug.name}` | {mistake} | {how} | {self.shown_by} "
            f"| {self.seeds} | {self.cpu_s:.2f} |"
        )


def hunt(name: str, budget_s: float | None = None) -> Found:
    """Run seed after seed until the bug shows, or its budget is spent."""
    bug = ZOO[name]
    looks = {SIMULATOR: _in_simulator, OBJECTS: _in_objects, TEST: _in_test}
    look = looks.get(bug.instrument, _in_histories)
    quiet_logs()
    started, seeds, spent = time.process_time(), 0, 0.0
    while spent < (budget_s or bug.cpu_s_max):
        with pytest.MonkeyPatch.context() as patch:
            shown_by = look(bug, seeds, patch)
        seeds += 1
        spent = time.process_time() - started
        if shown_by is not None:
            return Found(bug, shown_by, seeds, spent)
    return Found(bug, None, seeds, spent)


def _in_histories(bug: Bug, seed: int, patch: pytest.MonkeyPatch) -> str | None:
    bug.plant(patch)
    try:
        schedule(Random(seed), repair=bug.instrument == REPAIRS)
    except AssertionError:
        return "oracle"
    except Exception as error:  # noqa: BLE001 - however it shows itself.
        return type(error).__name__
    return None


def _in_objects(bug: Bug, seed: int, patch: pytest.MonkeyPatch) -> str | None:
    bug.plant(patch)
    try:
        play_objects(Random(seed), repair=seed % 2 == 1)
    except AssertionError:
        return "oracle"
    except Exception as error:  # noqa: BLE001 - however it shows itself.
        return type(error).__name__
    return None


def _in_test(bug: Bug, _seed: int, patch: pytest.MonkeyPatch) -> str | None:
    module, _, name = bug.test.partition(":")
    test = getattr(importlib.import_module(module), name)
    bug.plant(patch)
    try:
        test()
    except Exception:  # noqa: BLE001 - however it fails.
        return f"`{name}`"
    return None


def _in_simulator(bug: Bug, seed: int, patch: pytest.MonkeyPatch) -> str | None:
    bug.plant(patch)
    try:
        with _limited():
            violation = run_seed(seed, draw_plan(seed).replace(**bug.plan)).violation
    except _Stuck:
        return "stuck"
    except Exception as error:  # noqa: BLE001 - a bug may show where no checker looks.
        return type(error).__name__
    if violation is None:
        return None
    kind, _, rest = violation.partition(": ")
    return rest.partition(":")[0] if kind == "Violation" else kind


@contextmanager
def _limited() -> Iterator[None]:
    """Raise _Stuck in what turns for ever without ever giving the loop a turn."""

    def stop(*_: Any) -> None:
        raise _Stuck

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, STUCK_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
