"""Disks wiped, restored, copied, rolled back: each comes back new, and nothing is resurrected."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.fleet import Fleet, fleet, until

pytestmark = pytest.mark.e2e


def write_and_delete(peers: Fleet) -> str:
    """Let b write, one key die, and return b's origin."""
    b = peers.client("b")
    for n in range(20):
        b.put(f"k{n}", str(n))
    b.map("m").put({"x": 1})
    b.wait(peers=3)
    return str(peers.status("b")["origin"])


def delete_while_away(peers: Fleet) -> None:
    """What happens while b is gone."""
    a = peers.client("a")
    for n in range(10):
        a.delete(f"k{n}")
    a.put("k10", "newer")
    a.delete("m")


def check_back(peers: Fleet, old_origin: str) -> None:
    peers.wait_ready("b")
    until(peers.is_linked, "all linked")
    peers.converge()
    assert peers.status("b")["origin"] != old_origin
    b = peers.client("b")
    result = b.put("after", "1")
    assert result.replicas >= 1
    b.put("k11", "of the new life")
    peers.converge()
    for name in peers.plans:
        records = peers.records(name)
        assert [k for k in records if k in {f"k{n}" for n in range(10)} | {"m"}] == []
        assert records["k10"] == b"newer"
        assert records["k11"] == b"of the new life"
        assert records["after"] == b"1"


def test_a_wiped_disk_comes_back_new(tmp_path: Path) -> None:
    with fleet(tmp_path) as peers:
        origin = write_and_delete(peers)
        peers.kill("b")
        delete_while_away(peers)
        peers.wipe("b")
        peers.start("b")
        check_back(peers, origin)


def test_a_restored_backup_comes_back_new_and_resurrects_nothing(tmp_path: Path) -> None:
    with fleet(tmp_path) as peers:
        origin = write_and_delete(peers)
        peers.cli("b", "backup", str(tmp_path / "backup"))
        peers.client("b").put("k12", "after the backup")
        peers.client("b").wait(peers=3)
        peers.kill("b")
        delete_while_away(peers)
        peers.wipe("b")
        peers.cli("a", "restore", str(tmp_path / "backup"), str(peers.plans["b"].data))
        peers.start("b")
        check_back(peers, origin)
        assert peers.records("b")["k12"] == b"after the backup"


def test_a_copied_directory_comes_back_new_and_so_both_can_run(tmp_path: Path) -> None:
    with fleet(tmp_path) as peers:
        origin = write_and_delete(peers)
        peers.stop_one("b")
        data = peers.plans["b"].data
        shutil.copytree(data, tmp_path / "copy")
        delete_while_away(peers)
        peers.wipe("b")
        shutil.copytree(tmp_path / "copy", data)
        peers.start("b")
        check_back(peers, origin)


def test_a_disk_that_went_back_in_time_is_noticed_before_its_first_write(tmp_path: Path) -> None:
    """The same files at an earlier state, moved and not copied: only a peer can tell."""
    with fleet(tmp_path) as peers:
        b = peers.client("b")
        b.put("k1", "early")
        b.wait(peers=3)
        peers.stop_one("b")
        db = peers.plans["b"].data / "db"
        shutil.copytree(db, tmp_path / "earlier")
        peers.start("b")
        peers.wait_ready("b")
        until(peers.is_linked, "all linked")
        origin = str(peers.status("b")["origin"])
        for n in range(50):
            b.put("k1", f"late {n}")
        b.wait(peers=3)
        peers.stop_one("b")
        shutil.rmtree(db)
        (tmp_path / "earlier").rename(db)
        peers.start("b")
        peers.wait_ready("b")
        b.put("k2", "written after")
        until(peers.is_linked, "all linked")
        peers.converge()
        assert peers.status("b")["origin"] != origin
        assert peers.client("c").get_value("k1") == b"late 49"
        assert peers.client("c").get_value("k2") == b"written after"


def refusals(peers: Fleet) -> int:
    """Return how often a or b refused a member that they have forgotten."""
    gossip = [peers.status(name)["gossip"] for name in "ab"]
    return sum(n for one in gossip for what, n in one.items() if "admitted" in what)


def test_a_forgotten_member_does_not_come_back(tmp_path: Path) -> None:
    with fleet(tmp_path) as peers:
        peers.client("c").put("k", "of c")
        peers.client("c").wait(peers=3)
        peers.stop_one("c")
        command = [sys.executable, "-m", "crdtstate", "-s", peers.url("a"), "forget", "c", "--yes"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        until(lambda: peers.status("b")["members"] == 2, "b knows that c is forgotten")
        assert peers.client("b").put("k2", "v", w="all").replicas == 2
        assert peers.client("b").get_value("k") == b"of c"
        peers.start("c")
        peers.wait_ready("c")
        until(lambda: refusals(peers) > 0, "c was refused")
        assert peers.status("a")["members"] == 2
        assert "c" not in peers.status("a")["linked"]
