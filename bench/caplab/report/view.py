"""Questions that the page asks of the results: medians over rounds, ratios within a round. Pure.

A ratio is taken between runs of the same round, which ran next to each other, and the median of
these ratios is shown: what else the machine did cancels out as far as it can.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import final

from bench.caplab.matrix import BRIDGE, CUTS, Cell
from bench.caplab.results import CellRun, LoadRun, Results, SizeRun
from bench.caplab.statistics import at, median, ratio
from bench.caplab.systems.names import ETCD, OURS

PUT_64, PUT_1 = "put, 64 clients", "put, 1 client"
MANY_16, MANY_1, GET_64 = (
    "128 operations, 16 clients", "128 operations, 1 client", "get, 64 clients",
)  # fmt: skip

Number = float | None
NONE = "\N{EN DASH}"
"""Stands where a figure would mean nothing."""


@final
class View:
    """The results, asked."""

    def __init__(self, results: Results) -> None:
        self.results = results

    # -- loads ---------------------------------------------------------------------------------

    def load_names(self) -> list[str]:
        """Return the names of all loads, in order."""
        return list(dict.fromkeys(run.load.name for run in self.results.loads))

    def load_runs(self, name: str) -> dict[tuple[str, str, str], list[LoadRun]]:
        """Return the runs of a load by (system, kind, replicas), each in rounds."""
        found: dict[tuple[str, str, str], list[LoadRun]] = {}
        for run in self.results.loads:
            if run.load.name == name:
                key = (run.load.system, run.load.kind, run.load.replicas)
                found.setdefault(key, []).append(run)
        return found

    def load_ratio(
        self, ours: Sequence[LoadRun], etcd: Sequence[LoadRun], figure: Callable[[LoadRun], Number]
    ) -> Number:
        """Return the median of ours over etcd's, round by round."""
        theirs = {run.round: run for run in etcd}
        return median(
            [ratio(figure(run), figure(theirs[run.round])) for run in ours if run.round in theirs]
        )

    def compare(
        self, name: str, figure: Callable[[LoadRun], Number], replicas: str = "1", etcd: str = ""
    ) -> Number:
        """Return ours over etcd's for a load; `etcd` is the kind of its run, if it has several."""
        runs = self.load_runs(name)
        ours = next((r for k, r in runs.items() if k[0] == OURS and k[2] == replicas), [])
        theirs = next((r for k, r in runs.items() if k[0] == ETCD and etcd in ("", k[1])), [])
        return self.load_ratio(ours, theirs, figure)

    # -- idle and sizes ------------------------------------------------------------------------

    def idle_bytes_s(self, system: str) -> Number:
        """Return the bytes a second between the members of an idle cluster."""
        return median(
            [r.used.bytes_between / r.seconds for r in self.results.idle if r.system == system]
        )

    def idle_cpu(self, system: str) -> Number:
        """Return the cores that an idle cluster uses."""
        return median([r.used.cpu_s / r.seconds for r in self.results.idle if r.system == system])

    def size(self, system: str, figure: Callable[[SizeRun], Number]) -> Number:
        """Return a figure of the many keys."""
        return median([figure(r) for r in self.results.sizes if r.system == system])

    # -- cells ---------------------------------------------------------------------------------

    def cells(self) -> list[Cell]:
        """Return the cells that were run, in order."""
        found: list[Cell] = []
        for run in self.results.cells:
            if run.cell not in found:
                found.append(run.cell)
        return found

    def cell_runs(self, cell: Cell, system: str) -> list[CellRun]:
        """Return the rounds of a cell."""
        return [r for r in self.results.cells if r.cell == cell and r.system == system]

    def cuts(self) -> list[Cell]:
        """Return the cells in which links between running members are cut."""
        return [cell for cell in self.cells() if cell.fault in CUTS]

    def middle(self, runs: Iterable[CellRun], figure: Callable[[CellRun], Number]) -> Number:
        """Return the median over rounds."""
        return median([figure(run) for run in runs])


def per_s(run: LoadRun) -> Number:
    """Operations a second."""
    return run.result.per_s


def latency(share: float) -> Callable[[LoadRun], Number]:
    """A quantile of the latency."""
    return lambda run: at(run.result.distribution, share)


def operations(run: LoadRun) -> int:
    """How many operations a run did, those of the warm-up too."""
    each = round(run.result.per_s * run.result.seconds / max(1, run.result.requests))
    return max(1, run.result.total_requests * max(1, each))


def bytes_each(run: LoadRun) -> Number:
    """Bytes between members an operation."""
    return run.used.bytes_between / operations(run)


def cpu_us_each(run: LoadRun) -> Number:
    """CPU of all members an operation."""
    return run.used.cpu_s * 1e6 / operations(run)


def accepted_share(run: CellRun, role: str, side: str, window: str = "during") -> Number:
    """Accepted over attempted."""
    served = run.measured.served[window].get(role, {}).get(side)
    return None if served is None or not served.attempts else served.accepted / served.attempts


def available(run: CellRun, role: str, side: str, window: str = "during") -> Number:
    """Share of the clients' time not lost in failures."""
    served = run.measured.served[window].get(role, {}).get(side)
    return None if served is None else served.available


def panel_latency(run: CellRun, role: str, share: float, window: str) -> Number:
    """A quantile of what was accepted, of all sides."""
    served = run.measured.served[window].get(role, {}).get("all")
    return None if served is None else at(served.distribution, share)


def describe(cell: Cell) -> str:
    """Return how the page names a cell."""
    text = f"{cell.fault}, {cell.seconds:g} s"
    if cell.members != 3:
        text += f", {cell.members} members"
    return text if cell.link == BRIDGE else f"{text}, {cell.link}"


def side_names(run: CellRun) -> list[str]:
    """Return what each side of a run is, in words."""
    if len(run.sides) == 1:
        return ["all"]
    if len(run.sides) == 2:
        few, many = (len(side) for side in run.sides)
        return [f"side of {few}", f"side of {many}"] if few != many else ["one", "other"]
    return [f"alone {n + 1}" for n in range(len(run.sides))]


def percent(share: Number) -> str:
    """Return a share as people read it."""
    return "" if share is None else f"{100 * share:.1f} %"


def number(value: Number) -> str:
    """Return a figure in three digits, or in whole numbers when it is large."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
