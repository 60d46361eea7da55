"""The lines that were promised beforehand, each met, missed or not measured. Pure."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from bench.caplab.matrix import KILL_LEADER, KILL_MEMBER, PAUSE, QUICK, Cell
from bench.caplab.report import view as v
from bench.caplab.report.view import Number, View
from bench.caplab.results import CellRun
from bench.caplab.statistics import median
from bench.caplab.systems.names import ETCD, OURS

QUICK_S_MAX = 720.0
GAP_MS_MAX, RECOVERY_MS_MAX, CUT_P99_RATIO_MAX = 50.0, 500.0, 1.5


class Line(NamedTuple):
    """One promise: `met` None when the run did not measure it."""

    what: str
    target: str
    figure: str
    met: bool | None

    @property
    def verdict(self) -> str:
        """As the page says it."""
        return {True: "met", False: "MISSED", None: "not measured"}[self.met]


def lines_of(view: View) -> list[Line]:
    """Return every line."""
    return [*_speed(view), *_size(view), *_cuts(view), *_kept(view), *_run(view)]


def _at_least(what: str, figure: Number, target: float) -> Line:
    met = None if figure is None else figure >= target
    return Line(what, f"at least {target:g} times etcd", _times(figure), met)


def _at_most(what: str, figure: Number, target: float) -> Line:
    met = None if figure is None else figure <= target
    return Line(what, f"at most {target:g} times etcd", _times(figure), met)


def _times(figure: Number) -> str:
    return "" if figure is None else f"{figure:.2f} times"


def _speed(view: View) -> list[Line]:
    idle, etcd_idle = view.idle_bytes_s(OURS), view.idle_bytes_s(ETCD)
    return [
        _at_least("durable puts/s, 64 clients, w=1", view.compare(v.PUT_64, v.per_s), 2.0),
        _at_least("durable puts/s, 64 clients, w=2", view.compare(v.PUT_64, v.per_s, "2"), 1.0),
        _at_most("p99 of a put, 64 clients, w=1", view.compare(v.PUT_64, v.latency(0.99)), 0.5),
        _at_least("operations/s, 128 a request, 16 clients", view.compare(v.MANY_16, v.per_s), 2.0),
        _at_least(
            "local reads/s beside linearizable ones",
            view.compare(v.GET_64, v.per_s, etcd="get_strong"), 1.5,
        ),
        _at_most("bytes between members a put", view.compare(v.PUT_64, v.bytes_each), 0.7),
        _at_most("bytes between idle members", None if not etcd_idle else (idle or 0) / etcd_idle,
                 0.1),
    ]  # fmt: skip


def _size(view: View) -> list[Line]:
    def per_key(system: str) -> Number:
        return view.size(system, lambda r: (r.rss_bytes - r.rss_before_bytes) / r.keys)

    def compare(figure: Callable[[str], Number]) -> Number:
        ours, etcd = figure(OURS), figure(ETCD)
        return None if ours is None or not etcd else ours / etcd

    restart = compare(lambda system: view.size(system, lambda r: r.restart_s))
    return [
        _at_most("1,000,000 keys: memory a key", compare(per_key), 0.5),
        _at_most("1,000,000 keys: restart", restart, 0.5),
    ]


def _worst(
    view: View, cells: Sequence[Cell], system: str, figure: Callable[[CellRun], Number],
    pick: Callable[[list[float]], float],
) -> Number:  # fmt: skip
    """Return the worst cell's median; None when nothing of it was measured."""
    found = [view.middle(view.cell_runs(cell, system), figure) for cell in cells]
    there = [value for value in found if value is not None]
    return pick(there) if there else None


def _cuts(view: View) -> list[Line]:
    cuts = view.cuts()
    ours = [run for cell in cuts for run in view.cell_runs(cell, OURS)]
    etcd = [run for cell in cuts for run in view.cell_runs(cell, ETCD)]
    ours_min = _worst(view, cuts, OURS, _least_accepted, min)
    minority = median([_minority_accepted(run) for run in etcd])
    change = _worst(view, cuts, OURS, _p99_change, max)
    hit = [
        cell
        for cell in view.cells()
        if cell in cuts or cell.fault in (KILL_LEADER, KILL_MEMBER, PAUSE)
    ]
    gap = _worst(view, hit, OURS, lambda run: run.measured.gap_ms["during"], max)
    slow = [run for run in ours if run.measured.recovery_ms is None]
    recovery = _worst(view, cuts, OURS, lambda run: run.measured.recovery_ms, max)
    lengths = ", ".join(f"{s:g}" for s in sorted({cell.seconds for cell in cuts}))
    return [
        Line("writes accepted on every side of every cut", "100 %", _percent(ours_min),
             None if ours_min is None else ours_min == 1.0),
        Line("the same of etcd's sides without a majority", "0 %, by design", _percent(minority),
             None if minority is None else minority == 0.0),
        Line("p99 of a put during a cut over before", f"at most {CUT_P99_RATIO_MAX:g} times",
             _times(change), None if change is None else change <= CUT_P99_RATIO_MAX),
        Line("longest gap in writes at survivors of a cut, kill or pause",
             f"at most {GAP_MS_MAX:g} ms", _ms(gap), None if gap is None else gap <= GAP_MS_MAX),
        Line(f"recovery after the heal, cuts of {lengths} s", f"at most {RECOVERY_MS_MAX:g} ms",
             "not within the run" if slow else _ms(recovery),
             None if recovery is None else not slow and recovery <= RECOVERY_MS_MAX),
    ]  # fmt: skip


def _least_accepted(run: CellRun) -> Number:
    shares = [v.accepted_share(run, "put", str(n)) for n in range(len(run.sides))]
    there = [share for share in shares if share is not None]
    return min(there) if there else None


def _minority_accepted(run: CellRun) -> Number:
    members = sum(map(len, run.sides))
    shares = [
        v.accepted_share(run, "put", str(n))
        for n, side in enumerate(run.sides)
        if 2 * len(side) <= members
    ]
    there = [share for share in shares if share is not None]
    return max(there) if there else None


def _p99_change(run: CellRun) -> Number:
    before = v.panel_latency(run, "put", 0.99, "before")
    during = v.panel_latency(run, "put", 0.99, "during")
    return None if not before or during is None else during / before


def _kept(view: View) -> list[Line]:
    runs = [run for run in view.results.cells if run.system == OURS]
    if not runs:
        return []
    lost = sum(len(run.measured.checked.lost) for run in runs)
    keys = sum(run.measured.checked.conflict_keys for run in runs)
    unlisted = sum(len(run.measured.checked.conflicts_unlisted) for run in runs)
    beyond = sum(beyond_guarantees(run) for run in runs)
    apart = sum(not run.measured.checked.equal or run.fingerprints_equal is False for run in runs)
    return [
        Line("acknowledged writes of ours lost, all cells", "none", str(lost), lost == 0),
        Line("overridden concurrent writes missing from /conflicts", "none",
             f"{unlisted} of {keys} keys", None if not keys else unlisted == 0),
        Line("reads of ours that broke a guarantee", "none", str(beyond), beyond == 0),
        Line("cells of ours that did not converge", "none", f"{apart} of {len(runs)}", apart == 0),
    ]  # fmt: skip


def beyond_guarantees(run: CellRun) -> int:
    """Return the reads that docs/guarantees.md does not allow: all but those without a token."""
    return sum(
        counts["causal"] + counts["out_of_thin_air"]
        for role, counts in run.measured.checked.session_anomalies.items()
        if not role.endswith("without token")
    )


def _run(view: View) -> list[Line]:
    results = view.results
    if results.matrix != QUICK.name:
        return []
    return [
        Line("the quick matrix", f"at most {QUICK_S_MAX / 60:g} min",
             f"{results.took_s / 60:.1f} min", results.took_s <= QUICK_S_MAX),
    ]  # fmt: skip


def _percent(share: Number) -> str:
    return "" if share is None else f"{100 * share:.4g} %"


def _ms(value: Number) -> str:
    return "" if value is None else f"{value:.0f} ms"
