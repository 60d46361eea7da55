"""The laboratory end to end, small: a real etcd and ours, a real cut, the page of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.caplab.places.namespaces import can_enter
from bench.caplab.results import Results, decode
from bench.caplab.systems.names import ETCD, OURS, SYSTEMS

ROOT = Path(__file__).parents[2]
ETCD_BINARY = ROOT / ".venv" / "clients" / "etcd"

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def run(out: Path, *flags: str) -> Results:
    command = [sys.executable, "-m", "bench.caplab.run", "tiny", "--out", str(out), *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (path,) = out.glob("caplab-*.json")
    assert path.with_suffix(".html").exists()
    return decode(path.read_bytes())


def check(results: Results) -> None:
    """What holds of any cut, however slow the machine is."""
    cells = {run.system: run for run in results.cells}
    assert cells.keys() == set(SYSTEMS), results.skipped
    during = {name: cells[name].measured.served["during"]["put"] for name in SYSTEMS}
    alone = "0"
    assert during[ETCD][alone].accepted == 0
    assert during[OURS][alone].accepted > 0
    for name in SYSTEMS:
        checked = cells[name].measured.checked
        assert checked.lost == []
        assert checked.counter[2] is not None
        assert cells[name].used.bytes_between > 0
    assert all(verdict is not False
               for verdict in cells[ETCD].measured.checked.linearizable.values())  # fmt: skip
    ours = cells[OURS].measured.checked
    assert ours.conflict_keys > 0
    assert ours.conflicts_unlisted == []
    assert cells[OURS].fingerprints_equal
    for counts in (counts for role, counts in ours.session_anomalies.items()
                   if not role.endswith("without token")):  # fmt: skip
        assert counts["causal"] == counts["out_of_thin_air"] == 0


@pytest.mark.skipif(not ETCD_BINARY.exists(), reason="etcd is not there: make clients")
@pytest.mark.skipif(bool(can_enter()), reason=f"no network namespaces here: {can_enter()}")
def test_the_laboratory_runs_in_namespaces_and_finds_what_cap_says(tmp_path: Path) -> None:
    results = run(tmp_path)

    check(results)
    assert {run.load.system for run in results.loads} == set(SYSTEMS)
    assert all(run.result.requests > 0 for run in results.loads)


@pytest.mark.skipif(not ETCD_BINARY.exists(), reason="etcd is not there: make clients")
def test_the_laboratory_runs_on_loopback_where_there_are_no_namespaces(tmp_path: Path) -> None:
    check(run(tmp_path, "--loopback", "--only", "cut off leader"))
