"""What a later version must still read, and the bounds that users were told: both literally."""

from crdtstate.crdt import clock, codec, dots
from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.storage.memory import MemoryDisk, MemoryStorage
from crdtstate.store import (
    catchup,
    document,
    fingerprint,
    index,
    marks,
    parts,
    puts,
    reading,
    table,
    transaction,
    views,
    watch,
    wide,
)
from crdtstate.store import (
    operations as ops,
)
from crdtstate.store import (
    store as store_module,
)
from crdtstate.store.fingerprint import bucket_of, print_of
from crdtstate.store.limits import Limits
from crdtstate.store.store import Store, StoreConfig
from tests.models.durable import make_durable

WALL_MS = 1_700_000_000_000
ME = ORIGIN_MIN.to_bytes(8, "big")


def number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def test_bounds_of_what_a_client_may_send() -> None:
    assert Limits() == Limits(
        key_bytes_max=1_024, value_bytes_max=1_048_576, transaction_bytes_max=4_194_304,
        operations_max=1_000, path_depth_max=64, set_element_bytes_max=1_024,
    )  # fmt: skip


def test_bounds_of_what_a_replica_remembers() -> None:
    assert StoreConfig() == StoreConfig(
        limits=Limits(), event_entries_max=200_000, event_age_ms_max=86_400_000, held_max=4_096
    )
    assert store_module.HELD_AGE_MS_MAX == 60_000
    assert (table.RECENT_MAX, table.RECENT_BYTES_MAX) == (16_384, 1_024)
    assert (index._TRIM_STEP, index._LOG_DOTS_MAX) == (512, 128)
    assert (wide.WIDE_BYTES_MIN, wide.WIDE_BYTES_MAX) == (256, 2_097_152)
    assert (catchup._SLICE_BYTES, catchup._EVENT_SLICES, store_module.DRAIN_STEP) == (
        65_536,
        12,
        16,
    )


def test_bounds_of_numbers_and_messages() -> None:
    assert (dots.ORIGIN_MIN, dots.SEQ_MAX) == (1 << 63, (1 << 63) - 1)
    assert (clock.STAMP_MAX, clock.AHEAD_MS_MAX) == ((1 << 64) - 1, 60_000)
    assert clock.stamp_ms(WALL_MS << 16 | 7) == WALL_MS
    assert codec.DEPTH_MAX == 72
    assert transaction.RECORD_ID_BYTES_MAX == 65_536
    assert (parts.PART_BYTES, puts.OPEN_BYTES_MAX) == (49_152, 24_576)
    assert (reading._SCANNED_MAX, reading._PAGE_BYTES_MAX) == (1_024, 1_048_576)
    assert (fingerprint.BUCKETS, fingerprint.GROUPS) == (65_536, 256)


def test_names_within_records() -> None:
    assert views.TYPE_NAMES == (
        "register", "register", "map", "set", "counter", "flag", "bounded", "object",
    )  # fmt: skip
    assert [views.encode_life(name)[0] for name in views.TYPE_NAMES[1:]] == [0, 2, 3, 4, 5, 6, 7]
    assert marks.DELETED == ("@deleted",)
    assert (document.APPLIED, document.ORDER) == ("@applied", "@order")
    assert (table.LASTING, reading.USER_KEYS, watch._USER_KEYS_STOP) == (b"\x10", b" ", b"\xff")


def test_what_is_on_a_disk() -> None:
    """Every row after five small transactions, one of them with a time to live."""
    disk = MemoryDisk()
    store = Store(MemoryStorage(disk), ORIGIN_MIN, StoreConfig())
    for operation in (
        ops.Put("k", value="v"), ops.Delete("k"), ops.Put("k", value="w"),
        ops.Put("t", value="v", ttl_ms=5), ops.MapPut("m", {"x": 1}),
    ):  # fmt: skip
        store.submit([operation], [], WALL_MS)
        make_durable(store)
    store.index.raise_floor(ORIGIN_MIN, 1)
    make_durable(store)

    def stamp(n: int) -> bytes:
        return ((WALL_MS << 16) + n).to_bytes(8, "big")

    def register(seq: int, value: bytes) -> bytes:
        return (
            b"\x81\x85\x80\x1b" + ME + bytes((seq,)) + b"\x1b" + stamp(seq - 1)
            + bytes((0x40 | len(value),)) + value
        )  # fmt: skip

    due_ms = WALL_MS + 5
    life = b"\x01" + number(due_ms) + b"v"
    records = {
        b"k\0\0\0\0\x01": register(3, b"\0w"),
        b"t\0": register(4, life),
        b"m\0": b"\x82" + register(5, b"\x02")[1:]
        + b"\x85\x81\x62.x\x1b" + ME + b"\x05\x1b" + stamp(4) + b"\x41\x01",
    }  # fmt: skip
    rows = {b"r" + record_id: data for record_id, data in records.items()}
    rows[b"gk"] = b"\0\0\0\0"
    rows[b"x" + number(due_ms) + b"t\0"] = b""
    events = {
        1: b"\x82\x81\x42k\0\x80", 2: b"\x82\x81\x42k\0\x81\x42k\0",
        3: b"\x82\x81\x46k\0\0\0\0\x01\x80", 4: b"\x82\x81\x42t\0\x80", 5: b"\x82\x81\x42m\0\x80",
    }  # fmt: skip
    for seq, event in events.items():
        rows[b"e" + ME + number(seq)] = event
        rows[b"l" + number(seq)] = number(WALL_MS) + ME + number(seq)
    sums: dict[int, int] = {bucket_of(b"k\0"): 0}
    for record_id, data in records.items():
        bucket = bucket_of(record_id)
        sums[bucket] = (sums.get(bucket, 0) + print_of(record_id, data)) % (1 << 128)
    for bucket, total in sums.items():
        rows[b"b" + bucket.to_bytes(2, "big")] = total.to_bytes(16, "big")
    rows |= {
        b"mv" + ME: number(5), b"mf" + ME: number(1), b"mr": number(5), b"mn": number(5),
        b"mc": stamp(4),
    }  # fmt: skip
    assert disk.data == rows
