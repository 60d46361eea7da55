"""What `crdtstate status` prints of a peer."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

from click.testing import CliRunner

from crdtstate.cli.cluster import status
from crdtstate.model import Status

FIELDS: dict[str, Any] = {
    "name": "b", "origin": "8" + "0" * 15, "revision": "8000000000000000-7", "token": "",
    "ready": True, "reason": "", "linked": ["c"], "members": 3, "minority": False, "conflicts": 0,
    "held": 0, "fingerprint": "0" * 32, "disk_bytes": 1_234_567, "uptime_ms": 61_000,
    "version": "0.1.0", "protocol": 1, "other_versions": {},
}  # fmt: skip


def printed(**fields: Any) -> list[str]:
    """Return the lines for a peer that says this of itself."""
    told = {**FIELDS, **fields}
    answer = Status(
        **{name: told[name] for name in Status.__dataclass_fields__ if name != "fields"},
        fields=told,
    )
    session = SimpleNamespace(client=lambda: nullcontext(SimpleNamespace(status=lambda: answer)))
    result = CliRunner().invoke(status, obj=session)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_a_peer_that_is_well_says_so() -> None:
    lines = printed()
    assert "ready        yes" in lines
    assert "linked       c" in lines
    assert "disk         1,234,567 bytes" in lines
    assert "up           61.0 s" in lines
    assert not any(line.startswith("warning") for line in lines)


def test_a_peer_that_is_cut_off_says_so() -> None:
    lines = printed(ready=False, reason="starting", linked=[], minority=True)
    assert "ready        no: starting" in lines
    assert "linked       to nobody" in lines
    assert "members      3, this is a minority" in lines


def test_who_speaks_another_version_is_named_with_both_versions() -> None:
    lines = printed(other_versions={"a": 2})
    assert lines[-1] == (
        "warning      a speaks version 2 of the replication protocol, this peer 1: "
        "they exchange nothing until both speak the same"
    )
