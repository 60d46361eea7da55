"""What docs/examples says, done on real peers, in the order in which its pages say it."""

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from crdtstate.client.kinds import CONFIG_MAPS, NODES, PODS, SERVICES
from crdtstate.model import Kind
from tests.controllers.cluster import EXAMPLES, ROOT, Cluster, cluster
from tests.kube.clients import library

pytestmark = pytest.mark.e2e
WEBSITES = Kind("example.com", "v1", "Website", "websites")
NOTES = Kind("kopf.example.com", "v1", "Note", "notes")


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("examples")) as running:
        yield running


@contextlib.contextmanager
def program(there: Cluster, *command: str, **env: str) -> Iterator[None]:
    """Run a program of an example beside the cluster; its end is ours."""
    path = there.peers.path / "program.log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env},
        )  # fmt: skip
    try:
        yield
        assert process.poll() is None, path.read_text()[-2000:]
    finally:
        process.terminate()
        process.wait()


def ask(address: str, port: int) -> str:
    with urllib.request.urlopen(f"http://{address}:{port}/", timeout=10) as answer:
        return str(answer.read().decode())


def test_web_runs_on_three_peers_behind_one_service(there: Cluster) -> None:
    there.kubectl("a", "apply", "-f", str(EXAMPLES / "web"))
    there.kubectl("b", "rollout", "status", "deployment/web", "--timeout=90s")

    pods = there.pods("c", "app=web")
    assert sorted(pod["spec"]["nodeName"] for pod in pods) == ["a", "b", "c"]
    service = (there.get("c", SERVICES, "web") or {})["spec"]
    port = service["ports"][0]["nodePort"]
    for node in there.find("a", NODES):
        name, address = node["metadata"]["name"], node["status"]["addresses"][0]["address"]
        there.wait(
            lambda a=address, n=name: ask(a, port).endswith(f"on {n}\n"), f"{name} serves itself"
        )
    assert ask(service["clusterIP"], 8000).startswith("hello from web-")
    there.kubectl("c", "delete", "-f", str(EXAMPLES / "web"))
    there.wait(lambda: not there.pods("a", "app=web"), "all are gone")


def test_a_controller_in_forty_lines_makes_websites(there: Cluster) -> None:
    folder = EXAMPLES / "crd-controller"
    code = (folder / "websites.py").read_text().split("@controller")[1].split("async def main")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 40
    there.kubectl("a", "apply", "-f", str(folder / "definition.yaml"))
    there.kubectl("a", "wait", "--for=condition=Established", "crd/websites.example.com")

    with program(there, sys.executable, str(folder / "websites.py"), there.peers.url("b")):
        there.kubectl("c", "apply", "-f", str(folder / "website.yaml"))
        there.wait_ready("a", "website=hello", 2)
        (pod, _) = there.pods("b", "website=hello")
        assert ask(pod["status"]["podIP"], 8080) == "good morning\n"
        there.kubectl(
            "a", "patch", "website", "hello", "--type=merge", "-p", '{"spec": {"copies": 3}}'
        )
        there.wait(
            lambda: (there.get("c", WEBSITES, "hello") or {}).get("status") == {"ready": 3},
            "its status",
        )
        there.kubectl("b", "delete", "website", "hello")
        there.wait(lambda: not there.find("a", PODS, "website=hello"), "they go with it")


def test_a_site_goes_on_while_it_is_cut_off(there: Cluster) -> None:
    folder = EXAMPLES / "autonomous-site"
    there.kubectl("a", "apply", "-f", str(folder / "site.yaml"))
    (pid,) = there.wait_ready("c", "app=pumps", 1).values()
    there.peers.isolate("c")

    assert there.kubectl("c", "logs", "deployment/pumps") == "pressure is held at 4\n"
    os.kill(pid, signal.SIGKILL)
    there.wait(lambda: pid not in there.wait_ready("c", "app=pumps", 1).values(), "started again")
    there.kubectl("c", "scale", "deployment/pumps", "--replicas=2")
    alone = there.wait_ready("c", "app=pumps", 2)
    patch = '{"data": {"pressure": "5"}}'
    there.kubectl("a", "patch", "configmap", "pumps", "--type=merge", "-p", patch)
    there.peers.heal()

    there.wait(lambda: there.ready("a", "app=pumps") == alone, "both sides see the same two")
    there.wait(
        lambda: (there.get("c", CONFIG_MAPS, "pumps") or {})["data"]["pressure"] == "5",
        "the new pressure",
    )
    assert there.ready("c", "app=pumps") == alone
    there.kubectl("b", "delete", "-f", str(folder / "site.yaml"), "--wait=false")


def test_a_kopf_operator_works_unchanged(there: Cluster, tmp_path: Path) -> None:
    library("kopf")
    folder = EXAMPLES / "kopf-operator"
    config = tmp_path / "kubeconfig"
    config.write_text(there.peers.cli("a", "kubeconfig"))
    there.kubectl("a", "apply", "-f", str(folder / "definition.yaml"))
    there.kubectl("a", "wait", "--for=condition=Established", "crd/notes.kopf.example.com")

    run = [sys.executable, "-m", "kopf", "run", "--standalone", "--all-namespaces"]
    with program(there, *run, str(folder / "operator.py"), KUBECONFIG=str(config)):
        there.kubectl("b", "apply", "-f", str(folder / "note.yaml"))
        there.wait(lambda: there.get("c", CONFIG_MAPS, "note-shopping"), "the note is written")
        there.kubectl("c", "delete", "note", "shopping", "--timeout=90s")
    assert there.get("a", NOTES, "shopping") is None
