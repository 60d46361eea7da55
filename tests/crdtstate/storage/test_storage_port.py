"""One suite for both storages: RocksDB and its twin in memory."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from crdtstate.errors import CorruptStorageError, StorageError
from crdtstate.storage.memory import MemoryDisk, MemoryStorage, PowerCut
from crdtstate.storage.rocks import RocksStorage
from crdtstate.store.ports import Storage


@pytest.fixture(params=["rocks", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    opened = RocksStorage.open(tmp_path / "db") if request.param == "rocks" else MemoryStorage()
    yield opened
    opened.close()


def write(storage: Storage, **changes: str | None) -> None:
    batch = storage.batch()
    for key, value in changes.items():
        if value is None:
            batch.delete(key.encode())
        else:
            batch.put(key.encode(), value.encode())
    storage.write(batch)


def test_a_batch_is_seen_whole_and_only_after_it_was_written(storage: Storage) -> None:
    """STO-1, STO-2"""
    batch = storage.batch()
    batch.put(b"a", b"1")
    batch.put(b"b", b"2")
    batch.put(b"a", b"3")
    assert storage.get(b"a") is None
    assert len(batch) >= 2
    storage.write(batch)
    assert (storage.get(b"a"), storage.get(b"b")) == (b"3", b"2")


def test_what_is_staged_is_seen_by_nobody_until_it_is_synced(storage: Storage) -> None:
    """STO-2: point reads, scans and snapshots that begin in between, and take turns."""
    write(storage, a="1", b="1", c="1")
    batch = storage.batch()
    batch.put(b"b", b"2")
    batch.delete(b"c")
    batch.put(b"d", b"2")

    storage.stage(batch)
    snapshot = storage.snapshot()
    first, second = storage.scan(b"a", b"z"), snapshot.scan(b"a", b"z")
    seen = [next(first), next(second), next(first), storage.get(b"b"), next(first)]
    between = [next(second), storage.get(b"d"), storage.get(b"c"), snapshot.get(b"a")]
    storage.sync()

    assert seen == [(b"a", b"1"), (b"a", b"1"), (b"b", b"1"), b"1", (b"c", b"1")]
    assert between == [(b"b", b"1"), None, b"1", b"1"]
    assert list(second) == [(b"c", b"1")]
    assert next(iter(snapshot.scan(b"a", b"z", reverse=True))) == (b"c", b"1")
    snapshot.close()
    assert list(storage.scan(b"a", b"z")) == [(b"a", b"1"), (b"b", b"2"), (b"d", b"2")]


def test_scans_are_in_byte_order_and_leave_out_the_end(storage: Storage) -> None:
    write(storage, a="1", ab="2", b="3", c="4")
    assert list(storage.scan(b"a", b"c")) == [(b"a", b"1"), (b"ab", b"2"), (b"b", b"3")]
    assert [k for k, _ in storage.scan(b"a", b"c", reverse=True)] == [b"b", b"ab", b"a"]
    assert list(storage.scan(b"x", b"z")) == []


def test_deleting_a_key_and_a_range(storage: Storage) -> None:
    write(storage, a="1", b="2", c="3", d="4")
    batch = storage.batch()
    batch.delete(b"a")
    batch.delete(b"absent")
    batch.delete_range(b"b", b"d")
    storage.write(batch)
    assert list(storage.scan(b"a", b"z")) == [(b"d", b"4")]


def test_a_snapshot_never_changes(storage: Storage) -> None:
    """STO-3"""
    write(storage, a="1", b="1")
    snapshot = storage.snapshot()
    write(storage, a="2", b=None, c="1")
    assert snapshot.get(b"a") == b"1"
    assert list(snapshot.scan(b"a", b"z")) == [(b"a", b"1"), (b"b", b"1")]
    snapshot.close()
    assert list(storage.scan(b"a", b"z")) == [(b"a", b"2"), (b"c", b"1")]


def test_scans_of_one_snapshot_may_be_nested_and_take_turns(storage: Storage) -> None:
    write(storage, a="1", b="2", c="3")
    snapshot = storage.snapshot()
    write(storage, b=None, d="4")
    pairs = []
    backwards = snapshot.scan(b"a", b"z", reverse=True)
    for key, _ in snapshot.scan(b"a", b"z"):
        assert snapshot.get(b"b") == b"2"
        inner = [k for k, _ in snapshot.scan(b"a", b"z")]
        pairs.append((key, next(backwards)[0], inner))
    everything = [b"a", b"b", b"c"]
    assert pairs == list(zip(everything, everything[::-1], [everything] * 3, strict=True))
    snapshot.close()


def test_both_storages_do_the_same_for_random_batches(tmp_path: Path) -> None:
    rocks, memory, rng = RocksStorage.open(tmp_path / "db"), MemoryStorage(), Random(1)
    for _ in range(300):
        changes = [
            (rng.randrange(3), bytes((rng.randrange(20),)), bytes((rng.randrange(20),)))
            for _ in range(rng.randint(1, 5))
        ]
        for storage in (rocks, memory):
            batch = storage.batch()
            for kind, key, other in changes:
                if kind == 0:
                    batch.put(key, other)
                elif kind == 1:
                    batch.delete(key)
                elif key < other:
                    batch.delete_range(key, other)
            storage.write(batch)
        assert list(rocks.scan(b"\0", b"\xff")) == list(memory.scan(b"\0", b"\xff"))
    rocks.close()


def test_what_was_written_is_there_after_a_kill(tmp_path: Path) -> None:
    """STO-1: a child writes, tells, and is killed without closing anything."""
    path = tmp_path / "db"
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        storage = RocksStorage.open(path)
        for n in range(50):
            write(storage, **{f"k{n}": "v"})
            os.write(writer, bytes((n,)))
        os.kill(os.getpid(), 9)
    os.close(writer)
    told = b""
    while more := os.read(reader, 100):
        told += more
    os.waitpid(child, 0)
    os.close(reader)
    storage = RocksStorage.open(path)
    assert [storage.get(f"k{n}".encode()) for n in told] == [b"v"] * 50
    storage.close()


def test_a_checkpoint_is_a_copy_of_one_instant(tmp_path: Path) -> None:
    storage = RocksStorage.open(tmp_path / "db")
    write(storage, a="1")
    storage.checkpoint(str(tmp_path / "copy"))
    write(storage, a="2")
    copy = RocksStorage.open(tmp_path / "copy")
    assert copy.get(b"a") == b"1"
    copy.close()
    storage.close()


def test_after_a_failure_every_call_fails() -> None:
    disk = MemoryDisk()
    storage = MemoryStorage(disk)
    disk.fail_next(StorageError("disk full"), keeps=False)
    with pytest.raises(StorageError, match="disk full"):
        write(storage, a="1")
    for call in (lambda: storage.get(b"a"), storage.snapshot, lambda: write(storage, b="1")):
        with pytest.raises(StorageError, match="disk full"):
            call()


@pytest.mark.parametrize("keeps", [False, True])
def test_a_power_cut_leaves_a_batch_whole_or_not_at_all(keeps: bool) -> None:
    disk = MemoryDisk()
    disk.cut_power_at(1, keeps=keeps)
    with pytest.raises(PowerCut):
        write(MemoryStorage(disk), a="1", b="2")
    assert len(MemoryStorage(disk).disk.data) == (2 if keeps else 0)


def test_a_corrupt_database_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "db"
    storage = RocksStorage.open(path)
    write(storage, a="1")
    storage.close()
    for file in path.glob("MANIFEST-*"):
        file.write_bytes(b"garbage" * 50)
    with pytest.raises(StorageError) as caught:
        RocksStorage.open(path)
    assert str(path) in caught.value.message


@pytest.mark.parametrize("read", ["latest", "get", "scan", "reverse", "view"])
def test_a_page_that_cannot_be_read_is_no_absence(read: str, tmp_path: Path) -> None:
    """What a garbled page held is not gone: the reader is told, and nothing is written after it."""
    storage = RocksStorage.open(tmp_path / "db")
    rng = Random(1)
    write(storage, **{f"k{n:04}": rng.randbytes(100).hex() for n in range(2_000)})
    storage.close()
    RocksStorage.open(tmp_path / "db").close()  # The log becomes a table.
    table = max((tmp_path / "db").glob("*.sst"), key=lambda path: path.stat().st_size)
    data = bytearray(table.read_bytes())
    data[100:-20_000] = bytes(len(data) - 20_100)
    table.write_bytes(data)
    storage = RocksStorage.open(tmp_path / "db")
    look: dict[str, Callable[[], object]] = {
        "latest": lambda: storage.latest(b"k0100"),
        "get": lambda: storage.get(b"k0100"),
        "scan": lambda: list(storage.scan(b"k", b"l")),
        "reverse": lambda: list(storage.scan(b"k", b"l", reverse=True)),
        "view": lambda: storage.snapshot().get(b"k0100"),
    }

    with pytest.raises(CorruptStorageError, match=r"is corrupt: .* Move the data directory away"):
        look[read]()
    with pytest.raises(CorruptStorageError):
        write(storage, another="1")
