"""RocksDB's log, looked at before RocksDB does: a batch that a power cut has left in pieces.

RocksDB forgives a log that ends too early, and nothing else: where the file system had made the
file longer before the data came (zeros, or blocks of a former file), or had kept a later page and
not an earlier one, it refuses to start; and a kind of record that it does not expect makes it
search for ever (facebook/rocksdb issue 11968). Nobody was told of a batch in pieces, so it is
dropped here, whole, by cutting the log where it begins.

Damage of acknowledged batches is told apart by what follows: a newer batch. Such a log is never
cut. Damage of the very last batch looks the same whether it was acknowledged or not; this end was
not an orderly one, so the peer asks the others what they have of it before it writes.

Source: the format is that of RocksDB's db/log_format.h; what a power cut leaves behind is in Pillai
et al., "All file systems are not created equal", OSDI 2014.

Invariants:
    TRN-1  A log is cut only where no whole batch lies behind that is newer than what is kept.
    TRN-2  RocksDB is given no log whose records it cannot step through.
"""

import mmap
import os
from pathlib import Path
from struct import Struct
from typing import NamedTuple

import structlog

__all__ = ["LogDamage", "drop_torn_batch"]

_BLOCK = 32 * 1024
_HEADER = 7  # checksum (4), length (2), kind (1)
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_RECYCLED = frozenset({5, 6, 7, 8, 11, 131})  # Of files used again, which we do not ask for.
_BATCH_HEADER = 12  # sequence (8), count (4)
_SEQUENCES_MAX = 1 << 40  # More than a database ever counts; few random bytes are below.
_Bytes = bytes | mmap.mmap

_log = structlog.get_logger("crdtstate.storage")
_length_and_kind = Struct("<HB").unpack_from


class LogDamage(Exception):
    """A log is damaged before batches that are whole."""


class _Torn(NamedTuple):
    """Where a log stops being whole."""

    begins: int  # The first byte of the batch that is not whole.
    stops: int  # Where reading it fails.
    sequence: int  # The number of that batch, when one before it is there to tell.


class _UnknownFormat(Exception):
    """A sound piece of a kind that we never make: written by another version of RocksDB."""


def drop_torn_batch(path: Path) -> None:
    """Cut the newest log of a database before its last batch, if that is in pieces.

    Whoever calls it holds the lock of the directory: in a log that is being written, the last
    batch is in pieces too. Raises: LogDamage.
    """
    logs = [log for log in path.glob("*.log") if log.stem.isdigit() and log.stat().st_size]
    if not logs:
        return
    newest = max(logs, key=lambda log: int(log.stem))
    with newest.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if _is_sound(data):
                return
            try:
                torn = _find_torn(data)
            except _UnknownFormat:
                return
            size = len(data)
            if torn is None:
                return
            if _holds_newer_batch(data, torn):
                raise LogDamage(f"{newest.name} is damaged at byte {torn.stops} of {size}")
        file.truncate(torn.begins)
        os.fsync(file.fileno())
    _log.warning(
        "dropped a batch that was being written when the power went", log=str(newest),
        at_byte=torn.begins, dropped_bytes=size - torn.begins,
    )  # fmt: skip


def _is_sound(data: _Bytes) -> bool:
    """Tell whether headers lead through the whole log, and its last batch is as it was written.

    What has been damaged between headers, RocksDB finds.
    """
    at, begins, within, size = 0, 0, False, len(data)
    while at < size:
        room = _BLOCK - at % _BLOCK
        if room < _HEADER:
            at += room
            continue
        if size - at < _HEADER:
            return False
        length, kind = _length_and_kind(data, at + 4)
        if not _FULL <= kind <= _LAST or (kind >= _MIDDLE) != within or _HEADER + length > room:
            return False
        if not within:
            begins = at
        within = kind in (_FIRST, _MIDDLE)
        at += _HEADER + length
    return at == size and not within and _find_torn(data, begins) is None


def _find_torn(data: _Bytes, start: int = 0) -> _Torn | None:
    """Check every sum from the start of a batch; return where the first batch not whole is."""
    at = begins = start
    sequence = 0
    head: bytes | None = None  # The beginning of the batch that we are within.
    while at < len(data):
        room = _BLOCK - at % _BLOCK
        if room < _HEADER:
            at += room
            continue
        piece = _piece_at(data, at)
        begins = at if head is None else begins
        if piece is not None and not _FULL <= piece[0] <= _LAST:
            raise _UnknownFormat
        if piece is None or (piece[0] >= _MIDDLE) != (head is not None):
            return _Torn(begins, at, sequence)
        kind, payload = piece
        if head is None:
            head = payload
        if kind in (_FULL, _LAST):
            count = int.from_bytes(head[8:_BATCH_HEADER], "little")
            sequence, head = int.from_bytes(head[:8], "little") + count, None
        at += _HEADER + len(payload)
    return _Torn(begins, at, sequence) if head is not None else None


def _holds_newer_batch(data: _Bytes, torn: _Torn) -> bool:
    """Tell whether a batch after the torn one begins anywhere; older ones are of former files."""
    for at in range(torn.stops + 1, len(data) - _HEADER - _BATCH_HEADER):
        if data[at + 6] in (_FULL, _FIRST):
            newer_by = int.from_bytes(data[at + 7 : at + 15], "little") - torn.sequence
            if 0 < newer_by < _SEQUENCES_MAX and _piece_at(data, at) is not None:
                return True
    return False


def _piece_at(data: _Bytes, at: int) -> tuple[int, bytes] | None:
    """Return kind and payload of the piece that begins here, if a whole one does."""
    room = min(_BLOCK - at % _BLOCK, len(data) - at)
    if room < _HEADER:
        return None
    length, kind = _length_and_kind(data, at + 4)
    header = _HEADER + 4 if kind in _RECYCLED else _HEADER
    end = at + header + length
    if kind == 0 or end > at + room:
        return None
    if int.from_bytes(data[at : at + 4], "little") != _checksum(data[at + 6 : end]):
        return None
    return kind, data[at + header : end]


def _make_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE = _make_table()


def _checksum(data: bytes) -> int:
    """CRC-32C, masked as RocksDB does it."""
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
