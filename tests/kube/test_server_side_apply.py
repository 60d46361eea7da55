"""Manifests as people have them: applied, nothing differs; applied again, nothing changes.

`CRDTSTATE_MANIFESTS` names a folder with more of them: what others published, for example.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kube.clients import Client, binary

pytestmark = pytest.mark.e2e
SAMPLES = Path(__file__).parent / "samples"
ALL = "configmaps,secrets,services,deployments,statefulsets,cronjobs,roles,rolebindings,crds"


def files() -> list[Path]:
    more = os.environ.get("CRDTSTATE_MANIFESTS")
    return sorted(SAMPLES.glob("*.yaml")) + (sorted(Path(more).rglob("*.yaml")) if more else [])


@pytest.fixture
def kubectl(client: Callable[[list[str]], Client]) -> Client:
    made = client([binary("kubectl")])
    made.run("create", "namespace", "apply", status=None)
    made.command += ["--namespace", "apply"]
    return made


def versions(kubectl: Client) -> dict[str, Any]:
    listed = kubectl.json("get", ALL, "--show-managed-fields")
    return {f"{i['kind']}/{i['metadata']['name']}": i["metadata"] for i in listed["items"]}


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
@pytest.mark.parametrize("mode", ["--server-side", "--server-side=false"])
def test_what_was_applied_does_not_differ_and_is_not_written_again(
    kubectl: Client, path: Path, mode: str
) -> None:
    arguments = (mode, "-f", str(path))
    if mode == "--server-side":
        arguments += ("--force-conflicts",)
    kubectl.run("apply", *arguments)

    kubectl.run("diff", *arguments)  # It exits with 1 when something differs.

    before = versions(kubectl)
    kubectl.run("apply", *arguments)
    assert versions(kubectl) == before


def test_two_managers_meet_in_one_object(kubectl: Client) -> None:
    web = str(SAMPLES / "web.yaml")
    kubectl.run("apply", "--server-side", "--force-conflicts", "-f", web)
    other = kubectl.write(
        "other.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 5}\n",
    )
    autoscaler = ("apply", "--server-side", "--field-manager=autoscaler", "-f", other)

    refused = kubectl.run(*autoscaler, status=1)
    kubectl.run(*autoscaler, "--force-conflicts")

    assert "conflict" in refused
    assert ".spec.replicas" in refused
    assert kubectl.json("get", "deployment", "web")["spec"]["replicas"] == 5
    assert "autoscaler" in kubectl.run("apply", "--server-side", "-f", web, status=1)


def test_an_object_moves_from_client_side_to_server_side_apply(kubectl: Client) -> None:
    """kubectl rewrites managedFields once, with a JSON patch, and then never again."""
    path = kubectl.write(
        "map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: moved}\ndata: {a: b}\n"
    )
    kubectl.run("apply", "-f", path)

    kubectl.run("apply", "--server-side", "-f", path)
    before = kubectl.json("get", "cm", "moved", "--show-managed-fields")
    kubectl.run("apply", "--server-side", "-f", path)

    assert kubectl.json("get", "cm", "moved", "--show-managed-fields") == before
    managers = {entry["manager"] for entry in before["metadata"]["managedFields"]}
    assert managers == {"kubectl", "kubectl-last-applied"}
