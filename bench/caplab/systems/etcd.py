"""EDGE: an etcd cluster, as its documentation sets one up: static members, default timers."""

import base64
from functools import partial
from pathlib import Path
from typing import final

from bench.caplab.places.place import Place
from bench.caplab.systems.names import ETCD
from bench.caplab.systems.process import MemberProcess
from bench.caplab.systems.system import ask_json, remove, wait_until

QUOTA_BYTES = 8 << 30  # The default of 2 GiB does not hold a million keys and their history.


@final
class EtcdSystem:
    """See `System`."""

    name = ETCD

    def __init__(self, binary: Path, place: Place, count: int, path: Path) -> None:
        self.place, self._count, self._path = place, count, path
        self.members = [
            MemberProcess(place.command(n, self._command(binary, n)), path / f"etcd{n}.log")
            for n in range(count)
        ]

    def _command(self, binary: Path, member: int) -> list[str]:
        place = self.place
        peers = ",".join(
            "m{}=http://{}:{}".format(n, *place.dial_address(n)) for n in range(self._count)
        )
        client = "http://{}:{}".format(*place.client_address(member))
        listen = "http://{}:{}".format(*place.peer_address(member))
        dial = "http://{}:{}".format(*place.dial_address(member))
        return [
            str(binary), "--name", f"m{member}", "--data-dir", str(self._path / f"etcd{member}"),
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", listen, "--initial-advertise-peer-urls", dial,
            "--initial-cluster", peers, "--initial-cluster-token", "caplab",
            "--log-level", "error", "--quota-backend-bytes", str(QUOTA_BYTES),
        ]  # fmt: skip

    def start(self) -> None:
        """See `System`."""
        for member in range(self._count):
            self.start_member(member)
        for member, process in enumerate(self.members):
            wait_until(partial(self.healthy, member), f"etcd {member} serves", process)

    def start_member(self, member: int) -> None:
        """See `System`."""
        self.place.started(member, self.members[member].start())

    def _status(self, member: int) -> dict[str, str] | None:
        host, port = self.place.client_address(member)
        return ask_json(f"http://{host}:{port}/v3/maintenance/status", b"{}")

    def healthy(self, member: int) -> bool:
        """Whether it knows a leader and answers a linearizable read."""
        status = self._status(member)
        if not status or status.get("leader", "0") == "0":
            return False
        host, port = self.place.client_address(member)
        body = b'{"key": "%s"}' % base64.b64encode(b"x")
        return ask_json(f"http://{host}:{port}/v3/kv/range", body) is not None

    def leader(self) -> int:
        """See `System`."""
        for member, process in enumerate(self.members):
            status = self._status(member) if process.running else None
            if status and status["leader"] == status["header"]["member_id"]:  # type: ignore[index]
                return member
        raise TimeoutError("no etcd member leads")

    def stop(self) -> None:
        """See `System`."""
        for process in self.members:
            process.stop()
        remove(self._path)
