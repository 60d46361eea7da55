"""The page's plots, drawn by matplotlib from the results alone, as SVG with its text as text.

The same results give the same bytes: no date, no random ids.
"""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.caplab.matrix import CUT_LEADER, KILL_LEADER, SHATTER, Cell
from bench.caplab.report import view as v
from bench.caplab.report.document import Picture
from bench.caplab.report.view import View
from bench.caplab.results import CellRun, LoadRun
from bench.caplab.statistics import QUANTILES, median
from bench.caplab.systems.names import ETCD, OURS, SYSTEMS
from bench.caplab.timeline import BIN_MS

COLORS = {ETCD: "#2f6db3", OURS: "#d4731b"}
_SIDES = ("#7a3fa0", "#2a8f6d", "#c2452d")
_FAILED, _SHADE = "#b3261e", "#f2e3c9"
_SETTINGS: Any = {
    "svg.hashsalt": "caplab",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
}
_STEP_BINS = 2


@contextmanager
def _figure(rows: int, columns: int, width: float, height: float, **more: Any) -> Iterator[Any]:
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots(rows, columns, squeeze=False, **more)


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def pictures(view: View) -> dict[str, Picture]:
    """Return every plot that the results have data for, by name."""
    found: list[Picture] = []
    for fault in (CUT_LEADER, KILL_LEADER, SHATTER):
        cell = next((c for c in view.cells() if c.fault == fault and c.members == 3), None)
        if cell is not None and all(view.cell_runs(cell, system) for system in SYSTEMS):
            found.append(_timeline(view, cell))
    if view.results.loads:
        found.append(_latencies(view))
    if view.results.cells:
        found.append(_recoveries(view))
    return {picture.name: picture for picture in found}


# -- timelines -------------------------------------------------------------------------------------


def _timeline(view: View, cell: Cell) -> Picture:
    """Draw accepted and failed puts, and staleness, of both systems over the same time."""
    runs = {system: view.cell_runs(cell, system)[0] for system in SYSTEMS}
    with _figure(
        4, 1, 9.5, 8.2, sharex=True, gridspec_kw={"height_ratios": [3, 3, 2, 2]}
    ) as (figure, grid):  # fmt: skip
        top = max(_peak(run) for run in runs.values())
        for row, system in enumerate(SYSTEMS):
            _draw_puts(grid[row][0], runs[system], system, top)
        oldest = max(
            max((max(line.stale_ms) for line in run.measured.lines), default=0)
            for run in runs.values()
        )
        for row, system in enumerate(SYSTEMS, 2):
            _draw_staleness(grid[row][0], runs[system], system, oldest / 1000)
        grid[3][0].set_xlabel("seconds from the begin of the load; shaded: the fault")
        svg = _svg(figure)
    name = "timeline-" + cell.fault.replace(" ", "-")
    return Picture(
        name, svg,
        f"{v.describe(cell)}: puts accepted on each side, those that failed (crosses), and how old "
        "the newest missing write was in local reads. etcd above, ours below, same scale.",
    )  # fmt: skip


def _seconds(count: int) -> list[float]:
    return [(n + 0.5) * BIN_MS / 1000 for n in range(count)]


def _rate(counts: Sequence[int]) -> list[float]:
    """Return puts a second in steps of several bins: a client's pace does not fit one exactly."""
    steps = [counts[n : n + _STEP_BINS] for n in range(0, len(counts), _STEP_BINS)]
    return [sum(step) * 1000 / BIN_MS / _STEP_BINS for step in steps if len(step) == _STEP_BINS]


def _peak(run: CellRun) -> float:
    return max(max(_rate(line.accepted)) for line in run.measured.lines)


def _shade(axes: Axes, run: CellRun) -> None:
    w = run.windows
    axes.axvspan((w.fault_ms - w.begin_ms) / 1000, (w.heal_ms - w.begin_ms) / 1000, color=_SHADE,
                 zorder=0)  # fmt: skip


def _draw_puts(axes: Axes, run: CellRun, system: str, top: float) -> None:
    _shade(axes, run)
    names = v.side_names(run)
    for n, line in enumerate(run.measured.lines):
        seconds, rates = _seconds(len(line.accepted)), _rate(line.accepted)
        steps = [n * _STEP_BINS * BIN_MS / 1000 for n in range(len(rates) + 1)]
        axes.stairs(rates, steps, color=_SIDES[n], linewidth=1.6, label=names[n], baseline=None)
        failed = [second for second, count in zip(seconds, line.failed, strict=True) if count]
        height = -0.07 * top * (n + 1)
        axes.plot(failed, [height] * len(failed), "x", color=_SIDES[n], markersize=4)
    axes.set_ylim(-0.07 * top * (len(run.measured.lines) + 1), 1.1 * top)
    axes.set_ylabel("puts/s")
    axes.set_title(f"{system}: puts accepted, and failed (crosses)")
    # Beside the title: inside it would lie on the lines.
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.96), ncols=3, frameon=False, fontsize=9)


def _draw_staleness(axes: Axes, run: CellRun, system: str, top_s: float) -> None:
    _shade(axes, run)
    for n, line in enumerate(run.measured.lines):
        ages = [age / 1000 for age in line.stale_ms]
        axes.plot(_seconds(len(ages)), ages, color=_SIDES[n], linewidth=1.4)
    axes.set_ylim(0, 1.1 * top_s or 1)
    axes.set_ylabel("seconds")
    axes.set_title(f"{system}: age of what a local read misses")


# -- latencies -------------------------------------------------------------------------------------

_STYLES = {"1": "-", "2": "--", "majority": ":"}


def _latencies(view: View) -> Picture:
    """Draw the latency distributions of the loads: how bad is the worst in a hundred?"""
    names = [n for n in (v.PUT_64, v.GET_64, v.MANY_16) if view.load_runs(n)]
    with _figure(1, len(names), 3.6 * len(names) + 0.6, 3.9) as (figure, grid):
        for axes, name in zip(grid[0], names, strict=True):
            for (system, kind, replicas), runs in view.load_runs(name).items():
                label, style = _label(system, kind, replicas, name)
                shares, values = _distribution(runs)
                axes.plot([_nines(s) for s in shares], values, style, color=COLORS[system],
                          label=label, linewidth=1.7)  # fmt: skip
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
            marks = (0.0, 0.5, 0.9, 0.99, 0.999)
            axes.set_xticks([_nines(s) for s in marks])
            axes.set_xticklabels(["min", "p50", "p90", "p99", "p99.9"])
            axes.set_title(name)
            axes.grid(visible=True, which="both", axis="y", color="#e6e9ed", linewidth=0.6)
            axes.legend(frameon=False, fontsize=8.5, loc="upper left")
        grid[0][0].set_ylabel("milliseconds")
        svg = _svg(figure)
    return Picture(
        "latencies", svg,
        "Latency under full load, medians over rounds of each quantile. To the right: rarer.",
    )  # fmt: skip


def _label(system: str, kind: str, replicas: str, name: str) -> tuple[str, str]:
    if name == v.GET_64:
        if system == OURS:
            return "ours, local", "-"
        return ("etcd, linearizable", "-") if kind == "get_strong" else ("etcd, serializable", "--")
    return (f"{system} w={replicas}" if system == OURS else system), _STYLES[replicas]


def _nines(share: float) -> float:
    return -math.log10(1 - min(share, 0.9995))


def _distribution(runs: Sequence[LoadRun]) -> tuple[list[float], list[float]]:
    shares, values = [], []
    for n, share in enumerate(QUANTILES):
        middle = median([r.result.distribution[n] for r in runs if r.result.distribution])
        if middle is not None and share <= 0.999:
            shares.append(share)
            values.append(middle)
    return shares, values


# -- recoveries ------------------------------------------------------------------------------------


def _recoveries(view: View) -> Picture:
    """Draw, for each fault, the longest gap at survivors and the time to full recovery."""
    cells = view.cells()
    with _figure(1, 2, 9.5, 0.42 * len(cells) + 1.4, sharey=True) as (figure, grid):
        for axes, title, figure_of in (
            (grid[0][0], "longest gap in writes beside a survivor", _gap),
            (grid[0][1], "full recovery after the heal", _recovery),
        ):
            for shift, system in ((0.2, ETCD), (-0.2, OURS)):
                rows, values = [], []
                for row, cell in enumerate(reversed(cells)):
                    value = view.middle(view.cell_runs(cell, system), figure_of)
                    if value is not None:
                        rows.append(row + shift)
                        values.append(max(1.0, value))
                axes.barh(rows, values, height=0.36, color=COLORS[system], label=system)
            axes.set_xscale("log")
            axes.set_xlim(1, 100_000)
            axes.set_xticks([1, 10, 100, 1000, 10_000])
            axes.set_xticklabels(["1 ms", "10", "100", "1 s", "10 s"])
            axes.set_title(title)
            axes.grid(visible=True, axis="x", color="#e6e9ed", linewidth=0.6)
            axes.set_axisbelow(True)
        grid[0][0].set_yticks(range(len(cells)), [v.describe(c) for c in reversed(cells)])
        grid[0][1].legend(frameon=False, loc="lower right", fontsize=9)
        svg = _svg(figure)
    return Picture(
        "recoveries", svg,
        "Medians over rounds, logarithmic. A member that was cut off or that runs counts as a "
        "survivor; no bar: not measured, or not within the run.",
    )  # fmt: skip


def _gap(run: CellRun) -> float:
    return run.measured.gap_ms["during"]


def _recovery(run: CellRun) -> float | None:
    return run.measured.recovery_ms
