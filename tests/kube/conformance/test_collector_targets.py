"""Conformance targets 31-37: dependents go, stay, or are let go, as their owners' deletion says."""

from typing import Any

import pytest

from tests.kube.conformance.here import Here

pytestmark = pytest.mark.e2e
TEMPLATE = {
    "metadata": {"labels": {"app": "x"}},
    "spec": {"containers": [{"name": "c", "image": "i"}], "schedulerName": "nobody"},
}


def owner(of: dict[str, Any], kind: str, version: str, *, blocks: bool = False) -> dict[str, Any]:
    """Return a reference to an owner."""
    reference = {"apiVersion": version, "kind": kind, "name": of["metadata"]["name"],
                 "uid": of["metadata"]["uid"]}  # fmt: skip
    return {**reference, "blockOwnerDeletion": True} if blocks else reference


def config_map(here: Here, name: str, *owners: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """Make one with owners."""
    body = {"metadata": {"name": name, "ownerReferences": list(owners), **metadata}}
    made: dict[str, Any] = here.create(here.path("configmaps"), body)
    return made


def workload(here: Here, kind: str, plural: str, replicas: int = 2) -> dict[str, Any]:
    """Make a Deployment or a ReplicaSet whose pods nobody runs."""
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": TEMPLATE}
    body = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "own"}, "spec": spec}
    made: dict[str, Any] = here.create(here.path(plural, group="apps/v1"), body)
    return made


def count(here: Here, kind: str, group: str = "v1") -> int:
    """Return how many there are."""
    return len(here.get(here.path(kind, group=group))["items"])


def test_31_background_deletion_takes_the_replica_set(here: Here) -> None:
    workload(here, "Deployment", "deployments")
    here.move()
    here.until(lambda: count(here, "replicasets", "apps/v1") == 1, "a ReplicaSet is made")
    here.ask(
        "DELETE", here.path("deployments", "own", "apps/v1"), {"propagationPolicy": "Background"}
    )

    here.until(lambda: count(here, "replicasets", "apps/v1") == 0, "it goes")


def test_32_the_pods_of_a_controller_go_with_it(here: Here) -> None:
    workload(here, "ReplicaSet", "replicasets")
    here.until(lambda: count(here, "pods") == 2, "its pods are made")
    here.move()
    here.ask(
        "DELETE", here.path("replicasets", "own", "apps/v1"), {"propagationPolicy": "Background"}
    )

    here.until(lambda: count(here, "pods") == 0, "they go")


def test_33_foreground_deletion_waits_for_the_dependents(here: Here) -> None:
    parent = config_map(here, "parent")
    config_map(here, "child", owner(parent, "ConfigMap", "v1", blocks=True),
               finalizers=["example.com/hold"])  # fmt: skip
    here.move()
    path, child = here.path("configmaps", "parent"), here.path("configmaps", "child")
    here.ask("DELETE", path, {"propagationPolicy": "Foreground"})
    here.until(lambda: "deletionTimestamp" in here.get(child)["metadata"], "the child is marked")
    assert here.get(path)["metadata"]["finalizers"] == ["foregroundDeletion"]

    here.patch(child, {"metadata": {"finalizers": None}})
    here.gone(child)
    here.gone(path)


def test_34_a_dependent_with_another_living_owner_stays(here: Here) -> None:
    one, two = config_map(here, "one"), config_map(here, "two")
    owners = [owner(one, "ConfigMap", "v1"), owner(two, "ConfigMap", "v1")]
    config_map(here, "both", *owners)
    config_map(here, "only", owners[0])
    here.move()
    here.ask("DELETE", here.path("configmaps", "one"), {"propagationPolicy": "Background"})

    here.gone(here.path("configmaps", "only"))
    left = here.get(here.path("configmaps", "both"))["metadata"]
    assert "deletionTimestamp" not in left
    here.ask("DELETE", here.path("configmaps", "two"), {"propagationPolicy": "Background"})
    here.gone(here.path("configmaps", "both"))


def test_35_a_cycle_of_owners_blocks_nothing(here: Here) -> None:
    made = {name: config_map(here, name) for name in ("a", "b", "c")}
    here.move()
    for name, of in (("a", "c"), ("b", "a"), ("c", "b")):
        reference = owner(made[of], "ConfigMap", "v1", blocks=True)
        here.patch(here.path("configmaps", name), {"metadata": {"ownerReferences": [reference]}})
    here.ask("DELETE", here.path("configmaps", "a"), {"propagationPolicy": "Foreground"})

    for name in made:
        here.gone(here.path("configmaps", name))


def test_36_a_deployment_s_replica_set_can_be_let_go(here: Here) -> None:
    workload(here, "Deployment", "deployments")
    here.until(lambda: count(here, "replicasets", "apps/v1") == 1, "a ReplicaSet is made")
    here.move()
    path = here.path("deployments", "own", "apps/v1")
    here.ask("DELETE", path, {"propagationPolicy": "Orphan"})
    here.gone(path)

    (left,) = here.get(here.path("replicasets", group="apps/v1"))["items"]
    assert left["metadata"].get("ownerReferences", []) == []


def test_37_a_controller_s_pods_can_be_let_go(here: Here) -> None:
    workload(here, "ReplicaSet", "replicasets")
    here.until(lambda: count(here, "pods") == 2, "its pods are made")
    here.move()
    path = here.path("replicasets", "own", "apps/v1")
    here.ask("DELETE", path, {"propagationPolicy": "Orphan"})
    here.gone(path)

    pods = here.get(here.path("pods"))["items"]
    assert len(pods) == 2
    assert all(not pod["metadata"].get("ownerReferences") for pod in pods)
    here.ask("DELETE", here.path("pods"))
