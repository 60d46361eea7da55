"""What the page says, made from the results. Pure: every figure in it is asked of the `View`."""

from collections.abc import Callable

from bench.caplab.matrix import Cell
from bench.caplab.report import view as v
from bench.caplab.report.acceptance import Line, lines_of
from bench.caplab.report.cuts import cuts
from bench.caplab.report.document import Block, Bullets, Heading, Picture, Table, Text
from bench.caplab.report.promises import promises
from bench.caplab.report.speed import speed
from bench.caplab.report.view import Number, View
from bench.caplab.results import CellRun
from bench.caplab.statistics import at
from bench.caplab.systems.names import ETCD, OURS, SYSTEMS


def blocks_of(view: View, plots: dict[str, Picture]) -> list[Block]:
    """Return the whole page."""
    lines = lines_of(view)
    return [
        *_opening(view),
        *_verdicts(lines),
        *promises(view),
        *cuts(view, plots),
        *speed(view, plots),
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


_VERDICTS = ("met", "MISSED", "not measured")


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
        return v.number(view.middle(runs, figure))

    keys = sum(run.measured.checked.conflict_keys for run in runs)
    unlisted = sum(len(run.measured.checked.conflicts_unlisted) for run in runs)
    siblings = sum(run.measured.checked.conflict_siblings for run in runs)
    return [
        [v.describe(cell), system,
         middle(lambda run: run.measured.checked.double_leader_ms),
         middle(lambda run: run.measured.checked.leaderless_ms),
         middle(_overwritten), middle(_loose_anomalies),
         middle(lambda run: at(run.measured.stale_ms["during"], 0.99)),
         str(keys) if system == OURS else v.NONE,
         f"{siblings - unlisted} of {siblings}" if keys else v.NONE,
         str(sum(run.measured.checked.conflict_keys_told for run in runs)) if keys else v.NONE]
    ]  # fmt: skip


def _overwritten(run: CellRun) -> Number:
    acknowledged, _, final = run.measured.checked.modified
    return None if final is None else max(0, acknowledged - final)


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
