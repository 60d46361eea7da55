"""EDGE: the Storage port on RocksDB.

One column family with a family byte in front of each key, because a view through `rocksdict`
covers one family, and CAT-2 needs records, index and vector of one instant
(docs/decisions/0003-rocksdb.md).

A batch is one write, all or nothing in RocksDB's log (STO-1), and then one sync of that log. They
are two calls because the binding holds the interpreter's lock during a write, with `sync` until the
disk has answered, but not during `flush_wal`: a slow disk would stop the whole peer. Until the sync
has ended readers see the instant before the write (STO-2). After any failure every call fails
(fail-stop).
"""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, final

import rocksdict

from crdtstate.errors import CorruptStorageError, StorageError
from crdtstate.storage.torn import LogDamage, drop_torn_batch
from crdtstate.store.ports import Batch, Snapshot

__all__ = ["RocksStorage"]

BLOCK_CACHE_BYTES = 64 << 20
WRITE_BUFFER_BYTES = 16 << 20
WRITE_BUFFERS_MAX = 3
LOG_BYTES_MAX = 64 << 20


def _options() -> rocksdict.Options:
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(WRITE_BUFFERS_MAX)
    options.set_max_total_wal_size(LOG_BYTES_MAX)
    options.set_max_background_jobs(2)
    options.set_level_compaction_dynamic_level_bytes(True)
    options.set_bytes_per_sync(1 << 20)
    options.set_keep_log_file_num(2)
    options.set_max_open_files(256)
    options.set_compression_type(rocksdict.DBCompressionType.lz4())
    # A hole before synced data is refused; a torn tail was dropped before (see torn.py).
    options.set_wal_recovery_mode(rocksdict.DBRecoveryMode.tolerate_corrupted_tail_records())
    table = rocksdict.BlockBasedOptions()
    table.set_block_cache(rocksdict.Cache(BLOCK_CACHE_BYTES))
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    table.set_bloom_filter(10, False)
    table.set_block_size(8 << 10)
    options.set_block_based_table_factory(table)
    return options


@final
class _Batch:
    """A RocksDB write batch."""

    __slots__ = ("delete", "delete_range", "put", "raw")

    def __init__(self) -> None:
        self.raw = rocksdict.WriteBatch(raw_mode=True)
        self.put = self.raw.put
        self.delete = self.raw.delete
        self.delete_range = self.raw.delete_range

    def __len__(self) -> int:
        return len(self.raw)


@final
class _Instant:
    """One state: a RocksDB iterator, and who has put it where it is."""

    __slots__ = ("_fail", "cursor", "user")

    def __init__(self, cursor: Any, fail: Callable[[Exception], StorageError]) -> None:
        self.cursor, self._fail = cursor, fail
        self.user: object = None

    def check(self) -> None:
        """Tell the end of what is there from a page that cannot be read: to a cursor both are."""
        try:
            self.cursor.status()
        except Exception as error:
            raise self._fail(error) from error


@final
class _View:
    """An unchanging view: a RocksDB iterator, which sees the state of the moment it was made.

    Iterators through the binding's own snapshots do not keep to the snapshot (found by
    tests/crdtstate/storage), so there are none here. One iterator serves point reads and any
    number of scans, of all views of its instant, that take turns: each goes back to its place when
    another has moved it.
    """

    __slots__ = ("_instant",)

    def __init__(self, instant: _Instant) -> None:
        self._instant: _Instant | None = instant

    def get(self, key: bytes) -> bytes | None:
        """Return the value at the view's instant."""
        instant = self._instant
        assert instant is not None, "STO-3"
        cursor, instant.user = instant.cursor, None
        cursor.seek(key)
        if not cursor.valid():
            instant.check()
        elif cursor.key() == key:
            value: bytes = cursor.value()
            return value
        return None

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield pairs of the view's instant."""
        instant = self._instant
        assert instant is not None, "STO-3"
        cursor = instant.cursor
        me = instant.user = object()
        if reverse:
            cursor.seek_for_prev(stop)
            if cursor.valid() and cursor.key() == stop:
                cursor.prev()
        else:
            cursor.seek(start)
        move = cursor.prev if reverse else cursor.next
        while cursor.valid():
            key = cursor.key()
            if key < start or key >= stop:
                return
            yield key, cursor.value()
            if instant.user is not me:
                instant.user = me
                cursor.seek(key)
            move()
        instant.check()

    def close(self) -> None:
        """Let go of the files that only this view needs."""
        self._instant = None


@final
class RocksStorage:
    """`sync` and `checkpoint` are called from one worker thread, the rest from the loop's."""

    def __init__(self, raw: Any, path: Path) -> None:
        self._raw, self._path = raw, path
        self._failure: StorageError | None = None
        self._closing = threading.Lock()  # Held by a sync, so that close waits for it.
        self._closed = False
        self._shown: _Instant | None = None  # What readers see while a batch is staged.
        self._unsynced = rocksdict.WriteOptions()

    @classmethod
    def open(cls, path: Path) -> "RocksStorage":
        """Open or create the database.

        Raises: CorruptStorageError, StorageError; the message says what to do.
        """
        try:
            drop_torn_batch(path)
            raw = rocksdict.Rdict(str(path), _options())
        except LogDamage as error:
            raise _open_error(path, f"corruption: {error}") from error
        except Exception as error:
            raise _open_error(path, str(error)) from error
        return cls(raw, path)

    def batch(self) -> Batch:
        """Return an empty batch."""
        return _Batch()

    def stage(self, batch: Batch) -> None:
        """Begin `write`: hand the batch to RocksDB, which does not sync it, and hide it (STO-2)."""
        assert isinstance(batch, _Batch)
        self._check()
        try:
            self._shown = self._instant()
            self._raw.write(batch.raw, self._unsynced)
        except Exception as error:
            self._failure = _write_error(self._path, str(error))
            raise self._failure from error

    def sync(self) -> None:
        """End `write`: sync RocksDB's log, then show the batch."""
        with self._closing:
            self._check()
            try:
                self._raw.flush_wal(True)
            except Exception as error:
                self._failure = _write_error(self._path, str(error))
                raise self._failure from error
            self._shown = None

    def write(self, batch: Batch) -> None:
        """Make `batch` durable. Raises: StorageError, for ever after the first one."""
        self.stage(batch)
        self.sync()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise StorageError(f"database {self._path} is closed")

    def get(self, key: bytes) -> bytes | None:
        """Return the durable value."""
        shown = self._shown
        return self.latest(key) if shown is None else _View(shown).get(key)

    def latest(self, key: bytes) -> bytes | None:
        """Return the value with the staged batch in it. Raises: StorageError, for ever after."""
        try:
            value: bytes | None = self._raw.get(key)
        except Exception as error:
            raise self._read_failed(error) from error
        return value

    def _read_failed(self, error: Exception) -> StorageError:
        self._failure = _read_error(self._path, str(error))
        return self._failure

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield pairs of one instant."""
        self._check()
        return _View(self._shown or self._instant()).scan(start, stop, reverse=reverse)

    def _instant(self) -> _Instant:
        return _Instant(self._raw.iter(), self._read_failed)

    def snapshot(self) -> Snapshot:
        """Return the state after the last durable batch."""
        self._check()
        return _View(self._shown or self._instant())

    def checkpoint(self, path: str) -> None:
        """Write a consistent copy, hard-linked where the file system allows it."""
        self._check()
        try:
            rocksdict.Checkpoint(self._raw).create_checkpoint(path)
        except Exception as error:
            raise StorageError(f"checkpoint to {path}: {error}") from error

    def size_bytes(self) -> int:
        """Return the live size of the tables on disk and in memory, without the log."""
        names = ("rocksdb.estimate-live-data-size", "rocksdb.cur-size-all-mem-tables")
        return sum(int(self._raw.property_int_value(name) or 0) for name in names)

    def close(self) -> None:
        """Flush and release; idempotent."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._raw.close()


def _open_error(path: Path, reason: str) -> StorageError:
    lowered = reason.lower()
    if "lock" in lowered and ("held" in lowered or "resource temporarily" in lowered):
        return StorageError(f"database {path} is in use by another process: {reason}")
    return _read_error(path, reason, "opened")


def _read_error(path: Path, reason: str, done: str = "read") -> StorageError:
    lowered = reason.lower()
    if any(word in lowered for word in ("corrupt", "checksum", "invalid argument", "mismatch")):
        return CorruptStorageError(
            f"database {path} is corrupt: {reason}. Move the data directory away and start again: "
            "the peer refills from the others under a new identity"
        )
    return StorageError(f"database {path} cannot be {done}: {reason}")


def _write_error(path: Path, reason: str) -> StorageError:
    if "no space" in reason.lower() or "file too large" in reason.lower():
        return StorageError(
            f"disk of {path} is full: {reason}. Free space and start the peer again; nothing that "
            "was acknowledged is lost",
            code="storage_full",
        )
    return StorageError(f"write to {path} failed: {reason}")
