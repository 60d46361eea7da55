"""EDGE: where a peer's time goes under the heaviest load: a sampler from outside, ours only.

What is sampled is the thread that holds the interpreter's lock, so that waiting is not counted.
"""

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from bench.caplab.results import Results, Skipped

_RATE_HZ = 200
_ROOMS_MAX = 12


def profile(pid: int, seconds: float, load: Callable[[], object], results: Results) -> None:
    """Sample one peer during a load; keep the shares, or why there are none."""
    with tempfile.TemporaryDirectory() as path:
        out = Path(path) / "samples"
        command = [
            str(Path(sys.executable).with_name("py-spy")), "record", "--gil", "--format", "raw",
            "--rate", str(_RATE_HZ), "--duration", str(max(1, int(seconds))),
            "--output", str(out), "--pid", str(pid),
        ]  # fmt: skip
        sampler = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        load()
        _, errors = sampler.communicate()
        if sampler.returncode or not out.exists():
            results.skipped.append(Skipped(what="profile", why=errors.strip()[-200:]))
            return
        results.profile = shares(out.read_text().splitlines())


def shares(lines: Iterable[str]) -> list[tuple[str, float]]:
    """Return the share of each room, from stacks with a count; the greatest first."""
    rooms: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        rooms[_room(stack.split(";"))] += int(count)
    total = sum(rooms.values()) or 1
    return [(room, count / total) for room, count in rooms.most_common(_ROOMS_MAX)]


def _room(stack: list[str]) -> str:
    """Return the innermost room of ours, or the edge, that a stack is in."""
    for frame in reversed(stack):
        place = frame.partition("(")[2]
        for package in ("crdtstate/", "gossip/"):
            if place.startswith(package):
                parts = place.rpartition(":")[0].split("/")
                return "/".join(parts[:2])
    return "event loop and libraries"
