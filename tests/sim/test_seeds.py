"""Seeds of the swarm, with all checks on: the same ones each time, and the sums are printed."""

import os
from collections.abc import Callable

import pytest

from crdtstate.sim.campaign import Totals, run_seeds

BLOCKS, BLOCK = 8, 48
_totals = Totals()


@pytest.mark.e2e
@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_seed_breaks_a_promise(block: int, figure: Callable[[str], None]) -> None:
    for verdict in run_seeds(
        range(block * BLOCK, (block + 1) * BLOCK), processes=min(4, os.cpu_count() or 1)
    ):
        _totals.add(verdict)
        assert verdict.violation is None, (
            f"crdtstate sim replay {verdict.seed}: {verdict.violation}"
        )


def test_the_sums_are_what_is_asked_for(figure: Callable[[str], None]) -> None:
    if _totals.seeds < BLOCKS * BLOCK:
        pytest.skip(f"only {_totals.seeds} of {BLOCKS * BLOCK} seeds were run")
    for line in _totals.text().split("\n"):
        figure(f"simulator: {line}")
    assert _totals.seeds >= 300
    assert _totals.virtual_s >= 12 * 3600
    assert _totals.counts["recoveries"] >= 3_000


@pytest.mark.deep
def test_two_and_a_half_thousand_seeds(figure: Callable[[str], None]) -> None:
    totals = Totals()
    violations: list[str] = []
    for verdict in run_seeds(range(10_000, 13_100), processes=os.cpu_count() or 1):
        totals.add(verdict)
        if verdict.violation is not None:
            violations.append(f"crdtstate sim replay {verdict.seed}: {verdict.violation}")
    for line in totals.text().split("\n"):
        figure(f"simulator: {line}")
    assert violations == []
    assert totals.seeds >= 2_500
    assert totals.virtual_s >= 100 * 3600
    # With the 5,000 of the real RocksDB in test_power_cuts.py: 60,000.
    assert totals.counts["recoveries"] >= 55_000
