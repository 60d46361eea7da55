"""How fast both systems are when nothing is wrong, and how large."""

from collections.abc import Callable

from bench.caplab.report import view as v
from bench.caplab.report.document import Block, Heading, Picture, Table, Text
from bench.caplab.report.view import Number, View
from bench.caplab.results import LoadRun
from bench.caplab.statistics import median
from bench.caplab.systems.names import ETCD, OURS, SYSTEMS


def speed(view: View, plots: dict[str, Picture]) -> list[Block]:
    """Return the section; nothing when no load was run."""
    if not view.results.loads:
        return []
    found: list[Block] = [
        Heading("What it costs when nothing is wrong"),
        Text(
            "Closed loop: each client sends its next request when the last one is answered. Three "
            "members, the load and nothing else share the machine, so CPU is what is scarce. The "
            "last column is the generator's own share of a core: where it nears 1, a figure is a "
            "floor. *Ratio*: operations a second over etcd's first row of the same load."
        ),
    ]
    if "latencies" in plots:
        found.append(plots["latencies"])
    rows = [row for name in view.load_names() for row in _load_rows(view, name)]
    found.append(
        Table(
            ["load", "system", "operations/s", "ratio", "p50, ms", "p99, ms", "p99.9, ms",
             "CPU µs each", "bytes between each", "generator"],
            rows, 2,
        )
    )  # fmt: skip
    found.append(
        Table(
            ["idle cluster", "bytes/s between members", "cores"],
            [
                [system, v.number(view.idle_bytes_s(system)), f"{view.idle_cpu(system) or 0:.3f}"]
                for system in SYSTEMS
            ],
            1,
        )
    )
    if view.results.sizes:
        found.append(_sizes(view))
    return found


def _load_rows(view: View, name: str) -> list[list[str]]:
    by_kind = view.load_runs(name)
    etcd = next((runs for (system, *_), runs in by_kind.items() if system == ETCD), [])
    rows = []
    for (system, kind, replicas), runs in by_kind.items():
        mode = f" w={replicas}" if system == OURS and kind != "get" else ""
        mode += {"get_strong": ", linearizable", "get": ", local"}.get(kind, "")

        def middle(figure: Callable[[LoadRun], Number], runs: list[LoadRun] = runs) -> Number:
            return median([figure(run) for run in runs])

        times = view.load_ratio(runs, etcd, v.per_s)
        rows.append(
            [name, system + mode, f"{middle(v.per_s) or 0:,.0f}",
             f"{times:.2f}" if times is not None else "",
             *(v.number(middle(v.latency(share))) for share in (0.5, 0.99, 0.999)),
             v.number(middle(v.cpu_us_each)), v.number(middle(v.bytes_each)),
             f"{middle(lambda run: run.result.generator_share) or 0:.2f}"]
        )  # fmt: skip
    return rows


def _sizes(view: View) -> Table:
    rows = []
    for system in SYSTEMS:
        keys = view.size(system, lambda run: run.keys) or 1
        rss = view.size(system, lambda run: run.rss_bytes - run.rss_before_bytes) or 0
        rows.append(
            [f"{keys:,.0f} keys: {system}", f"{rss / keys:.0f}",
             v.number(view.size(system, lambda run: run.restart_s)),
             v.number(view.size(system, lambda run: run.fill_s))]
        )  # fmt: skip
    return Table(["many keys", "bytes of memory a key", "restart, s", "filling, s"], rows, 1)
