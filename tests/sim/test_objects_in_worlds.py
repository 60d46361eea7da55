"""The resource API under faults: every peer ends with the same objects, and watches miss nothing.

FED-1, FED-3, FED-4, SWP-1, STB-1.
"""

import pytest

from crdtstate.sim.objects import objects
from crdtstate.sim.plan import draw_plan
from crdtstate.sim.run import run_seed
from crdtstate.sim.workloads import Workload


@pytest.mark.parametrize("seed", range(6))
def test_objects_end_equal_whatever_happened(seed: int) -> None:
    # A peer whose clock is wrong refuses writes, which `crdtstate.sim.workloads` looks at.
    plan = draw_plan(seed).replace(
        seconds=60, rate=3.0, offset_ms=0, drift=0.0, jump_every_s=0.0, quantum_ms=0
    )
    assert run_seed(seed, plan, Workload(objects(plan))).violation is None
