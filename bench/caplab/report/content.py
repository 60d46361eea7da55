"""What the page says, made from the results. Pure: every figure in it is asked of the `View`."""

from collections.abc import Callable

from bench.caplab.history import WINDOWS
from bench.caplab.matrix import CUTS, Cell
from bench.caplab.report import view as v
from bench.caplab.report.acceptance import Line, beyond_guarantees, lines_of
from bench.caplab.report.document import Block, Bullets, Heading, Picture, Table, Text
from bench.caplab.report.view import Number, View
from bench.caplab.results import CellRun, LoadRun
from bench.caplab.statistics import at, median
from bench.caplab.systems.names import ETCD, OURS, SYSTEMS


def blocks_of(view: View, plots: dict[str, Picture]) -> list[Block]:
    """Return the whole page."""
    lines = lines_of(view)
    return [
        *_opening(view),
        *_verdicts(lines),
        *_promises(view),
        *_cuts(view, plots),
        *_speed(view, plots),
        *_costs(view),
        *_when_etcd(view),
        *_missed(view, lines),
        *_method(view),
    ]


def _opening(view: View) -> list[Block]:
    r = view.results
    return [
        Heading("The other side of CAP: crdtstate beside a real etcd", 1),
        Text(
            f"Run of {r.date}, matrix `{r.matrix}`, {r.took_s / 60:.1f} minutes. "
            f"etcd {r.versions.get('etcd', '?')} and crdtstate {r.versions.get('ours', '?')} on "
            f"{r.machine}; members in {r.place}. "
            f"When it began, {r.busy:.1f} other programs wanted each core."
        ),
        Text(
            "Both are loaded by the same generator and broken in the same way, in turns. "
            "They promise different things: an acknowledgement of etcd says that a majority has "
            "the write on disk; ours says that one member has (`w=1`), or two (`w=2`). "
            "**The like-for-like row for writes is `w=2`.** "
            "A read of ours is local, as is etcd's serializable one; etcd's linearizable read has "
            "no counterpart here."
        ),
    ]


def _verdicts(lines: list[Line]) -> list[Block]:
    counts = {verdict: sum(line.verdict == verdict for line in lines) for verdict in _VERDICTS}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    rows = [
        [line.what, line.target, line.figure,
         "**MISSED**" if line.met is False else line.verdict]
        for line in lines
    ]  # fmt: skip
    return [
        Heading("What was promised beforehand"),
        Text(f"{told}. Ratios are medians of ratios within a round."),
        Table(["line", "target", "measured", ""], rows),
    ]


NONE = "\N{EN DASH}"
_VERDICTS = ("met", "MISSED", "not measured")


# -- promises --------------------------------------------------------------------------------------


def _promises(view: View) -> list[Block]:
    kept = {system: [r for r in view.results.cells if r.system == system] for system in SYSTEMS}
    if not all(kept.values()):
        return []

    def both(figure: Callable[[list[CellRun]], str]) -> list[str]:
        return [figure(kept[ETCD]), figure(kept[OURS])]

    return [
        Heading("What each promises, and what it kept"),
        Text(
            f"Over {len(kept[ETCD])} runs with a fault on etcd and {len(kept[OURS])} on ours. "
            "A dash: it promises no such thing."
        ),
        Table(
            ["", "etcd promises", "etcd kept", "ours promises", "ours kept"],
            [
                _row("acknowledged writes stay", "yes", "yes, with w=1 on one disk",
                     both(lambda runs: f"{_total(runs, _lost)} lost")),
                _row("writes accepted without a majority", "no", "yes, always",
                     both(_accepted_in_cuts)),
                _row("linearizable reads and writes", "yes", "no",
                     [_linearizable(kept[ETCD]), NONE]),
                _row("one leader at a time", "yes, by leases", "no",
                     [f"{_total(kept[ETCD], _double_leaders)} times two",
                      f"{_total(kept[OURS], _double_leaders)} times two"]),
                _row("causal reads in a session", "yes, if linearizable", "yes, with its token",
                     both(lambda runs: f"{_total(runs, beyond_guarantees)} reads broke it")),
                _row("concurrent writes of a cut", "cannot happen", "kept and listed",
                     [NONE, _conflicts(kept[OURS])]),
                _row("a counter counts every addition", "by retries", "by its type",
                     both(lambda runs: f"{_total(runs, _miscounted)} lost")),
                _row("members end equal", "yes", "yes",
                     both(lambda runs: f"{_total(runs, _equal)} of {len(runs)} runs")),
            ],
        ),
    ]  # fmt: skip


def _row(what: str, etcd: str, ours: str, kept: list[str]) -> list[str]:
    return [what, etcd, kept[0], ours, kept[1]]


def _total(runs: list[CellRun], figure: Callable[[CellRun], int]) -> int:
    return sum(map(figure, runs))


def _lost(run: CellRun) -> int:
    return len(run.measured.checked.lost)


def _double_leaders(run: CellRun) -> int:
    return run.measured.checked.double_leaders


def _equal(run: CellRun) -> int:
    return int(run.measured.checked.equal and run.fingerprints_equal is not False)


def _miscounted(run: CellRun) -> int:
    acknowledged, _, final = run.measured.checked.counter
    return max(0, acknowledged - (final or 0))


def _linearizable(runs: list[CellRun]) -> str:
    verdicts = [v for run in runs for v in run.measured.checked.linearizable.values()]
    text = f"{sum(v is True for v in verdicts)} of {len(verdicts)} histories"
    undecided = sum(v is None for v in verdicts)
    return f"{text}, {undecided} undecided" if undecided else text


def _accepted_in_cuts(runs: list[CellRun]) -> str:
    shares = [
        share
        for run in runs
        if run.cell.fault in CUTS
        for n, side in enumerate(run.sides)
        if 2 * len(side) <= sum(map(len, run.sides))
        and (share := v.accepted_share(run, "put", str(n))) is not None
    ]
    if not shares:
        return "not measured"
    least, most = f"{100 * min(shares):.4g}", f"{100 * max(shares):.4g}"
    return f"{least} %" if least == most else f"{least} to {most} %"


def _conflicts(runs: list[CellRun]) -> str:
    checked = [run.measured.checked for run in runs]
    unlisted = sum(len(c.conflicts_unlisted) for c in checked)
    siblings = sum(c.conflict_siblings for c in checked)
    return f"{siblings - unlisted} of {siblings} values listed"


# -- faults ----------------------------------------------------------------------------------------


def _cuts(view: View, plots: dict[str, Picture]) -> list[Block]:
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
            _number(median([_p99(run, window, side) for run in runs])) for window in WINDOWS
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
    return _percent(median([figure(run, role, side) for run in runs]))


def _p99(run: CellRun, window: str, side: str) -> Number:
    served = run.measured.served[window].get("put", {}).get(side)
    return at(served.distribution, 0.99) if served else None


def _cell_rows(view: View, cell: Cell, system: str) -> list[list[str]]:
    runs = view.cell_runs(cell, system)
    if not runs:
        return []

    def middle(figure: Callable[[CellRun], Number]) -> str:
        return _number(view.middle(runs, figure))

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
         str(_total(runs, _lost)),
         " / ".join(
             _number(median([at(run.measured.delivery_ms["before"], share) for run in runs]))
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
    return [[v.describe(cell), system, *(_number(median(figure)) for figure in figures)]]


# -- speed -----------------------------------------------------------------------------------------


def _speed(view: View, plots: dict[str, Picture]) -> list[Block]:
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
                [system, _number(view.idle_bytes_s(system)), f"{view.idle_cpu(system) or 0:.3f}"]
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
             *(_number(middle(v.latency(share))) for share in (0.5, 0.99, 0.999)),
             _number(middle(v.cpu_us_each)), _number(middle(v.bytes_each)),
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
             _number(view.size(system, lambda run: run.restart_s)),
             _number(view.size(system, lambda run: run.fill_s))]
        )  # fmt: skip
    return Table(["many keys", "bytes of memory a key", "restart, s", "filling, s"], rows, 1)


# -- what it is worth ------------------------------------------------------------------------------


def _costs(view: View) -> list[Block]:
    rows = [
        row for cell in view.cells() for system in SYSTEMS for row in _cost_row(view, cell, system)
    ]
    if not rows:
        return []
    return [
        Heading("What availability costs"),
        Text(
            "Counted in the same runs. *Two leaders*: how long two clients held themselves elected "
            "at once. *Overwritten*: acknowledged read-modify-writes that are not in the final "
            "number. *Anomalies*: reads of a client that moves between members and carries no "
            "token, in which it saw less than before. *Told*: keys whose plain read afterwards "
            "says that a concurrent write lost."
        ),
        Table(
            ["fault", "system", "two leaders, ms", "no leader, ms", "overwritten", "anomalies",
             "age missed by local reads, p99 ms", "conflicting keys", "listed", "told"],
            rows, 2,
        ),
    ]  # fmt: skip


def _cost_row(view: View, cell: Cell, system: str) -> list[list[str]]:
    runs = view.cell_runs(cell, system)
    if not runs:
        return []

    def middle(figure: Callable[[CellRun], Number]) -> str:
        return _number(view.middle(runs, figure))

    keys = sum(run.measured.checked.conflict_keys for run in runs)
    unlisted = sum(len(run.measured.checked.conflicts_unlisted) for run in runs)
    siblings = sum(run.measured.checked.conflict_siblings for run in runs)
    return [
        [v.describe(cell), system,
         middle(lambda run: run.measured.checked.double_leader_ms),
         middle(lambda run: run.measured.checked.leaderless_ms),
         middle(_overwritten), middle(_loose_anomalies),
         middle(lambda run: at(run.measured.stale_ms["during"], 0.99)),
         str(keys) if system == OURS else NONE,
         f"{siblings - unlisted} of {siblings}" if keys else NONE,
         str(sum(run.measured.checked.conflict_keys_told for run in runs)) if keys else NONE]
    ]  # fmt: skip


def _overwritten(run: CellRun) -> Number:
    acknowledged, _, final = run.measured.checked.modified
    return max(0, acknowledged - (final or 0))


def _loose_anomalies(run: CellRun) -> Number:
    counts = run.measured.checked.session_anomalies.get("roam without token", {})
    return counts.get("read_your_writes", 0) + counts.get("monotonic_reads", 0)


def _when_etcd(view: View) -> list[Block]:
    cuts = view.cuts()
    ours, etcd = (
        max(
            (r.measured.checked.double_leader_ms for c in cuts for r in view.cell_runs(c, system)),
            default=0.0,
        )
        for system in (OURS, ETCD)
    )
    lost = max(
        (_overwritten(run) or 0 for c in cuts for run in view.cell_runs(c, OURS)), default=0.0
    )
    return [
        Heading("When to use etcd instead"),
        Bullets(
            [
                "**One winner must exist.** Locks, elections, unique names, money that is spent "
                f"once. In the cuts above, two clients of ours held one lock for up to {ours:.0f} "
                f"ms of a run; two of etcd's, {etcd:.0f} ms.",
                "**A condition must hold everywhere.** A compare-and-set of ours is checked where "
                f"it is sent: up to {lost:.0f} acknowledged read-modify-writes of one run were "
                "overwritten by the other side's. etcd refused them or did them.",
                "**A read must be the newest.** Ours may be older than what another member shows, "
                "by the age in the table; etcd offers linearizable reads.",
                "**A majority is always there,** and the second or two of an election is no "
                "trouble: three machines in one rack behind one switch.",
                "**What you run speaks etcd.** Ours speaks its own API and the Kubernetes resource "
                "API, not etcd's.",
            ]
        ),
        Text(
            "Use ours where members are cut off from each other as a matter of course, where "
            "each side has to go on, and where what both sides wrote can be merged or shown to "
            "somebody: two machines, ships, shops, robots, home labs."
        ),
    ]


def _missed(view: View, lines: list[Line]) -> list[Block]:
    missed = [line for line in lines if line.met is False]
    if not missed:
        return []
    found: list[Block] = [
        Heading("What was missed"),
        Bullets([f"{m.what}: {m.figure}, wanted {m.target}" for m in missed]),
    ]
    if view.results.profile:
        found += [
            Text("Where one peer's time goes under 64 clients that put (sampled):"),
            Table(
                ["room", "share"],
                [[f"`{room}`", f"{100 * share:.1f} %"] for room, share in view.results.profile],
                1,
            ),
        ]
    return found


def _method(view: View) -> list[Block]:
    found: list[Block] = [
        Heading("How it was measured"),
        Bullets(
            [
                "The generator speaks gRPC to etcd and HTTP to ours over machinery of the same "
                "weight, in one process, timed by the machine's monotonic clock.",
                "Links are cut by giving the sender a neighbour address that nobody has, or held "
                "up in a proxy; sockets are not closed, nobody is told.",
                "etcd runs with its default timers. A bridge adds no delay.",
                "Linearizability: Wing and Gong's search over every register's history. Causality: "
                "the bad patterns of causal consistency over all sessions' reads.",
                "Everything above is computed from the JSON file beside this page by "
                "`bench/caplab/report`.",
            ]
        ),
    ]
    if view.results.skipped:
        rows = [[skipped.what, skipped.why] for skipped in view.results.skipped]
        found.append(Table(["not measured", "why"], rows))
    return found


def _percent(share: Number) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _number(value: Number) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
