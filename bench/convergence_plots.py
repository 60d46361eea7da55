"""The pictures of docs/experiments/0001-convergence.md, from the figures that are kept."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench.convergence import LOSS_SIZES, by_size, column, fit

__all__ = ["draw"]

_INK, _BLUE, _RED, _GREY = "#222222", "#1f5fa8", "#b5402f", "#9a9a9a"


def draw(runs: Sequence[dict[str, Any]], into: Path) -> None:
    """Write the three pictures."""
    mpl.rcParams.update({
        "svg.hashsalt": "crdtstate", "font.size": 10, "axes.spines.top": False,
        "axes.spines.right": False, "axes.edgecolor": _INK, "figure.constrained_layout.use": True,
    })  # fmt: skip
    for name, make in (("rounds", _rounds), ("bytes", _bytes), ("loss", _loss)):
        figure, axes = plt.subplots(figsize=(6.4, 3.6))
        make(axes, runs)
        figure.savefig(into / f"0001-{name}.svg", metadata={"Date": None})
        plt.close(figure)


def _by_peers(axes: Any) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    axes.set_xlabel("peers")


def _rounds(axes: Any, runs: Sequence[dict[str, Any]]) -> None:
    sizes = by_size(runs)
    for peers, some in sizes.items():
        rounds = column(some, "rounds")
        axes.plot([peers] * len(rounds), rounds, ".", color=_GREY, alpha=0.25, zorder=1)
    axes.plot(
        list(sizes), [mean(column(some, "rounds")) for some in sizes.values()], "o", color=_BLUE,
        label="mean of the writes",
    )  # fmt: skip
    large = {n: mean(column(some, "rounds")) for n, some in sizes.items() if n > 16}
    a, b, r2 = fit(large.items())
    xs = [min(large) * (max(large) / min(large)) ** (k / 50) for k in range(51)]
    axes.plot(
        xs, [a + b * math.log(x) for x in xs], color=_RED,
        label=f"{a:.2f} + {b:.2f} ln n  (R² = {r2:.3f})",
    )  # fmt: skip
    axes.axvline(17, color=_GREY, linewidth=0.8, linestyle=":")
    axes.text(17.6, 0.25, "above: links and pushes to a few", color=_GREY, fontsize=8)
    axes.set_ylim(0)
    axes.set_ylabel("rounds until all have a write")
    axes.legend(frameon=False, loc="upper left")
    _by_peers(axes)


def _bytes(axes: Any, runs: Sequence[dict[str, Any]]) -> None:
    sizes = by_size(runs)
    axes.plot(
        list(sizes), [mean(column(some, "bytes")) for some in sizes.values()], "o-", color=_BLUE,
        label="a write, bytes sent by each peer",
    )  # fmt: skip
    axes.plot(
        list(sizes), [mean(run["idle_bytes_s"] for run in some) for some in sizes.values()],
        "s-", color=_RED, label="idle, bytes a second sent by each peer",
    )  # fmt: skip
    axes.set_ylim(0)
    axes.set_ylabel("bytes, headers included")
    axes.legend(frameon=False)
    _by_peers(axes)


def _loss(axes: Any, runs: Sequence[dict[str, Any]]) -> None:
    for peers, color in zip(LOSS_SIZES, (_GREY, _BLUE, _RED), strict=True):
        some = sorted((r for r in runs if r["peers"] == peers), key=lambda r: r["loss"])
        losses = sorted({run["loss"] for run in some})
        groups = [[r for r in some if r["loss"] == loss] for loss in losses]
        xs = [100 * loss for loss in losses]
        axes.plot(
            xs, [median(column(g, "ms_all")) for g in groups], "o-", color=color,
            label=f"{peers} peers, all have it",
        )  # fmt: skip
        axes.plot(
            xs, [median(column(g, "ms_half")) for g in groups], ".:", color=color,
            label=f"{peers} peers, half have it",
        )  # fmt: skip
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:,.0f}")
    axes.set_xlabel("packets lost, %")
    axes.set_ylabel("ms after the write (median)")
    axes.legend(frameon=False, fontsize=8, ncols=2)
