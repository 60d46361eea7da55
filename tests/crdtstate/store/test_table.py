"""The table beside its storage: layers, what is remembered, graves, lives, conflicts, batches."""

import pytest

from crdtstate.crdt.codec import encode_register, encode_value
from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.crdt.record import LIFE, Record
from crdtstate.storage.memory import MemoryStorage
from crdtstate.store import table as table_module
from crdtstate.store.ports import Family
from crdtstate.store.table import RECENT_BYTES_MAX, Table, prefix_end
from crdtstate.store.transaction import make_record_id
from crdtstate.store.views import encode_life

A, B = ORIGIN_MIN, ORIGIN_MIN + 1
MAP, OBJECT = encode_life("map"), encode_life("object")


def register(value: bytes, seq: int = 1, origin: int = A) -> bytes:
    return encode_register((origin, seq), seq, b"\0" + value)


def durable(table: Table) -> None:
    table.storage.write(table.close_batch())  # type: ignore[attr-defined]
    table.batch_durable()


@pytest.mark.parametrize(
    ("prefix", "end"), [(b"a", b"b"), (b"ab", b"ac"), (b"a\xff", b"b"), (b"a\xff\xff", b"b")]
)
def test_a_prefix_ends_before_the_next_one(prefix: bytes, end: bytes) -> None:
    assert prefix_end(prefix) == end
    with pytest.raises(ValueError, match="alone has no end"):
        prefix_end(b"\xff\xff")


# -- layers ------------------------------------------------------------------------------------


def test_the_writer_sees_the_newest_layer_and_storage_only_what_is_durable() -> None:
    table = Table(MemoryStorage())
    for value in (b"1", b"2"):
        table.put_encoded(b"k\0", table.get_encoded(b"k\0"), register(value))
    batch = table.close_batch()
    table.put_encoded(b"k\0", table.get_encoded(b"k\0"), register(b"3"))

    assert table.get_encoded(b"k\0") == register(b"3")
    assert table.read_records([b"k\0", b"absent\0"]) == [register(b"3"), b""]
    assert table.storage.get(b"rk\0") is None
    assert table.pending_records() == [b"k\0", b"k\0"]
    table.storage.write(batch)  # type: ignore[attr-defined]
    table.batch_durable()
    assert table.storage.get(b"rk\0") == register(b"2")
    assert table.pending_records() == [b"k\0"]


def test_a_removal_hides_what_is_durable_at_every_layer() -> None:
    table = Table(MemoryStorage())
    table.put_encoded(b"k\0", None, register(b"v"))
    durable(table)

    table.put_encoded(b"k\0", register(b"v"), None)
    assert table.get_encoded(b"k\0") is None
    assert table.read_records([b"k\0"]) == [b""]
    batch = table.close_batch()
    assert table.get_encoded(b"k\0") is None
    table.storage.write(batch)  # type: ignore[attr-defined]
    table.batch_durable()
    assert table.get_encoded(b"k\0") is None
    assert table.get(b"k\0") == {}


def test_only_one_batch_is_in_flight() -> None:
    table = Table(MemoryStorage())
    table.put_encoded(b"k\0", None, register(b"v"))
    table.close_batch()
    table.put_encoded(b"l\0", None, register(b"v"))
    with pytest.raises(AssertionError, match="one batch in flight"):
        table.close_batch()


def test_what_was_read_is_remembered_when_it_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = MemoryStorage()
    short, long = b"s" * RECENT_BYTES_MAX, b"l" * (RECENT_BYTES_MAX + 1)
    batch = storage.batch()
    for key, value in ((b"rs\0", short), (b"rl\0", long)):
        batch.put(key, value)
    storage.write(batch)
    table = Table(storage)
    asked: list[bytes] = []
    latest = storage.latest

    def counted(key: bytes) -> bytes | None:
        asked.append(key)
        return latest(key)

    monkeypatch.setattr(storage, "latest", counted)
    for _ in range(2):
        assert table.read_records([b"s\0", b"l\0", b"absent\0"]) == [short, long, b""]
        assert [table.read(k) for k in (b"rs\0", b"rl\0", b"rabsent\0")] == [short, long, None]

    assert asked == [b"rs\0", b"rl\0", b"rabsent\0", b"rl\0", b"rl\0", b"rl\0"]


def test_what_grew_long_is_no_longer_remembered_as_it_was() -> None:
    table = Table(MemoryStorage())
    long = register(b"x" * RECENT_BYTES_MAX)
    table.put_encoded(b"k\0", None, register(b"v"))
    durable(table)
    table.put_encoded(b"k\0", register(b"v"), long)
    durable(table)
    assert table.get_encoded(b"k\0") == long


def test_two_generations_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "RECENT_MAX", 2)
    table = Table(MemoryStorage())
    for n in range(7):
        table.put_encoded(b"%d\0" % n, None, register(b"v"))
        durable(table)
        assert len(table._recent) <= 2
        assert len(table._older) <= 3
    assert [table.get_encoded(b"%d\0" % n) for n in range(7)] == [register(b"v")] * 7


# -- what a record brings with it --------------------------------------------------------------


def test_the_same_bytes_again_are_no_change() -> None:
    table = Table(MemoryStorage())
    table.put_encoded(b"k\0", None, register(b"v"))
    durable(table)
    table.put_encoded(b"k\0", register(b"v"), register(b"v"))
    table.put(b"absent\0", {})
    assert len(table) == 0


@pytest.mark.parametrize(
    ("record_id", "changed"),
    [
        (b"k\0", (False, False)), (b" \0", (False, False)), (b"\x1f\0", (False, True)),
        (b"\x10k\0", (False, True)), (b"\x01k\0", (True, False)), (b"\x02k\0", (False, True)),
    ],
)  # fmt: skip
def test_a_change_of_the_system_s_and_of_objects_is_told_once(
    record_id: bytes, changed: tuple[bool, bool]
) -> None:
    table = Table(MemoryStorage())
    table.put_encoded(record_id, None, register(b"v"))
    assert table.take_changed() == changed
    assert table.take_changed() == (False, False)


def test_conflicts_are_counted_and_indexed_as_they_come_and_go() -> None:
    storage = MemoryStorage()
    table = Table(storage)
    left, right = ((A, 1), (1, b"\0l")), ((B, 1), (1, b"\0r"))
    both: Record = {LIFE: dict((left, right))}
    table.put(b"k\0", both)
    table.put(b"orphan\0", {(".x",): {(A, 2): (1, encode_value(1))}})
    table.put(b"map\0", {LIFE: {(A, 3): (1, MAP)}})
    assert table.conflicts == 2
    durable(table)
    assert [key for key, _ in storage.scan(b"c", b"d")] == [b"ck\0", b"corphan\0"]
    assert Table(storage).conflicts == 2

    table.put_encoded(b"k\0", table.get_encoded(b"k\0"), register(b"on", 2))
    table.put(b"orphan\0", {})
    assert table.conflicts == 0
    durable(table)
    assert list(storage.scan(b"c", b"d")) == []


def test_sums_of_buckets_are_those_of_the_records_after_a_start_too() -> None:
    storage = MemoryStorage()
    table = Table(storage)
    table.put_registers([(b"k\0", b"", register(b"v")), (b"l\0", b"", register(b"w", 2))])
    durable(table)
    table.put_registers([(b"k\0", register(b"v"), register(b"x", 3))])
    durable(table)

    again, anew = Table(storage), Table(MemoryStorage())
    anew.put_encoded(b"k\0", None, register(b"x", 3))
    anew.put_encoded(b"l\0", None, register(b"w", 2))
    assert again.fingerprint.root == table.fingerprint.root == anew.fingerprint.root
    assert again.fingerprint.buckets() == anew.fingerprint.buckets()


# -- graves and lives --------------------------------------------------------------------------


def test_a_grave_is_the_greatest_incarnation_and_is_there_after_a_start() -> None:
    storage = MemoryStorage()
    table = Table(storage)
    assert (table.has_graves, table.grave(b"k")) == (False, None)
    table.raise_grave(b"k", 0)
    assert (table.has_graves, table.grave(b"k")) == (True, 0)
    table.raise_grave(b"k", 3)
    table.raise_grave(b"k", 2)
    assert (table.grave(b"k"), table.grave(b"other")) == (3, None)
    durable(table)
    again = Table(storage)
    assert (again.has_graves, again.grave(b"k")) == (True, 3)


def test_a_later_life_is_a_grave_of_those_before_it() -> None:
    """TAB-2"""
    table = Table(MemoryStorage())
    table.put_encoded(make_record_id(b"k", 3), None, register(b"v"))
    assert table.grave(b"k") == 2
    table.put_encoded(make_record_id(b"l", 1), None, register(b"v"))
    assert table.grave(b"l") == 0


def test_lives_are_found_in_every_layer() -> None:
    table = Table(MemoryStorage())
    assert table.lives(b"k") == [b"k\0"]
    ids = [make_record_id(b"k", n) for n in range(4)]
    table.put_encoded(ids[1], None, register(b"1"))
    durable(table)
    table.put_encoded(ids[2], None, register(b"2", 2))
    table.close_batch()
    table.put_encoded(ids[3], None, register(b"3", 3))
    table.put_encoded(make_record_id(b"k2", 1), None, register(b"v", 4))
    assert table.lives(b"k") == ids
    assert table.lives(b"k2") == [b"k2\0", make_record_id(b"k2", 1)]


def test_two_lives_at_once_are_a_conflict_until_one_goes() -> None:
    table = Table(MemoryStorage())
    first, second = make_record_id(b"k", 0), make_record_id(b"k", 1)
    table.put_encoded(second, None, register(b"new", 2, B))
    assert table.conflicts == 0
    table.put_encoded(first, None, register(b"old"))
    assert table.conflicts == 2
    table.put_registers([(first, register(b"old"), register(b"older", 3))])
    assert table.conflicts == 2
    table.put_encoded(first, register(b"older", 3), None)
    assert table.conflicts == 1 - 1
    assert table.read(Family.CONFLICT + second) is None


def test_an_object_that_goes_is_no_life_beside_the_next_one() -> None:
    table = Table(MemoryStorage())
    going: Record = {
        LIFE: {(A, 1): (1, OBJECT)},
        ("@deleted",): {(A, 2): (1, encode_value([1, 0, [A, 1]]))},
    }
    table.put(make_record_id(b"\x10k", 0), going)
    table.put(make_record_id(b"\x10k", 1), {LIFE: {(A, 3): (2, OBJECT)}})
    assert table.conflicts == 0


def test_a_grave_is_forgotten_unless_something_depends_on_it() -> None:
    table = Table(MemoryStorage())
    table.raise_grave(b"k", 2)
    table.forget_grave(make_record_id(b"k", 1))
    assert table.grave(b"k") == 2
    table.forget_grave(make_record_id(b"k", 2))
    assert table.grave(b"k") is None

    table.put_encoded(make_record_id(b"l", 2), None, register(b"v"))
    table.forget_grave(make_record_id(b"l", 1))
    assert table.grave(b"l") == 1

    table.raise_grave(b"\x10object", 0)
    table.forget_grave(b"\x10object\0")
    assert table.grave(b"\x10object") == 0


def test_a_record_is_the_caller_s_own() -> None:
    table = Table(MemoryStorage())
    table.put(b"m\0", {LIFE: {(A, 1): (1, MAP)}})
    record = table.get(b"m\0")
    record.clear()
    assert table.get(b"m\0") == {LIFE: {(A, 1): (1, MAP)}}
