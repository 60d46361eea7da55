"""Real peers in processes of their own: start, kill, cut, heal, look; for every end-to-end test.

Nothing here knows more than a user: peers are started by the command line's own launcher, asked
over HTTP, and killed by signals.
"""

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from crdtstate.cli.launcher import Child, Plan, check_ports, plan_peers, start, stop_all
from crdtstate.client import Client
from crdtstate.errors import CrdtstateError, InvalidError

START_S = 20.0


def until(condition: Callable[[], Any], what: str, deadline_s: float = START_S) -> float:
    """Wait for `condition`; return the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < deadline_s, f"not within {deadline_s} s: {what}"
        time.sleep(0.01)
    return time.monotonic() - began


def free_plans(
    count: int, path: Path, *, dev: bool = True, without: Sequence[str] = ("all",)
) -> list[Plan]:
    """Return plans whose ports are free; by default nothing runs inside the peers."""
    rng = random.Random()
    for _ in range(50):
        plans = plan_peers(
            count, rng.randrange(20_000, 32_000, 100), path, dev=dev, without=without
        )
        try:
            check_ports(plans)
        except InvalidError:
            continue
        return plans
    raise AssertionError("no free ports")


class Fleet:
    """Some peers, all of which know of each other."""

    def __init__(
        self,
        path: Path,
        count: int = 3,
        *,
        more: Iterable[str] = (),
        without: Sequence[str] = ("all",),
    ) -> None:
        self.path = path
        self.plans = {
            plan.name: Plan(
                plan.name, plan.host, plan.api_port, plan.gossip_port, plan.data,
                (*plan.arguments, *more),
            )
            for plan in free_plans(count, path, without=without)
        }  # fmt: skip
        self.children: dict[str, Child] = {}
        self._clients: dict[str, Client] = {}

    def __enter__(self) -> Self:
        try:
            for name in self.plans:
                self.start(name)
            for name in self.plans:
                self.wait_ready(name)
            until(self.is_linked, "all linked")
            until(self.is_known, "all in each other's replica set")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop all; one that does not stop when told is a failure."""
        for client in self._clients.values():
            client.close()
        children, self.children = list(self.children.values()), {}
        assert stop_all(children) == []

    # -- one peer ------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start a peer; returns before it answers."""
        self.children[name] = start(self.plans[name])

    def kill(self, name: str) -> None:
        """End a peer as a power cut would end the process."""
        child = self.children.pop(name)
        child.process.kill()
        child.process.wait()
        if child.process.stdin is not None:
            child.process.stdin.close()

    def stop_one(self, name: str) -> None:
        """Stop a peer in order."""
        assert stop_all([self.children.pop(name)]) == []

    def wipe(self, name: str) -> None:
        """Lose the disk of a stopped peer."""
        shutil.rmtree(self.plans[name].data)

    def client(self, name: str) -> Client:
        """Return a client of this peer alone, the same each time."""
        if name not in self._clients:
            self._clients[name] = Client(self.plans[name].url, timeout=5.0)
        return self._clients[name]

    def url(self, name: str) -> str:
        """Return where its API is."""
        return self.plans[name].url

    def all_urls(self) -> str:
        """Return all, as --server takes them."""
        return ",".join(plan.url for plan in self.plans.values())

    def status(self, name: str) -> dict[str, Any]:
        """Return GET /status."""
        return dict(self.client(name).status().fields)

    def cli(self, name: str, *arguments: str) -> str:
        """Run the command line against one peer and return what it prints."""
        command = [sys.executable, "-m", "crdtstate", "--server", self.url(name), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def log(self, name: str) -> str:
        """Return what the peer has logged."""
        return (self.plans[name].data / "peer.log").read_text()

    def wait_ready(self, name: str) -> float:
        """Wait until it says that it is ready."""
        child = self.children[name]

        def is_ready() -> bool:
            assert child.process.poll() is None, f"{name} ended: {self.log(name)[-800:]}"
            try:
                return bool(self.status(name)["ready"])
            except CrdtstateError:
                return False

        return until(is_ready, f"{name} is ready")

    # -- all of them ---------------------------------------------------------------------------

    def is_linked(self) -> bool:
        """Whether everybody that runs has a link to everybody else that runs."""
        return all(len(self.status(n)["linked"]) == len(self.children) - 1 for n in self.children)

    def is_known(self) -> bool:
        """Whether everybody that runs has everybody else that runs in its replica set."""
        return all(self.status(n)["members"] == len(self.children) for n in self.children)

    def cut(self, a: str, b: str) -> None:
        """Cut a link and wait until both ends have noticed."""
        self.client(a).cut(b)
        self.wait_cut(a, b)

    def wait_cut(self, a: str, b: str) -> None:
        """Wait until both ends have noticed."""
        until(
            lambda: b not in self.status(a)["linked"] and a not in self.status(b)["linked"],
            f"the link {a} to {b} is gone",
        )

    def isolate(self, name: str) -> None:
        """Cut all links of a peer."""
        for other in self.plans:
            if other != name:
                self.cut(name, other)

    def heal(self) -> None:
        """Heal all."""
        for name in self.children:
            self.client(name).heal()

    def is_converged(self) -> bool:
        """Whether all that run have equal vectors and equal fingerprints."""
        seen = [self.status(name) for name in self.children]
        first = (seen[0]["vector"], seen[0]["fingerprint"])
        return all((s["vector"], s["fingerprint"]) == first for s in seen)

    def converge(self, deadline_s: float = START_S) -> float:
        """Wait for it; return the seconds that it took."""
        return until(self.is_converged, "equal vectors and fingerprints", deadline_s)

    def records(self, name: str) -> dict[str, Any]:
        """Return every key and its value."""
        return {item.key: item.value for item in self.client(name).list()}


@contextmanager
def fleet(path: Path, count: int = 3, *, more: Iterable[str] = ()) -> Iterator[Fleet]:
    """Give a running fleet; at its end nobody may have alarmed."""
    with Fleet(path, count, more=more) as running:
        yield running
        for name in running.children:
            assert running.status(name)["anti_entropy"]["repair_alarms"] == 0, name
