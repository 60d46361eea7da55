"""Who a directory is: empty, again, copied, restored, moved, locked, of another cluster."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from crdtstate.errors import InvalidError, StorageError
from crdtstate.storage import layout
from crdtstate.storage.backup import backup, restore
from crdtstate.storage.keyfile import KEY_BYTES, load_or_create_keys, save_keys
from crdtstate.storage.layout import DataDirectory
from crdtstate.storage.rocks import RocksStorage

CLUSTER = b"c" * 16


def open_once(path: Path, cluster: bytes | None = CLUSTER) -> layout.Identity:
    directory = DataDirectory.open(path, name="a", cluster_id=cluster)
    directory.mark_clean()
    directory.close()
    return directory.identity


def test_the_same_directory_is_the_same_identity(tmp_path: Path) -> None:
    first, second = open_once(tmp_path / "d"), open_once(tmp_path / "d")
    assert first.fresh
    assert not second.fresh
    assert first.origin == second.origin
    assert second.reason is None
    assert second.clean


def test_an_end_that_was_not_orderly_is_known(tmp_path: Path) -> None:
    DataDirectory.open(tmp_path / "d", name="a", cluster_id=None).close()
    assert not open_once(tmp_path / "d").clean


def test_a_copied_directory_is_somebody_else(tmp_path: Path) -> None:
    """IDN-1"""
    first = open_once(tmp_path / "d")
    shutil.copytree(tmp_path / "d", tmp_path / "copy")
    copy = open_once(tmp_path / "copy")
    assert copy.origin != first.origin
    assert copy.previous == (first.origin,)
    assert copy.reason == "the directory was copied"
    assert open_once(tmp_path / "d").origin == first.origin


def test_a_renamed_directory_is_the_same(tmp_path: Path) -> None:
    first = open_once(tmp_path / "d")
    (tmp_path / "d").rename(tmp_path / "e")
    assert open_once(tmp_path / "e").origin == first.origin


def test_a_directory_on_another_machine_is_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IDN-1"""
    first = open_once(tmp_path / "d")
    monkeypatch.setattr(layout, "_machine_id", lambda: "another")
    second = open_once(tmp_path / "d")
    assert second.origin != first.origin
    assert second.reason == "the machine is another one"


def test_a_restored_backup_is_somebody_else(tmp_path: Path) -> None:
    """IDN-1"""
    directory = DataDirectory.open(tmp_path / "d", name="a", cluster_id=CLUSTER)
    storage = RocksStorage.open(directory.db_path)
    batch = storage.batch()
    batch.put(b"k", b"v")
    storage.write(batch)
    info = backup(storage, directory, tmp_path / "backup")
    storage.close()
    directory.close()
    assert info.files > 0

    restore(tmp_path / "backup", tmp_path / "new")

    identity = open_once(tmp_path / "new")
    assert identity.origin != directory.identity.origin
    assert identity.reason == "restored from a backup"
    restored = RocksStorage.open(tmp_path / "new" / "db")
    assert restored.get(b"k") == b"v"
    restored.close()


@pytest.mark.parametrize("case", ["relative", "not empty", "unwritable"])
def test_a_backup_that_cannot_be_written_says_why(tmp_path: Path, case: str) -> None:
    directory = DataDirectory.open(tmp_path / "d", name="a", cluster_id=CLUSTER)
    storage = RocksStorage.open(directory.db_path)
    place = {
        "relative": Path("backup"), "not empty": tmp_path, "unwritable": Path("/proc/backup"),
    }[case]  # fmt: skip
    with pytest.raises(StorageError if case == "unwritable" else InvalidError) as caught:
        backup(storage, directory, place)
    assert str(place) in caught.value.message
    storage.close()
    directory.close()


def test_a_restore_never_overwrites_and_names_what_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"is not a backup: it has no manifest\.json"):
        restore(tmp_path, tmp_path / "new")
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(StorageError, match="is not empty"):
        restore(tmp_path, tmp_path / "full")


def test_a_directory_in_use_is_refused_with_the_holder(tmp_path: Path) -> None:
    """IDN-2"""
    held = DataDirectory.open(tmp_path / "d", name="a", cluster_id=CLUSTER)
    code = (
        "import sys; from pathlib import Path\n"
        "from crdtstate.storage.layout import DataDirectory\n"
        "DataDirectory.open(Path(sys.argv[1]), name='b', cluster_id=None)"
    )
    second = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "d")], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    held.close()
    assert f"is in use by process {os.getpid()}" in second.stderr


def test_another_cluster_s_directory_is_refused(tmp_path: Path) -> None:
    open_once(tmp_path / "d")
    with pytest.raises(StorageError, match="belongs to cluster"):
        open_once(tmp_path / "d", b"x" * 16)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "is not an identity file"),
        (b"{}", "is not an identity file"),
        (b'{"format": 99}', "is of format 99, newer than 1: use a newer crdtstate"),
    ],
)
def test_an_identity_file_that_is_none_is_refused(
    tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "identity.json").write_bytes(content)
    with pytest.raises(StorageError, match=words):
        open_once(tmp_path)


def test_a_database_without_an_identity_is_refused(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    with pytest.raises(StorageError, match=r"holds a database but no identity\.json"):
        open_once(tmp_path)


def test_an_identity_with_a_small_origin_is_refused(tmp_path: Path) -> None:
    open_once(tmp_path)
    found = msgspec.json.decode((tmp_path / "identity.json").read_bytes())
    found["origin"] = "1"
    (tmp_path / "identity.json").write_bytes(msgspec.json.encode(found))
    with pytest.raises(StorageError, match="is out of range"):
        open_once(tmp_path)


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be used"):
        open_once(tmp_path / "file" / "d")


def test_keys_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "cluster.keys"
    keys = load_or_create_keys(path)
    assert len(keys[0]) == KEY_BYTES
    assert load_or_create_keys(path) == keys
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    save_keys(path, [b"n" * 32, *keys])
    assert load_or_create_keys(path) == [b"n" * 32, *keys]


@pytest.mark.parametrize("text", ["not base64!", "c2hvcnQ=", "", "# only a comment\n"])
def test_a_key_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cluster.keys"
    path.write_text(text)
    with pytest.raises(StorageError, match="key file"):
        load_or_create_keys(path)


def test_peers_that_start_together_share_the_key_of_the_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, theirs = tmp_path / "cluster.keys", b"t" * KEY_BYTES

    def slow_key(_size: int) -> bytes:
        save_keys(path, [theirs])
        return b"m" * KEY_BYTES

    monkeypatch.setattr("crdtstate.storage.keyfile.secrets.token_bytes", slow_key)
    assert load_or_create_keys(path) == [theirs]
    assert [file.name for file in tmp_path.iterdir()] == ["cluster.keys"]
