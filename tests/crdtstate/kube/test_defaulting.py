"""Defaults: shown where nobody wrote, and nothing else touched (DEF-1, DEF-2)."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstate.kube.builtin import builtin_resources
from crdtstate.kube.defaulting import apply_defaults
from crdtstate.kube.schema import Schema


def filled(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    schema = next(r.schema for r in builtin_resources() if r.kind == kind)
    before = deepcopy(body)
    result = apply_defaults(schema, body)
    assert body == before
    assert apply_defaults(schema, result) is result, "DEF-2"
    return result


def test_a_deployment_shows_what_the_server_assumes() -> None:
    containers = [{"name": "a", "image": "nginx", "ports": [{"containerPort": 80}]}]
    spec = filled("Deployment", {"spec": {"template": {"spec": {"containers": containers}}}})[
        "spec"
    ]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
    }
    pod = spec["template"]["spec"]
    assert (pod["restartPolicy"], pod["dnsPolicy"]) == ("Always", "ClusterFirst")
    assert pod["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]


def test_recreate_has_no_rolling_update() -> None:
    spec = filled("Deployment", {"spec": {"strategy": {"type": "Recreate"}}})["spec"]
    assert spec["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("localhost:5000/nginx", "Always"),
        ("localhost:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:00", "IfNotPresent"),
    ],
)
def test_images_are_pulled_always_when_their_tag_moves(image: str, policy: str) -> None:
    pod = filled("Pod", {"spec": {"containers": [{"name": "a", "image": image}]}})
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_a_service_port_targets_itself() -> None:
    ports = filled("Service", {"spec": {"ports": [{"port": 80}]}})["spec"]["ports"]
    assert ports == [{"port": 80, "protocol": "TCP", "targetPort": 80}]


def test_a_job_runs_once() -> None:
    assert filled("Job", {"spec": {}})["spec"]["completions"] == 1
    assert "completions" not in filled("Job", {"spec": {"parallelism": 3}})["spec"]


def test_a_namespace_shows_its_phase() -> None:
    assert filled("Namespace", {})["status"] == {"phase": "Active"}
    marked = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert filled("Namespace", marked)["status"] == {"phase": "Terminating"}


TEXT = Schema("scalar", raw={"type": "string"})
NESTED = Schema(
    "object",
    properties={
        "a": Schema("scalar", has_default=True, default="x"),
        "b": Schema(
            "object",
            has_default=True,
            default={},
            properties={"c": Schema("scalar", has_default=True, default=1), "d": TEXT},
        ),
        "n": Schema("scalar", has_default=True, default=5, nullable=True),
        "l": Schema(
            "array",
            items=Schema(
                "object", properties={"e": Schema("scalar", has_default=True, default=[])}
            ),
        ),
    },
)


def test_defaults_nest_and_null_gives_way_only_where_it_may_not_be() -> None:
    body = {"a": None, "n": None, "l": [{}, {"e": [1]}]}
    assert apply_defaults(NESTED, body) == {
        "a": "x", "b": {"c": 1}, "n": None, "l": [{"e": []}, {"e": [1]}],
    }  # fmt: skip


BODIES = st.fixed_dictionaries(
    {},
    optional={
        "a": st.sampled_from(["", "y"]),
        "b": st.fixed_dictionaries({}, optional={"c": st.integers(), "d": st.just("z")}),
        "n": st.none() | st.integers(),
        "l": st.lists(st.fixed_dictionaries({}, optional={"e": st.just([2])}), max_size=3),
    },
)


@given(BODIES)
def test_defaulting_only_adds(body: dict[str, Any]) -> None:
    """DEF-1 and DEF-2."""
    result = apply_defaults(NESTED, body)
    assert _within(body, result)
    assert apply_defaults(NESTED, result) == result


def _within(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return all(name in b and _within(a[name], b[name]) for name in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_within, a, b))
    return bool(a == b)
