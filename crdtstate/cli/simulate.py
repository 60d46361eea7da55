"""`crdtstate sim`: run the shipping code through faults, in virtual time, by seed."""

import sys
import time
from pathlib import Path

import click

from crdtstate.sim.campaign import Totals, quiet_logs, run_one, run_seeds, shrink
from crdtstate.sim.plan import FAULTS, Plan, draw_plan
from crdtstate.sim.run import Verdict
from crdtstate.sim.workloads import load_workload

__all__ = ["sim"]

_seconds = click.option(
    "--seconds", type=click.IntRange(1, 86_400), help="Virtual seconds of faults in each run."
)
_faults = click.option(
    "--faults", default="", metavar="A,B,...",
    help="Only these faults may be on; `crdtstate sim faults` lists them.",
)  # fmt: skip
_workload = click.option(
    "--workload", type=click.Path(exists=True, dir_okay=False),
    help="A Python file with client, always or at_the_end of your own.",
)  # fmt: skip


@click.group()
def sim() -> None:
    """Break simulated clusters, by seed: the code that ships, in virtual time.

    Loss, partitions, power cuts, wrong clocks, lost disks and more are drawn from the seed; at
    every step the state is compared with the specification. Nothing on this machine is touched.
    """


@sim.command()
@click.option("--seeds", type=click.IntRange(1), default=50, show_default=True)
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="First seed.")
@click.option("--minutes", type=click.FloatRange(0.01), help="Stop after so long, real time.")
@click.option("--processes", type=click.IntRange(1, 64), default=2, show_default=True)
@_seconds
@_faults
@_workload
def run(
    seeds: int,
    first: int,
    minutes: float | None,
    processes: int,
    seconds: int | None,
    faults: str,
    workload: str | None,
) -> int:
    """Run many seeds; exit with 1 when one of them fails."""
    names = _names(faults)
    draw_plan(0, faults=names)  # A fault that there is not is told before anything runs.
    if workload:
        load_workload(workload, Plan())
    totals, until = Totals(), time.monotonic() + 60 * minutes if minutes else float("inf")
    bar = click.progressbar(
        length=seeds, label="seeds", file=sys.stderr, show_pos=True,
        item_show_func=lambda failed: f"{failed} failed" if failed else "",
    )  # fmt: skip
    with bar:
        for verdict in run_seeds(
            range(first, first + seeds), seconds=seconds, faults=names, workload=workload,
            processes=processes, go_on=lambda: time.monotonic() < until,
        ):  # fmt: skip
            totals.add(verdict)
            bar.update(1, len(totals.failures))
    click.echo(totals.text())
    for verdict in totals.failures:
        click.echo(f"seed {verdict.seed}: {verdict.violation}\n  {verdict.plan.text()}")
        options = "".join(
            f" --{name} {value}"
            for name, value in (("seconds", seconds), ("faults", faults), ("workload", workload))
            if value
        )
        click.echo(f"  crdtstate sim replay {verdict.seed}{options}")
    return 1 if totals.failures else 0


@sim.command()
@click.argument("seed", type=click.IntRange(0))
@click.option("--svg", type=click.Path(dir_okay=False), help="Write the space-time diagram here.")
@click.option("--last", type=click.IntRange(1), default=200, show_default=True, help="Moments.")
@_seconds
@_faults
@_workload
def replay(
    seed: int, svg: str | None, last: int, seconds: int | None, faults: str, workload: str | None
) -> int:
    """Run one seed again, and tell what happened."""
    quiet_logs()
    verdict = run_one(seed, seconds, _names(faults), workload)
    return _tell(verdict, svg, last)


@sim.command(name="shrink")
@click.argument("seed", type=click.IntRange(0))
@click.option("--svg", type=click.Path(dir_okay=False), help="Write the space-time diagram here.")
@_seconds
@_faults
@_workload
def shrink_command(
    seed: int, svg: str | None, seconds: int | None, faults: str, workload: str | None
) -> int:
    """Look for a smaller run of a seed that fails in the same way."""
    quiet_logs()
    plan = draw_plan(seed, seconds=seconds, faults=_names(faults))
    tries = [0]

    def note(_plan: Plan, _violation: str | None) -> None:
        tries[0] += 1
        click.echo(f"\r{tries[0]} runs", nl=False, err=True)

    chosen = load_workload(workload, plan) if workload else None
    verdict = shrink(seed, plan, chosen, note)
    click.echo("", err=True)
    if verdict.violation is None:
        click.echo(f"seed {seed} does not fail")
        return 0
    return _tell(verdict, svg, 200)


@sim.command(name="faults")
def list_faults() -> None:
    """List the faults that a plan may have."""
    for name in FAULTS:
        click.echo(name)


def _names(faults: str) -> list[str]:
    return [name.strip() for name in faults.split(",") if name.strip()]


def _tell(verdict: Verdict, svg: str | None, last: int) -> int:
    click.echo(f"seed {verdict.seed}: {verdict.plan.text()}")
    click.echo(verdict.story.text(last))
    if svg is not None:
        title = f"seed {verdict.seed}: {verdict.violation or 'all promises kept'}"
        Path(svg).write_text(verdict.story.svg(verdict.hosts, title), encoding="utf-8")
        click.echo(f"space-time diagram: {svg}")
    end = verdict.violation or f"all promises kept; equal {verdict.converged_s:.2f} s after healing"
    click.echo(
        f"{end}\ndigest {verdict.digest}, {verdict.virtual_s:.0f} virtual s in "
        f"{verdict.cpu_s:.1f} CPU s"
    )
    return 1 if verdict.violation else 0
