"""The built-in controllers at work together, on virtual time: from a Deployment to ready pods."""

import asyncio
from typing import Any

from controllers.builtin.deployments import Deployments
from controllers.builtin.replicasets import ReplicaSets
from controllers.builtin.scheduler import Scheduler
from tests.controllers.virtual import Stage, deployment, run

BASIC = (Deployments, ReplicaSets, Scheduler)


def test_a_deployment_becomes_ready_pods_spread_over_the_hosts_and_then_nothing_is_written() -> (
    None
):
    async def main(stage: Stage) -> None:
        for name in "abc":
            stage.node(name)
        stage.start(*BASIC)
        stage.agents()
        stage.api.create("apps/deployments", "default", deployment("web", 6))

        await stage.until(
            lambda: (
                stage.objects("apps/deployments")["web"].get("status", {}).get("availableReplicas")
                == 6
            )
        )

        hosts = [pod["spec"]["nodeName"] for pod in stage.objects("/pods").values()]
        assert sorted(hosts) == ["a", "a", "b", "b", "c", "c"]
        await stage.quiet()

    run(main)


def available(stage: Stage, name: str = "web") -> int:
    return int(
        stage.objects("apps/deployments")[name].get("status", {}).get("availableReplicas", 0)
    )


def reasons(stage: Stage, name: str = "web") -> dict[str, str]:
    status = stage.objects("apps/deployments")[name].get("status", {})
    return {row["type"]: row["reason"] for row in status.get("conditions", [])}


def images(stage: Stage) -> list[str]:
    return sorted(pod["spec"]["containers"][0]["image"] for pod in stage.objects("/pods").values())


def set_spec(stage: Stage, resource: str, name: str, **spec: Any) -> None:
    key = (resource, "default", name)
    body = stage.api.objects[key]
    stage.api.write(key, {**body, "spec": {**body["spec"], **spec}}, None)


def set_image(stage: Stage, image: str, resource: str = "apps/deployments") -> None:
    template = deployment("web", 0, image)["spec"]["template"]
    set_spec(stage, resource, "web", template=template)


async def three_hosts(stage: Stage, *more: type, replicas: int = 6) -> None:
    for name in "abc":
        stage.node(name)
    stage.start(*BASIC, *more)
    stage.agents()
    stage.api.create("apps/deployments", "default", deployment("web", replicas))
    await stage.until(lambda: available(stage) == replicas, "all available")


def test_a_new_template_takes_over_within_the_bounds_of_surge_and_unavailability() -> None:
    """DEP-1."""

    async def main(stage: Stage) -> None:
        await three_hosts(stage, replicas=8)
        set_image(stage, "v2")
        seen: list[tuple[int, int]] = []

        def through() -> bool:
            pods = stage.objects("/pods").values()
            wanted = sum(
                rs["spec"]["replicas"] for rs in stage.objects("apps/replicasets").values()
            )
            seen.append((wanted, sum(bool(pod.get("status")) for pod in pods)))
            return images(stage) == ["v2"] * 8 and available(stage) == 8

        await stage.until(through, "v2 everywhere")

        assert max(wanted for wanted, _ in seen) <= 10
        assert min(ready for _, ready in seen) >= 6
        await stage.until(lambda: reasons(stage)["Progressing"] == "NewReplicaSetAvailable")
        annotations = stage.objects("apps/deployments")["web"]["metadata"]["annotations"]
        assert annotations["deployment.kubernetes.io/revision"] == "2"
        await stage.quiet()

    run(main)


def test_going_back_takes_the_old_replica_set_with_a_new_revision() -> None:
    async def main(stage: Stage) -> None:
        await three_hosts(stage)
        set_image(stage, "v2")
        await stage.until(lambda: images(stage) == ["v2"] * 6)
        set_image(stage, "v1")
        await stage.until(lambda: images(stage) == ["v1"] * 6)

        sets = stage.objects("apps/replicasets")
        revisions = sorted(
            rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
            for rs in sets.values()
        )
        assert revisions == ["2", "3"]

    run(main)


def test_a_paused_deployment_is_scaled_but_not_rolled_out() -> None:
    """DEP-2."""

    async def main(stage: Stage) -> None:
        await three_hosts(stage)
        set_spec(stage, "apps/deployments", "web", paused=True)
        set_image(stage, "v2")
        set_spec(stage, "apps/deployments", "web", replicas=9)
        await stage.until(lambda: available(stage) == 9)
        assert images(stage) == ["v1"] * 9
        assert reasons(stage)["Progressing"] == "DeploymentPaused"

        set_spec(stage, "apps/deployments", "web", paused=False)
        await stage.until(lambda: images(stage) == ["v2"] * 9)

    run(main)


def test_recreate_ends_the_old_before_it_begins_the_new() -> None:
    async def main(stage: Stage) -> None:
        await three_hosts(stage)
        set_spec(stage, "apps/deployments", "web", strategy={"type": "Recreate"})
        set_image(stage, "v2")
        mixed: list[bool] = []

        def through() -> bool:
            mixed.append(len(set(images(stage))) > 1)
            return images(stage) == ["v2"] * 6

        await stage.until(through)
        assert not any(mixed)

    run(main)


def test_old_replica_sets_are_forgotten_beyond_the_limit() -> None:
    async def main(stage: Stage) -> None:
        await three_hosts(stage, replicas=2)
        set_spec(stage, "apps/deployments", "web", revisionHistoryLimit=1)
        for number in range(2, 6):
            set_image(stage, f"v{number}")
            await stage.until(lambda n=number: images(stage) == [f"v{n}"] * 2)
        await stage.until(lambda: len(stage.objects("apps/replicasets")) == 2)
        await stage.quiet()

    run(main)


def test_a_roll_out_that_gets_nowhere_says_so_after_its_deadline() -> None:
    async def main(stage: Stage) -> None:
        stage.start(*BASIC)  # No host: nothing ever runs.
        body = deployment("web", 1, progressDeadlineSeconds=30)
        stage.api.create("apps/deployments", "default", body)
        await stage.until(
            lambda: reasons(stage).get("Progressing") == "ProgressDeadlineExceeded",
            deadline_s=60,
        )
        pod = next(iter(stage.objects("/pods").values()))
        assert pod["status"]["conditions"][0]["reason"] == "Unschedulable"
        assert "there is no node" in pod["status"]["conditions"][0]["message"]

    run(main)


def test_a_silent_host_s_pods_are_replaced_after_the_grace_and_kept_when_it_returns() -> None:
    async def main(stage: Stage) -> None:
        await three_hosts(stage)
        on_c = {n for n, p in stage.objects("/pods").items() if p["spec"]["nodeName"] == "c"}
        before = {n: p["metadata"]["uid"] for n, p in stage.objects("/pods").items()}

        stage.member("c", "dead")
        took = await stage.until(lambda: len(stage.objects("/pods")) == 8, "replaced")
        assert 7 <= took <= 10
        await stage.until(lambda: available(stage) == 6)
        replacements = stage.objects("/pods").keys() - before.keys()
        assert {stage.objects("/pods")[n]["spec"]["nodeName"] for n in replacements} <= {"a", "b"}
        await stage.quiet()

        stage.member("c", "alive")
        took = await stage.until(lambda: len(stage.objects("/pods")) == 6, "surplus removed")
        assert 1 <= took <= 5
        assert {n: p["metadata"]["uid"] for n, p in stage.objects("/pods").items()} == before
        assert on_c <= stage.objects("/pods").keys()
        await stage.quiet()

    run(main)


def test_a_deployment_that_holds_is_left_alone_while_a_member_is_silent() -> None:
    async def main(stage: Stage) -> None:
        await three_hosts(stage)
        for resource in ("apps/deployments", "apps/replicasets"):
            for name, body in stage.objects(resource).items():
                meta = {**body["metadata"]}
                meta["annotations"] = {
                    **meta.get("annotations", {}), "crdtstate.io/policy": "hold",
                }  # fmt: skip
                stage.api.write((resource, "default", name), {**body, "metadata": meta}, None)
        await asyncio.sleep(5)
        stage.member("c", "dead")
        await asyncio.sleep(60)
        assert len(stage.objects("/pods")) == 6

        stage.member("c", "alive")
        set_spec(stage, "apps/deployments", "web", replicas=7)
        await stage.until(lambda: available(stage) == 7)

    run(main)


def test_two_managers_share_the_work_and_either_takes_over_when_the_other_dies() -> None:
    async def main(stage: Stage) -> None:
        for name in "ab":
            stage.node(name)
        first = stage.start(*BASIC, member="a")
        second = stage.start(*BASIC, member="b")
        stage.agents()
        await asyncio.sleep(5)
        for number in range(12):
            stage.api.create("apps/deployments", "default", deployment(f"web-{number}", 2))
        await stage.until(lambda: all(available(stage, f"web-{n}") == 2 for n in range(12)))
        assert len(stage.objects("/pods")) == 24
        for manager in (first, second):
            assert sum(m.writes for m in manager.metrics() if m.name == "deployments") > 0

        stage.kill(second)
        stage.member("b", "dead")
        set_spec(stage, "apps/deployments", "web-0", replicas=4)
        for number in range(1, 12):
            set_spec(stage, "apps/deployments", f"web-{number}", replicas=3)
        await stage.until(lambda: all(available(stage, f"web-{n}") == 3 for n in range(1, 12)))
        await asyncio.sleep(20)  # What ran on b is replaced meanwhile.
        await stage.quiet()

    run(main)


def test_a_late_watch_makes_no_extra_pods() -> None:
    """RYW-1: a controller waits until its cache shows what it has just written."""

    async def main(stage: Stage) -> None:
        stage.api.lag_s = 0.05
        for name in "abc":
            stage.node(name)
        stage.start(*BASIC)
        stage.agents()
        stage.api.create("apps/deployments", "default", deployment("web", 20))
        await stage.until(lambda: available(stage) == 20)

        created = [r for r in stage.api.requests if r.startswith("POST") and r.endswith("/pods")]
        assert len(created) == 20

    run(main)
