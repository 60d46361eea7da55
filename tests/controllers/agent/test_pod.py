"""The machine of a pod, on virtual time: order, restarts, probes, ends, and its status."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.agent import inputs
from controllers.agent.container import Ended, History
from tests.controllers.agent.virtual import PROBE, START_MS, World, pod_body

C = {"name": "c"}


def failing(reason: str, retry: Any) -> Any:
    def start(name: str, attempt: int) -> inputs.StartFailed:
        return inputs.StartFailed(name, attempt, reason, f"{reason} of {name}", retry)

    return start


def test_a_pod_runs_and_is_ready_at_once() -> None:
    world = World(pod_body(C))

    status = world.status()

    assert status["phase"] == "Running"
    assert world.condition("Ready") == "True"
    assert world.container()["state"] == {"running": {"startedAt": "2023-11-14T22:13:20Z"}}
    assert (status["podIP"], status["qosClass"]) == ("10.0.0.1", "BestEffort")


def test_equal_machines_give_equal_statuses() -> None:
    """STA-1: time alone changes nothing in a status."""
    world = World(pod_body(C))
    before = world.status()

    world.run(3600)

    assert world.status() == before


def test_the_first_restart_is_at_once_then_back_off_doubles_to_five_minutes() -> None:
    world = World(pod_body(C))
    delays = []
    for _ in range(8):
        world.exit("c", 1)
        ended_ms = world.now_ms
        while "c" not in world.alive:
            assert world.container()["state"]["waiting"]["reason"] == "CrashLoopBackOff"
            world.run(1)
        delays.append((world.now_ms - ended_ms) // 1000)
    assert delays == [0, 10, 20, 40, 80, 160, 300, 300]
    assert world.container()["restartCount"] == 8
    assert world.container()["lastState"]["terminated"]["reason"] == "Error"
    assert world.status()["phase"] == "Running"


def test_back_off_is_forgotten_after_ten_minutes_of_running() -> None:
    world = World(pod_body(C))
    for _ in range(3):
        world.exit("c", 1)
        world.run(30)

    world.run(600)
    world.exit("c", 1)

    assert "c" in world.alive


@pytest.mark.parametrize(
    ("policy", "code", "phase", "alive"),
    [
        ("Always", 0, "Running", True),
        ("Always", 1, "Running", True),
        ("OnFailure", 0, "Succeeded", False),
        ("OnFailure", 1, "Running", True),
        ("Never", 0, "Succeeded", False),
        ("Never", 1, "Failed", False),
    ],
)
def test_restart_policies(policy: str, code: int, phase: str, alive: bool) -> None:
    world = World(pod_body(C, restartPolicy=policy))

    world.exit("c", code)

    assert (world.status()["phase"], "c" in world.alive) == (phase, alive)


def test_what_killed_a_process_stands_in_its_status() -> None:
    world = World(pod_body(C, restartPolicy="Never"))

    world.exit("c", 137, "OOMKilled")

    ended = world.container()["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"], ended["signal"]) == ("OOMKilled", 137, 9)
    assert world.condition("Ready") == "False"


def test_init_containers_run_in_order_and_the_others_after_them() -> None:
    """POD-1."""
    body = pod_body(C, initContainers=[{"name": "i"}, {"name": "j"}])
    world = World(body)
    assert list(world.alive) == ["i"]
    assert world.container()["state"] == {"waiting": {"reason": "PodInitializing"}}

    world.exit("i", 1)
    assert list(world.alive) == ["i"]
    assert world.container("i")["restartCount"] == 1
    world.exit("i")
    assert (list(world.alive), world.status()["phase"]) == (["j"], "Pending")
    assert world.condition("Initialized") == "False"
    world.exit("j")

    assert list(world.alive) == ["c"]
    assert world.condition("Initialized") == "True"


def test_a_failed_init_container_ends_a_pod_that_never_restarts() -> None:
    world = World(pod_body(C, initContainers=[{"name": "i"}], restartPolicy="Never"))

    world.exit("i", 3)

    assert (world.status()["phase"], world.alive) == ("Failed", {})


def test_a_sidecar_starts_first_stays_and_ends_last() -> None:
    sidecar = {"name": "s", "restartPolicy": "Always"}
    world = World(pod_body(C, initContainers=[sidecar], restartPolicy="Never"))
    assert set(world.alive) == {"s", "c"}

    world.exit("s", 1)
    assert set(world.alive) == {"s", "c"}
    world.exit("c", 0)

    assert (world.alive, world.status()["phase"]) == ({}, "Succeeded")


def test_termination_is_sigterm_then_sigkill_after_the_grace() -> None:
    """CTR-3, POD-3."""
    world = World(pod_body(C, terminationGracePeriodSeconds=30))
    world.deaf.add("c")
    world.delete(5)
    world.run(4.9)
    assert "c" in world.alive
    assert not world.pod.gone

    world.run(0.2)

    assert world.pod.gone
    signals = [e.signal for e in world.effects if isinstance(e, inputs.Signal)]
    assert signals == ["TERM", "KILL"]


def test_a_second_delete_with_less_grace_shortens_the_first() -> None:
    world = World(pod_body(C))
    world.deaf.add("c")
    world.delete(30)
    world.run(1)

    world.delete(0)

    assert world.pod.gone


def test_a_pre_stop_hook_runs_before_sigterm_and_inside_the_grace() -> None:
    hooked = {**C, "lifecycle": {"preStop": {"exec": {"command": ["bye"]}}}}
    world = World(pod_body(hooked))
    world.delete(5)
    order = [type(e).__name__ for e in world.effects if isinstance(e, inputs.Hook | inputs.Signal)]
    assert order == ["Hook", "Signal"]
    assert world.pod.gone

    hanging = World(pod_body(hooked))
    hanging.deaf.add("c")
    hanging.delete(5)
    hanging.run(5)
    assert [e.signal for e in hanging.effects if isinstance(e, inputs.Signal)] == ["TERM"]
    hanging.run(2)
    assert hanging.pod.gone


def test_nothing_is_started_in_a_pod_that_ends() -> None:
    """POD-2."""
    world = World(pod_body(C, {"name": "d"}))
    world.deaf.update({"c", "d"})
    world.delete(60)
    starts = world.count(inputs.Start)

    world.exit("c", 1)
    world.run(30)

    assert world.count(inputs.Start) == starts
    assert set(world.alive) == {"d"}


def test_a_missing_config_map_is_waited_for_and_counts_as_no_restart() -> None:
    missing = True

    def start(name: str, attempt: int) -> inputs.StartFailed | None:
        if not missing:
            return None
        return inputs.StartFailed(name, attempt, "CreateContainerConfigError", "no cm", "config")

    world = World(pod_body(C), starts=start)
    assert world.container()["state"]["waiting"] == {
        "reason": "CreateContainerConfigError", "message": "no cm",
    }  # fmt: skip
    assert world.status()["phase"] == "Pending"
    world.run(120)

    missing = False
    world.run(30)

    assert world.container()["restartCount"] == 0
    assert world.status()["phase"] == "Running"


def test_a_command_that_is_not_found_is_tried_again_or_ends_a_pod_that_never_restarts() -> None:
    world = World(pod_body(C), starts=failing("CreateContainerError", "create"))
    world.run(100)
    assert world.container()["state"]["waiting"]["reason"] == "CreateContainerError"
    assert world.count(inputs.Start) == 4  # At 0, 10, 30 and 70 s; next at 150 s.

    once = World(
        pod_body(C, restartPolicy="Never"), starts=failing("CreateContainerError", "create")
    )
    ended = once.container()["state"]["terminated"]
    assert (once.status()["phase"], ended["exitCode"], ended["reason"]) == (
        "Failed", 128, "StartError",
    )  # fmt: skip


def test_an_image_without_a_command_is_not_tried_again() -> None:
    world = World(pod_body(C), starts=failing("CommandMissing", "never"))

    world.run(10_000)

    assert world.count(inputs.Start) == 1
    assert world.container()["state"]["waiting"]["reason"] == "CommandMissing"


def test_an_eviction_before_the_start_refuses_the_pod() -> None:
    world = World(pod_body(C), starts=failing("x", "never"))
    world.feed(inputs.Evict("OutOfcpu", "not enough cpu"))

    status = world.status()

    assert (status["phase"], status["reason"]) == ("Failed", "OutOfcpu")
    assert world.pod.gone


def test_the_active_deadline_ends_a_pod() -> None:
    world = World(pod_body(C, activeDeadlineSeconds=60))

    world.run(60)

    status = world.status()
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")


def adopted(**changes: Any) -> dict[str, History]:
    known: dict[str, Any] = {
        "attempt": 2, "crashes": 3, "container_id": "process://c2", "started_ms": START_MS - 5_000,
        "last": None, "ready": True, "started": True,
    }  # fmt: skip
    return {"c": History(**{**known, **changes})}


def test_an_adopted_process_goes_on_with_its_count_and_stays_ready() -> None:
    world = World(pod_body({**C, "readinessProbe": PROBE}), history=adopted())

    assert world.count(inputs.Start) == 0
    assert world.container()["restartCount"] == 2
    assert world.condition("Ready") == "True"


def test_a_process_that_ended_while_nobody_looked_keeps_its_back_off() -> None:
    """CTR-2."""
    last = Ended(
        container_id="x", code=1, signal=0, reason="Error", message="", started_ms=0, finished_ms=1
    )
    world = World(pod_body(C), history=adopted(last=last))

    world.exit("c", 1)

    assert world.container()["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    world.run(41)
    assert world.container()["restartCount"] == 3


@pytest.mark.parametrize("skew_ms", [-3_600_000, 3_600_000])
def test_a_wall_clock_that_is_set_holds_nothing_back(skew_ms: int) -> None:
    """CTR-4."""
    world = World(pod_body({**C, "readinessProbe": PROBE}))
    world.skew_ms = skew_ms
    for _ in range(2):
        world.exit("c", 1)
        world.run(10)
    assert "c" in world.alive
    world.run(5)
    assert world.condition("Ready") == "True"

    future = adopted(started_ms=START_MS + 10**9)
    again = World(pod_body({**C, "livenessProbe": PROBE}), history=future)
    again.run(5)
    assert again.count(inputs.Probe) == 2


EVENTS = st.one_of(
    st.tuples(st.just("exit"), st.sampled_from(["i", "s", "c", "d"]), st.integers(0, 2)),
    st.tuples(st.just("run"), st.floats(0.01, 400.0), st.none()),
    st.tuples(
        st.just("health"),
        st.tuples(
            st.sampled_from(["s", "c"]), st.sampled_from(["startup", "liveness", "readiness"])
        ),
        st.booleans(),
    ),
    st.tuples(st.just("deaf"), st.sampled_from(["i", "s", "c", "d"]), st.none()),
    st.tuples(st.just("delete"), st.integers(0, 40), st.none()),
    st.tuples(st.just("evict"), st.none(), st.none()),
)


@given(
    st.lists(EVENTS, max_size=40),
    st.sampled_from(["Always", "OnFailure", "Never"]),
    st.booleans(),
)
def test_whatever_happens_a_pod_obeys_its_invariants(
    events: list[Any], policy: str, starts: bool
) -> None:
    """CTR-1, CTR-2, POD-1, POD-2, POD-3, and every pod that is to end does."""
    body = pod_body(
        {**C, "livenessProbe": PROBE, "readinessProbe": PROBE},
        {"name": "d"},
        initContainers=[
            {"name": "s", "restartPolicy": "Always", "startupProbe": PROBE}, {"name": "i"},
        ],
        restartPolicy=policy,
    )  # fmt: skip
    world = World(body, starts=(lambda *_: None) if starts else failing("E", "create"))
    counts = dict.fromkeys(world.pod.containers, 0)
    for kind, what, value in events:
        if kind == "exit" and what in world.alive:
            world.exit(what, value)
        elif kind == "run":
            world.run(what)
        elif kind == "health":
            world.healthy[what] = value
        elif kind == "deaf":
            world.deaf.add(what)
        elif kind == "delete":
            world.delete(what)
        elif kind == "evict":
            world.feed(inputs.Evict("OutOfmemory", "too much"))
        if "c" in world.alive or "d" in world.alive:
            assert world.pod.initialized
            assert "i" not in world.alive
        assert not (world.pod.gone and world.alive)
        for name, container in world.pod.containers.items():
            assert container.restart_count >= counts[name]
            counts[name] = container.restart_count
        world.status()
    starts_before = world.count(inputs.Start)
    ending = world.pod.stopping is not None
    world.delete(30)
    world.run(60)
    assert world.pod.gone
    assert not world.alive
    assert world.pod.over
    if ending:
        assert world.count(inputs.Start) == starts_before
