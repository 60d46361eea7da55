"""`crdtstate up`: a cluster on this machine, and a table of how it is, until Ctrl-C."""

import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crdtstate.cli.launcher import (
    Child,
    Look,
    Plan,
    check_ports,
    look_at,
    plan_peers,
    start,
    stop_all,
)

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["up"]

_PERIOD_S = 1.0
_FIRST_PERIOD_S = 0.2  # Until all are ready.


@click.command()
@click.option("--peers", type=click.IntRange(1, 64), default=3, show_default=True)
@click.option("--base-port", type=click.IntRange(1, 64_000), default=7480, show_default=True)
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), default=Path(".crdtstate"),
    show_default=True, help="Directory for what the peers keep; it outlives them.",
)  # fmt: skip
@click.option("--dev/--no-dev", default=True, show_default=True, help="Obey fault injection.")
@click.option(
    "--without", multiple=True, metavar="NAME",
    help="Extension that the peers shall not run; all for none; repeatable.",
)  # fmt: skip
def up(peers: int, base_port: int, data: Path, dev: bool, without: tuple[str, ...]) -> int:
    """Run peers a, b, c… on this machine: API on 7480, 7490, 7500…, gossip on the port above.

    Ctrl-C stops them, and the processes of pods with them. What they keep stays in --data; run it
    again and they go on.
    """
    from crdtstate.cli.kubeconfig import write_kubeconfig
    from crdtstate.storage.keyfile import load_or_create_keys

    plans = plan_peers(peers, base_port, data, dev=dev, without=without, end_pods=True)
    check_ports(plans)
    data.mkdir(parents=True, exist_ok=True)
    load_or_create_keys(data / "cluster.keys")
    write_kubeconfig(data / "kubeconfig", {plan.name: plan.url for plan in plans})
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    children: list[Child] = []
    try:
        for plan in plans:
            children.append(start(plan))  # noqa: PERF401 - those that started must be stopped.
        sys.stdout.write(_introduction(plans, dev=dev))
        sys.stdout.flush()
        (_draw if sys.stdout.isatty() else _tell)(children, told)
    finally:
        killed = stop_all(children)
    for name in killed:
        click.echo(f"peer {name} did not stop in time and was killed", err=True)
    sys.stdout.write("stopped\n")
    failed = [child for child in children if child.process.returncode not in (0, -signal.SIGTERM)]
    return 1 if failed else 0


def _introduction(plans: Sequence[Plan], *, dev: bool) -> str:
    urls = ",".join(plan.url for plan in plans)
    first = plans[0]
    lines = [
        f"{len(plans)} peers are starting; data in {first.data.parent}, logs in "
        f"{first.data.parent}/*/peer.log",
        "",
        f"  export CRDTSTATE_SERVER={urls}",
        "  crdtstate kv put greeting hello",
        f"  curl {plans[-1].url}/kv/greeting",
        "",
        f"  export KUBECONFIG={(first.data.parent / 'kubeconfig').resolve()}",
        "  kubectl get nodes              # or --context b, and helm, kopf, any client",
        "  crdtstate get nodes            # without kubectl; and apply -f, delete",
        "",
    ]
    if dev and len(plans) > 1:
        lines += [
            "  crdtstate dev cut a b          # write on both sides, then:",
            "  crdtstate dev heal",
            "  crdtstate conflicts",
            "",
            "Fault injection is on (--dev): anyone who reaches the API can cut links.",
        ]
    if not Path(sys.argv[0]).parent.samefile(Path(sys.executable).parent):
        return "\n".join(lines) + "\n\n"
    hint = f'  export PATH="{Path(sys.executable).parent}:$PATH"'
    return "\n".join([*lines[:2], hint, *lines[2:]]) + "\n\n"


def _is_ready(look: Look) -> bool:
    return bool(look.fields.get("ready"))


def _verdict(looks: Sequence[Look]) -> str:
    """Say whether the peers that answer have the same state."""
    there = [look for look in looks if look.fields]
    states = {(str(look.fields["vector"]), look.fields["fingerprint"]) for look in there}
    if len(there) < len(looks):
        return f"{len(there)} of {len(looks)} peers answer"
    if not all(_is_ready(look) for look in looks):
        return "starting"
    missing = sum(len(looks) - 1 - len(look.fields["linked"]) for look in looks)
    links = f", {missing} of {len(looks) * (len(looks) - 1)} links missing" if missing else ""
    return ("converged" if len(states) == 1 else "the peers differ") + links


def _rows(children: Sequence[Child], looks: Sequence[Look]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for child, look in zip(children, looks, strict=True):
        fields = look.fields
        if not fields:
            rows.append((look.name, child.plan.url, look.error or "starting", "", "", "", ""))
            continue
        state = "ready" if fields["ready"] else str(fields["reason"])
        rows.append(
            (
                look.name, child.plan.url, state, ", ".join(fields["linked"]) or "nobody",
                str(sum(fields["vector"].values())), fields["fingerprint"][:12],
                str(fields["conflicts"]),
            )
        )  # fmt: skip
    return rows


_HEAD = ("PEER", "API", "STATE", "LINKED TO", "TRANSACTIONS", "FINGERPRINT", "CONFLICTS")


def _table(children: Sequence[Child], looks: Sequence[Look]) -> "Table":
    from rich.table import Table

    verdict = _verdict(looks)
    style = "green" if verdict == "converged" else "yellow"
    table = Table(title=f"[{style}]{verdict}[/] · Ctrl-C stops all", title_justify="left", box=None)
    for name in _HEAD:
        table.add_column(name)
    for row in _rows(children, looks):
        table.add_row(*row)
    return table


def _draw(children: Sequence[Child], told: threading.Event) -> None:
    """Show a live table."""
    from rich.live import Live

    looks = [Look(child.plan.name) for child in children]
    with Live(_table(children, looks), auto_refresh=False, transient=True) as live:
        while not told.is_set():
            looks = look_at(children)
            live.update(_table(children, looks), refresh=True)
            told.wait(_PERIOD_S if all(map(_is_ready, looks)) else _FIRST_PERIOD_S)


def _tell(children: Sequence[Child], told: threading.Event) -> None:
    """Print a line for each change, where nobody looks at a table."""
    before: dict[str, str] = {}
    while not told.is_set():
        looks = look_at(children)
        now = {
            row[0]: f"{row[2]}, linked to {row[3] or 'nobody'}" for row in _rows(children, looks)
        }
        now["cluster"] = _verdict(looks)
        for name, text in now.items():
            if before.get(name) != text:
                sys.stdout.write(f"{name}: {text}\n")
        sys.stdout.flush()
        before = now
        told.wait(_PERIOD_S if all(map(_is_ready, looks)) else _FIRST_PERIOD_S)
