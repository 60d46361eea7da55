"""StatefulSet, DaemonSet, Job, CronJob, Service, Node, Namespace and dependents, at work."""

import asyncio
from typing import Any

from controllers.builtin.cronjobs import CronJobs
from controllers.builtin.daemonsets import DaemonSets
from controllers.builtin.endpoints import ServiceEndpoints
from controllers.builtin.jobs import Jobs
from controllers.builtin.scheduler import Scheduler
from controllers.builtin.statefulsets import StatefulSets
from tests.controllers.virtual import Stage, run

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
