"""Async tests without a plugin, hypothesis profiles, a deadline for every test."""

import asyncio
import faulthandler
import inspect
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

DEADLINE_S = 60.0
DEADLINE_E2E_S = 300.0

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci",
    max_examples=150,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("deep", max_examples=5_000, deadline=None, print_blob=True)
settings.register_profile(
    "mutation", max_examples=50, derandomize=True, database=None, deadline=None,
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev")
settings.load_profile(PROFILE)


def _deadline_s(item: pytest.Item) -> float | None:
    if item.get_closest_marker("deep") or PROFILE == "mutation":  # That limits CPU time.
        return None
    return DEADLINE_E2E_S if item.get_closest_marker("e2e") else DEADLINE_S


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test on a loop of its own; tasks that it leaves behind fail it."""
    function = pyfuncitem.obj
    if not inspect.iscoroutinefunction(function):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in names}

    async def run() -> None:
        async with asyncio.timeout(_deadline_s(pyfuncitem)):
            await function(**arguments)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        assert not left, f"tasks left behind: {left}"

    with asyncio.Runner() as runner:
        runner.run(run())
    return True


@pytest.fixture(autouse=True)
def deadline(request: pytest.FixtureRequest) -> Iterator[None]:
    """Print every stack when a test hangs, and end the run: a hang is a failure."""
    seconds = _deadline_s(request.node)
    if seconds is None:
        yield
        return
    faulthandler.dump_traceback_later(seconds + 30.0, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


_FIGURE = "figure"


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Let a test state what it measured; the end of the run prints it, whatever was captured."""
    return lambda text: request.node.user_properties.append((_FIGURE, text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures, those of other processes too: they come with the reports."""
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind)]
    figures = [text for r in reports for name, text in r.user_properties if name == _FIGURE]
    if figures:
        terminalreporter.section("figures")
        for text in figures:
            terminalreporter.write_line(str(text))
