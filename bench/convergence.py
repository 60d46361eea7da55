"""How soon, and for how many bytes, one write is everywhere: measure, fit, draw.

    python -m bench.convergence            # measure again (a quarter of an hour), then draw
    python -m bench.convergence --draw     # only draw docs/experiments/ from the figures kept

The figures are kept in bench/results/convergence.json; docs/experiments/0001-convergence.md says
what they mean. Needs matplotlib to draw.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from statistics import mean, median
from typing import Any, NamedTuple, final

from bench.field import Field

__all__ = ["Fit", "fit", "measure"]

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results" / "convergence.json"
PAGES = ROOT / "docs" / "experiments"
SIZES = (8, 16, 32, 64, 128, 256, 512, 1_000)
LOSSES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4)
LOSS_SIZES = (8, 64, 256)
WRITES = 12
SEEDS = (1, 2, 3)
VALUE_BYTES = 100
_SETTLE_MS, _IDLE_MS, _WRITE_MS_MAX, _BETWEEN_MS = 25_000, 15_000, 120_000, 1_500
_WRITERS = 3


@final
class Fit(NamedTuple):
    """y = a + b ln x, by least squares."""

    a: float
    b: float
    r2: float


def fit(points: Iterable[tuple[float, float]]) -> Fit:
    """Fit rounds to the number of peers."""
    pairs = [(math.log(x), y) for x, y in points]
    x0, y0 = mean(x for x, _ in pairs), mean(y for _, y in pairs)
    b = sum((x - x0) * (y - y0) for x, y in pairs) / sum((x - x0) ** 2 for x, _ in pairs)
    a = y0 - b * x0
    left = sum((y - a - b * x) ** 2 for x, y in pairs)
    total = sum((y - y0) ** 2 for _, y in pairs)
    return Fit(a, b, 1.0 - left / total if total else 1.0)


def measure(peers: int, seed: int, loss: float = 0.0, writes: int = WRITES) -> dict[str, Any]:
    """Let some peers write, one after the other, and see each write spread."""
    field = Field(peers, seed=seed, loss=loss)
    field.run(_SETTLE_MS)
    before = field.datagram_bytes + field.stream_bytes
    field.run(_IDLE_MS)
    idle = (field.datagram_bytes + field.stream_bytes - before) / peers / _IDLE_MS * 1000
    rng = Random(f"writers {seed}")
    names = rng.sample(sorted(field.hosts), min(_WRITERS, peers))
    rows = []
    for number in range(len(names) + writes):
        name = names[number % len(names)]
        sent, messages = field.stream_bytes, field.messages
        began_ms = field.write(name, f"{number:x>{VALUE_BYTES}}")
        if not field.run(_WRITE_MS_MAX, lambda: not field.missing):
            raise RuntimeError(f"{len(field.missing)} of {peers} peers lack a write of {name}")
        times = [at_ms - began_ms for at_ms in field.reached_ms]
        hops = [host.hops or 0 for host in field.hosts.values()]
        field.run(_BETWEEN_MS)
        if number >= len(names):  # The first of a life names every origin, and is long.
            rows.append({
                "rounds": max(hops), "rounds_mean": mean(hops),
                "ms_half": times[len(times) // 2], "ms_99": times[int(0.99 * (len(times) - 1))],
                "ms_all": times[-1], "bytes": (field.stream_bytes - sent) / peers,
                "messages": (field.messages - messages) / peers,
            })  # fmt: skip
    return {"peers": peers, "seed": seed, "loss": loss, "idle_bytes_s": idle, "writes": rows}


def measure_all() -> dict[str, Any]:
    """Measure every size, then loss."""
    plan = [(n, seed, 0.0) for n in SIZES for seed in (SEEDS if n < 500 else SEEDS[:1])]
    plan += [(n, 1, loss) for n in LOSS_SIZES for loss in LOSSES[1:]]
    runs = []
    for done, (peers, seed, loss) in enumerate(plan):
        print(f"\r\033[K{done}/{len(plan)}: {peers} peers, loss {loss:g}", end="", file=sys.stderr)
        runs.append(measure(peers, seed, loss))
    print(file=sys.stderr)
    return {"at": time.strftime("%Y-%m-%d"), "runs": runs}


# -- what the figures say ------------------------------------------------------------------------


def column(runs: Sequence[dict[str, Any]], name: str) -> list[float]:
    """Return one figure of every write of some runs."""
    return [write[name] for run in runs for write in run["writes"]]


def by_size(runs: Sequence[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """Return the runs without loss, by the number of peers."""
    found: dict[int, list[dict[str, Any]]] = {}
    for run in runs:
        if not run["loss"]:
            found.setdefault(run["peers"], []).append(run)
    return found


def tables(runs: Sequence[dict[str, Any]]) -> str:
    """Return the tables of the page, and the fit."""
    text = "| peers | rounds, mean | rounds, most | half, ms | 99 %, ms | all, ms | worst, ms "
    text += "| bytes a peer and write | messages | idle, B/s a peer |\n" + "|---" * 10 + "|\n"
    sizes = by_size(runs)
    for peers, some in sizes.items():
        rounds, all_ms = column(some, "rounds"), column(some, "ms_all")
        text += (
            f"| {peers:,} | {mean(rounds):.2f} | {max(rounds):.0f} "
            f"| {median(column(some, 'ms_half')):.1f} | {median(column(some, 'ms_99')):.1f} "
            f"| {median(all_ms):.1f} | {max(all_ms):,.0f} | {mean(column(some, 'bytes')):,.0f} "
            f"| {mean(column(some, 'messages')):.2f} "
            f"| {mean(run['idle_bytes_s'] for run in some):.0f} |\n"
        )
    large = {peers: some for peers, some in sizes.items() if peers > 16}
    a, b, r2 = fit((n, mean(column(some, "rounds"))) for n, some in large.items())
    text += f"\nrounds = {a:.2f} + {b:.2f} ln n, R² = {r2:.3f}, over {min(large)} to {max(large):,}"
    text += " peers\n\n| peers | loss | half, ms | 99 %, ms | all, ms | worst, ms | bytes |\n"
    text += "|---" * 7 + "|\n"
    for peers in LOSS_SIZES:
        for loss in LOSSES:
            some = [r for r in runs if r["peers"] == peers and r["loss"] == loss]
            all_ms = column(some, "ms_all")
            text += (
                f"| {peers} | {loss:.0%} | {median(column(some, 'ms_half')):.1f} "
                f"| {median(column(some, 'ms_99')):.0f} | {median(all_ms):,.0f} "
                f"| {max(all_ms):,.0f} | {mean(column(some, 'bytes')):,.0f} |\n"
            )
    return text


def main() -> None:
    """Measure unless told otherwise, print the tables, draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draw", action="store_true", help="take the figures that are kept")
    if not parser.parse_args().draw:
        RESULTS.write_text(json.dumps(measure_all(), indent=1) + "\n", encoding="utf-8")
    runs = json.loads(RESULTS.read_text(encoding="utf-8"))["runs"]
    print(tables(runs))
    from bench.convergence_plots import draw

    draw(runs, PAGES)


if __name__ == "__main__":
    main()
