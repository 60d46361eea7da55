"""Real peers with agents and controllers inside, and kubectl in front of any of them."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from crdtstate.client.kinds import NODES, PODS
from crdtstate.errors import UnavailableError
from crdtstate.model import Kind
from tests.e2e.fleet import Fleet
from tests.kube.clients import binary

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
DEADLINE_S = 90.0
"""For whatever must happen: far more than it takes, for a machine that does other things, too."""


class Cluster:
    """Peers a, b, c with everything inside."""

    def __init__(self, peers: Fleet) -> None:
        self.peers = peers
        self._kubectl = binary("kubectl")
        self._env = {"PATH": os.environ["PATH"], "HOME": str(peers.path)}

    def start_kubectl(self, peer: str, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start kubectl against one peer."""
        return subprocess.Popen(
            [self._kubectl, "--server", self.peers.url(peer), *arguments], env=self._env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def kubectl(self, peer: str, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """Run kubectl against one peer; return what it prints."""
        process = self.start_kubectl(peer, *arguments)
        said = process.communicate(stdin.encode(), timeout=120)[0].decode()
        assert process.returncode == 0 or not check, f"{arguments}: {said}"
        return said

    def get(self, peer: str, kind: Kind, name: str) -> dict[str, Any] | None:
        """Return an object as one peer shows it, None when it does not."""
        space = "default" if kind.namespaced else None
        with suppress(UnavailableError):
            return self.peers.client(peer).resources.get(kind, name, space)
        return None

    def find(self, peer: str, kind: Kind, selector: str | None = None) -> list[dict[str, Any]]:
        """Return objects as one peer shows them; none when it does not answer."""
        space = "default" if kind.namespaced else None
        with suppress(UnavailableError):
            resources = self.peers.client(peer).resources
            return list(resources.list(kind, space, label_selector=selector).items)
        return []

    def pods(self, peer: str, selector: str) -> list[dict[str, Any]]:
        """Return the pods of a label that are not ending."""
        found = self.find(peer, PODS, selector)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready(self, peer: str, selector: str) -> dict[str, int]:
        """Return the pid of each pod that is ready, by name."""
        return {
            pod["metadata"]["name"]: pid_of(pod)
            for pod in self.pods(peer, selector)
            if is_ready(pod)
        }

    def wait(self, condition: Callable[[], Any], what: str) -> float:
        """Wait for it; return the seconds that it took."""
        began_s = time.monotonic()
        while not condition():
            assert time.monotonic() - began_s < DEADLINE_S, f"not within {DEADLINE_S} s: {what}"
            time.sleep(0.1)
        return time.monotonic() - began_s

    def wait_ready(self, peer: str, selector: str, count: int) -> dict[str, int]:
        """Wait until exactly so many pods are there, all ready; return their pids by name."""
        self.wait(
            lambda: len(self.ready(peer, selector)) == len(self.pods(peer, selector)) == count,
            f"{count} pods of {selector} are ready, as {peer} sees it",
        )
        return self.ready(peer, selector)

    def wait_machines(self) -> None:
        """Wait until every peer's machine is registered and ready, as every peer sees it."""
        for peer in self.peers.children:
            self.wait(
                lambda peer=peer: (
                    sum(map(is_ready, self.find(peer, NODES))) == len(self.peers.children)
                ),
                f"all machines are ready, as {peer} sees it",
            )


def is_ready(body: dict[str, Any]) -> bool:
    """Whether the condition Ready holds."""
    conditions = body.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def pid_of(pod: dict[str, Any]) -> int:
    """Return the pid of a pod's first container, 0 when it does not run."""
    (state, *_) = pod.get("status", {}).get("containerStatuses") or [{"state": {}}]
    if "running" not in state["state"]:
        return 0
    return int(state["containerID"].removeprefix("process://").split("-")[0])


@contextmanager
def cluster(path: Path) -> Iterator[Cluster]:
    """Give three peers; what runs on them ends with them."""
    with Fleet(path, without=(), more=["--end-pods"]) as peers:
        made = Cluster(peers)
        made.wait_machines()
        yield made
