"""EDGE: peers as child processes: start, look, stop in order. What `up` and the tests share.

A child stops when this process ends, however it ends: its standard input closes then.
"""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, final

from crdtstate.errors import CrdtstateError, InvalidError

__all__ = ["Child", "Look", "Plan", "check_ports", "look_at", "plan_peers", "start", "stop_all"]

STOP_S = 10.0
_LOOK_S = 0.9


@final
@dataclass(frozen=True)
class Plan:
    """One peer to be."""

    name: str
    host: str
    api_port: int
    gossip_port: int
    data: Path
    arguments: tuple[str, ...]

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"http://{self.host}:{self.api_port}"


@final
@dataclass
class Child:
    """A running peer."""

    plan: Plan
    process: "subprocess.Popen[bytes]"
    log: Path
    answered: bool = False


@final
@dataclass(frozen=True)
class Look:
    """One glance at one peer."""

    name: str
    fields: dict[str, Any] = field(default_factory=dict)
    """Of GET /status; empty when it did not answer."""
    error: str = ""
    """Why it did not answer; empty while it has never answered."""


def plan_peers(
    count: int,
    base_port: int,
    data: Path,
    *,
    dev: bool,
    without: Sequence[str] = (),
    end_pods: bool = False,
) -> list[Plan]:
    """Return the plans of peers a, b, c…: API on base_port + 10 n, gossip on the port above."""
    host = "127.0.0.1"
    names = [chr(ord("a") + n) if count <= 26 else f"peer-{n}" for n in range(count)]
    gossip = [f"{host}:{base_port + 10 * n + 1}" for n in range(count)]
    plans = []
    for n, name in enumerate(names):
        arguments = [
            "--name", name, "--data", str(data / name), "--keys", str(data / "cluster.keys"),
            "--api", f"{host}:{base_port + 10 * n}", "--gossip", gossip[n],
        ]  # fmt: skip
        for other in gossip[:n] + gossip[n + 1 :]:
            arguments += ["--seed", other]
        for extension in without:
            arguments += ["--without", extension]
        if dev:
            arguments.append("--dev")
        if end_pods:
            arguments.append("--end-pods")
        port = base_port + 10 * n
        plans.append(Plan(name, host, port, port + 1, data / name, tuple(arguments)))
    return plans


def check_ports(plans: Sequence[Plan]) -> None:
    """Raise InvalidError when a port is taken, naming the port and who needs it."""
    for plan in plans:
        _check_port(plan, plan.api_port, socket.SOCK_STREAM, "API")
        _check_port(plan, plan.gossip_port, socket.SOCK_STREAM, "gossip")
        _check_port(plan, plan.gossip_port, socket.SOCK_DGRAM, "gossip")


def _check_port(plan: Plan, port: int, kind: int, use: str) -> None:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((plan.host, port))
        except OSError as error:
            protocol = "TCP" if kind == socket.SOCK_STREAM else "UDP"
            raise InvalidError(
                f"{protocol} port {port}, for the {use} of peer {plan.name}, cannot be used: "
                f"{error.strerror}; stop what uses it or choose another --base-port",
                code="address_in_use",
            ) from error


def start(plan: Plan) -> Child:
    """Start one peer; its log goes on in DATA/peer.log. Raises: OSError."""
    plan.data.mkdir(parents=True, exist_ok=True)
    log = plan.data / "peer.log"
    command = [sys.executable, "-m", "crdtstate", "serve", "--stop-with-stdin", *plan.arguments]
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=out, stderr=out,
            start_new_session=True,  # The terminal's Ctrl-C is ours to pass on, in order.
        )  # fmt: skip
    return Child(plan, process, log)


def stop_all(children: Sequence[Child]) -> list[str]:
    """Stop all, and return the names of those that had to be killed."""
    for child in children:
        if child.process.poll() is None:
            child.process.send_signal(signal.SIGTERM)
    killed = []
    for child in children:
        try:
            child.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
            killed.append(child.plan.name)
        _close(child.process.stdin)
    return killed


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        stream.close()


def look_at(children: Sequence[Child]) -> list[Look]:
    """Ask every peer for its status, at the same time."""
    with ThreadPoolExecutor(max(1, len(children))) as threads:
        return list(threads.map(_look, children))


def _look(child: Child) -> Look:
    from crdtstate.client import Client

    name, code = child.plan.name, child.process.poll()
    if code is not None:
        why = f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return Look(name, error=f"{why}: {_last_line(child.log)}")
    try:
        with Client(child.plan.url, timeout=_LOOK_S) as client:
            fields = dict(client.status().fields)
    except CrdtstateError as error:
        return Look(name, error=error.message if child.answered else "")
    child.answered = True
    return Look(name, fields)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()[-1:]
    if not lines:
        return "its log is empty"
    try:
        return str(json.loads(lines[0]).get("event", lines[0]))
    except ValueError:
        return lines[0]
