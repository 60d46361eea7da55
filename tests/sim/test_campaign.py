"""Shrinking, workloads of one's own, the command line, the picture."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from crdtstate.cli.main import root
from crdtstate.daemon.driver import Driver
from crdtstate.errors import InvalidError
from crdtstate.sim.campaign import run_one, shrink
from crdtstate.sim.plan import Plan, draw_plan
from crdtstate.sim.run import run_seed
from crdtstate.sim.workloads import load_workload

PAGE = Path(__file__).parents[2] / "docs" / "simulator.md"


def invoke(*arguments: str) -> tuple[int, str]:
    """Run `crdtstate sim ...` in this process."""
    result = CliRunner().invoke(root, ["sim", *arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return int(result.return_value or 0), result.output


def test_a_quiet_run_keeps_all_promises_and_converges_at_once() -> None:
    """LIV-1 and LIV-2 are judged at the end of each run, SES-1 at each answer."""
    verdict = run_seed(1, Plan(seconds=20))

    assert verdict.violation is None
    assert verdict.converged_s < 1
    assert verdict.counts["acknowledged"] > 10


def test_a_failing_run_is_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(_self: Driver) -> None:
        return

    monkeypatch.setattr(Driver, "announced", at_once)
    plan = Plan(peers=3, seconds=30, clients=4, keys=2, rate=3, disk_lag_s=0.2, loss=0.1)
    # Which seed shows it moves with every change of a message's timing.
    failing = next(seed for seed in range(40) if run_seed(seed, plan).violation)

    verdict = shrink(failing, plan)

    assert verdict.violation is not None
    assert "SES-2" in verdict.violation
    assert verdict.plan.faults() == ["disk_lag_s"]
    assert verdict.plan.seconds < 30
    assert "violation" in verdict.story.text()


def test_the_same_seed_may_be_given_fewer_faults_and_less_time() -> None:
    plan = draw_plan(4, seconds=10, faults=["loss"])

    assert plan.seconds == 10
    assert set(plan.faults()) <= {"loss"}
    with pytest.raises(InvalidError, match="there is no fault earthquake; there are shuffle"):
        draw_plan(4, faults=["earthquake"])


def test_the_workload_of_the_page_runs(tmp_path: Path) -> None:
    """The page promises that this file works, and that it finds the mistake in it."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    right, wrong = blocks
    place = tmp_path / "workload.py"
    place.write_text(right, encoding="utf-8")
    assert run_one(3, 20, ["loss"], str(place)).violation is None

    place.write_text(right + "\n" + wrong, encoding="utf-8")
    verdict = run_one(3, 60, ["cut_every_s"], str(place))

    assert verdict.violation is not None
    assert "USER" in verdict.violation


def test_a_workload_that_is_none_is_named(tmp_path: Path) -> None:
    place = tmp_path / "empty.py"
    place.write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(InvalidError, match=r"empty\.py has none of client, always, at_the_end"):
        load_workload(str(place), Plan())
    place.write_text("1/0\n", encoding="utf-8")
    with pytest.raises(InvalidError, match="division by zero"):
        load_workload(str(place), Plan())


def test_replay_tells_a_story_and_draws_it(tmp_path: Path) -> None:
    picture = tmp_path / "story.svg"

    code, output = invoke("replay", "3", "--seconds", "15", "--svg", str(picture))

    assert code == 0
    assert "all promises kept" in output
    assert "converged" in output
    texts = [e.text for e in ET.parse(picture).iter() if e.tag.endswith("text")]
    assert {"a", "b", "c"} <= set(texts)


@pytest.mark.e2e
def test_run_prints_what_was_done() -> None:
    code, output = invoke("run", "--seeds", "2", "--seconds", "5", "--processes", "1")

    assert code == 0
    assert "2 seeds, 0 failed" in output
    assert "times real time per core" in output


def test_run_refuses_a_fault_that_there_is_not() -> None:
    with pytest.raises(InvalidError, match="there is no fault nope"):
        invoke("run", "--faults", "nope")
