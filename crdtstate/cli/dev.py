"""`crdtstate dev`: faults on the links of peers that run with --dev."""

import sys
from typing import Literal

import click

from crdtstate.cli.session import Session, api_address
from crdtstate.errors import CrdtstateError, UnavailableError

__all__ = ["dev"]


@click.group()
def dev() -> None:
    """Cut, disturb and heal links, to see what happens. Only peers started with --dev obey."""


@dev.command()
@click.argument("a")
@click.argument("b")
@click.option(
    "--direction", type=click.Choice(["both", "out", "in"]), default="both", show_default=True,
    help="out: what A sends to B is lost; in: what B sends to A.",
)  # fmt: skip
@click.pass_obj
def cut(session: Session, a: str, b: str, direction: Literal["both", "in", "out"]) -> None:
    """Cut the link between A and B. A is told, and drops both what it sends and what comes."""
    with session.client_of(a) as client:
        client.cut(b, direction)
    arrow = {"both": "<-x->", "out": "-x->", "in": "<-x-"}[direction]
    sys.stdout.write(f"cut {a} {arrow} {b}\n")


@dev.command()
@click.argument("a")
@click.argument("b")
@click.option("--drop", type=click.FloatRange(0, 1), default=0.0, help="Part that is lost.")
@click.option("--delay", "delay_ms", type=click.IntRange(0, 60_000), default=0, help="Added ms.")
@click.pass_obj
def fault(session: Session, a: str, b: str, drop: float, delay_ms: int) -> None:
    """Lose and delay what A sends to B."""
    with session.client_of(a) as client:
        client.fault(b, drop=drop, delay_ms=delay_ms)
    sys.stdout.write(f"{a} -> {b}: {drop:.0%} lost, {delay_ms} ms later\n")


@dev.command()
@click.argument("a", required=False)
@click.argument("b", required=False)
@click.pass_obj
def heal(session: Session, a: str | None, b: str | None) -> None:
    """End the faults of all peers, of A, or of A towards B."""
    if a is not None:
        with session.client_of(a) as client:
            client.heal(b)
        sys.stdout.write(f"healed {a}{f' - {b}' if b else ''}\n")
        return
    with session.client() as client:
        rows = client.members()
    failed = []
    for row in rows:
        try:
            with session.client(api_address(row)) as client:
                client.heal()
            sys.stdout.write(f"healed {row.name}\n")
        except CrdtstateError as error:
            failed.append(f"{row.name} ({error.message})")
    if failed:
        raise UnavailableError("not healed: " + "; ".join(failed))
