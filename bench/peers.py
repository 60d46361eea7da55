"""Real peers for a benchmark: started as `crdtstate up` starts them, watched from outside."""

import contextlib
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import psutil

from crdtstate.cli.launcher import Child, Plan, check_ports, plan_peers, start, stop_all
from crdtstate.client import Client
from crdtstate.errors import CrdtstateError, InvalidError


def _free_plans(count: int, path: Path, *, bare: bool) -> list[Plan]:
    without = ["all"] if bare else []
    while True:
        plans = plan_peers(
            count, random.randrange(20_000, 32_000, 100), path, dev=True, without=without,
            end_pods=not bare,
        )  # fmt: skip
        with contextlib.suppress(InvalidError):  # A port is taken.
            check_ports(plans)
            return plans


@final
class Peers:
    """Some peers, with what the kernel says of their processes.

    Args:
        bare: Without what runs inside peers: controllers, agents.
    """

    def __init__(self, path: Path, count: int = 3, *, bare: bool = True) -> None:
        plans = _free_plans(count, path, bare=bare)
        self.plans = {plan.name: plan for plan in plans}
        self.children: dict[str, Child] = {}
        self.clients: dict[str, Client] = {}

    def __enter__(self) -> Self:
        for name in self.plans:
            self.start(name)
        self.wait(self.is_linked)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for client in self.clients.values():
            client.close()
        stop_all(list(self.children.values()))

    def start(self, name: str) -> None:
        """Start one peer and wait until it answers."""
        plan = self.plans[name]
        self.children[name] = start(plan)
        self.clients.setdefault(name, Client(plan.url, timeout=30.0))
        self.wait(lambda: self.status(name).get("ready", False))

    def stop(self, name: str) -> None:
        """Stop one in order."""
        stop_all([self.children.pop(name)])

    def kill(self, name: str) -> None:
        """End a peer as a power cut would."""
        self.children[name].process.kill()
        self.stop(name)

    def urls(self, names: str = "") -> str:
        """Return the URLs of these peers, or of all."""
        return ",".join(plan.url for name, plan in self.plans.items() if name in (names or name))

    def status(self, name: str) -> dict[str, Any]:
        """Return its status, empty while it does not answer."""
        try:
            return dict(self.clients[name].status().fields)
        except CrdtstateError:
            return {}

    def is_linked(self) -> bool:
        """Whether all have links to all."""
        others = len(self.plans) - 1
        return all(len(self.status(n).get("linked", ())) == others for n in self.plans)

    def is_converged(self) -> bool:
        """Whether all have equal vectors and fingerprints."""
        seen = [self.status(name) for name in self.plans]
        return len({json.dumps([s["vector"], s["fingerprint"]]) for s in seen}) == 1

    def wait(self, condition: Any, deadline_s: float = 120.0) -> float:
        """Wait for a condition; return the seconds it took."""
        began = time.perf_counter()
        while not condition():
            if time.perf_counter() - began > deadline_s:
                raise SystemExit(f"not within {deadline_s} s; logs are in {self.plans['a'].data}")
            time.sleep(0.01)
        return time.perf_counter() - began

    def cpu_s(self) -> float:
        """Return the CPU seconds that all peers have used."""
        total = 0.0
        for child in self.children.values():
            times = psutil.Process(child.process.pid).cpu_times()
            total += times.user + times.system
        return total

    def rss_bytes(self, name: str) -> int:
        """Return the resident memory of a peer."""
        return int(psutil.Process(self.children[name].process.pid).memory_info().rss)

    def bytes_out(self) -> int:
        """Return the bytes that all peers have sent to each other."""
        return sum(self.status(name)["gossip"]["bytes_out"] for name in self.plans)


def load(urls: str, **flags: object) -> dict[str, float]:
    """Run the load generator in a process of its own."""
    command = [sys.executable, "-m", "bench.load", "--urls", urls]
    for name, value in flags.items():
        command += [f"--{name}", str(value)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the load generator failed: {done.stderr}")
    found: dict[str, float] = json.loads(done.stdout)
    if found["errors"]:
        raise SystemExit(f"{found['errors']} requests failed")
    return found
