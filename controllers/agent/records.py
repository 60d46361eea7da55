"""EDGE: what an agent keeps on the disk of each pod, so that the next one finds it.

    PODS/UID/pod.json                    the Pod as it was when it came, and its address
    PODS/UID/volumes/NAME/               what its volumes hold
    PODS/UID/containers/NAME/work/       the working directory
    PODS/UID/containers/NAME/ATTEMPT/    of one process: see `shim.py`

Nothing here is trusted to be whole: a file that cannot be read is as one that is not there.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from controllers.agent import inputs
from controllers.agent.container import Ended, History
from controllers.agent.shim import read_boot, read_start_ticks

__all__ = ["Attempt", "PodDirectory", "write_json"]

VERSION = 1
ATTEMPTS_KEPT = 2  # The running one, and the one before it, for `kubectl logs --previous`.


def write_json(path: Path, body: dict[str, Any], mode: int = 0o600) -> None:
    """Write a file in one step. Raises: OSError."""
    new = path.with_name(f"{path.name}.new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(fd, "w", encoding="utf-8") as file:
        json.dump(body, file)
    new.rename(path)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        body = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return body if isinstance(body, dict) else None


@final
@dataclass(frozen=True, slots=True)
class Attempt:
    """The directory of one process."""

    path: Path
    container: str
    number: int

    @property
    def run(self) -> dict[str, Any] | None:
        """What its shim has recorded when it began."""
        return _read_json(self.path / "run.json")

    @property
    def launch(self) -> dict[str, Any]:
        """What it was told to run; empty when it cannot be read."""
        return _read_json(self.path / "launch.json") or {}

    def container_id(self, run: dict[str, Any]) -> str:
        """Return its name on this machine, until the next boot: pid and start time."""
        return f"process://{run['pid']}-{run['start_ticks']}"

    def is_alive(self, run: dict[str, Any]) -> bool:
        """Whether its shim is: by pid and start time, as a pid alone may be somebody else's."""
        ticks: int = run["shim_start_ticks"]
        return run["boot"] == read_boot() and read_start_ticks(run["shim_pid"]) == ticks

    def mark(self, name: str) -> None:
        """Remember a fact about this process, such as that it was killed for its memory."""
        (self.path / name).touch()

    def exited(self, now_ms: int) -> inputs.Exited | None:
        """Return how it ended; None when it was never started."""
        run, end = self.run, _read_json(self.path / "exit.json")
        if run is None:
            return None
        if end is None or "code" not in end:
            # The machine has gone down, or somebody has killed the shim, and with it the process.
            text = "the process is gone, and nobody has seen how it ended"
            at_ms = max(now_ms, run["started_ms"])
            return inputs.Exited(
                self.container, self.number, 137, 9, at_ms, "ContainerStatusUnknown", text
            )
        reason = "OOMKilled" if (self.path / "oom").exists() else ""
        return inputs.Exited(
            self.container, self.number, end["code"], end["signal"], end["at_ms"], reason,
            str(end.get("tail", "")).strip(),
        )  # fmt: skip

    def failure(self) -> dict[str, Any] | None:
        """Return why it was not started; None when it was."""
        end = _read_json(self.path / "exit.json")
        return end if end is not None and "stage" in end else None

    def to_ended(self) -> Ended | None:
        """Return how it ended, for a status."""
        run = self.run
        event = None if run is None else self.exited(run["started_ms"])
        if run is None or event is None:
            return None
        return Ended(
            container_id=self.container_id(run), code=event.code, signal=event.signal,
            reason=event.reason or ("Completed" if event.code == 0 else "Error"),
            message=event.message, started_ms=run["started_ms"], finished_ms=event.at_ms,
        )  # fmt: skip


@final
class PodDirectory:
    """The directory of one pod."""

    def __init__(self, pods: Path, uid: str) -> None:
        self.path = pods / uid
        self.uid = uid

    @staticmethod
    def all(pods: Path) -> "list[PodDirectory]":
        """Return those that are there."""
        if not pods.is_dir():
            return []
        return [PodDirectory(pods, path.name) for path in sorted(pods.iterdir()) if path.is_dir()]

    def create(self, body: dict[str, Any], pod_ip: str) -> None:
        """Make it, for a pod that is new here. Raises: OSError."""
        (self.path / "volumes").mkdir(parents=True, exist_ok=True)
        write_json(self.path / "pod.json", {"version": VERSION, "pod": body, "pod_ip": pod_ip})

    def read(self) -> tuple[dict[str, Any], str] | None:
        """Return the Pod and its address; None when it was not made whole."""
        found = _read_json(self.path / "pod.json")
        if found is None or found.get("version") != VERSION:
            return None
        return found["pod"], found["pod_ip"]

    def remove(self) -> None:
        """Remove all of it; what cannot be removed stays."""
        shutil.rmtree(self.path, ignore_errors=True)

    def work(self, container: str) -> Path:
        """Return the working directory of a container."""
        return self.path / "containers" / container / "work"

    def containers(self) -> list[str]:
        """Return the containers that have a directory here."""
        place = self.path / "containers"
        return sorted(p.name for p in place.iterdir()) if place.is_dir() else []

    def attempt(self, container: str, number: int) -> Attempt:
        """Return the directory of one process; not made yet when it is new."""
        return Attempt(self.path / "containers" / container / str(number), container, number)

    def attempts(self, container: str) -> list[Attempt]:
        """Return those that are kept and were started, the oldest first."""
        place = self.path / "containers" / container
        if not place.is_dir():
            return []
        numbers = sorted(int(p.name) for p in place.iterdir() if p.name.isdigit())
        found = [self.attempt(container, number) for number in numbers]
        return [attempt for attempt in found if attempt.run is not None]

    def trim(self, container: str, current: int) -> None:
        """Remove the processes that nobody asks about any more."""
        place = self.path / "containers" / container
        for path in list(place.iterdir()):
            if path.name.isdigit() and int(path.name) <= current - ATTEMPTS_KEPT:
                shutil.rmtree(path, ignore_errors=True)

    def histories(self, status: dict[str, Any]) -> Iterator[tuple[str, History]]:
        """Yield what is known of each container that has had a process.

        Args:
            status: The pod's, as it was last seen: whether it was ready.
        """
        every = [
            *(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()),
        ]  # fmt: skip
        shown = {known["name"]: known for known in every}
        for name in self.containers():
            attempts = self.attempts(name)
            run = attempts[-1].run if attempts else None
            if run is None:
                continue
            latest, before = attempts[-1], attempts[-2] if len(attempts) > 1 else None
            container_id = latest.container_id(run)
            known = shown.get(name, {})
            same = known.get("containerID") == container_id
            yield name, History(
                attempt=latest.number, crashes=int(latest.launch.get("crashes", 0)),
                container_id=container_id, started_ms=run["started_ms"],
                last=before.to_ended() if before is not None else None,
                ready=same and bool(known.get("ready")),
                started=same and bool(known.get("started")),
            )  # fmt: skip
