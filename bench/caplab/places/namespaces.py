"""EDGE: members in network namespaces of their own, joined by a bridge, or by the lab's own switch.

Every member has `eth0` to the other members and `eth1` to the clients. A link is cut by giving the
sender a neighbour address that nobody has: its frames leave and arrive nowhere. The interfaces stay
up and no socket is told, as when a switch between two rooms dies. One direction can be cut alone.

Without netem in the kernel, delay and loss come from a switch of the lab (`switch.py`) on tap
devices in the bridge's place.

Needs root, or user namespaces, and iproute2; `enter` makes the private namespaces.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import final

from bench.caplab.places.place import MEMBERS_MAX
from bench.caplab.places.switch import Link, SwitchProcess

CLIENT_PORT, PEER_PORT = 2379, 2380
_INSIDE = "CAPLAB_INSIDE"
_NOBODY = "02:ca:b0:00:00:ff"


def can_enter() -> str:
    """Return why namespaces cannot be used here, or nothing."""
    for tool in ("ip", "unshare", "nsenter"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed (Debian: iproute2, util-linux)"
    tried = subprocess.run(
        [*_unshare(), "sh", "-c", "mount -t tmpfs none /run && ip link add x type bridge"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return tried.stderr.strip()


def _unshare() -> list[str]:
    command = ["unshare", "--net", "--mount", "--propagation", "private"]
    return command if os.geteuid() == 0 else [*command, "--map-root-user"]


def is_inside() -> bool:
    """Whether this process already has namespaces of its own."""
    return _INSIDE in os.environ


def enter(module: str, arguments: list[str]) -> None:
    """Run the module again inside new namespaces; does not return.

    The inner process makes its network there, which goes with the last process in it.
    """
    os.environ[_INSIDE] = "1"
    command = [*_unshare(), sys.executable, "-m", module, *arguments]
    os.execvp(command[0], command)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def _ip_batch(member: str, lines: list[str]) -> None:
    done = subprocess.run(
        ["ip", "-n", member, "-batch", "-"], input="\n".join(lines), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise OSError(f"ip in {member}: {done.stderr.strip()}")


def prepare() -> None:
    """Inside: a /run of our own, where `ip netns` keeps its names; loopback up. Call once."""
    if not Path("/run/netns").exists() or not os.path.ismount("/run"):
        subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    _ip("link", "set", "lo", "up")


@final
class Namespaces:
    """Up to three members. `name` keeps two places apart; `link` None: a bridge of the kernel."""

    def __init__(self, name: str, number: int, count: int, link: Link | None = None) -> None:
        assert count <= MEMBERS_MAX
        self._name, self._number, self._count = name, number, count
        self._switch: SwitchProcess | None = None
        self.kind = "network namespaces, " + (
            "joined by a bridge" if link is None else f"joined by a relay: {link.text()}"
        )
        self._build_clients_bridge()
        for member in range(count):
            self._build_member(member)
        if link is None:
            self._build_members_bridge()
        else:
            self._switch = SwitchProcess(f"{name}t", count, link)
            for member in range(count):
                device = self._switch.device(member)
                _ip("link", "set", device, "netns", self._namespace(member), "name", "eth0")
        for member in range(count):
            self._address_member(member)
        self.heal()

    def _namespace(self, member: int) -> str:
        return f"{self._name}{member}"

    def _build_clients_bridge(self) -> None:
        bridge = f"{self._name}bc"
        _ip("link", "add", bridge, "type", "bridge")
        _ip("addr", "add", f"10.{self._number}.2.254/24", "dev", bridge)
        _ip("link", "set", bridge, "up")

    def _build_members_bridge(self) -> None:
        bridge = f"{self._name}bm"
        _ip("link", "add", bridge, "type", "bridge")
        _ip("link", "set", bridge, "up")
        for member in range(self._count):
            self._plug(f"{self._name}m{member}", bridge, member, "eth0")

    def _build_member(self, member: int) -> None:
        _ip("netns", "add", self._namespace(member))
        self._plug(f"{self._name}c{member}", f"{self._name}bc", member, "eth1")

    def _plug(self, port: str, bridge: str, member: int, inside: str) -> None:
        _ip("link", "add", port, "type", "veth", "peer", "name", inside, "netns",
            self._namespace(member))  # fmt: skip
        _ip("link", "set", port, "master", bridge, "up")

    def _address_member(self, member: int) -> None:
        _ip_batch(
            self._namespace(member),
            [
                "link set lo up",
                "link set eth0 addrgenmode none",  # No IPv6 chatter in the idle bytes.
                f"link set eth0 address {self._mac(member)}",
                f"addr add {self.peer_address(member)[0]}/24 dev eth0",
                f"addr add {self.client_address(member)[0]}/24 dev eth1",
                "link set eth0 up",
                "link set eth1 up",
            ],
        )

    def _mac(self, member: int) -> str:
        return f"02:ca:b0:00:00:{member + 1:02x}"

    def client_address(self, member: int) -> tuple[str, int]:
        """See `Place`."""
        return f"10.{self._number}.2.{member + 1}", CLIENT_PORT

    def peer_address(self, member: int) -> tuple[str, int]:
        """See `Place`."""
        return f"10.{self._number}.1.{member + 1}", PEER_PORT

    def dial_address(self, member: int) -> tuple[str, int]:
        """See `Place`: directly."""
        return self.peer_address(member)

    def command(self, member: int, command: list[str]) -> list[str]:
        """See `Place`."""
        return ["nsenter", f"--net=/run/netns/{self._namespace(member)}", "--", *command]

    def started(self, member: int, pid: int) -> None:
        """See `Place`: nothing to do here."""

    def cut(self, pairs: Iterable[tuple[int, int]]) -> None:
        """See `Place`."""
        self._set_neighbours(dict.fromkeys(pairs, _NOBODY))

    def heal(self) -> None:
        """See `Place`."""
        members = range(self._count)
        self._set_neighbours({(a, b): self._mac(b) for a in members for b in members if a != b})

    def _set_neighbours(self, macs: dict[tuple[int, int], str]) -> None:
        for member in range(self._count):
            lines = [
                f"neigh replace {self.peer_address(b)[0]} lladdr {mac} nud permanent dev eth0"
                for (a, b), mac in macs.items()
                if a == member
            ]
            if lines:
                _ip_batch(self._namespace(member), lines)

    def bytes_sent(self) -> int:
        """See `Place`: of the interfaces, so every header is in it."""
        total = 0
        for member in range(self._count):
            done = subprocess.run(
                ["ip", "-n", self._namespace(member), "-s", "-o", "link", "show", "eth0"],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            total += _transmitted(done.stdout)
        return total

    def close(self) -> None:
        """See `Place`."""
        if self._switch is not None:
            self._switch.close()
        for member in range(self._count):
            _ip("netns", "del", self._namespace(member))
        for bridge in (f"{self._name}bc", f"{self._name}bm"):
            if Path(f"/sys/class/net/{bridge}").exists() or self._exists(bridge):
                _ip("link", "del", bridge)

    def _exists(self, device: str) -> bool:
        done = subprocess.run(["ip", "link", "show", device], capture_output=True, check=False)
        return done.returncode == 0


def _transmitted(text: str) -> int:
    """Return the transmitted bytes in the output of `ip -s -o link show`."""
    _, _, behind = text.partition("TX:")
    numbers = behind.partition("\\")[2].split()
    return int(numbers[0])
