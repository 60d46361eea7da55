"""Every scenario in the simulator: virtual time, links cut on the wire, a world for each."""

import pytest

from tests.kube.partition.scenarios import ALL_SCENARIOS, CONTROLLERS, with_controllers
from tests.kube.partition.simulated import play


@pytest.mark.parametrize("name", ALL_SCENARIOS)
def test_outcome(name: str) -> None:
    play(name, ALL_SCENARIOS[name], CONTROLLERS if with_controllers(name) else ())
