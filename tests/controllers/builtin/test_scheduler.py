"""The scheduler's planner as a pure function: where pods go, and why they do not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.builtin import scheduler
from controllers.runtime.actions import Patch
from crdtstate.client.kinds import NODES, PODS

LABELS = {"app": "web"}


# -- scheduler -------------------------------------------------------------------------------------


def node(name: str, cpu: str = "2", **more: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, **more.get("labels", {})},
        },
        "spec": {"taints": more.get("taints", [])},
        "status": {
            "conditions": [{"type": "Ready", "status": more.get("ready", "True")}],
            "allocatable": {"cpu": cpu, "memory": "1Gi", "pods": "10"},
        },
    }  # fmt: skip


def waiting(name: str, cpu: str = "500m", **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "resources": {"requests": {"cpu": cpu}}}
    metadata = {
        "name": name, "namespace": "default", "uid": name, "resourceVersion": "1",
        "labels": LABELS, "creationTimestamp": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    return {"metadata": metadata, "spec": {"containers": [container], **spec}}


def bindings(
    pods: list[dict[str, Any]], nodes: list[dict[str, Any]], **more: Any
) -> dict[str, str]:
    actions = scheduler.plan(
        scheduler.SchedulerState(waiting=pods, bound=more.pop("bound", []), nodes=nodes, **more)
    )
    return {
        a.name: a.patch["spec"]["nodeName"]
        for a in actions
        if isinstance(a, Patch) and a.kind is PODS and "spec" in a.patch
    }


@given(
    st.permutations([waiting(f"p{n}", cpu) for n, cpu in enumerate(["1", "500m", "2"] * 4)]),
    st.permutations([node("a", "2"), node("b", "3"), node("c", "1500m")]),
)  # fmt: skip
def test_the_order_of_what_is_seen_decides_nothing_and_no_host_is_overfull(
    pods: list[dict[str, Any]], nodes: list[dict[str, Any]]
) -> None:
    """SCH-1, SCH-2."""
    found = bindings(pods, nodes)
    assert found == bindings(sorted(pods, key=str), sorted(nodes, key=str))
    size = {
        p["metadata"]["name"]: replicasets_cpu(p["spec"]["containers"][0]["resources"])
        for p in pods
    }
    for host, most in (("a", 2_000), ("b", 3_000), ("c", 1_500)):
        assert sum(size[name] for name, where in found.items() if where == host) <= most


def replicasets_cpu(resources: dict[str, Any]) -> int:
    text = resources["requests"]["cpu"]
    return int(text[:-1]) if text.endswith("m") else int(text) * 1_000


def affinity(**rule: Any) -> dict[str, Any]:
    term = {"matchExpressions": [rule]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {"affinity": {"nodeAffinity": required}}


ANTI = {
    "affinity": {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "labelSelector": {"matchLabels": LABELS},
                    "topologyKey": "kubernetes.io/hostname",
                }
            ]
        }
    }
}
SPREAD = {
    "topologySpreadConstraints": [
        {
            "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": LABELS},
        }
    ]
}  # fmt: skip
SSD = node("b", labels={"disk": "ssd"})
TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("spec", "nodes", "hosts"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, [node("a"), SSD], "bb"),
        (affinity(key="disk", operator="Exists"), [node("a"), SSD], "bb"),
        ({}, [node("a", taints=[TAINT]), node("b")], "bb"),
        (
            {"tolerations": [{"key": "gpu", "operator": "Exists"}], "nodeSelector": {"g": "1"}},
            [node("a", taints=[TAINT], labels={"g": "1"}), node("b")], "aa",
        ),
        ({}, [node("a", ready="Unknown"), node("b")], "bb"),
        ({}, [node("a"), node("b")], "ab"),
        (ANTI, [node("a"), node("b")], "ab"),
        (ANTI, [node("a")], "a"),
        (
            SPREAD,
            [node("a", "9", labels={"zone": "x"}), node("b", "1", labels={"zone": "y"})], "ab",
        ),
    ],
)  # fmt: skip
def test_pods_go_where_they_may(
    spec: dict[str, Any], nodes: list[dict[str, Any]], hosts: str
) -> None:
    found = bindings([waiting("p0", **spec), waiting("p1", **spec)], nodes)
    assert sorted(found.values()) == [*hosts]


def test_nothing_new_goes_to_a_host_that_is_not_heard() -> None:
    found = bindings([waiting("p")], [node("a"), node("b")], silent=frozenset("a"))
    assert found == {"p": "b"}


def test_why_a_pod_cannot_be_bound_is_said_host_by_host() -> None:
    actions = scheduler.plan(
        scheduler.SchedulerState(
            waiting=[waiting("p", "64")], bound=[], nodes=[node("a"), node("b", taints=[TAINT])]
        )
    )
    status = next(a for a in actions if isinstance(a, Patch)).patch["status"]
    message = status["conditions"][0]["message"]
    assert message == (
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {gpu: yes}."
    )
    assert NODES.kind == "Node"


def owned(pod: dict[str, Any], *owners: str, host: str = "") -> dict[str, Any]:
    """Return the pod with owners, bound to a host if one is given."""
    pod["metadata"]["ownerReferences"] = [{"uid": owner} for owner in owners]
    if host:
        pod["spec"]["nodeName"] = host
    return pod


def test_pods_of_one_owner_go_apart_whatever_others_there_are() -> None:
    nodes = [node("a", "8"), node("b", "8")]
    bound = [owned(waiting(f"x{n}", "1"), "other", host="b") for n in range(4)]
    bound.append(owned(waiting("w0", "1m"), "web", host="a"))

    assert bindings([owned(waiting("w1", "1m"), "web")], nodes, bound=bound) == {"w1": "b"}
    assert bindings([owned(waiting("w1", "1m"), "else")], nodes, bound=bound) == {"w1": "a"}
    both = owned(waiting("w2", "1m"), "nobody", "web")
    assert bindings([both], nodes, bound=bound) == {"w2": "b"}


def test_a_plan_binds_so_many_that_nobody_waits_long_for_it() -> None:
    pods = [waiting(f"p{n:03}", "1m") for n in range(scheduler._BATCH + 7)]
    nodes = [node("a", "8"), node("b", "8")]
    for host in nodes:
        host["status"]["allocatable"]["pods"] = "1000"

    found = bindings(pods, nodes)

    assert sorted(found) == [f"p{n:03}" for n in range(scheduler._BATCH)]
