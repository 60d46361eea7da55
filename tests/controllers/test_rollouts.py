"""What people do to workloads with kubectl, on real peers: roll out, go back, pause, delete."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from crdtstate.client.kinds import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS, REPLICA_SETS
from tests.controllers.cluster import Cluster, cluster
from tests.e2e.fleet import Fleet, until

pytestmark = pytest.mark.e2e
PAUSE = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {space}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{{name: main, image: none, command: [sleep, "1000"]}}]
"""


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("rollouts")) as running:
        yield running


def deploy(there: Cluster, peer: str, name: str, replicas: int, space: str = "default") -> None:
    manifest = PAUSE.format(name=name, replicas=replicas, space=space)
    there.kubectl(peer, "apply", "-f", "-", stdin=manifest)


def images(there: Cluster, name: str) -> set[str]:
    pods = there.pods("c", f"app={name}")
    return {pod["spec"]["containers"][0]["image"] for pod in pods}


def test_kubectl_rolls_out_goes_back_and_pauses(there: Cluster) -> None:
    deploy(there, "a", "roll", 3)
    wait = ["rollout", "status", "deployment/roll", "--timeout=60s"]
    assert "successfully rolled out" in there.kubectl("b", *wait)
    there.kubectl("c", "set", "image", "deployment/roll", "main=other")
    assert "successfully rolled out" in there.kubectl("a", *wait)
    assert images(there, "roll") == {"other"}
    history = there.kubectl("b", "rollout", "history", "deployment/roll")
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]

    there.kubectl("b", "rollout", "undo", "deployment/roll")
    assert "successfully rolled out" in there.kubectl("c", *wait)
    there.wait(lambda: images(there, "roll") == {"none"}, "the first image again")

    there.kubectl("a", "rollout", "pause", "deployment/roll")
    there.kubectl("a", "set", "image", "deployment/roll", "main=third")
    there.kubectl("a", "scale", "deployment/roll", "--replicas=4")
    there.wait_ready("b", "app=roll", 4)
    assert images(there, "roll") == {"none"}
    there.kubectl("a", "rollout", "resume", "deployment/roll")
    there.kubectl("b", *wait)
    there.wait(lambda: images(there, "roll") == {"third"}, "the paused image")
    with urllib.request.urlopen(f"{there.peers.url('a')}/metrics", timeout=10) as answer:
        counts = answer.read().decode()
    assert 'controller_reconciles_total{controller="deployments"}' in counts
    said = there.kubectl("b", "describe", "deployment", "roll")
    assert "NewReplicaSetAvailable" in said
    there.kubectl("b", "delete", "deployment", "roll")
    there.wait(lambda: not there.find("c", PODS, "app=roll"), "its pods are gone, too")


def test_what_is_orphaned_lives_on_and_is_taken_up_again(there: Cluster) -> None:
    deploy(there, "a", "kept", 2)
    pids = there.wait_ready("b", "app=kept", 2)
    there.kubectl("b", "delete", "deployment", "kept", "--cascade=orphan")
    there.wait(lambda: there.get("c", DEPLOYMENTS, "kept") is None, "the Deployment is gone")
    there.wait(
        lambda: all(
            "ownerReferences" not in rs["metadata"] for rs in there.find("c", REPLICA_SETS)
        ),
        "the ReplicaSet has no owner",
    )
    deploy(there, "c", "kept", 2)
    there.kubectl("c", "rollout", "status", "deployment/kept", "--timeout=60s")
    assert there.wait_ready("a", "app=kept", 2) == pids
    there.kubectl("a", "delete", "deployment", "kept", "--cascade=foreground")
    there.wait(lambda: not there.find("b", PODS, "app=kept"), "its pods are gone")


def test_a_namespace_goes_with_all_that_is_in_it(there: Cluster) -> None:
    there.kubectl("a", "create", "namespace", "shop")
    there.wait(lambda: there.get("b", NAMESPACES, "shop"), "b knows it")
    there.kubectl("b", "create", "configmap", "c", "--from-literal=a=b", "-n", "shop")
    deploy(there, "b", "web", 2, "shop")
    wait = ["rollout", "status", "deployment/web", "-n", "shop", "--timeout=60s"]
    there.kubectl("c", *wait)
    there.kubectl("c", "delete", "namespace", "shop", "--timeout=60s")
    for peer in "abc":
        resources = there.peers.client(peer).resources
        there.wait(lambda r=resources: not r.list(PODS, "shop").items, f"no pods at {peer}")
        assert not [body["metadata"]["name"] for body in resources.list(CONFIG_MAPS, "shop").items]


def test_a_quota_is_kept_and_its_refusal_stands_in_the_description(there: Cluster) -> None:
    there.kubectl("a", "create", "quota", "few", "--hard=pods=3")
    there.wait(
        lambda: "3" in there.kubectl("b", "get", "quota", "few", "-o", "jsonpath={.status.hard}"),
        "the quota is in force",
    )
    deploy(there, "b", "many", 6)
    there.wait_ready("c", "app=many", 3)
    there.wait(
        lambda: "exceeded quota: few" in there.kubectl("c", "get", "events"),
        "the refusal is an Event",
    )
    assert "3" in there.kubectl("c", "describe", "quota", "few")
    assert len(there.pods("a", "app=many")) == 3
    there.kubectl("c", "delete", "quota", "few")
    there.wait_ready("a", "app=many", 6)
    there.kubectl("a", "delete", "deployment", "many")


def test_controllers_run_in_a_process_of_their_own(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with Fleet(tmp_path_factory.mktemp("apart"), count=1) as peers:
        command = [
            sys.executable, "-m", "crdtstate", "--server", peers.url("a"), "controllers",
            "--only", "deployments", "--only", "replicasets",
        ]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert b"2 controllers run" in process.stdout.readline()
            client = peers.client("a")
            template = {
                "metadata": {"labels": {"app": "x"}},
                "spec": {"containers": [{"name": "main", "image": "x"}]},
            }
            body = {
                "metadata": {"name": "x", "namespace": "default"},
                "spec": {
                    "replicas": 2,
                    "selector": {"matchLabels": {"app": "x"}},
                    "template": template,
                },
            }
            client.resources.create(DEPLOYMENTS, body)
            until(lambda: len(client.resources.list(PODS, "default").items) == 2, "two pods", 60)
            process.terminate()
            assert process.wait(20) == 0
