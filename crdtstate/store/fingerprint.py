"""Fingerprints of what is live: 65,536 bucket sums of 128 bits, kept incrementally.

A record's print is a hash of its id and canonical bytes; a bucket's is the sum (modulo 2**128) of
its records' prints, so that a change costs two hashes and three additions. Equal vectors must mean
equal roots; peers compare the root with every digest, and buckets, 256 groups of them first, when
they must repair.

Source: sums as set fingerprints after [MEY22]; XOR would cancel duplicates, sums do not.

Invariants:
    FPR-1  root == sum of buckets == sum over live records, modulo 2**128.
"""

from collections.abc import Iterable
from typing import final

from xxhash import xxh3_64_intdigest, xxh3_128_intdigest

__all__ = ["BUCKETS", "GROUPS", "Fingerprint", "bucket_of", "print_of"]

BUCKETS = 1 << 16
GROUPS = 1 << 8
_MASK = (1 << 128) - 1


def bucket_of(record_id: bytes) -> int:
    """Return the bucket of a record id; the same in every process."""
    return xxh3_64_intdigest(record_id) >> 48


def print_of(record_id: bytes, data: bytes) -> int:
    """Return the 128-bit print of one live record; 0 is never special."""
    return xxh3_128_intdigest(data, xxh3_64_intdigest(record_id))


@final
class Fingerprint:
    """The bucket sums of one replica. About 4 MB when all buckets are used."""

    __slots__ = ("_buckets", "_dirty", "root")

    def __init__(self, buckets: Iterable[tuple[int, int]] = ()) -> None:
        self._buckets = [0] * BUCKETS
        self._dirty: dict[int, None] = {}
        self.root = 0
        for bucket, total in buckets:
            self._buckets[bucket] = total
            self.root = (self.root + total) & _MASK

    def change(self, record_id: bytes, before: bytes | None, after: bytes | None) -> None:
        """Account for a record that went from `before` to `after`. Cost: O(1)."""
        seed = xxh3_64_intdigest(record_id)
        amount = 0
        if after:
            amount += xxh3_128_intdigest(after, seed)
        if before:
            amount -= xxh3_128_intdigest(before, seed)
        bucket = seed >> 48
        self._buckets[bucket] = (self._buckets[bucket] + amount) & _MASK
        self.root = (self.root + amount) & _MASK
        self._dirty[bucket] = None

    def change_many(self, rows: Iterable[tuple[bytes, bytes, bytes]]) -> None:
        """Do `change` for each of (record id, before or nothing, after)."""
        buckets, dirty, total = self._buckets, self._dirty, 0
        for record_id, before, after in rows:
            seed = xxh3_64_intdigest(record_id)
            amount = xxh3_128_intdigest(after, seed)
            if before:
                amount -= xxh3_128_intdigest(before, seed)
            bucket = seed >> 48
            buckets[bucket] = (buckets[bucket] + amount) & _MASK
            total += amount
            dirty[bucket] = None
        self.root = (self.root + total) & _MASK

    def buckets(self) -> list[int]:
        """Return all bucket sums."""
        return list(self._buckets)

    def take_dirty(self) -> list[tuple[int, int]]:
        """Return (bucket, sum) of the buckets changed since the last call, to be persisted."""
        dirty = [(bucket, self._buckets[bucket]) for bucket in self._dirty]
        self._dirty.clear()
        return dirty
