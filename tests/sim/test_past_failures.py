"""Every real mistake that the simulator found, as the smallest run that showed it."""

from random import Random

import pytest

from crdtstate import AsyncClient
from crdtstate.daemon.driver import Driver
from crdtstate.sim.plan import Plan, draw_plan
from crdtstate.sim.run import run_seed
from crdtstate.sim.workloads import Workload

SMALLEST = Plan(
    peers=2, seconds=5, clients=4, keys=2, rate=3, watchers=0, event_entries_max=40, disk_lag_s=0.2
)


def test_a_read_of_what_is_not_yet_announced_waits_for_its_token() -> None:
    """API-3: seed 64. The token was older than what was read, so a fail-over could go back."""
    assert run_seed(64, SMALLEST).violation is None


def test_that_run_still_shows_the_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(_self: Driver) -> None:
        return

    monkeypatch.setattr(Driver, "announced", at_once)

    # From seed 64 on, for which one shows it moves with every change of a message's timing.
    verdicts = (run_seed(seed, SMALLEST) for seed in range(64, 104))
    violation = next((v.violation for v in verdicts if v.violation), "")

    assert violation.startswith("Violation: SES-2")


def test_a_record_larger_than_a_link_s_buffer_reaches_who_joins() -> None:
    """OUT-1: the fragments over the buffer were dropped, and each new pull met the same end."""

    async def grow(client: AsyncClient, rng: Random, _number: int) -> None:
        await client.map("big").merge({f"f{rng.randrange(8)}": "x" * 1_000_000})

    plan = Plan(peers=2, seconds=30, clients=1, keys=1, rate=1, watchers=0, join_every_s=10)

    assert run_seed(1, plan, Workload(grow)).violation is None


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(290, id="REP-6: an earlier life's announcement won"),
        pytest.param(286, id="SKW-1: held-up probes were taken for a wrong clock"),
        pytest.param(337, id="DRV-1: a commit failed half way and the replica went on"),
        pytest.param(10_810, id="LIV-1: its seeds were gone for good, and it remembered nobody"),
        pytest.param(11_795, id="LIV-1: the same, with other peers"),
    ],
)
def test_seeds_that_failed_once(seed: int) -> None:
    assert run_seed(seed, draw_plan(seed)).violation is None
