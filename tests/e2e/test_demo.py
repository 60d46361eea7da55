"""The demonstration: manifests, a real cut, edits on both sides, a heal, every outcome."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from crdtstate.client.kinds import CONFIG_MAPS, DEPLOYMENTS, SERVICES, STATEFUL_SETS
from crdtstate.model import Kind
from tests.e2e.fleet import Fleet, fleet, until

pytestmark = pytest.mark.e2e

MANIFESTS = Path(__file__).parent / "manifests"
CONFLICTS = Kind("crdtstate.io", "v1", "Conflict", "conflicts")
HEAL_S_TARGET = 1.0  # Measured in bench/; a test on a busy machine only prints it.


def edit_apart(peers: Fleet) -> None:
    """What the two sides do while they do not see each other."""
    a, b = peers.client("a").resources, peers.client("b").resources
    # Different fields of one Deployment.
    a.patch(DEPLOYMENTS, "frontend", {"spec": {"replicas": 5}}, "default")
    containers = [{"name": "web", "image": "example.org/web:2"}]
    template = {"spec": {"template": {"spec": {"containers": containers}}}}
    b.patch(DEPLOYMENTS, "frontend", template, "default", media="strategic")
    # The same field of another.
    a.patch(DEPLOYMENTS, "redis-replica", {"spec": {"replicas": 4}}, "default")
    time.sleep(0.02)  # So that b's clock reading is the later one.
    b.patch(DEPLOYMENTS, "redis-replica", {"spec": {"replicas": 6}}, "default")
    # An object deleted here and updated there.
    assert a.delete(SERVICES, "redis-master", "default")
    b.patch(SERVICES, "redis-master", {"spec": {"type": "NodePort"}}, "default")
    # The same new object on both sides.
    for resources, mine in ((a, {"from": "a", "x": "1"}), (b, {"from": "b", "y": "2"})):
        time.sleep(0.02)
        metadata = {"name": "settings", "namespace": "default"}
        resources.create(CONFIG_MAPS, {"metadata": metadata, "data": mine | {"mode": "same"}})


def replicas(peers: Fleet, name: str, deployment: str) -> int:
    found = peers.client(name).resources.get(DEPLOYMENTS, deployment, "default")
    assert found is not None
    return int(found["spec"]["replicas"])


def test_two_sides_of_a_cut_become_one_state_with_every_documented_outcome(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    with fleet(tmp_path) as peers:
        peers.cli("a", "apply", "-f", str(MANIFESTS))
        peers.converge()
        peers.cli("a", "dev", "cut", "a", "b")
        peers.cli("a", "dev", "cut", "a", "c")
        peers.wait_cut("a", "b")
        peers.wait_cut("a", "c")
        assert peers.status("a")["minority"]
        began_ms = time.time() * 1000
        edit_apart(peers)
        assert replicas(peers, "a", "redis-replica") == 4
        until(lambda: replicas(peers, "c", "redis-replica") == 6, "b and c hear each other")
        ended_ms = time.time() * 1000

        peers.client("a").heal()
        took_s = peers.converge()

        figure(f"demo: converged {took_s:.2f} s after the heal; the target is {HEAL_S_TARGET} s")
        for name in peers.plans:
            check_outcomes(peers, name)
            check_conflicts(peers, name, (began_ms, ended_ms))


def check_outcomes(peers: Fleet, name: str) -> None:
    resources = peers.client(name).resources
    frontend = resources.get(DEPLOYMENTS, "frontend", "default")
    assert frontend is not None
    assert frontend["spec"]["replicas"] == 5
    (container,) = frontend["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "example.org/web:2"
    assert container["ports"][0]["containerPort"] == 80
    assert replicas(peers, name, "redis-replica") == 6
    assert resources.get(SERVICES, "redis-master", "default") is None
    settings = resources.get(CONFIG_MAPS, "settings", "default")
    assert settings is not None
    assert settings["data"] == {"from": "b", "x": "1", "y": "2", "mode": "same"}
    cassandra = resources.get(STATEFUL_SETS, "cassandra", "default")
    assert cassandra is not None
    assert cassandra["spec"]["serviceName"] == "cassandra"


def check_conflicts(peers: Fleet, name: str, between_ms: tuple[float, float]) -> None:
    told: dict[tuple[str, str], Any] = {}
    listed = yaml.safe_load(peers.cli(name, "get", "conflicts", "-o", "yaml"))
    for conflict in listed["items"]:
        for field in conflict["fields"]:
            values = {(v["peer"], v["value"], v["shown"]) for v in field["values"]}
            told[conflict["metadata"]["name"], field["path"]] = (field["kind"], values)
            for value in field["values"]:
                at = datetime.strptime(value["time"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
                # Shown in whole seconds.
                assert between_ms[0] - 1005 <= at.timestamp() * 1000 <= between_ms[1] + 5
    assert told == {
        ("deployments.apps.redis-replica", ".spec.replicas"): (
            "concurrent_values", {("a", 4, False), ("b", 6, True)},
        ),
        ("configmaps.settings", ".data.from"): (
            "concurrent_values", {("a", "a", False), ("b", "b", True)},
        ),
        ("services.redis-master", ".spec.type"): (
            "update_after_delete", {("b", "NodePort", False)},
        ),
    }  # fmt: skip
