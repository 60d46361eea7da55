"""Wide records, kept decoded beside the bytes of each of their cells.

A set or a map that grows by one element at a time would be decoded and encoded whole for each of
them: 29 ms for the next of 2,350 elements on a slow machine, at every replica. Here those written
last are kept, so that a change costs the encoding of what changed; what is left of the cost in all
cells is copying, comparing identities and joining bytes, and the next element takes 1.2 ms.

No cell is changed in place (`crdtstate.crdt.record` makes a new one), so a cell that is the same
object still has the same bytes.

Invariants:
    WID-1  `decode` and `encode` give what `decode_record` and `encode_record` give.
    WID-2  What is kept is at most WIDE_BYTES_MAX of encoded bytes; decoded it takes more memory.
"""

from bisect import bisect_left
from typing import final

from crdtstate.crdt.codec import decode_record, encode_cell, encode_record, join_cells
from crdtstate.crdt.record import Path, Record

__all__ = ["WIDE_BYTES_MAX", "WIDE_BYTES_MIN", "WideRecords"]

WIDE_BYTES_MIN, WIDE_BYTES_MAX = 256, 2 << 20


@final
class _Kept:
    """One record: its bytes, its cells, and both again in order of path."""

    __slots__ = ("cells", "data", "paths", "record")

    def __init__(self, data: bytes, record: Record) -> None:
        self.data, self.record = data, record
        self.paths: list[Path] = []
        self.cells: list[bytes] = []

    def become(self, record: Record) -> None:
        """Replace the record, and of the bytes those of the cells that are others now."""
        before, paths, cells = self.record, self.paths, self.cells
        if not paths:
            before = {}
        changed = [path for path, cell in record.items() if before.get(path) is not cell]
        gone = [path for path in before if path not in record]
        if len(changed) + len(gone) > len(record) // 32:  # Much of it: all at once is cheaper.
            encoded_of = dict(zip(paths, cells, strict=True))
            encoded_of.update((path, encode_cell(path, record[path])) for path in changed)
            paths[:] = sorted(record)
            cells[:] = [encoded_of[path] for path in paths]
        else:
            for path in gone:
                at = bisect_left(paths, path)
                del paths[at], cells[at]
            for path in changed:
                at = bisect_left(paths, path)
                encoded = encode_cell(path, record[path])
                if path in before:
                    cells[at] = encoded
                else:
                    paths.insert(at, path)
                    cells.insert(at, encoded)
        self.record, self.data = record.copy(), join_cells(cells)


@final
class WideRecords:
    """The wide records that one writer read or wrote last."""

    def __init__(self) -> None:
        self._kept: dict[bytes, _Kept] = {}  # By record id; the one used last is last.
        self.kept_bytes = 0

    def decode(self, record_id: bytes, data: bytes) -> Record:
        """Return the record that is encoded in `data`. The caller owns it, its cells it does not.

        Cost: O(cells); a copy of a dictionary where it is kept.
        """
        kept = self._kept.get(record_id)
        if kept is not None and kept.data == data:
            return kept.record.copy()
        record = decode_record(data)
        if WIDE_BYTES_MIN <= len(data) <= WIDE_BYTES_MAX:
            self._keep(record_id, _Kept(data, record.copy()))
        return record

    def encode(self, record_id: bytes, record: Record) -> bytes:
        """Return the bytes of a record that is not empty."""
        kept = self._kept.get(record_id)
        if kept is None:
            return encode_record(record)
        self._drop(record_id)
        kept.become(record)
        if WIDE_BYTES_MIN <= len(kept.data) <= WIDE_BYTES_MAX:
            self._keep(record_id, kept)
        return kept.data

    def _keep(self, record_id: bytes, kept: _Kept) -> None:
        self._drop(record_id)
        self._kept[record_id] = kept
        self.kept_bytes += len(kept.data)
        while self.kept_bytes > WIDE_BYTES_MAX:
            self._drop(next(iter(self._kept)))

    def _drop(self, record_id: bytes) -> None:
        kept = self._kept.pop(record_id, None)
        if kept is not None:
            self.kept_bytes -= len(kept.data)
