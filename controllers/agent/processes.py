"""EDGE: processes of containers: start one beside a shim, find it again, signal it, see it end.

Invariants:
    PRC-1  A process is known by its pid and its start time; no signal goes to a pid alone.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import controllers
from controllers.agent.records import Attempt, PodDirectory, write_json
from controllers.agent.shim import read_start_ticks

__all__ = ["Processes", "StartError", "bare_program", "end_processes", "send_signal"]

LOG_BYTES_MAX, LOG_FILES_MAX = 10 << 20, 5
START_S = 60.0
END_S, END_LOOK_S = 3.0, 0.2
_SHIM = "from controllers.agent.shim import main; main(sys.argv[1])"
_ROOT = str(Path(controllers.__file__).parents[1])
_BARE = """
import sys, types
root = sys.argv.pop()
for name in ("controllers", "controllers.agent"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [root + "/" + name.replace(".", "/")]
"""
"""So that a program imports a module of ours without all that its packages import."""


def bare_program(code: str, *arguments: str) -> list[str]:
    """Return the command line of a small program: Python without site-packages."""
    return [sys.executable, "-I", "-S", "-c", _BARE + code, *arguments, _ROOT]


@final
class StartError(Exception):
    """A process that could not be started. `stage` is where: mount, cwd, user, exec, shim."""

    def __init__(self, stage: str, error: str) -> None:
        super().__init__(error)
        self.stage = stage


@final
class Processes:
    """The processes of one agent. `ended` is called on the loop, once for each that was watched."""

    def __init__(self, ended: Callable[[Attempt], None]) -> None:
        self._ended = ended
        self._watched: dict[int, Attempt] = {}

    async def start(self, attempt: Attempt, launch: dict[str, Any]) -> dict[str, Any]:
        """Start a process and watch it; return what its shim has recorded.

        Raises: StartError.
        """
        run = attempt.run
        if run is not None and self.watch(attempt, run):
            return run  # An earlier start that took too long has succeeded after all.
        try:
            attempt.path.mkdir(parents=True, exist_ok=True)
            for stale in attempt.path.glob("*.json"):
                stale.unlink()
            limits = {"log_bytes_max": LOG_BYTES_MAX, "log_files_max": LOG_FILES_MAX}
            write_json(attempt.path / "launch.json", {**launch, **limits})
            process = await asyncio.create_subprocess_exec(
                *bare_program(_SHIM, str(attempt.path)),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
            async with asyncio.timeout(START_S):
                await process.wait()
        except (OSError, TimeoutError) as error:
            raise StartError("shim", f"the supervisor cannot be started: {error!r}") from error
        failure, run = attempt.failure(), attempt.run
        if failure is not None:
            raise StartError(failure["stage"], failure["error"])
        if run is None:
            raise StartError("shim", "the supervisor has recorded nothing")
        if not self.watch(attempt, run):
            asyncio.get_running_loop().call_soon(self._ended, attempt)
        return run

    def watch(self, attempt: Attempt, run: dict[str, Any]) -> bool:
        """Watch a process that runs; False when it has ended already (PRC-1)."""
        try:
            fd = os.pidfd_open(run["shim_pid"])
        except OSError:
            return False
        # The descriptor holds the pid: what is alive now under it is what was recorded, or not.
        if not attempt.is_alive(run):
            os.close(fd)
            return False
        self._watched[fd] = attempt
        asyncio.get_running_loop().add_reader(fd, self._readable, fd)
        return True

    def _readable(self, fd: int) -> None:
        attempt = self._watched.pop(fd)
        asyncio.get_running_loop().remove_reader(fd)
        os.close(fd)
        self._ended(attempt)

    def close(self) -> None:
        """Watch no more. The processes go on."""
        loop = asyncio.get_running_loop()
        for fd in self._watched:
            loop.remove_reader(fd)
            os.close(fd)
        self._watched.clear()


def send_signal(attempt: Attempt, name: str) -> None:
    """Send TERM or KILL to a process, if it is there (PRC-1)."""
    run = attempt.run
    if run is None:
        return
    number = signal.SIGKILL if name == "KILL" else signal.SIGTERM
    with contextlib.suppress(OSError):
        fd = os.pidfd_open(run["pid"])
        try:
            # While its shim is there, no other process has been given the pid.
            if attempt.is_alive(run) and read_start_ticks(run["pid"]) == run["start_ticks"]:
                signal.pidfd_send_signal(fd, number)
        finally:
            os.close(fd)


async def end_processes(pods: Path) -> None:
    """End every process of every pod: SIGTERM, and after a few seconds SIGKILL.

    What is recorded stays, so that a later agent sees how they have ended, and starts them again.
    """
    for name in ("TERM", "KILL"):
        deadline_s = asyncio.get_running_loop().time() + END_S
        while left := _alive(pods):
            for attempt in left:
                send_signal(attempt, name)
            if asyncio.get_running_loop().time() > deadline_s:
                break
            await asyncio.sleep(END_LOOK_S)


def _alive(pods: Path) -> list[Attempt]:
    return [
        attempt
        for directory in PodDirectory.all(pods)
        for container in directory.containers()
        for attempt in directory.attempts(container)[-1:]
        if (run := attempt.run) is not None and attempt.is_alive(run)
    ]
