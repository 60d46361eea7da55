"""The demonstration: real manifests, a real cut, edits on both sides, a heal, every outcome."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crdtstate.model import Conflict
from tests.e2e.fleet import Fleet, fleet

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT.parent / "shared" / "data" / "manifests"
OWN = Path(__file__).parent / "manifests"

FRONTEND = "deployment.apps/default/frontend"
REPLICA = "deployment.apps/default/redis-replica"
SERVICE = "service/default/redis-master"
SETTINGS = "configmap/default/settings"
HEAL_S_TARGET = 1.0  # Measured in bench/; a test on a busy machine only prints it.


def apply_manifests(peers: Fleet) -> int:
    """Apply what there is to `a`, and return how many records that makes."""
    found = [p for p in (PUBLISHED / "guestbook", PUBLISHED / "cassandra") if p.is_dir()]
    flags = [word for path in found or [OWN] for word in ("-f", str(path))]
    peers.cli("a", "apply", *flags)
    return len(list(peers.client("a").list()))


def edit_apart(peers: Fleet) -> None:
    """What the two sides do while they do not see each other."""
    a, b = peers.client("a"), peers.client("b")
    # Different fields of one Deployment.
    a.map(FRONTEND).merge({"spec": {"replicas": 5}})
    template = b.get_value(FRONTEND)["spec"]["template"]
    template["spec"]["containers"][0]["image"] = "example.org/web:2"
    b.map(FRONTEND).merge({"spec": {"template": template}})
    # The same field of another.
    a.map(REPLICA).merge({"spec": {"replicas": 4}})
    time.sleep(0.02)  # So that b's clock reading is the later one.
    b.map(REPLICA).merge({"spec": {"replicas": 6}})
    # A record deleted here and updated there.
    a.delete(SERVICE)
    b.map(SERVICE).merge({"spec": {"type": "NodePort"}})
    # The same new record on both sides.
    for client, mine in ((a, {"from": "a", "x": "1"}), (b, {"from": "b", "y": "2"})):
        time.sleep(0.02)
        client.map(SETTINGS).put(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
             "data": mine | {"mode": "same"}}
        )  # fmt: skip


def test_two_sides_of_a_cut_become_one_state_with_every_documented_outcome(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    with fleet(tmp_path) as peers:
        count = apply_manifests(peers)
        peers.converge()
        peers.cli("a", "dev", "cut", "a", "b")
        peers.cli("a", "dev", "cut", "a", "c")
        peers.wait_cut("a", "b")
        peers.wait_cut("a", "c")
        assert peers.status("a")["minority"]
        began_ms = time.time() * 1000
        edit_apart(peers)
        assert peers.client("a").get_value(REPLICA)["spec"]["replicas"] == 4
        assert peers.client("c").get_value(REPLICA)["spec"]["replicas"] == 6
        ended_ms = time.time() * 1000

        peers.client("a").heal()
        took_s = peers.converge()

        figure(f"demo: converged {took_s:.2f} s after the heal; the target is {HEAL_S_TARGET} s")
        for name in peers.plans:
            check_outcomes(peers, name, count)
            check_conflicts(list(peers.client(name).conflicts()), (began_ms, ended_ms))
        listed = json.loads(peers.cli("c", "conflicts", "-o", "json"))
        assert len(listed) == 3


def check_outcomes(peers: Fleet, name: str, count: int) -> None:
    records = peers.records(name)
    assert len(records) == count  # One gone, one new.
    frontend = records[FRONTEND]["spec"]
    assert frontend["replicas"] == 5
    assert frontend["template"]["spec"]["containers"][0]["image"] == "example.org/web:2"
    assert records[REPLICA]["spec"]["replicas"] == 6
    assert SERVICE not in records
    assert records[SETTINGS]["data"] == {"from": "b", "x": "1", "y": "2", "mode": "same"}
    assert records["statefulset.apps/default/cassandra"]["spec"]["serviceName"] == "cassandra"


def check_conflicts(found: list[Conflict], between_ms: tuple[float, float]) -> None:
    told: dict[tuple[str, str], Any] = {}
    for conflict in found:
        told[conflict.key, conflict.path] = (
            conflict.kind, {(v.peer, v.value, v.wins) for v in conflict.values},
        )  # fmt: skip
        for value in conflict.values:
            assert between_ms[0] - 5 <= value.time_ms <= between_ms[1] + 5
            assert len(value.origin) == 16
    assert told == {
        (REPLICA, "/spec/replicas"): (
            "concurrent_values", {("a", 4, False), ("b", 6, True)},
        ),
        (SETTINGS, "/data/from"): (
            "concurrent_values", {("a", "a", False), ("b", "b", True)},
        ),
        (SERVICE, "/spec/type"): ("update_after_delete", {("b", "NodePort", False)}),
    }  # fmt: skip
