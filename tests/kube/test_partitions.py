"""What users of kubectl see of a cut: warnings, merged objects, conflicts as objects."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.fleet import Fleet, until
from tests.kube.clients import Client, binary
from tests.kube.manifests import CRD, WIDGET

pytestmark = pytest.mark.e2e
GROUP = "cut.example.com"
EVERYBODY = ("a", "b", "c")


class Cut:
    """One cut, with peer a alone on one side, and what was written on both sides of it."""

    def __init__(self, peers: Fleet, kubectl: Client) -> None:
        self.kubectl, self.said = kubectl, {"a": "", "b": ""}
        self.on("a", "create", "namespace", "cut")
        peers.converge()
        peers.isolate("a")
        for side, manager in (("a", "one"), ("b", "two")):
            self.said[side] = self.apply(side, manager, f"{{{manager}: {side}, both: {side}}}")
            self.on(side, "create", "configmap", "kept", f"--from-literal=k={side}")
            self.on(side, "create", "-f", kubectl.write("crd.yaml", CRD % {"group": GROUP}))
            widget = WIDGET % {"group": GROUP, "name": f"from-{side}", "size": 1}
            self.on(side, "apply", "-f", kubectl.write(f"{side}.yaml", widget))
        peers.heal()
        until(peers.is_linked, "linked again")
        peers.converge()

    def on(self, side: str, *arguments: str) -> str:
        """Run kubectl against one peer."""
        return self.kubectl.run("--context", side, "--namespace", "cut", *arguments)

    def apply(self, side: str, manager: str, data: str) -> str:
        """Apply a ConfigMap that several managers share."""
        text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: shared}}\ndata: {data}\n"
        path = self.kubectl.write(f"{manager}.yaml", text)
        arguments = ("--server-side", "--force-conflicts", "--field-manager", manager, "-f", path)
        return self.on(side, "apply", *arguments)

    def conflict(self, name: str) -> str:
        """Return the description of an object's conflict, empty when there is none."""
        found = self.on("c", "get", "conflicts", "-o", "name")
        names = [line for line in found.split() if line.endswith(f".{name}")]
        return self.on("c", "get", names[0], "-o", "yaml") if names else ""


@pytest.fixture(scope="module")
def cut(peers: Fleet, kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cut]:
    home = tmp_path_factory.mktemp("cut")
    yield Cut(peers, Client([binary("kubectl")], home, kubeconfig))
    peers.heal()


def test_a_minority_says_so_at_the_moment_of_writing(cut: Cut) -> None:
    assert "Warning:" in cut.said["a"]
    assert "1 of 3 members, a minority" in cut.said["a"]
    assert "Warning:" not in cut.said["b"]


def test_two_sides_merge_field_by_field_and_are_one_object(cut: Cut) -> None:
    select = "jsonpath={.metadata.uid} {.data}"
    found = {cut.on(peer, "get", "configmap", "shared", "-o", select) for peer in EVERYBODY}

    (shown,) = found  # On every peer the same.
    assert all(f'"{key}":' in shown for key in ("one", "two", "both"))


def test_a_conflict_is_an_object_that_a_later_write_settles(cut: Cut) -> None:
    listed = cut.on("c", "get", "conflicts")
    assert "configmaps" in listed
    shown = cut.conflict("shared")
    assert "path: .data.both" in shown
    assert all(f"peer: {peer}" in shown for peer in ("a", "b"))
    assert all(f"- {manager}" in shown for manager in ("one", "two"))

    told = cut.apply("c", "three", "{both: c}")

    assert "concurrently" in told
    assert not cut.conflict("shared")


def test_deleting_a_conflict_keeps_what_is_shown(cut: Cut) -> None:
    data = ("get", "configmap", "kept", "-o", "jsonpath={.data}")
    shown = cut.on("c", *data)
    assert "path: .data.k" in cut.conflict("kept")

    cut.on("c", "delete", "conflict", "configmaps.kept")

    assert not cut.conflict("kept")
    assert cut.on("c", *data) == shown


def test_a_definition_made_on_both_sides_shows_the_objects_of_both(cut: Cut) -> None:
    for peer in EVERYBODY:
        names = cut.on(peer, "get", f"widgets.{GROUP}", "-o", "name")
        assert len(names.split()) == 2

    cut.on("c", "delete", "crd", f"widgets.{GROUP}", "--timeout=20s")
