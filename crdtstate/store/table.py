"""The table of records: encoded bytes in storage, under an overlay of what is not yet durable.

Writers see the overlay first; readers see storage alone, so that nothing is shown before it is
durable (STO-2). One batch is open (being filled), at most one is in flight (being made durable).
Next to each record it keeps, in the same batch, everything that is derived from it: the bucket
sums, the index of conflicts, the graves and the expiry queue.

A **grave** is what is remembered of a removed key: the greatest incarnation that it had. The next
creation takes the one after it, so that late updates to the removed record stay out of the new one
(DESIGN section 2). Graves are local knowledge, kept as long as the event index reaches; those of
objects are kept for good, a hundred bytes each, so that a uid never comes twice.

Invariants:
    TAB-1  Fingerprint, conflict index and records become durable in one batch.
    TAB-2  A live record of incarnation n > 0 implies a grave of at least n - 1.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import final

from crdtstate.crdt.codec import decode_record, is_register
from crdtstate.crdt.record import Record
from crdtstate.store.conflicts import holds_conflict, is_readable
from crdtstate.store.fingerprint import Fingerprint
from crdtstate.store.ports import Batch, Family, Reader, Snapshot, Storage
from crdtstate.store.transaction import make_record_id, split_record_id
from crdtstate.store.wide import WideRecords

__all__ = ["LASTING", "Table", "prefix_end"]

LASTING = b"\x10"  # Keys that start so have graves for good.
_USER_KEYS = 0x20  # What users name starts so or higher; below are the system's and objects.
_ABSENT = b""
# What was read or written last is kept, since it is what is written next: two generations.
RECENT_MAX, RECENT_BYTES_MAX = 16_384, 1_024


def prefix_end(prefix: bytes) -> bytes:
    """Return the least bytes greater than every string that starts with `prefix`."""
    stripped = prefix.rstrip(b"\xff")
    if not stripped:
        raise ValueError("a prefix of 0xff bytes alone has no end")
    return stripped[:-1] + bytes((stripped[-1] + 1,))


@final
class Table:
    """Reads and writes of encoded records for the one writer, the store."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.fingerprint = Fingerprint(self._load_buckets(storage))
        self._open: dict[bytes, bytes] = {}
        self._in_flight: dict[bytes, bytes] = {}
        self._recent: dict[bytes, bytes] = {}  # As durable; short values only.
        self._older: dict[bytes, bytes] = {}
        self.wide = WideRecords()
        self._batch: Batch = storage.batch()
        # Later lives written in the open batch and in the one in flight: key -> record ids.
        self._open_lives: dict[bytes, set[bytes]] = {}
        self._in_flight_lives: dict[bytes, set[bytes]] = {}
        self._system_changed = self._objects_changed = False
        self._graves = any(True for _ in _scan_family(storage, Family.GRAVE))
        self.conflicts = sum(1 for _ in _scan_family(storage, Family.CONFLICT))

    @staticmethod
    def _load_buckets(reader: Reader) -> Iterator[tuple[int, int]]:
        for key, value in _scan_family(reader, Family.BUCKET):
            yield int.from_bytes(key[1:], "big"), int.from_bytes(value, "big")

    # -- bytes by full storage key -------------------------------------------------------------

    def read(self, key: bytes) -> bytes | None:
        """Return what the writer sees at a full storage key."""
        found = self._open.get(key)
        if found is None:
            found = self._in_flight.get(key)
            if found is None:
                found = self._recent.get(key)
                if found is None:
                    return self._read_durable(key)
        return found or None

    def read_records(self, record_ids: Iterable[bytes]) -> list[bytes]:
        """Return the bytes of each record as the writer sees it, empty where there is none."""
        opened, in_flight, recent = self._open.get, self._in_flight.get, self._recent.get
        found: list[bytes] = []
        for record_id in record_ids:
            key = b"r" + record_id
            data = opened(key)
            if data is None:
                data = in_flight(key)
                if data is None:
                    data = recent(key)
                    if data is None:
                        data = self._read_durable(key) or _ABSENT
            found.append(data)
        return found

    def _read_durable(self, key: bytes) -> bytes | None:
        found = self._older.get(key)
        if found is None:
            found = self._storage.latest(key) or _ABSENT
        if len(found) <= RECENT_BYTES_MAX:
            self._recent[key] = found
        return found or None

    def _age_recent(self) -> None:
        """What was in flight is durable; the older half is let go when there is enough."""
        recent = self._recent
        for key, value in self._in_flight.items():
            if len(value) <= RECENT_BYTES_MAX:
                recent[key] = value
            else:
                recent.pop(key, None)
                self._older.pop(key, None)
        if len(recent) > RECENT_MAX:
            self._older, self._recent = recent, {}

    def write(self, key: bytes, value: bytes | None) -> None:
        """Put or delete a full storage key in the open batch."""
        if value is None:
            self._open[key] = _ABSENT
            self._batch.delete(key)
        else:
            self._open[key] = value
            self._batch.put(key, value)

    def put_unseen(self, key: bytes, value: bytes) -> None:
        """Put a key that the writer never reads back before it is durable."""
        self._batch.put(key, value)

    def delete_range(self, start: bytes, stop: bytes) -> None:
        """Delete a range that the writer never reads back."""
        self._batch.delete_range(start, stop)

    # -- records -------------------------------------------------------------------------------

    def get_encoded(self, record_id: bytes) -> bytes | None:
        """Return the encoded record as the writer sees it."""
        return self.read(b"r" + record_id)

    def get(self, record_id: bytes) -> Record:
        """Return the record, empty when there is none. The caller owns it."""
        data = self.read(b"r" + record_id)
        return self.wide.decode(record_id, data) if data else {}

    def put(self, record_id: bytes, record: Record) -> None:
        """Store the record and what is derived from it; an empty one is removed."""
        data = self.wide.encode(record_id, record) if record else None
        self.put_encoded(record_id, self.get_encoded(record_id), data, record)

    def put_encoded(
        self,
        record_id: bytes,
        before: bytes | None,
        data: bytes | None,
        record: Record | None = None,
    ) -> None:
        """Store encoded bytes.

        Args:
            before: What is there now, as `get_encoded` returned it.
            record: The decoded form of `data`, unless that is a plain register or nothing.
        """
        if before == data:
            return
        key = b"r" + record_id
        self.fingerprint.change(record_id, before, data)
        self.write(key, data)
        if record_id[0] < _USER_KEYS:
            if record_id[0] == 1:  # No client's key starts so; membership reads these.
                self._system_changed = True
            else:
                self._objects_changed = True
        plain = data is not None and is_register(data)
        if not plain or (before is not None and not is_register(before)):
            self._index_conflict(record_id, holds=holds_conflict(record or {}))
        if record_id.index(0) != len(record_id) - 1:  # Not the first life: TAB-2.
            name, incarnation = split_record_id(record_id)
            self.raise_grave(name, incarnation - 1)
            self._open_lives.setdefault(name, set()).add(record_id)
        if self._graves:
            self._index_lives(record_id[: record_id.index(0)])

    def put_registers(self, rows: Sequence[tuple[bytes, bytes, bytes]]) -> None:
        """Store (record id, before or nothing, after) of users' keys in their first life.

        All are plain registers, before (if it was there) and after: of all that `put_encoded`
        derives, only the bucket sums can change, and the lives of a key that has a grave.
        """
        self.fingerprint.change_many(rows)
        opened, put = self._open, self._batch.put
        for record_id, _, after in rows:
            key = b"r" + record_id
            opened[key] = after
            put(key, after)
        if self._graves:
            for record_id, _, _ in rows:
                self._index_lives(record_id[:-1])

    def _index_lives(self, key: bytes) -> None:
        """Two lives of one key at once: created concurrently, one of them after a removal."""
        if self.grave(key) is None:
            return
        alive = []
        for record_id in self.lives(key):
            data = self.get_encoded(record_id)
            if data and (is_register(data) or is_readable(decode_record(data))):
                alive.append((record_id, data))
        for record_id, data in alive:
            holds = len(alive) > 1
            if not holds and not is_register(data):
                holds = holds_conflict(decode_record(data))
            self._index_conflict(record_id, holds=holds)

    def _index_conflict(self, record_id: bytes, *, holds: bool) -> None:
        """Note whether the record holds a conflict; an orphan (no life) is one too."""
        key = Family.CONFLICT + record_id
        held = self.read(key) is not None
        if holds != held:
            self.conflicts += 1 if holds else -1
            self.write(key, b"\x01" if holds else None)

    def take_changed(self) -> tuple[bool, bool]:
        """Tell whether a system record, and whether an object, changed since the last call."""
        changed = self._system_changed, self._objects_changed
        self._system_changed = self._objects_changed = False
        return changed

    def pending_records(self) -> list[bytes]:
        """Return the ids of records changed in batches that are not yet durable."""
        return [k[1:] for layer in (self._in_flight, self._open) for k in layer if k[:1] == b"r"]

    # -- lives of a key ------------------------------------------------------------------------

    @property
    def has_graves(self) -> bool:
        """Whether any key has one, so that `grave` is worth asking."""
        return self._graves

    def grave(self, key: bytes) -> int | None:
        """Return the greatest incarnation of `key` known to have been removed."""
        if not self._graves:
            return None
        found = self.read(Family.GRAVE + key)
        return int.from_bytes(found, "big") if found else None

    def raise_grave(self, key: bytes, incarnation: int) -> None:
        """Remember that `incarnation` of `key` was removed."""
        known = self.grave(key)
        if known is None or known < incarnation:
            self._graves = True
            self.write(Family.GRAVE + key, incarnation.to_bytes(4, "big"))

    def forget_grave(self, record_id: bytes) -> None:
        """Forget a removal beyond the horizon, unless a later life depends on it (TAB-2)."""
        if record_id.startswith(LASTING):
            return
        key, incarnation = split_record_id(record_id)
        if self.grave(key) == incarnation and not any(map(self.get_encoded, self.lives(key))):
            self.write(Family.GRAVE + key, None)

    def lives(self, key: bytes) -> list[bytes]:
        """Return the ids under which `key` may have a record, oldest life first."""
        known = self.grave(key)
        if known is None:
            return [make_record_id(key, 0)]
        ids = {make_record_id(key, 0)}
        ids.update(self._open_lives.get(key, ()), self._in_flight_lives.get(key, ()))
        prefix = Family.RECORD + key + b"\0"
        ids.update(found[1:] for found, _ in self._storage.scan(prefix, prefix_end(prefix)))
        return sorted(ids)

    # -- batches -------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._batch)

    def close_batch(self) -> Batch:
        """End the open batch: its bucket sums join it, and it is in flight from now on."""
        assert not self._in_flight, "one batch in flight at a time"
        for bucket, total in self.fingerprint.take_dirty():
            self._batch.put(b"b" + bucket.to_bytes(2, "big"), total.to_bytes(16, "big"))
        batch, self._batch = self._batch, self._storage.batch()
        self._in_flight, self._open = self._open, {}
        self._in_flight_lives, self._open_lives = self._open_lives, {}
        return batch

    def batch_durable(self) -> None:
        """The batch in flight is durable: storage shows it."""
        self._age_recent()
        self._in_flight, self._in_flight_lives = {}, {}

    def snapshot(self) -> Snapshot:
        """Return the last durable state."""
        return self._storage.snapshot()

    @property
    def storage(self) -> Storage:
        """The storage below, for reads of durable state."""
        return self._storage


def _scan_family(reader: Reader, family: bytes) -> Iterator[tuple[bytes, bytes]]:
    return reader.scan(family, prefix_end(family))
