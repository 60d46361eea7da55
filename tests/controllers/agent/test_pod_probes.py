"""The probes of a pod's machine, on virtual time."""

from controllers.agent import inputs
from tests.controllers.agent.virtual import PROBE, World, pod_body

C = {"name": "c"}


def test_a_readiness_probe_moves_readiness_by_its_thresholds() -> None:
    probe = {**PROBE, "successThreshold": 2, "failureThreshold": 3}
    world = World(pod_body({**C, "readinessProbe": probe}))
    assert world.condition("Ready") == "False"
    world.run(5)
    assert world.condition("Ready") == "True"

    world.healthy["c", "readiness"] = False
    world.run(10)
    assert world.condition("Ready") == "True"
    world.run(5)

    assert world.condition("Ready") == "False"
    assert "c" in world.alive


def test_a_liveness_probe_restarts_after_its_threshold_and_grace() -> None:
    probe = {**PROBE, "failureThreshold": 2, "initialDelaySeconds": 7}
    world = World(pod_body({**C, "livenessProbe": probe}, terminationGracePeriodSeconds=4))
    world.healthy["c", "liveness"] = False
    world.deaf.add("c")
    world.run(7)
    assert world.container()["restartCount"] == 0
    world.run(5)
    assert world.reasons()[-1] == "Killing"
    assert world.container()["restartCount"] == 0

    world.run(4)

    assert world.container()["restartCount"] == 1
    assert world.container()["lastState"]["terminated"]["exitCode"] == 137


def test_a_start_up_probe_holds_the_others_back_and_kills_when_it_fails() -> None:
    probes = {"startupProbe": {**PROBE, "failureThreshold": 3}, "livenessProbe": PROBE}
    world = World(pod_body({**C, **probes}), sick=[("c", "startup"), ("c", "liveness")])
    assert world.container()["started"] is False
    world.run(6)
    world.healthy["c", "startup"] = True
    world.run(4)
    kinds = [e.kind for e in world.effects if isinstance(e, inputs.Probe)]
    assert kinds == ["startup", "startup", "startup", "liveness"]
    assert world.container()["started"] is True

    again = World(pod_body({**C, **probes}), sick=[("c", "startup")])
    again.run(10)

    assert again.container()["restartCount"] == 1
