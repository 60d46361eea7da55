"""EDGE: a cluster of our peers, as `crdtstate serve` starts them."""

import sys
from functools import partial
from pathlib import Path
from typing import Any, final

from bench.caplab.clients.ours import API_TOKEN
from bench.caplab.places.place import Place
from bench.caplab.systems.names import OURS
from bench.caplab.systems.process import MemberProcess
from bench.caplab.systems.system import ask_json, remove, wait_until


@final
class OursSystem:
    """See `System`. `clocks`: peers whose wall clocks can be set wrong."""

    name = OURS

    def __init__(self, place: Place, count: int, path: Path, *, clocks: bool = False) -> None:
        self.place, self._count, self._path = place, count, path
        path.mkdir(parents=True, exist_ok=True)
        (path / "token").write_text(API_TOKEN + "\n")
        self.clocks = [path / f"clock{n}" for n in range(count)] if clocks else []
        self.members = [
            MemberProcess(place.command(n, self._command(n)), path / f"ours{n}.log")
            for n in range(count)
        ]

    def _command(self, member: int) -> list[str]:
        place, path = self.place, self._path
        launcher = ["crdtstate"]
        if self.clocks:
            launcher = ["bench.caplab.skewed", str(self.clocks[member])]
        command = [
            sys.executable, "-m", *launcher, "serve", "--name", f"m{member}",
            "--data", str(path / f"ours{member}"), "--keys", str(path / "cluster.keys"),
            "--api", "{}:{}".format(*place.client_address(member)),
            "--gossip", "{}:{}".format(*place.peer_address(member)),
            "--advertise", "{}:{}".format(*place.dial_address(member)),
            "--token-file", str(path / "token"), "--log-level", "warning",
        ]  # fmt: skip
        for other in range(self._count):
            if other != member:
                command += ["--seed", "{}:{}".format(*place.dial_address(other))]
        return command

    def start(self) -> None:
        """See `System`."""
        self.start_member(0)  # The first makes the keys.
        wait_until((self._path / "cluster.keys").exists, "peer 0 has made keys", self.members[0])
        for member in range(1, self._count):
            self.start_member(member)
        for member, process in enumerate(self.members):
            wait_until(partial(self._linked, member), f"peer {member} has all links", process)

    def start_member(self, member: int) -> None:
        """See `System`."""
        self.place.started(member, self.members[member].start())

    def status(self, member: int) -> dict[str, Any]:
        """Return GET /status, empty while it does not answer."""
        host, port = self.place.client_address(member)
        return ask_json(f"http://{host}:{port}/status", token=API_TOKEN) or {}

    def healthy(self, member: int) -> bool:
        """Whether it says that it is ready."""
        return bool(self.status(member).get("ready"))

    def _linked(self, member: int) -> bool:
        status = self.status(member)
        return bool(status.get("ready")) and len(status["linked"]) == self._count - 1

    def leader(self) -> int:
        """Nobody leads: the first stands where a fault asks for a leader."""
        return 0

    def fingerprints(self) -> list[tuple[str, str]]:
        """Return each member's vector and fingerprint, as text."""
        found = [self.status(n) for n in range(self._count)]
        return [(str(sorted(s.get("vector", {}).items())), s.get("fingerprint", "")) for s in found]

    def stop(self) -> None:
        """See `System`."""
        for process in self.members:
            process.stop()
        remove(self._path)
