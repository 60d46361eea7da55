"""The matrices say what they are said to: the quick one is quick, the full one is all of it."""

import pytest

from bench.caplab import matrix as m
from bench.caplab.faults import sides_of, survivors_of, victim_of
from bench.caplab.places.switch import LINKS
from bench.caplab.profiling import shares
from bench.caplab.roles import ROLES
from bench.caplab.statistics import QUANTILES, at, distribution, median, quantile, ratio
from bench.caplab.systems.names import ETCD, OURS, SYSTEMS


def test_the_quick_matrix_is_estimated_within_twelve_minutes() -> None:
    assert m.QUICK.estimate_s() < 12 * 60


def test_the_full_matrix_has_every_fault_length_and_link() -> None:
    cells = m.FULL.cells

    assert {cell.fault for cell in cells} == set(m.FAULTS)
    assert {c.seconds for c in cells if c.fault in m.CUTS} == {5.0, 15.0, 60.0}
    assert {"LAN", "campus", "WAN"} <= {cell.link for cell in cells} <= {m.BRIDGE, *LINKS}
    assert {cell.members for cell in cells} == {2, 3}
    assert m.FULL.keys == 1_000_000


def test_cuts_are_watched_for_longer_after_the_heal_than_they_lasted() -> None:
    for cell in m.FULL.cells:
        after_s = m.FULL.after(cell)
        assert after_s >= m.FULL.after_s
        assert after_s > cell.seconds or cell.fault not in m.CUTS


@pytest.mark.parametrize("matrix", [m.QUICK, m.FULL])
def test_what_is_compared_is_measured_at_least_three_times(matrix: m.Matrix) -> None:
    assert matrix.load_rounds >= 3
    assert any(cell.fault in m.CUTS and cell.rounds >= 3 for cell in matrix.cells)
    names = {load.name for load in matrix.loads}
    for name in names:
        assert {load.system for load in matrix.loads if load.name == name} == set(SYSTEMS)


def test_a_part_of_a_matrix_can_be_run_alone() -> None:
    part = m.QUICK.only("cut off leader")

    assert [cell.fault for cell in part.cells] == [m.CUT_LEADER]
    assert part.loads == []
    assert m.QUICK.only("") is m.QUICK


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("fault", m.FAULTS)
def test_every_client_of_a_panel_has_a_role_and_a_member(system: str, fault: str) -> None:
    sides = sides_of(fault, 0, 3)
    parts = m.parts_of(system, 3, fault, sides)

    assert {part.role for part in parts} <= ROLES.keys()
    assert {part.member for part in parts} == {0, 1, 2}
    modes = {part.replicas for part in parts}
    assert modes == ({"1", "2", "majority"} if system == OURS else {"1"})
    assert (fault in m.CUTS) == any(part.role == "conflict" for part in parts)


@pytest.mark.parametrize("fault", m.FAULTS)
def test_sides_hold_each_member_once(fault: str) -> None:
    victim = victim_of(fault, 1, 3)
    sides = sides_of(fault, victim, 3)

    assert sorted(n for side in sides for n in side) == [0, 1, 2]
    assert (victim in survivors_of(fault, victim, 3)) == (
        fault not in (m.KILL_LEADER, m.KILL_MEMBER, m.PAUSE)
    )
    if fault in (m.CUT_MEMBER, m.KILL_MEMBER):
        assert victim != 1


def test_quantiles_are_samples() -> None:
    samples = [float(n) for n in range(1, 101)]

    assert [quantile(samples, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert at(distribution(samples), 0.99) == 99
    assert len(distribution(samples)) == len(QUANTILES)
    assert at([], 0.5) is None


def test_medians_and_ratios_know_what_is_missing() -> None:
    assert median([3.0, None, 1.0]) == 2.0
    assert median([None]) is None
    assert ratio(1.0, 0.0) is None
    assert ratio(1.0, 4.0) == 0.25
    assert ETCD in SYSTEMS


def test_a_profile_counts_each_stack_in_its_innermost_room() -> None:
    stacks = [
        "main (click/core.py:1);step (crdtstate/replica/machine.py:9);loads (cbor2/x.py:1) 6",
        "main (click/core.py:1);step (gossip/net/stream.py:9) 3",
        "main (asyncio/runners.py:1) 1",
    ]

    assert shares(stacks) == [
        ("crdtstate/replica", 0.6), ("gossip/net", 0.3), ("event loop and libraries", 0.1),
    ]  # fmt: skip
