"""What the simulated disk takes for granted of RocksDB, tried on the real one.

`crdtstate.sim.storage` says: a batch whose sync has ended survives whole, and the one in flight is
there whole or not at all. Here the log of a real database is damaged within its last batch, at many
places and in five ways: cut off; filled with zeros (the length was on the disk before the data);
garbled; with blocks of a former log in its place; or a page of it missing and the next one there.
Each damaged copy is opened as a peer would after a power cut.
"""

import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from crdtstate.errors import CorruptStorageError
from crdtstate.storage.rocks import RocksStorage
from crdtstate.storage.torn import LogDamage, _checksum, drop_torn_batch

BATCHES = 9
KEYS = 5  # Each batch writes all of them, so that half of one shows.
SIZES = (0, 300, 40_000, 100_000)  # Of the last batch: within a block of the log, and over several.


def cut(data: bytes, at: int, _rng: Random) -> bytes:
    return data[:at]


def zero(data: bytes, at: int, _rng: Random) -> bytes:
    return data[:at] + bytes(len(data) - at)


def garble(data: bytes, at: int, rng: Random) -> bytes:
    return data[:at] + rng.randbytes(len(data) - at)


def stale(data: bytes, at: int, _rng: Random) -> bytes:
    """What lies there now is a part of this very log, sums and all, from before."""
    former = data[: min(at, 2_000)]
    return data[:at] + (former * (len(data) // len(former) + 1))[: len(data) - at]


def page(data: bytes, at: int, _rng: Random) -> bytes:
    """One block of the disk is missing: of the last batch, so never from before `at`."""
    until = min((at // 4096 + 1) * 4096, len(data))
    return data[:at] + bytes(until - at) + data[until:]


@dataclass(frozen=True)
class Image:
    """A database as the disk holds it, with the place in its log where the last batch begins."""

    path: Path
    log: bytes
    last_begins: int

    def recover(self, log: bytes, into: Path) -> int:
        """Open a copy with another log; return the last batch that is there, and whole."""
        shutil.rmtree(into, ignore_errors=True)
        shutil.copytree(self.path, into)
        log_of(into).write_bytes(log)
        storage = RocksStorage.open(into)
        try:
            found = {storage.get(b"k%d" % k) for k in range(KEYS)}
            assert len(found) == 1, f"half a batch: {found}"
            (value,) = found
            assert value is not None
            last = int(value)
            for n in range(BATCHES):
                assert (storage.get(b"own %d" % n) is not None) == (n <= last)
            batch = storage.batch()
            batch.put(b"after", b"1")
            storage.write(batch)
            return last
        finally:
            storage.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: what a real sync would cost is of no interest."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as path:
        yield Path(path)


def log_of(path: Path) -> Path:
    return max(path.glob("*.log"))


def make_image(root: Path, size: int) -> Image:
    storage, begins = RocksStorage.open(root / "db"), 0
    for n in range(BATCHES):
        begins = log_of(root / "db").stat().st_size
        batch = storage.batch()
        for k in range(KEYS):
            batch.put(b"k%d" % k, b"%d" % n)
        batch.put(b"own %d" % n, Random(n).randbytes(size if n == BATCHES - 1 else 200))
        storage.write(batch)
    shutil.copytree(root / "db", root / "image")  # As the disk is in the middle of a life.
    storage.close()
    return Image(root / "image", log_of(root / "image").read_bytes(), begins)


def power_cuts(
    root: Path, seed: int, damage: Callable[[bytes, int, Random], bytes], times: int
) -> int:
    """Damage and recover so often; return how often. Every earlier batch must be there."""
    rng, done = Random(seed), 0
    for size in SIZES:
        (root / f"{size}").mkdir()
        image = make_image(root / f"{size}", size)
        whole = image.recover(image.log, root / f"{size}" / "again")
        assert whole == BATCHES - 1
        for _ in range(times // len(SIZES)):
            at = rng.randrange(image.last_begins, len(image.log))
            last = image.recover(damage(image.log, at, rng), root / f"{size}" / "again")
            assert last in (BATCHES - 2, BATCHES - 1)
            done += 1
    return done


WAYS = [cut, zero, garble, stale, page]


@pytest.mark.parametrize("damage", WAYS)
def test_a_torn_last_batch_is_dropped_whole_and_all_before_it_is_there(
    place: Path,
    damage: Callable[[bytes, int, Random], bytes],
    figure: Callable[[str], None],
) -> None:
    """STO-1, DSK-1, TRN-1"""
    done = power_cuts(place, 1, damage, 60)
    figure(f"power cuts, log {damage.__name__}: {done} recoveries of RocksDB, nothing synced lost")


@pytest.mark.deep
@pytest.mark.parametrize("damage", WAYS)
def test_thousands_of_torn_last_batches(
    place: Path,
    damage: Callable[[bytes, int, Random], bytes],
    figure: Callable[[str], None],
) -> None:
    """The same with other places in the log."""
    done = power_cuts(place, 2, damage, 1_000)
    figure(f"power cuts, log {damage.__name__}: {done} recoveries of RocksDB, nothing synced lost")


@pytest.mark.parametrize("damage", [zero, garble])
def test_damage_before_synced_batches_is_refused_and_never_read_over(
    place: Path, damage: Callable[[bytes, int, Random], bytes]
) -> None:
    """Fault 15: what was acknowledged is not dropped in silence."""
    image, rng = make_image(place, 300), Random(3)
    for _ in range(20):
        at = rng.randrange(100, image.last_begins - 300)
        hole = damage(image.log[: at + 20], at, rng) + image.log[at + 20 :]
        with pytest.raises(CorruptStorageError, match="corrupt"):
            image.recover(hole, place / "again")


@pytest.mark.parametrize("kind", [0, 5, 8, 11, 131, 255])
@pytest.mark.parametrize("batch", [3, BATCHES - 1])
def test_a_record_of_a_kind_that_there_is_not_never_makes_the_start_hang(
    place: Path, kind: int, batch: int
) -> None:
    """TRN-2: one wrong bit of a record's kind, and RocksDB would search the log for ever."""
    image = make_image(place, 300)
    at = 0
    for _ in range(batch):
        at += 7 + int.from_bytes(image.log[at + 4 : at + 6], "little")
    log = image.log[: at + 6] + bytes([kind]) + image.log[at + 7 :]

    if batch == BATCHES - 1:
        assert image.recover(log, place / "again") == BATCHES - 2
    else:
        with pytest.raises(CorruptStorageError, match=f"log is damaged at byte {at} "):
            image.recover(log, place / "again")


def test_a_start_that_ends_after_the_log_was_cut_has_lost_nothing(place: Path) -> None:
    """Fault 13: the next start finds the log as this one has left it, and cuts no more of it."""
    image, rng = make_image(place, 40_000), Random(4)
    log = place / "interrupted" / "000004.log"
    log.parent.mkdir()
    for _ in range(10):
        at = rng.randrange(image.last_begins, len(image.log))
        log.write_bytes(garble(image.log, at, rng))
        for _ in range(3):
            drop_torn_batch(log.parent)
            assert log.read_bytes() == image.log[: image.last_begins]
    assert image.recover(log.read_bytes(), place / "again") == BATCHES - 2


def test_one_wrong_byte_before_the_last_batch_never_cuts_the_log(place: Path) -> None:
    """TRN-1, TRN-2: either it is refused here, or it is as it was and RocksDB refuses it."""
    image, rng = make_image(place, 0), Random(5)
    log = place / "damaged" / "000004.log"
    log.parent.mkdir()
    left = 0
    for at in range(image.last_begins):
        damaged = bytearray(image.log)
        damaged[at] ^= 1 << rng.randrange(8)
        log.write_bytes(damaged)
        try:
            drop_torn_batch(log.parent)
        except LogDamage:
            continue
        assert log.read_bytes() == damaged
        left += 1
        if left % 100 == 0:
            with pytest.raises(CorruptStorageError, match="corrupt"):
                image.recover(bytes(damaged), place / "again")


def test_a_log_of_another_format_is_left_to_rocksdb(place: Path) -> None:
    """A later RocksDB may write kinds of records that we do not know: that is not damage."""
    image = make_image(place, 300)
    body = bytes([130]) + b"whatever it means"
    sound = struct.pack("<IH", _checksum(body), len(body) - 1) + body
    path = place / "logs"
    path.mkdir()
    (path / "000004.log").write_bytes(image.log + sound)

    drop_torn_batch(path)

    assert (path / "000004.log").read_bytes() == image.log + sound
