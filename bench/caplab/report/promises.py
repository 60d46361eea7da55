"""What was promised, and was it kept: the section about both systems' guarantees."""

from collections.abc import Callable

from bench.caplab.matrix import CUTS
from bench.caplab.report import view as v
from bench.caplab.report.acceptance import beyond_guarantees
from bench.caplab.report.document import Block, Heading, Table, Text
from bench.caplab.report.view import View
from bench.caplab.results import CellRun
from bench.caplab.systems.names import ETCD, OURS, SYSTEMS


def promises(view: View) -> list[Block]:
    """Return the section; nothing when one of the systems has no runs."""
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
                     both(lambda runs: f"{_total(runs, lost)} lost")),
                _row("writes accepted without a majority", "no", "yes, always",
                     both(_accepted_in_cuts)),
                _row("linearizable reads and writes", "yes", "no",
                     [_linearizable(kept[ETCD]), v.NONE]),
                _row("one leader at a time", "yes, by leases", "no",
                     [f"{_total(kept[ETCD], _double_leaders)} times two",
                      f"{_total(kept[OURS], _double_leaders)} times two"]),
                _row("causal reads in a session", "yes, if linearizable", "yes, with its token",
                     both(lambda runs: f"{_total(runs, beyond_guarantees)} reads broke it")),
                _row("concurrent writes of a cut", "cannot happen", "kept and listed",
                     [v.NONE, _conflicts(kept[OURS])]),
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


def lost(run: CellRun) -> int:
    """Return how many acknowledged writes are not there at the end."""
    return len(run.measured.checked.lost)


def _double_leaders(run: CellRun) -> int:
    return run.measured.checked.double_leaders


def _equal(run: CellRun) -> int:
    return int(run.measured.checked.equal and run.fingerprints_equal is not False)


def _miscounted(run: CellRun) -> int:
    acknowledged, _, final = run.measured.checked.counter
    return 0 if final is None else max(0, acknowledged - final)


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
