"""What others note in the status of a workload stays when its controller counts anew."""

import asyncio
from typing import Any

import pytest

from controllers.builtin.daemonsets import DaemonSets
from controllers.builtin.deployments import Deployments
from controllers.builtin.jobs import Jobs
from controllers.builtin.replicasets import ReplicaSets
from controllers.builtin.scheduler import Scheduler
from controllers.builtin.statefulsets import StatefulSets
from tests.controllers.virtual import Stage, run

LABELS = {"app": "web"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "v"}]}}
OWN = {"type": "Own", "status": "True", "reason": "R", "message": "m"}


@pytest.mark.parametrize(
    ("resource", "controllers", "spec"),
    [
        ("apps/statefulsets", (StatefulSets,), {"replicas": 2}),
        ("apps/replicasets", (ReplicaSets,), {"replicas": 2}),
        ("apps/deployments", (Deployments, ReplicaSets), {"replicas": 2}),
        ("apps/daemonsets", (DaemonSets,), {}),
        ("batch/jobs", (Jobs,), {"completions": 2}),
    ],
)
def test_a_condition_of_another_stays(
    resource: str, controllers: tuple[type, ...], spec: dict[str, Any]
) -> None:
    async def main(stage: Stage) -> None:
        key = (resource, "default", "web")
        body = {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"matchLabels": LABELS}, "template": TEMPLATE, **spec},
        }
        stage.node("a")
        stage.api.create(resource, "default", body)
        stage.api.write(key, {**stage.api.objects[key], "status": {"conditions": [OWN]}}, "status")
        stage.start(*controllers, Scheduler)
        stage.agents()
        await asyncio.sleep(30)

        status = stage.objects(resource)["web"]["status"]
        assert len(status) > 1, "its controller has counted"
        assert OWN in status["conditions"]

    run(main)
