"""Where a peer's time goes at 64 clients: printed when a figure misses its target.

The profiler runs inside the peer and makes calls of Python functions look dearer than they are; the
shares show which rooms the work is in, not what it would cost without the profiler.
"""

import pstats
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from bench.measures import Row, Say
from bench.peers import Peers, load

TOP = 14
_WAITS = ("run_until_complete", "_thread.lock", "posix.read")


def profile(path: Path, say: Say) -> list[Row]:
    """Load three peers, one of them under the profiler; return shares by room and by function."""
    say("profile")
    out = path / "profile.out"
    with Peers(path) as peers:
        peers.stop("a")
        plan = peers.plans["a"]
        command = [sys.executable, "-m", "cProfile", "-o", str(out), "-m", "crdtstate", "serve"]
        with (path / "profiled.log").open("wb") as log:
            process = subprocess.Popen([*command, *plan.arguments], stdout=log, stderr=log)
            peers.wait(lambda: peers.status("a").get("ready", False))
            peers.wait(peers.is_linked)
            load(peers.urls(), clients=64, seconds=4.0)
            process.send_signal(signal.SIGTERM)
            process.wait(20)
    return _rows(pstats.Stats(str(out)))


def _rows(stats: pstats.Stats) -> list[Row]:
    rooms: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for (file, line, name), (_, _, own_s, _, _) in stats.stats.items():  # type: ignore[attr-defined]
        if any(word in name for word in _WAITS) or (name == "run" and "runners" in file):
            continue
        room = _room(file, name)
        rooms[room] += own_s
        place = f"{Path(file).name}:{line} " if line else ""
        functions[f"{room}: {place}{name}"] += own_s
    total = sum(rooms.values())
    rows = [Row(f"  {room}", f"{100 * s / total:.0f} %") for room, s in rooms.most_common(10)]
    return rows + [
        Row(f"    {100 * own_s / total:4.1f} %", name[:100])
        for name, own_s in functions.most_common(TOP)
    ]


def _room(file: str, name: str) -> str:
    for package in ("crdtstate/", "gossip/"):
        at = file.rfind("/" + package)
        if at >= 0 and "site-packages" not in file:
            return "/".join(file[at + 1 :].split("/")[:2])
    if "Rdict" in name or "WriteBatch" in name or "rocksdict" in name:
        return "RocksDB"
    if "cbor2" in name or "msgspec" in name or "xxhash" in name:
        return "encoding and hashing in C"
    if "transport" in name.lower() or "uvloop" in name or "aiohttp" in file or "asyncio" in file:
        return "sockets and event loop"
    return "Python itself"
