"""Figures from samples: quantiles, medians over rounds. Pure."""

import math
from collections.abc import Sequence

QUANTILES = (
    0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999,
    0.9999, 1.0,
)  # fmt: skip
"""What the report draws a distribution from."""
SHORT = (0.5, 0.9, 0.99, 0.999, 1.0)
"""What is kept of the many distributions of a panel."""


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank quantile of sorted samples. Raises: ValueError without samples."""
    if not ordered:
        raise ValueError("a quantile of no samples")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def distribution(samples_ms: Sequence[float], shares: Sequence[float] = QUANTILES) -> list[float]:
    """Return the samples at `shares`, rounded to a microsecond; empty without samples."""
    ordered = sorted(samples_ms)
    return [round(quantile(ordered, share), 3) for share in shares] if ordered else []


def at(quantiles: Sequence[float], share: float) -> float | None:
    """Return one quantile of a stored distribution; None when there were no samples."""
    if not quantiles:
        return None
    return quantiles[(SHORT if len(quantiles) == len(SHORT) else QUANTILES).index(share)]


def median(values: Sequence[float | None]) -> float | None:
    """Return the middle of what is there, the mean of two middles; None when nothing is."""
    there = sorted(value for value in values if value is not None)
    if not there:
        return None
    middle = len(there) // 2
    if len(there) % 2:
        return there[middle]
    return (there[middle - 1] + there[middle]) / 2


def ratio(over: float | None, under: float | None) -> float | None:
    """Return over / under; None when one is missing or `under` is 0."""
    return None if over is None or not under else over / under
