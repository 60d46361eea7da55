"""EDGE: one member as a child process: start, kill, pause, and what the kernel says of it."""

import ctypes
import signal
import subprocess
from pathlib import Path
from typing import IO, final

import psutil

_DIE_WITH_PARENT, _STOP_S = 1, 15.0


def die_with_parent() -> None:
    """In a child before its exec: be killed when the laboratory dies, however it dies."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, int(signal.SIGKILL))


@final
class MemberProcess:
    """One member, which may be started again. Its output goes to `log`."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._command, self._log = command, log
        self._process: subprocess.Popen[bytes] | None = None
        self._used_s = 0.0
        self._wrote = 0

    def wrap(self, wrapper: list[str]) -> None:
        """Start it behind another command from now on."""
        self._command = wrapper + self._command

    def start(self) -> int:
        """Start it; return its process id."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, preexec_fn=die_with_parent,  # noqa: PLW1509 - one call, no lock.
            )  # fmt: skip
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id; 0 when it does not run."""
        return self._process.pid if self._process is not None and self.running else 0

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, as long as it runs."""
        if self._process is not None and self.running:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut would end the process."""
        self._remember()
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        self._process = None

    def stop(self) -> None:
        """End it in order, or kill it after a while."""
        self._remember()
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if self._process is not None:
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def _remember(self) -> None:
        self._used_s, self._wrote = self.cpu_s(), self.disk_bytes()

    def cpu_s(self) -> float:
        """Return the CPU seconds of all its lives."""
        if not self.running:
            return self._used_s
        times = psutil.Process(self.pid).cpu_times()
        return self._used_s + times.user + times.system

    def rss_bytes(self) -> int:
        """Return its resident memory."""
        return int(psutil.Process(self.pid).memory_info().rss) if self.running else 0

    def disk_bytes(self) -> int:
        """Return the bytes it has sent to the disk in all its lives."""
        if not self.running:
            return self._wrote
        return self._wrote + int(psutil.Process(self.pid).io_counters().write_bytes)

    def log_tail(self) -> str:
        """Return the end of its output."""
        opened: IO[bytes]
        with self._log.open("rb") as opened:
            return opened.read()[-1500:].decode("utf-8", "replace")
