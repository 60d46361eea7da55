"""The Storage port in memory, with the crashes that the real one may meet.

A `MemoryDisk` is what survives; a `MemoryStorage` is one life on it. A power cut at the n-th write
leaves that batch on the disk whole or not at all, as RocksDB's log does, and ends the life: every
later call raises `PowerCut`, a BaseException, so that no clean-up code can touch the world after.
"""

import bisect
from collections.abc import Iterator
from typing import final

from crdtstate.errors import StorageError
from crdtstate.store.ports import Batch

__all__ = ["MemoryDisk", "MemoryStorage", "PowerCut"]


@final
class PowerCut(BaseException):
    """The machine is off. Not an Exception: nothing may handle it."""


@final
class _Batch:
    """Changes in order: (key, value), (key, None) or a range (start, stop)."""

    __slots__ = ("changes",)

    def __init__(self) -> None:
        self.changes: list[tuple[bytes, bytes | None, bytes | None]] = []

    def put(self, key: bytes, value: bytes) -> None:
        """Set `key`."""
        self.changes.append((key, value, None))

    def delete(self, key: bytes) -> None:
        """Remove `key`."""
        self.changes.append((key, None, None))

    def delete_range(self, start: bytes, stop: bytes) -> None:
        """Remove a range."""
        self.changes.append((start, None, stop))

    def __len__(self) -> int:
        return len(self.changes)


@final
class MemoryDisk:
    """Durable state: a dict and its sorted keys, replaced (never changed) under snapshots."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []
        self.shared = False  # A snapshot looks at data and keys: copy before the next change.
        self.writes = 0
        self._cut_at: int | None = None
        self._cut_keeps = False
        self._error: StorageError | None = None
        self._error_keeps = False

    def cut_power_at(self, write: int, *, keeps: bool) -> None:
        """Cut the power at the given write, counted from 1; `keeps` whether it is on the disk."""
        self._cut_at, self._cut_keeps = write, keeps

    def fail_next(self, error: StorageError, *, keeps: bool) -> None:
        """Make the next write raise, with or without having reached the disk."""
        self._error, self._error_keeps = error, keeps

    def write(self, batch: _Batch) -> None:
        """Apply a batch whole, or raise as planned."""
        self.writes += 1
        if self._cut_at == self.writes:
            self._cut_at = None
            if self._cut_keeps:
                self._apply(batch)
            raise PowerCut
        if self._error is not None:
            error, self._error = self._error, None
            if self._error_keeps:
                self._apply(batch)
            raise error
        self._apply(batch)

    def _apply(self, batch: _Batch) -> None:
        if self.shared:
            self.data, self.keys, self.shared = dict(self.data), list(self.keys), False
        for key, value, stop in batch.changes:
            if stop is not None:
                first, last = (
                    bisect.bisect_left(self.keys, key),
                    bisect.bisect_left(self.keys, stop),
                )
                for gone in self.keys[first:last]:
                    del self.data[gone]
                del self.keys[first:last]
            elif value is not None:
                if key not in self.data:
                    bisect.insort(self.keys, key)
                self.data[key] = value
            elif key in self.data:
                del self.data[key]
                del self.keys[bisect.bisect_left(self.keys, key)]


def _scan(
    data: dict[bytes, bytes], keys: list[bytes], start: bytes, stop: bytes, *, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    found = keys[bisect.bisect_left(keys, start) : bisect.bisect_left(keys, stop)]
    values = [(key, data[key]) for key in found]
    return iter(values[::-1] if reverse else values)


@final
class _Snapshot:
    """The disk as it was."""

    def __init__(self, disk: MemoryDisk) -> None:
        disk.shared = True
        self._data, self._keys = disk.data, disk.keys
        self._open = True

    def get(self, key: bytes) -> bytes | None:
        """Return the value then."""
        assert self._open, "STO-3"
        return self._data.get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield pairs of then."""
        assert self._open, "STO-3"
        return _scan(self._data, self._keys, start, stop, reverse=reverse)

    def close(self) -> None:
        """Later use is an error."""
        self._open = False


@final
class MemoryStorage:
    """One life on a disk."""

    def __init__(self, disk: MemoryDisk | None = None) -> None:
        self.disk = disk or MemoryDisk()
        self._ended: BaseException | None = None
        self._staged: _Batch | None = None

    def _check(self) -> None:
        if self._ended is not None:
            raise self._ended

    def get(self, key: bytes) -> bytes | None:
        """Return the durable value."""
        self._check()
        return self.disk.data.get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield durable pairs."""
        self._check()
        return _scan(self.disk.data, self.disk.keys, start, stop, reverse=reverse)

    def batch(self) -> Batch:
        """Return an empty batch."""
        return _Batch()

    def latest(self, key: bytes) -> bytes | None:
        """Return the durable value; the writer remembers itself what is staged."""
        return self.get(key)

    def write(self, batch: Batch) -> None:
        """Apply a batch to the disk. Raises: StorageError or PowerCut, for ever after."""
        self.stage(batch)
        self.sync()

    def stage(self, batch: Batch) -> None:
        """Keep the batch for `sync`."""
        self._check()
        assert isinstance(batch, _Batch)
        self._staged = batch

    def sync(self) -> None:
        """Apply what is staged."""
        self._check()
        assert self._staged is not None
        try:
            self.disk.write(self._staged)
        except (StorageError, PowerCut) as ended:
            self._ended = ended
            raise

    def snapshot(self) -> _Snapshot:
        """Return the durable state."""
        self._check()
        return _Snapshot(self.disk)

    def checkpoint(self, path: str) -> None:
        """There is no file to copy to."""
        raise StorageError(f"memory storage cannot write a checkpoint to {path}")

    def size_bytes(self) -> int:
        """Return an estimate: keys times a constant."""
        return 64 * len(self.disk.data)

    def close(self) -> None:
        """End this life in order."""
        self._ended = self._ended or StorageError("memory storage is closed")
