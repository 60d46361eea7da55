"""What a fault does to both systems: the sections about cuts."""

from collections.abc import Callable

from bench.caplab.history import WINDOWS
from bench.caplab.matrix import Cell
from bench.caplab.report import view as v
from bench.caplab.report.document import Block, Heading, Picture, Table, Text
from bench.caplab.report.promises import lost
from bench.caplab.report.view import Number, View
from bench.caplab.results import CellRun
from bench.caplab.statistics import at, median
from bench.caplab.systems.names import SYSTEMS

_LONG_CUT_S = 10.0
_WHY_ETCD_WAITS = (
    "Why etcd may need as long again after a long cut: a link that swallows frames ends no "
    "connection. The streams between its members stay open, the kernel waits twice as long before "
    "each retransmission, and the one that gets through comes up to as long after the heal as the "
    "cut was long (etcd-io/etcd issue 18052). Ours drops a link when a probe fails and dials anew. "
    "Cuts are watched for at least as long after the heal as they lasted."
)


def cuts(view: View, plots: dict[str, Picture]) -> list[Block]:
    """Return the sections; nothing when nothing was cut."""
    cells = view.cells()
    if not cells:
        return []
    found: list[Block] = [
        Heading("What a fault does"),
        Text(
            "Clients beside each member write, read, watch and stand for election at a gentle "
            "pace, with a time-out of 0.3 s. *Served* is the share of a client's time not lost in "
            "operations that failed. A *gap* is the longest time without an accepted put beside a "
            "member that runs. *Recovered*: every member accepts writes and shows all that was "
            "acknowledged before the heal. *Delivered*: from the start of a put until a watcher "
            "beside another member has it, before the fault."
        ),
    ]
    if any(cell.seconds >= _LONG_CUT_S for cell in view.cuts()):
        found.append(Text(_WHY_ETCD_WAITS))
    found += [plots[name] for name in sorted(plots) if name.startswith("timeline")]
    found.append(
        Table(
            ["fault", "system", "side", "puts accepted", "served", "strong reads", "local reads",
             "p99 put before / during / after, ms"],
            [row for cell in cells for system in SYSTEMS for row in _side_rows(view, cell, system)],
            3,
        )
    )  # fmt: skip
    if "recoveries" in plots:
        found.append(plots["recoveries"])
    found.append(
        Table(
            ["fault", "system", "rounds", "gap, ms", "gap before, ms", "with fail-over, ms",
             "recovered, ms", "lost", "delivered, p50 / p99 ms"],
            [row for cell in cells for system in SYSTEMS for row in _cell_rows(view, cell, system)],
            2,
        )
    )  # fmt: skip
    found.append(
        Table(
            ["used over the run", "system", "KB between members", "CPU, s", "memory, MB",
             "written, MB", "generator"],
            [row for cell in cells for system in SYSTEMS for row in _used_rows(view, cell, system)],
            2,
        )
    )  # fmt: skip
    return found


def _side_rows(view: View, cell: Cell, system: str) -> list[list[str]]:
    runs = view.cell_runs(cell, system)
    if not runs:
        return []
    rows = []
    for n, name in enumerate(v.side_names(runs[0])):
        side = str(n)

        p99 = " / ".join(
            v.number(median([_p99(run, window, side) for run in runs])) or v.NONE
            for window in WINDOWS
        )
        rows.append(
            [v.describe(cell) if not n else "", system if not n else "", name,
             _share(runs, v.accepted_share, "put", side), _share(runs, v.available, "put", side),
             _share(runs, v.available, "read_strong", side),
             _share(runs, v.available, "read_local", side), p99]
        )  # fmt: skip
    return rows


def _share(
    runs: list[CellRun], figure: Callable[[CellRun, str, str], Number], role: str, side: str
) -> str:
    return v.percent(median([figure(run, role, side) for run in runs]))


def _p99(run: CellRun, window: str, side: str) -> Number:
    served = run.measured.served[window].get("put", {}).get(side)
    return at(served.distribution, 0.99) if served else None


def _cell_rows(view: View, cell: Cell, system: str) -> list[list[str]]:
    runs = view.cell_runs(cell, system)
    if not runs:
        return []

    def middle(figure: Callable[[CellRun], Number]) -> str:
        return v.number(view.middle(runs, figure))

    recovered = (
        "not within the run"
        if any(run.measured.recovery_ms is None for run in runs)
        else middle(lambda run: run.measured.recovery_ms)
    )
    return [
        [v.describe(cell), system, str(len(runs)),
         middle(lambda run: run.measured.gap_ms["during"]),
         middle(lambda run: run.measured.gap_ms["before"]),
         middle(lambda run: run.measured.failover_gap_ms), recovered,
         str(sum(map(lost, runs))),
         " / ".join(
             v.number(median([at(run.measured.delivery_ms["before"], share) for run in runs]))
             for share in (0.5, 0.99)
         )]
    ]  # fmt: skip


def _used_rows(view: View, cell: Cell, system: str) -> list[list[str]]:
    runs = view.cell_runs(cell, system)
    if not runs:
        return []
    used = [run.used for run in runs]
    figures = [
        [one.bytes_between / 1e3 for one in used],
        [one.cpu_s for one in used],
        [one.rss_bytes / 1e6 for one in used],
        [one.disk_bytes / 1e6 for one in used],
        [run.measured.generator_share for run in runs],
    ]
    return [[v.describe(cell), system, *(v.number(median(figure)) for figure in figures)]]
