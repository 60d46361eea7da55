"""StatefulSet, DaemonSet, Job, CronJob, Service, Node, Namespace and dependents, at work."""

import asyncio
from typing import Any

from controllers.builtin.collector import Collector
from controllers.builtin.cronjobs import CronJobs
from controllers.builtin.daemonsets import DaemonSets
from controllers.builtin.endpoints import ServiceEndpoints
from controllers.builtin.hosts import HostLifeCycles
from controllers.builtin.jobs import Jobs
from controllers.builtin.namespaces import Namespaces
from controllers.builtin.scheduler import Scheduler
from controllers.builtin.statefulsets import StatefulSets
from tests.controllers.virtual import Stage, deployment, run

LABELS = {"app": "web"}


def workload(name: str = "web", image: str = "v1", **spec: Any) -> dict[str, Any]:
    template = {
        "metadata": {"labels": LABELS},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": LABELS}, "template": template, **spec},
    }


def change(stage: Stage, resource: str, name: str = "web", **spec: Any) -> None:
    key = (resource, "default", name)
    body = stage.api.objects[key]
    stage.api.write(key, {**body, "spec": {**body["spec"], **spec}}, None)


def images(stage: Stage) -> dict[str, str]:
    return {
        name: pod["spec"]["containers"][0]["image"] for name, pod in stage.objects("/pods").items()
    }


def hosts(stage: Stage) -> list[str]:
    return sorted(pod["spec"]["nodeName"] for pod in stage.objects("/pods").values())


def test_a_stateful_set_starts_in_order_and_is_updated_from_the_end() -> None:
    """STS-1."""

    async def main(stage: Stage) -> None:
        stage.node("a")
        stage.start(StatefulSets, Scheduler)
        stage.api.create("apps/statefulsets", "default", workload(replicas=3))
        for number in range(3):
            names = {f"web-{n}" for n in range(number + 1)}
            await stage.until(lambda n=names: hosts_known(stage, n))
            await asyncio.sleep(10)
            assert stage.objects("/pods").keys() == names
            stage.work()
        stage.agents()
        change(stage, "apps/statefulsets", template=workload(image="v2")["spec"]["template"])
        order: list[str] = []

        def through() -> bool:
            for name, image in images(stage).items():
                if image == "v2" and name not in order:
                    order.append(name)
            return len(order) == 3

        await stage.until(through)
        assert order == ["web-2", "web-1", "web-0"]
        status = await settled(stage, "apps/statefulsets")
        assert status["currentRevision"] == status["updateRevision"]
        assert len(stage.objects("apps/controllerrevisions")) == 2

        change(stage, "apps/statefulsets", replicas=1)
        await stage.until(lambda: stage.objects("/pods").keys() == {"web-0"})
        await stage.quiet()

    run(main)


def hosts_known(stage: Stage, names: set[str]) -> bool:
    pods = stage.objects("/pods")
    return names <= pods.keys() and all(pods[n]["spec"].get("nodeName") for n in names)


async def settled(stage: Stage, resource: str) -> dict[str, Any]:
    await asyncio.sleep(10)
    await stage.quiet()
    status: dict[str, Any] = stage.objects(resource)["web"]["status"]
    return status


def test_a_pod_of_a_stateful_set_on_a_lost_host_waits_unless_the_policy_says_otherwise() -> None:
    """STS-2."""

    async def main(stage: Stage) -> None:
        stage.node("a")
        stage.node("b")
        stage.member("c")
        stage.start(StatefulSets, Scheduler)
        stage.agents()
        stage.api.create("apps/statefulsets", "default", workload(replicas=2))
        await stage.until(lambda: hosts_known(stage, {"web-0", "web-1"}))
        before = {n: p["metadata"]["uid"] for n, p in stage.objects("/pods").items()}
        stage.member("b", "dead")
        await asyncio.sleep(60)
        assert {n: p["metadata"]["uid"] for n, p in stage.objects("/pods").items()} == before

        key = ("apps/statefulsets", "default", "web")
        body = stage.api.objects[key]
        meta = {**body["metadata"], "annotations": {"crdtstate.io/policy": "majority"}}
        stage.api.write(key, {**body, "metadata": meta}, None)
        await stage.until(lambda: hosts(stage) == ["a", "a"])

    run(main)


def test_a_daemon_set_has_one_pod_on_every_host_that_it_fits() -> None:
    """DS-1."""

    async def main(stage: Stage) -> None:
        taint = {"key": "only", "value": "gpu", "effect": "NoSchedule"}
        for name in "ab":
            stage.node(name)
        stage.node("c", taints=[taint])
        stage.start(DaemonSets)
        stage.agents()
        stage.api.create("apps/daemonsets", "default", workload())
        await stage.until(lambda: hosts(stage) == ["a", "b"])
        stage.node("d")
        await stage.until(lambda: hosts(stage) == ["a", "b", "d"])
        status = await settled(stage, "apps/daemonsets")
        assert (status["desiredNumberScheduled"], status["numberAvailable"]) == (3, 3)

        change(stage, "apps/daemonsets", template=workload(image="v2")["spec"]["template"])
        await stage.until(lambda: set(images(stage).values()) == {"v2"} and len(images(stage)) == 3)
        status = await settled(stage, "apps/daemonsets")
        assert status["updatedNumberScheduled"] == 3

    run(main)


def finish(stage: Stage, phase: str, most: int = 100) -> int:
    """End the pods that run."""
    ended = 0
    for name, pod in list(stage.objects("/pods").items()):
        running = pod["spec"].get("nodeName") and pod.get("status", {}).get("phase") == "Running"
        if running and ended < most:
            stage.ready(name, phase=phase, conditions=[], containerStatuses=[])
            ended += 1
    return ended


def test_a_job_runs_as_often_as_wanted_and_not_more_at_once() -> None:
    """JOB-1, JOB-2."""

    async def main(stage: Stage) -> None:
        stage.node("a")
        stage.start(Jobs, Scheduler)
        stage.agents()
        body = workload(completions=5, parallelism=2, backoffLimit=3)
        del body["spec"]["selector"]
        stage.api.create("batch/jobs", "default", body)
        most = 0
        for _ in range(200):
            await asyncio.sleep(1)
            pods = stage.objects("/pods").values()
            active = [p for p in pods if p.get("status", {}).get("phase") != "Succeeded"]
            most = max(most, len(active))
            finish(stage, "Succeeded", 1)
            done = [p for n, p in stage.objects("/pods").items() if p not in active]
            if done and len(stage.objects("/pods")) < 5:
                name = done[0]["metadata"]["name"]
                await asyncio.sleep(1)
                stage.api.delete(("/pods", "default", name), {})  # Its success still counts.
            status = stage.objects("batch/jobs")["web"].get("status", {})
            if "completionTime" in status:
                break
        assert most == 2
        assert status["succeeded"] == 5
        assert status["conditions"][0]["type"] == "Complete"
        created = [r for r in stage.api.requests if r.startswith("POST") and r.endswith("/pods")]
        assert len(created) == 5
        await stage.quiet()

    run(main)


def test_a_job_that_fails_too_often_is_given_up_with_its_reason() -> None:
    async def main(stage: Stage) -> None:
        stage.node("a")
        stage.start(Jobs, Scheduler)
        stage.agents()
        body = workload(backoffLimit=2)
        del body["spec"]["selector"]
        stage.api.create("batch/jobs", "default", body)

        def failed() -> bool:
            finish(stage, "Failed")
            rows = stage.objects("batch/jobs")["web"].get("status", {}).get("conditions", [])
            return any(row["reason"] == "BackoffLimitExceeded" for row in rows)

        await stage.until(failed)
        assert stage.objects("batch/jobs")["web"]["status"]["failed"] == 3
        await stage.quiet()

    run(main)


def test_a_cron_job_starts_each_minute_s_job_once_and_keeps_a_short_history() -> None:
    """CRO-1."""

    async def main(stage: Stage) -> None:
        stage.node("a")
        stage.start(CronJobs, Jobs, Scheduler, member="a")
        stage.start(CronJobs, Jobs, Scheduler)  # A second one that shares nothing with the first.
        stage.agents()
        template = {"template": workload()["spec"]["template"]}
        body = {
            "metadata": {"name": "tick", "namespace": "default"},
            "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": template}},
        }
        stage.api.create("batch/cronjobs", "default", body)
        names: set[str] = set()
        for _ in range(400):
            await asyncio.sleep(1)
            finish(stage, "Succeeded")
            names |= stage.objects("batch/jobs").keys()
        minutes = sorted(int(name.rpartition("-")[2]) for name in names)
        assert minutes == list(range(minutes[0], minutes[0] + len(minutes)))
        assert len(minutes) in (7, 8)
        assert len(stage.objects("batch/jobs")) <= 4

    run(main)


def test_a_schedule_that_is_none_is_said_and_not_retried() -> None:
    async def main(stage: Stage) -> None:
        stage.start(CronJobs)
        body = {
            "metadata": {"name": "tick", "namespace": "default"},
            "spec": {"schedule": "* * *", "jobTemplate": {"spec": {}}},
        }
        stage.api.create("batch/cronjobs", "default", body)
        await stage.until(lambda: stage.objects("/events"))
        event = next(iter(stage.objects("/events").values()))
        assert "has 3 fields, not 5" in event["message"]
        await stage.quiet(300)

    run(main)


def addresses(stage: Stage) -> list[str]:
    return sorted(
        endpoint["targetRef"]["name"]
        for piece in stage.objects("discovery.k8s.io/endpointslices").values()
        for endpoint in piece["endpoints"]
        if endpoint["conditions"]["ready"]
    )


def test_endpoints_follow_readiness_and_a_host_that_is_not_heard_is_not_ready() -> None:
    async def main(stage: Stage) -> None:
        for name in "ab":
            stage.node(name)
        stage.start(ServiceEndpoints)
        for name in "ab":
            pod = {
                "metadata": {"name": name, "labels": LABELS},
                "spec": {"nodeName": name, "containers": []},
            }
            stage.api.create("/pods", "default", pod)
        service = {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": LABELS, "ports": [{"port": 80, "targetPort": 8080}]},
        }
        stage.api.create("/services", "default", service)
        await stage.until(lambda: stage.objects("/endpoints"))
        assert addresses(stage) == []
        stage.work()
        await stage.until(lambda: addresses(stage) == ["a", "b"])
        subsets = stage.objects("/endpoints")["web"]["subsets"]
        assert subsets[0]["ports"][0]["port"] == 8080
        stage.member("b", "dead")
        await stage.until(lambda: addresses(stage) == ["a"])
        stage.member("b", "alive")
        await stage.until(lambda: addresses(stage) == ["a", "b"])
        stage.api.delete(("/pods", "default", "a"), {})
        await stage.until(lambda: addresses(stage) == ["b"])
        await stage.quiet()

    run(main)


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
