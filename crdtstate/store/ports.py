"""What the store asks of a disk: ordered bytes, atomic batches, consistent snapshots.

One ordered key space, because a snapshot must cover records, index and vector at one instant; the
first byte of a key names the family it belongs to (`Family`). Two implementations pass the same
suite: `crdtstate.storage.rocks` and its in-memory twin `crdtstate.storage.memory`.

Invariants:
    STO-1  A batch is durable in whole or not at all when `write` returns or the process dies.
    STO-2  A read never shows a batch before it is durable.
    STO-3  A snapshot never changes.
"""

from collections.abc import Iterator
from typing import Protocol

__all__ = ["Batch", "Family", "Reader", "Snapshot", "Storage"]


class Family:
    """First byte of every stored key."""

    RECORD = b"r"  # record id -> encoded record
    EVENT = b"e"  # origin, seq -> record ids touched
    LOG = b"l"  # local revision -> dots
    BUCKET = b"b"  # bucket number -> 128-bit fingerprint sum
    META = b"m"  # vector, floors, counters
    GRAVE = b"g"  # removed key -> last incarnation
    CONFLICT = b"c"  # record ids that hold a conflict
    EXPIRY = b"x"  # expiry time, record id


class Reader(Protocol):
    """Point reads and ordered scans."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value at `key`, or None. Cost: microseconds when cached."""

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) with start <= key < stop in byte order (or its reverse)."""


class Snapshot(Reader, Protocol):
    """An unchanging view of one durable instant."""

    def close(self) -> None:
        """Release it; later use is an error."""


class Batch(Protocol):
    """Changes that become durable together; later changes of a key win."""

    def put(self, key: bytes, value: bytes) -> None:
        """Set `key`."""

    def delete(self, key: bytes) -> None:
        """Remove `key`; no error when absent."""

    def delete_range(self, start: bytes, stop: bytes) -> None:
        """Remove start <= key < stop."""

    def __len__(self) -> int: ...


class Storage(Reader, Protocol):
    """A durable ordered map. Raises StorageError, after which every call raises it."""

    def batch(self) -> Batch:
        """Return an empty batch."""

    def write(self, batch: Batch) -> None:
        """Make `batch` durable: `stage`, then `sync`.

        Raises: StorageError; the storage is then closed for good (fail-stop).
        """

    def stage(self, batch: Batch) -> None:
        """Begin to make `batch` durable. Nobody sees it before `sync` has returned.

        Raises: StorageError, as `write`. Cost: microseconds; call it where the readers are.
        """

    def sync(self) -> None:
        """Make what is staged durable. Blocks for a disk sync: call it off the event loop.

        Raises: StorageError, as `write`.
        """

    def latest(self, key: bytes) -> bytes | None:
        """Return the value that the last staged batch left: for the one writer."""

    def snapshot(self) -> Snapshot:
        """Return the state after the last durable batch. Cost: O(1)."""

    def checkpoint(self, path: str) -> None:
        """Write a consistent copy to the new directory `path` while running. Blocks."""

    def size_bytes(self) -> int:
        """Approximate size on disk. Cost: O(1)."""

    def close(self) -> None:
        """Release everything; idempotent."""
