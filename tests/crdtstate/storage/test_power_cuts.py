"""What the simulated disk takes for granted of RocksDB, tried on the real one.

`crdtstate.sim.storage` says: a batch whose sync has ended survives whole, and the one in flight is
there whole or not at all. Here the log of a real database ends within its last batch, at many
places and in three ways: cut off, filled with zeros (the length was on the disk before the data),
garbled (blocks of a former file). Each damaged copy is opened as a peer would after a power cut.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from crdtstate.errors import CorruptStorageError
from crdtstate.storage.rocks import RocksStorage

BATCHES = 9
KEYS = 5  # Each batch writes all of them, so that half of one shows.
SIZES = (0, 300, 40_000, 100_000)  # Of the last batch: within a block of the log, and over several.


def cut(data: bytes, at: int, _rng: Random) -> bytes:
    return data[:at]


def zero(data: bytes, at: int, _rng: Random) -> bytes:
    return data[:at] + bytes(len(data) - at)


def garble(data: bytes, at: int, rng: Random) -> bytes:
    return data[:at] + rng.randbytes(len(data) - at)


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


TORN = pytest.mark.xfail(
    reason="a last batch that is zero-filled or garbled, not cut off, makes the start be refused",
    raises=CorruptStorageError,
    strict=True,
)
WAYS = [
    pytest.param(cut, id="cut"),
    pytest.param(zero, id="zero", marks=TORN),
    pytest.param(garble, id="garble", marks=TORN),
]


@pytest.mark.parametrize("damage", WAYS)
def test_a_torn_last_batch_is_dropped_whole_and_all_before_it_is_there(
    tmp_path: Path,
    damage: Callable[[bytes, int, Random], bytes],
    figure: Callable[[str], None],
) -> None:
    """STO-1, DSK-1"""
    done = power_cuts(tmp_path, 1, damage, 200)
    figure(f"power cuts, log {damage.__name__}: {done} recoveries of RocksDB, nothing synced lost")


@pytest.mark.deep
@pytest.mark.parametrize("damage", WAYS)
def test_thousands_of_torn_last_batches(
    tmp_path: Path,
    damage: Callable[[bytes, int, Random], bytes],
    figure: Callable[[str], None],
) -> None:
    """The same with other places in the log."""
    done = power_cuts(tmp_path, 2, damage, 4_000)
    figure(f"power cuts, log {damage.__name__}: {done} recoveries of RocksDB, nothing synced lost")


@pytest.mark.parametrize("damage", [zero, garble])
def test_damage_before_synced_batches_is_refused_and_never_read_over(
    tmp_path: Path, damage: Callable[[bytes, int, Random], bytes]
) -> None:
    """Fault 15: what was acknowledged is not dropped in silence."""
    image, rng = make_image(tmp_path, 300), Random(3)
    for _ in range(20):
        at = rng.randrange(100, image.last_begins - 300)
        hole = damage(image.log[: at + 20], at, rng) + image.log[at + 20 :]
        with pytest.raises(CorruptStorageError, match="corrupt"):
            image.recover(hole, tmp_path / "again")
