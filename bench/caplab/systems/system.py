"""EDGE: a cluster under test: its members as processes in a place."""

import json
import shutil
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from bench.caplab.places.place import Place
from bench.caplab.systems.process import MemberProcess

START_S = 60.0


class System(Protocol):
    """What the laboratory does with a cluster, whichever it is."""

    name: str
    members: list[MemberProcess]
    place: Place

    def start(self) -> None:
        """Start all members and wait until they serve together. Raises: TimeoutError."""

    def start_member(self, member: int) -> None:
        """Start one that was killed; returns at once."""

    def leader(self) -> int:
        """Return the member that leads; 0 where none does."""

    def healthy(self, member: int) -> bool:
        """Whether the member says that it serves."""

    def stop(self) -> None:
        """Stop all and remove their data."""


def wait_until(
    condition: Callable[[], bool], what: str, member: MemberProcess, deadline_s: float = START_S
) -> None:
    """Wait for something that `member` does. Raises: TimeoutError with the end of its log."""
    began = time.monotonic()
    while not condition():
        if not member.running or time.monotonic() - began > deadline_s:
            raise TimeoutError(f"not within {deadline_s} s: {what}; {member.log_tail()}")
        time.sleep(0.01)


def ask_json(
    url: str, body: bytes | None = None, token: str = "", timeout_s: float = 1.0
) -> dict[str, Any] | None:
    """GET, or POST a body; None when there is no answer of 200."""
    request = urllib.request.Request(url, data=body)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found
    except (OSError, ValueError):
        return None


def remove(path: Path) -> None:
    """Remove a data directory."""
    shutil.rmtree(path, ignore_errors=True)
