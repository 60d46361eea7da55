"""The planners as pure functions: the same names on two sides, and nothing by absence."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.builtin import deployments, endpoints, replicasets
from controllers.builtin.names import content_hash, pod_names, slot_name
from controllers.builtin.pods import host_of, is_active
from controllers.builtin.schedule import Schedule
from controllers.builtin.templates import share_of
from controllers.runtime.actions import Action, Create, Delete, Patch
from crdtstate.client.kinds import REPLICA_SETS
from crdtstate.errors import InvalidError
from tests.controllers.virtual import deployment

HOSTS = "abc"
LABELS = {"app": "web"}


def replica_set(replicas: int) -> dict[str, Any]:
    body = deployment("web", replicas)
    body["metadata"] |= {"uid": "rs", "generation": 1, "resourceVersion": "5"}
    return body


def pod(name: str, **fields: Any) -> dict[str, Any]:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs"}
    started = {"state": {"running": {"startedAt": fields.get("started", "2026-01-01T00:00:00Z")}}}
    ready = "True" if fields.get("ready", True) else "False"
    metadata: dict[str, Any] = {
        "name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "7",
        "labels": LABELS, "ownerReferences": [{**owner, "controller": True}],
    }  # fmt: skip
    if fields.get("doomed"):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "metadata": metadata,
        "spec": {"nodeName": fields.get("host", "a"), "containers": [{"name": "main"}]},
        "status": {
            "phase": fields.get("phase", "Running"),
            "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [started],
        },
    }


NAMES = [name for name, _ in zip(pod_names("web"), range(12), strict=False)]
PODS_OF = st.lists(
    st.builds(
        lambda name, host, ready, minute, doomed, phase: pod(
            name, host=host, ready=ready, started=f"2026-01-01T00:{minute:02d}:00Z",
            doomed=doomed, phase=phase,
        ),
        st.sampled_from(NAMES), st.sampled_from(HOSTS), st.booleans(), st.integers(0, 59),
        st.booleans(), st.sampled_from(["Running", "Running", "Pending", "Failed"]),
    ),
    max_size=10, unique_by=lambda body: body["metadata"]["name"],
)  # fmt: skip
LOST = st.sets(st.sampled_from(HOSTS), max_size=2).map(frozenset)
LATE_MS = 4_000_000_000_000


def plan(
    pods: list[dict[str, Any]], replicas: int, lost: frozenset[str], *, settled: bool = True
) -> list[Action]:
    state = replicasets.ReplicaSetState(
        replica_set=replica_set(replicas), pods=pods, lost=lost, settled=settled, now_ms=LATE_MS
    )
    return replicasets.plan(state)[0]


def made(actions: list[Action]) -> list[str]:
    return [a.body["metadata"]["name"] for a in actions if isinstance(a, Create)]


def removed(actions: list[Action]) -> list[str]:
    return [a.name for a in actions if isinstance(a, Delete)]


# -- names -----------------------------------------------------------------------------------------


def test_names_are_functions_of_owner_and_slot() -> None:
    """NAM-1: these very names; other ones would make a second set of pods in an upgrade."""
    assert NAMES[:3] == ["web-tgms9", "web-tpjzh", "web-r5bvl"]
    assert slot_name("web", "0") == NAMES[0]
    assert slot_name("web", "0") != slot_name("web2", "0")
    assert len(slot_name("x" * 300, "0")) == 63
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})


@given(PODS_OF, st.integers(0, 10), LOST, LOST)
def test_two_sides_that_see_the_same_pods_make_the_same_ones(
    pods: list[dict[str, Any]], replicas: int, left: frozenset[str], right: frozenset[str]
) -> None:
    """RS-1: whatever each side believes to be lost, the shorter plan is the beginning of the other,
    so that together they never make a name twice.
    """
    ours, theirs = made(plan(pods, replicas, left)), made(plan(pods, replicas, right))
    shorter, longer = sorted((ours, theirs), key=len)
    assert longer[: len(shorter)] == shorter
    there = {body["metadata"]["name"] for body in pods}
    assert not there & set(longer)
    assert len(set(longer)) == len(longer)


# -- ReplicaSet ------------------------------------------------------------------------------------


@given(PODS_OF, st.integers(0, 10), LOST, st.booleans())
def test_a_plan_makes_exactly_what_is_missing_and_removes_exactly_what_is_too_much(
    pods: list[dict[str, Any]], replicas: int, lost: frozenset[str], settled: bool
) -> None:
    """RS-2."""
    actions = plan(pods, replicas, lost, settled=settled)
    counted = [p for p in pods if is_active(p) and host_of(p) not in lost]
    alive = {p["metadata"]["name"] for p in counted}
    ended = {p["metadata"]["name"] for p in pods if p["status"]["phase"] == "Failed"}
    doomed = set(removed(actions)) - ended
    assert len(made(actions)) == max(0, replicas - len(counted))
    assert len(doomed) == (max(0, len(counted) - replicas) if settled else 0)
    assert doomed <= alive, "only what is seen, and not what is on a lost host"
    if not settled:
        assert not removed(actions)


@given(PODS_OF, st.integers(0, 10))
def test_the_best_are_kept(pods: list[dict[str, Any]], replicas: int) -> None:
    actions = plan(pods, replicas, frozenset())
    doomed = set(removed(actions))
    active = [p for p in pods if is_active(p)]

    def worth(body: dict[str, Any]) -> tuple[bool, bool]:
        status = body["status"]
        return status["phase"] == "Running", status["conditions"][0]["status"] == "True"

    worst_kept = min(
        (worth(p) for p in active if p["metadata"]["name"] not in doomed), default=None
    )
    for body in active:
        if body["metadata"]["name"] in doomed and worst_kept is not None:
            assert worth(body) <= worst_kept


def test_of_equally_healthy_pods_those_that_have_run_longest_are_kept() -> None:
    pods = [
        pod(name, started=f"2026-01-01T00:{minute:02d}:00Z")
        for name, minute in zip(NAMES, [5, 1, 9, 3], strict=False)
    ]
    assert removed(plan(pods, 2, frozenset())) == [NAMES[2], NAMES[0]]


@given(PODS_OF, st.integers(0, 10), LOST)
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(
    pods: list[dict[str, Any]], replicas: int, lost: frozenset[str]
) -> None:
    """RS-3."""
    owner = replica_set(replicas)
    there = {body["metadata"]["name"]: body for body in pods}
    for _ in range(3):
        state = replicasets.ReplicaSetState(
            replica_set=owner, pods=list(there.values()), lost=lost, now_ms=LATE_MS
        )
        actions, _ = replicasets.plan(state)
        for action in actions:
            match action:
                case Create():
                    name = action.body["metadata"]["name"]
                    host = next(h for h in HOSTS if h not in lost)
                    there[name] = pod(name, host=host, phase="Pending", ready=False)
                case Delete():
                    del there[action.name]
                case Patch(subresource="status"):
                    status = {**owner.get("status", {}), **action.patch["status"]}
                    owner["status"] = {n: v for n, v in status.items() if v is not None}
    assert not actions


def test_a_selector_that_selects_nothing_makes_nothing_and_says_so() -> None:
    owner = replica_set(3)
    owner["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    state = replicasets.ReplicaSetState(replica_set=owner, pods=[])
    actions, _ = replicasets.plan(state)
    assert not made(actions)
    assert any(getattr(a, "reason", "") == "InvalidSelector" for a in actions)


def test_pods_that_fail_at_once_are_not_made_again_at_once() -> None:
    pods = [pod(NAMES[0], phase="Failed", started="2026-01-01T00:00:00Z")]
    now = 1_767_225_600_000 + 100
    state = replicasets.ReplicaSetState(replica_set=replica_set(1), pods=pods, now_ms=now)
    actions, again_ms = replicasets.plan(state)
    assert not made(actions)
    assert again_ms is not None
    later = replicasets.ReplicaSetState(
        replica_set=replica_set(1), pods=pods, now_ms=now + again_ms
    )
    assert made(replicasets.plan(later)[0]) == [NAMES[1]]


# -- Deployment ------------------------------------------------------------------------------------


def grown(name: str, image: str, wanted: int, available: int, created: int) -> dict[str, Any]:
    body = deployment("web", wanted, image)
    body["metadata"] |= {
        "name": name, "uid": name, "generation": 1, "resourceVersion": "1",
        "creationTimestamp": f"2026-01-01T00:00:{created:02d}Z",
        "annotations": {"deployment.kubernetes.io/revision": str(created)},
    }  # fmt: skip
    counts = {"replicas": wanted, "availableReplicas": available, "observedGeneration": 1}
    return {**body, "status": counts}


@given(
    st.integers(0, 10), st.sampled_from([0, 1, "25%", "50%"]), st.sampled_from([0, 1, "25%", 3]),
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=3), st.booleans(),
)  # fmt: skip
def test_a_step_stays_within_surge_and_unavailability(
    replicas: int, surge: Any, unavailable: Any, old: list[tuple[int, int]], has_new: bool
) -> None:
    """DEP-1, for any state that a roll-out may be found in."""
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    owner = deployment("web", replicas, "new", strategy={"rollingUpdate": rolling})
    owner["metadata"] |= {"uid": "d", "generation": 1, "resourceVersion": "1"}
    sets = [
        grown(f"web-{n}", f"v{n}", wanted, min(wanted, available), n + 1)
        for n, (wanted, available) in enumerate(old)
    ]
    if has_new:
        sets.append(grown("web-new", "new", 1, 1, 9))
    state = deployments.DeploymentState(deployment=owner, replica_sets=sets)
    actions, _ = deployments.plan(state)
    goals = {rs["metadata"]["name"]: rs["spec"]["replicas"] for rs in sets}
    for action in actions:
        if isinstance(action, Create):
            goals[action.body["metadata"]["name"]] = action.body["spec"]["replicas"]
        elif isinstance(action, Patch) and action.kind is REPLICA_SETS and "spec" in action.patch:
            goals[action.name] = action.patch["spec"]["replicas"]
    before = sum(rs["spec"]["replicas"] for rs in sets)
    extra = share_of(surge, replicas, up=True)
    away = share_of(unavailable, replicas, up=False)
    away = away if extra or away else 1
    assert sum(goals.values()) <= max(before, replicas + extra)
    left = sum(min(goals[rs["metadata"]["name"]], rs["status"]["availableReplicas"]) for rs in sets)
    had = sum(rs["status"]["availableReplicas"] for rs in sets)
    assert left >= min(had, replicas - away)
    assert all(goal >= 0 for goal in goals.values())


def test_the_same_template_makes_the_same_replica_set_on_two_sides() -> None:
    owner = deployment("web", 3, "v7")
    owner["metadata"] |= {"uid": "d", "resourceVersion": "1"}
    plans = [
        deployments.plan(deployments.DeploymentState(deployment=owner, replica_sets=sets))[0]
        for sets in ([], [grown("web-old", "v1", 3, 3, 1)])
    ]
    assert made(plans[0]) == made(plans[1])


def test_two_templates_with_one_revision_are_told_apart_after_a_heal() -> None:
    owner = deployment("web", 3, "ours")
    owner["metadata"] |= {"uid": "d", "resourceVersion": "1"}
    ours, theirs = grown("web-1", "ours", 3, 3, 5), grown("web-2", "theirs", 3, 3, 5)
    actions, _ = deployments.plan(
        deployments.DeploymentState(deployment=owner, replica_sets=[ours, theirs])
    )
    noted = [a for a in actions if isinstance(a, Patch) and "metadata" in a.patch]
    assert noted[0].name == "web-1"
    assert noted[0].patch["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "6"}


# -- endpoints, schedules --------------------------------------------------------------------------


@given(st.permutations([pod(name, host=host) for name, host in zip(NAMES, "abcabc", strict=False)]))
def test_addresses_are_in_one_order(pods: list[dict[str, Any]]) -> None:
    """EPS-1."""
    service = {
        "metadata": {"name": "web", "namespace": "default", "uid": "s"},
        "spec": {"selector": LABELS, "ports": [{"port": 80}]},
    }

    def planned(given_pods: list[dict[str, Any]]) -> list[Action]:
        return endpoints.plan(
            endpoints.EndpointsState(service=service, pods=given_pods, slices=[], endpoints=None)
        )

    assert planned(pods) == planned(sorted(pods, key=str))


@pytest.mark.parametrize(
    ("text", "since", "wanted"),
    [
        ("*/15 * * * *", "2026-01-01T10:07:00+00:00", "2026-01-01T10:15:00+00:00"),
        ("0 0 * * *", "2026-02-28T12:00:00+00:00", "2026-03-01T00:00:00+00:00"),
        ("30 9 * * mon-fri", "2026-01-02T10:00:00+00:00", "2026-01-05T09:30:00+00:00"),
        ("0 0 13 * 5", "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"),
        ("@hourly", "2026-01-01T10:00:00+00:00", "2026-01-01T11:00:00+00:00"),
        ("0 12 29 feb *", "2026-01-01T00:00:00+00:00", "2028-02-29T12:00:00+00:00"),
        ("5/20 * * * 7", "2026-01-01T00:00:00+00:00", "2026-01-04T00:05:00+00:00"),
    ],
)
def test_a_schedule_fires_when_crontab_says(text: str, since: str, wanted: str) -> None:
    from datetime import datetime

    found = next(Schedule.parse(text).after(datetime.fromisoformat(since)))
    assert found.isoformat() == wanted


@pytest.mark.parametrize(
    "text", ["", "* * * *", "60 * * * *", "a * * * *", "*/0 * * * *", "5-1 * * * *"]
)
def test_a_schedule_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="schedule"):
        Schedule.parse(text)
