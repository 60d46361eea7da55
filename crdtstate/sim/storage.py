"""The disk of a simulated host, and what commits to it.

It keeps RocksDB's contract, which a test of the real one checks with power cuts and damaged logs: a
batch is on the disk whole or not at all; it survives once its sync has ended; a batch whose sync
was under way may be there or not. A batch is on the disk a moment before the loop is told, as with
a thread. Any error ends the life of the storage (fail-stop), with the batch there or not.

Invariants:
    DSK-1  What was told durable is there in every later life on this disk.
"""

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import final

from crdtstate.errors import StorageError
from crdtstate.sim.loop import Life, SimLoop
from crdtstate.storage.memory import MemoryDisk, MemoryStorage
from crdtstate.store.ports import Batch, Storage

__all__ = ["Disk", "DiskFaults", "SimCommitter"]

_STALL_S = 0.5  # A write that takes longer may fail a client.
Done = Callable[[StorageError | None], None]


@final
@dataclass
class DiskFaults:
    """Probabilities for each write, and how long one takes."""

    cut: float = 0.0  # the power goes at this very write
    error: float = 0.0  # EIO
    full: float = 0.0  # ENOSPC
    stall: float = 0.0
    stall_s: float = 10.0
    lag_s: float = 0.0  # a batch is on the disk up to so long before the loop is told
    sync_s: tuple[float, float] = (0.0003, 0.004)

    def quiet(self) -> None:
        """End all faults."""
        self.cut = self.error = self.full = self.stall = self.lag_s = 0.0


@final
@dataclass
class Disk:
    """What outlives a process: the database, and the identity file beside it."""

    database: MemoryDisk = field(default_factory=MemoryDisk)
    origin: int = 0
    previous: list[int] = field(default_factory=list)
    clean: bool = False
    moved: str = ""  # why the next start must take a new identity
    full: bool = False
    read_only: bool = False

    def image(self, reason: str) -> "Disk":
        """Return a copy, as a backup or a clone has it; its next start finds out that it is one."""
        database = MemoryDisk()
        database.data, database.keys = dict(self.database.data), list(self.database.keys)
        return Disk(database, self.origin, copy.copy(self.previous), clean=False, moved=reason)


@final
class SimCommitter:
    """One batch at a time, as the daemon's thread does it.

    Args:
        on_cut: The power goes now.
        on_trouble: What is under way may fail.
        on_durable: A batch is on the disk, and nobody has been told.
    """

    def __init__(
        self,
        storage: Storage,
        done: Done,
        *,
        loop: SimLoop,
        life: Life,
        disk: Disk,
        faults: DiskFaults,
        rng: Random,
        on_cut: Callable[[], None],
        on_trouble: Callable[[], None],
        on_durable: Callable[[], None],
    ) -> None:
        assert isinstance(storage, MemoryStorage)
        self._storage, self._done = storage, done
        self._loop, self._life, self._disk = loop, life, disk
        self._faults, self._rng = faults, rng
        self._on_cut, self._on_durable, self._on_trouble = on_cut, on_durable, on_trouble
        self._free_s = 0.0
        self.stalled_until_s = 0.0

    def commit(self, batch: Batch) -> None:
        """Start making `batch` durable."""
        faults, rng = self._faults, self._rng
        took = rng.uniform(*faults.sync_s)
        if rng.random() < faults.stall:
            took += rng.uniform(0, faults.stall_s)
        self._free_s = max(self._loop.time(), self._free_s) + took
        if took > _STALL_S:
            self.stalled_until_s = self._free_s
        self._loop.at(self._free_s, self._life, self._write, batch)

    def _write(self, batch: Batch) -> None:
        faults, rng = self._faults, self._rng
        if rng.random() < faults.cut:
            if rng.random() < 0.5:  # The sync had ended, and nobody heard of it.
                self._storage.write(batch)
                self._on_durable()
            self._on_cut()
            return
        error: StorageError | None = None
        if self._disk.full or rng.random() < faults.full:
            error = StorageError("no space left on device")
        elif self._disk.read_only:
            error = StorageError("read-only file system")
        elif rng.random() < faults.error:
            error = StorageError("input/output error")
        if error is not None:
            self._on_trouble()
            self._disk.database.fail_next(error, keeps=rng.random() < 0.3)
        with contextlib.suppress(StorageError):  # `error`; the storage refuses all from now on.
            self._storage.write(batch)
        self._on_durable()
        told_s = self._loop.time() + rng.uniform(0, faults.lag_s)
        self._loop.at(told_s, self._life, self._done, error)

    async def stop(self) -> None:
        """Let the batch in flight finish."""
        while self._free_s >= self._loop.time():
            waiter = self._loop.create_future()
            self._loop.call_at(self._free_s + self._faults.lag_s + 0.001, waiter.set_result, None)
            await waiter
