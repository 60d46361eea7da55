"""Many seeds, in several processes, and what they add up to; and the shrinking of one that fails.

Source: shrinking by whole fault kinds first, then by halves, is greedy delta debugging (Zeller and
Hildebrandt, IEEE TSE 2002).
"""

import dataclasses
import logging
import multiprocessing
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import final

import structlog

from crdtstate.sim.plan import FAULTS, Plan, draw_plan
from crdtstate.sim.run import Verdict, run_seed
from crdtstate.sim.story import Story
from crdtstate.sim.workloads import Workload, load_workload

__all__ = ["Totals", "quiet_logs", "run_one", "run_seeds", "shrink"]


@final
@dataclasses.dataclass
class Totals:
    """Sums over the runs of a campaign."""

    seeds: int = 0
    virtual_s: float = 0.0
    cpu_s: float = 0.0
    converged_s: list[float] = dataclasses.field(default_factory=list)
    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    stats: Counter[str] = dataclasses.field(default_factory=Counter)
    failures: list[Verdict] = dataclasses.field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        """Take one run."""
        self.seeds += 1
        self.virtual_s += verdict.virtual_s
        self.cpu_s += verdict.cpu_s
        self.counts += verdict.counts
        self.stats += verdict.stats
        if verdict.violation is not None:
            self.failures.append(verdict)
        else:
            self.converged_s.append(verdict.converged_s)

    def text(self) -> str:
        """Return the sums in a few lines."""
        counts, stats, took = self.counts, self.stats, sorted(self.converged_s) or [0.0]
        times = self.virtual_s / max(self.cpu_s, 1e-9)
        return "\n".join([
            f"{self.seeds} seeds, {len(self.failures)} failed; {self.virtual_s / 3600:.1f} "
            f"cluster-hours in {self.cpu_s:.0f} CPU s: {times:.0f} times real "
            "time per core, all checks on",
            f"{counts['transactions']} transactions, {counts['steps']} steps of replicas, "
            f"{counts['comparisons']} records compared with the specification, "
            f"{counts['full_checks']} whole states",
            f"{stats['deaths']} deaths, {counts['recoveries']} recoveries, "
            f"{stats['disks_lost']} disks lost, {counts['acknowledged']} writes acknowledged",
            f"{stats['operations']} operations of clients, {stats['refused']} refused, "
            f"{counts['reads']} reads checked, {counts['watch_lines']} lines of watches",
            f"equal after the healing: median {took[len(took) // 2]:.2f} s, "
            f"p99 {took[int(len(took) * 0.99)]:.2f} s, worst {took[-1]:.2f} s",
        ])  # fmt: skip


def quiet_logs() -> None:
    """Log nothing below an error that nobody expects; peers die by the hundred here."""
    wrapper = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=wrapper)


def run_one(
    seed: int, seconds: int | None = None, faults: Collection[str] = (), workload: str | None = None
) -> Verdict:
    """Run one seed as a campaign does. Raises: InvalidError."""
    plan = draw_plan(seed, seconds=seconds, faults=faults)
    return run_seed(seed, plan, load_workload(workload, plan) if workload else None)


def _in_process(
    seed: int, seconds: int | None, faults: tuple[str, ...], workload: str | None
) -> Verdict:
    verdict = run_one(seed, seconds, faults, workload)
    if verdict.violation is None:
        verdict.story = Story()  # Nobody will read it, and it is long.
    return verdict


def run_seeds(
    seeds: range,
    *,
    seconds: int | None = None,
    faults: Collection[str] = (),
    workload: str | None = None,
    processes: int = 1,
    go_on: Callable[[], bool] = lambda: True,
) -> Iterator[Verdict]:
    """Yield the verdicts as they come; stop handing out seeds once `go_on` is False."""
    context = multiprocessing.get_context("spawn")
    left = iter(seeds)
    with ProcessPoolExecutor(processes, mp_context=context, initializer=quiet_logs) as pool:
        running: set[Future[Verdict]] = set()
        while True:
            while len(running) < 2 * processes and go_on():
                seed = next(left, None)
                if seed is None:
                    break
                running.add(pool.submit(_in_process, seed, seconds, tuple(faults), workload))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def shrink(
    seed: int,
    plan: Plan,
    workload: Workload | None = None,
    note: Callable[[Plan, str | None], None] = lambda _plan, _violation: None,
) -> Verdict:
    """Return the smallest run found that still fails in the same way, by its invariant."""
    best = run_seed(seed, plan, workload)
    if best.violation is None:
        return best
    kind = _kind(best.violation)
    changed = True
    while changed:
        changed = False
        for smaller in _smaller(best.plan):
            verdict = run_seed(seed, smaller, workload)
            note(smaller, verdict.violation)
            if verdict.violation is not None and _kind(verdict.violation) == kind:
                best, changed = verdict, True
                break
    return best


def _kind(violation: str) -> str:
    return ":".join(violation.split(":")[:2])


def _smaller(plan: Plan) -> Iterator[Plan]:
    quiet = Plan()
    for name in FAULTS:
        if getattr(plan, name) != getattr(quiet, name):
            yield plan.replace(**{name: getattr(quiet, name)})
    least = {"seconds": 5, "peers": 2, "clients": 1, "keys": 1, "watchers": 0}
    for name, smallest in least.items():
        value = getattr(plan, name)
        if value > smallest:
            yield plan.replace(**{name: max(smallest, value // 2)})
            yield plan.replace(**{name: value - 1})
