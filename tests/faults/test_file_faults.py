"""Faults of the small files beside the database: lost renames, leftovers, short writes."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from crdtstate.errors import StorageError
from crdtstate.storage.files import write_durably
from crdtstate.storage.layout import DataDirectory

CLUSTER = b"c" * 16


def origin_of(path: Path) -> int:
    directory = DataDirectory.open(path, name="a", cluster_id=CLUSTER)
    directory.close()
    return directory.identity.origin


def test_fault_17_a_rename_that_is_lost_with_the_power(tmp_path: Path) -> None:
    """The file of before is whole and is used: the peer is who it was."""
    origin = origin_of(tmp_path / "d")
    place = tmp_path / "d" / "identity.json"
    shutil.copy(place, place.with_name(f"{place.name}.new-1"))  # Written, and never renamed.
    assert origin_of(tmp_path / "d") == origin


def test_fault_18_temporary_files_that_are_left_over(tmp_path: Path) -> None:
    """Whole, half or empty, they are not read, and the next start removes them."""
    origin = origin_of(tmp_path / "d")
    for n, content in enumerate((b"", b'{"format": 1, "na', b"\0" * 400)):
        (tmp_path / "d" / f"identity.json.new-{n}").write_bytes(content)
    assert origin_of(tmp_path / "d") == origin
    assert not list((tmp_path / "d").glob("*.new-*"))


def test_fault_20_a_disk_that_takes_a_part_of_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short write is gone on with, never taken for a whole one."""
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:7]))
        write_durably(tmp_path / "f", lambda _stat: b"x" * 100)
    assert (tmp_path / "f").read_bytes() == b"x" * 100


def test_fault_20_no_space_for_a_new_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused with the reason; the identity of before is kept whole, and nothing is left over."""
    origin, calls = origin_of(tmp_path / "d"), 0
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, bytes(data)[:20])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StorageError, match="No space left"):
            origin_of(tmp_path / "d")
    assert not list((tmp_path / "d").glob("*.new-*"))
    assert origin_of(tmp_path / "d") == origin
