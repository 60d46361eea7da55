"""kubectl, the newest and one six years old, against real peers."""

from collections.abc import Callable

import pytest

from tests.e2e.fleet import Fleet, until
from tests.kube.clients import Client, binary
from tests.kube.manifests import CONFIG_MAP, CRD, WIDGET

pytestmark = pytest.mark.e2e
NAMES = ("kubectl", "kubectl-1.20")
Make = Callable[[list[str]], Client]


@pytest.fixture(params=NAMES)
def kubectl(request: pytest.FixtureRequest, client: Make) -> Client:
    """kubectl with a namespace of its own."""
    name = request.param
    made = client([binary(name)])
    namespace = name.replace(".", "-")
    made.run("create", "namespace", namespace, status=None)
    made.command += ["--namespace", namespace]
    return made


def group_of(kubectl: Client) -> str:
    return f"{kubectl.command[-1]}.example.com"


def test_discovery_and_reading(kubectl: Client) -> None:
    assert "Server Version" in kubectl.run("version")
    resources = kubectl.run("api-resources")
    assert all(name in resources for name in ("configmaps", "deployments", "leases"))
    assert "No resources" in kubectl.run("get", "cm")
    assert "phase: Active" in kubectl.run("get", "ns", "default", "-o", "yaml")
    assert "yes" in kubectl.run("auth", "can-i", "get", "pods")
    kubectl.run("get", "events")
    kubectl.run("get", "cm", "nothing", status=1)


def test_a_config_map_through_its_life(kubectl: Client) -> None:
    first = kubectl.write("1.yaml", CONFIG_MAP % {"name": "a", "value": "v2"})
    second = kubectl.write("2.yaml", CONFIG_MAP % {"name": "a", "value": "v9"})

    assert "created" in kubectl.run("apply", "-f", first)
    assert "configured" in kubectl.run("apply", "-f", second)
    assert "unchanged" in kubectl.run("apply", "-f", second)
    assert "serverside-applied" in kubectl.run(
        "apply", "--server-side", "--force-conflicts", "-f", first
    )
    printed = kubectl.run("diff", "-f", second, status=1)
    assert "+  k2: v9" in printed
    kubectl.run("diff", "-f", first)
    assert "v1" in kubectl.run("describe", "cm", "a")
    kubectl.run("label", "cm", "a", "q=1", "--overwrite")
    assert "a" in kubectl.run("get", "cm", "-l", "q=1", "-o", "name")
    kubectl.run("annotate", "cm", "a", "note=here")
    assert "replaced" in kubectl.run("replace", "--force", "-f", second)
    kubectl.run("create", "configmap", "zz", "--from-literal=a=b")
    kubectl.run("create", "secret", "generic", "s", "--from-literal=p=q")
    kubectl.run("delete", "cm", "a", "zz", "--timeout=20s")
    kubectl.run("delete", "secret", "--all")
    kubectl.run("delete", "cm", "a", status=1)


def test_a_custom_resource_through_its_life(kubectl: Client) -> None:
    group = group_of(kubectl)
    crd = kubectl.write("crd.yaml", CRD % {"group": group})
    small = kubectl.write("small.yaml", WIDGET % {"group": group, "name": "w1", "size": 3})
    large = kubectl.write("large.yaml", WIDGET % {"group": group, "name": "w1", "size": 4})
    resource = f"widgets.{group}"

    kubectl.run("create", "-f", crd)
    kubectl.run("apply", "-f", small)  # At once: no wait for the definition.
    kubectl.run("wait", "--for=condition=Established", f"crd/{resource}", "--timeout=20s")
    kubectl.run("apply", "-f", large)
    assert "What is wanted" in kubectl.run("explain", f"{resource}.spec".replace(resource, "wd"))
    table = kubectl.run("get", resource)
    assert table.splitlines()[0].split()[:2] == ["NAME", "SIZE"]
    kubectl.run("scale", resource, "w1", "--replicas=2")
    patch = '[{"op":"replace","path":"/spec/size","value":%d}]'
    kubectl.run("patch", resource, "w1", "--type=json", "-p", patch % 7)
    refused = kubectl.run("patch", resource, "w1", "--type=json", "-p", patch % 70, status=1)
    assert "spec.size" in refused
    bob = ("apply", "--server-side", "--field-manager=bob")
    assert "conflict" in kubectl.run(*bob, "-f", large, status=1)
    kubectl.run(*bob, "--force-conflicts", "-f", large)
    found = kubectl.json("get", resource, "w1")
    assert found["spec"]["size"] == 4
    assert found["spec"]["replicas"] == 2
    assert found["spec"]["color"] == "red"
    kubectl.run("delete", resource, "w1", "--timeout=20s")
    kubectl.run("apply", "-f", small)
    kubectl.run("delete", "crd", resource, "--timeout=20s")
    kubectl.run("get", resource, status=1)


def test_any_peer_shows_what_another_took(kubectl: Client, peers: Fleet) -> None:
    kubectl.run("--context", "b", "create", "configmap", "seen", "--from-literal=a=b")

    until(
        lambda: "seen" in kubectl.run("--context", "c", "get", "cm", "-o", "name"),
        "the other peer shows it",
    )

    kubectl.run("--context", "c", "delete", "cm", "seen")
    until(
        lambda: "seen" not in kubectl.run("--context", "b", "get", "cm", "-o", "name"),
        "it is gone everywhere",
    )
