"""What goes with what: Nodes of forgotten members, dependents, Namespaces."""

import asyncio
from typing import Any

from controllers.builtin.collector import Collector
from controllers.builtin.hosts import HostLifeCycles
from controllers.builtin.namespaces import Namespaces
from tests.controllers.virtual import Stage, deployment, run


def test_a_node_and_its_pods_go_when_the_member_was_forgotten_and_not_when_it_is_silent() -> None:
    """HST-1."""

    async def main(stage: Stage) -> None:
        for name in "abc":
            stage.node(name)
        stage.start(HostLifeCycles)
        pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "c", "containers": []}}
        stage.api.create("/pods", "default", pod)
        stage.member("c", "dead")
        await asyncio.sleep(600)
        assert "c" in stage.objects("/nodes")
        stage.api.members = [m for m in stage.api.members if m["name"] != "c"]
        await stage.until(lambda: "c" not in stage.objects("/nodes"), deadline_s=200)
        await stage.until(lambda: not stage.objects("/pods"), deadline_s=200)

    run(main)


def kinds(stage: Stage) -> None:
    """Let the FakeApi serve discovery for what these tests use."""
    stage.api.served = [
        ("", "v1", "Pod", "pods", True), ("", "v1", "ConfigMap", "configmaps", True),
        ("", "v1", "Namespace", "namespaces", False),
        ("apps", "v1", "Deployment", "deployments", True),
        ("apps", "v1", "ReplicaSet", "replicasets", True),
    ]  # fmt: skip


def owned(name: str, owner: dict[str, Any], kind: str = "Deployment") -> dict[str, Any]:
    reference = {
        "apiVersion": "apps/v1", "kind": kind, "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    return {"metadata": {"name": name, "ownerReferences": [reference]}, "spec": {"replicas": 0}}


def test_dependents_go_with_their_owner_down_to_the_last_generation() -> None:
    async def main(stage: Stage) -> None:
        kinds(stage)
        stage.start(Collector)
        owner = stage.api.create("apps/deployments", "default", deployment("web", 1))
        middle = stage.api.create("apps/replicasets", "default", owned("rs", owner))
        stage.api.create("/pods", "default", owned("pod", middle, "ReplicaSet"))
        await asyncio.sleep(30)
        assert stage.objects("/pods")
        stage.api.delete(("apps/deployments", "default", "web"), {})
        await stage.until(lambda: not stage.objects("/pods"))
        assert not stage.objects("apps/replicasets")
        await stage.quiet()

    run(main)


def test_a_dependent_whose_owner_is_merely_not_here_stays() -> None:
    """COL-1: nobody knows that the owner was deleted, and a member is silent that may have it."""

    async def main(stage: Stage) -> None:
        kinds(stage)
        stage.member("a")
        stage.member("b", "dead")
        stage.start(Collector)
        absent = {"metadata": {"name": "web", "uid": "never-seen"}}
        stage.api.create("apps/replicasets", "default", owned("rs", absent))
        await asyncio.sleep(1_000)
        assert stage.objects("apps/replicasets")

        stage.member("b", "alive")  # From now on everything that anybody has would be here.
        took = await stage.until(lambda: not stage.objects("apps/replicasets"), deadline_s=200)
        assert took >= 60

    run(main)


def test_foreground_waits_for_the_dependents_and_orphan_lets_them_go() -> None:
    """COL-2."""

    async def main(stage: Stage) -> None:
        kinds(stage)
        stage.start(Collector)
        first = stage.api.create("apps/deployments", "default", deployment("first", 1))
        slow = owned("slow", first)
        slow["metadata"]["finalizers"] = ["example.org/wait"]
        stage.api.create("apps/replicasets", "default", slow)
        second = stage.api.create("apps/deployments", "default", deployment("second", 1))
        stage.api.create("apps/replicasets", "default", owned("kept", second))
        stage.api.delete(
            ("apps/deployments", "default", "first"), {"propagationPolicy": "Foreground"}
        )
        stage.api.delete(("apps/deployments", "default", "second"), {"propagationPolicy": "Orphan"})
        await stage.until(lambda: "second" not in stage.objects("apps/deployments"))
        kept = stage.objects("apps/replicasets")["kept"]
        assert not kept["metadata"].get("ownerReferences")
        await asyncio.sleep(60)
        assert "first" in stage.objects("apps/deployments")

        key = ("apps/replicasets", "default", "slow")
        body = stage.api.objects[key]
        meta = {n: v for n, v in body["metadata"].items() if n != "finalizers"}
        meta["finalizers"] = [f for f in body["metadata"]["finalizers"] if f != "example.org/wait"]
        stage.api.write(key, {**body, "metadata": meta}, None)
        await stage.until(lambda: "first" not in stage.objects("apps/deployments"))
        assert stage.objects("apps/replicasets").keys() == {"kept"}
        await stage.quiet()

    run(main)


def test_a_namespace_goes_after_its_content_and_pods_go_first() -> None:
    """NSP-1."""

    async def main(stage: Stage) -> None:
        kinds(stage)
        stage.start(Namespaces)
        stage.api.create(
            "/namespaces",
            "",
            {"metadata": {"name": "shop"}, "spec": {"finalizers": ["kubernetes"]}},
        )
        pod = {"metadata": {"name": "p", "finalizers": ["example.org/wait"]}, "spec": {}}
        stage.api.create("/pods", "shop", pod)
        stage.api.create("/configmaps", "shop", {"metadata": {"name": "c"}})
        stage.api.create("/configmaps", "other", {"metadata": {"name": "c"}})
        stage.api.delete(("/namespaces", "", "shop"), {})
        await asyncio.sleep(20)
        assert ("/configmaps", "shop", "c") in stage.api.objects
        rows = {
            row["type"]: row["message"]
            for row in stage.objects("/namespaces")["shop"]["status"]["conditions"]
        }
        assert "example.org/wait in 1 resource" in rows["NamespaceFinalizersRemaining"]

        body = stage.api.objects["/pods", "shop", "p"]
        meta = {**body["metadata"], "finalizers": []}
        stage.api.write(("/pods", "shop", "p"), {**body, "metadata": meta}, None)
        await stage.until(lambda: "shop" not in stage.objects("/namespaces"))
        assert {key for key in stage.api.objects if key[1]} == {("/configmaps", "other", "c")}
        await stage.quiet()

    run(main)
