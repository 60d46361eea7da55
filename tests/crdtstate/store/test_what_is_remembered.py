"""What a store keeps, lets go, and finds again: in memory, in its index, after a start."""

import msgspec
import pytest

from crdtstate.crdt.codec import encode_register
from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.crdt.record import LIFE, Record
from crdtstate.errors import NotFoundError
from crdtstate.storage.memory import MemoryDisk, MemoryStorage
from crdtstate.store import operations as ops
from crdtstate.store import table as table_module
from crdtstate.store.limits import Limits
from crdtstate.store.planner import Planner
from crdtstate.store.store import Store
from crdtstate.store.table import Table
from crdtstate.store.transaction import Frame, make_record_id
from tests.crdtstate.store.alone import commit, put, store_of
from tests.models.durable import make_durable

ME, OTHER, THIRD = ORIGIN_MIN, ORIGIN_MIN + 1, ORIGIN_MIN + 2


# -- the table's memory ------------------------------------------------------------------------


def durable(table: Table, key: bytes, value: bytes) -> None:
    record_id = key + b"\0"
    data = encode_register((ME, 1), 1, b"\0" + value)
    table.put_encoded(record_id, table.get_encoded(record_id), data)
    table.storage.write(table.close_batch())  # type: ignore[attr-defined]
    table.batch_durable()


def test_a_large_value_replaces_a_small_one_however_long_that_was_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table_module, "RECENT_MAX", 2)
    for older in (0, 1, 3):
        table = Table(MemoryStorage())
        durable(table, b"k", b"small")
        for n in range(older):
            durable(table, b"other%d" % n, b"v")
        large = b"x" * (table_module.RECENT_BYTES_MAX + 1)
        durable(table, b"k", large)
        data = table.get_encoded(b"k\0")
        assert data is not None
        assert data.endswith(large), older


def test_what_is_remembered_is_bounded_and_the_newest_half_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table_module, "RECENT_MAX", 10)
    table = Table(MemoryStorage())
    for n in range(100):
        durable(table, b"k%02d" % n, b"v")
        assert len(table._recent) <= 10 + 3, "a batch has a record, a bucket sum and no more"
        assert len(table._older) <= 10 + 3
    reads: list[bytes] = []
    real = table.storage.get
    monkeypatch.setattr(table.storage, "get", lambda key: reads.append(key) or real(key))
    assert all(table.get_encoded(b"k%02d\0" % n) for n in (97, 98, 99))
    assert reads == []
    assert table.get_encoded(b"k00\0")
    assert reads == [b"rk00\0"]


# -- the index ---------------------------------------------------------------------------------


def numbers(disk: MemoryDisk, prefix: bytes) -> dict[bytes, int]:
    return {k: int.from_bytes(v, "big") for k, v in disk.data.items() if k.startswith(prefix)}


def trim(store: Store) -> int:
    went = 0
    while step := store.index.trim(store.index.revision, 1_000):
        went += step
        make_durable(store)
    return went


def test_what_was_trimmed_is_known_to_the_next_life() -> None:
    disk = MemoryDisk()
    store = store_of(disk=disk, event_entries_max=2)
    commit(store, put("gone"))
    commit(store, ops.Delete("gone"))
    for n in range(3):
        commit(store, put(f"k{n}"))
    assert store.table.grave(b"gone") == 0

    assert trim(store) == 3

    mine = ME.to_bytes(8, "big")
    assert numbers(disk, b"m") == {
        b"mv" + mine: 5, b"mf" + mine: 3, b"ms" + mine: 3, b"mk": 3, b"ml": 3, b"mn": 2, b"mr": 5,
        b"mc": store.clock.last,
    }  # fmt: skip
    assert {k: len(v) for k, v in disk.data.items() if k[:2] in (b"mk", b"ml", b"ms", b"mf")} == {
        b"mk": 8, b"ml": 8, b"ms" + mine: 8, b"mf" + mine: 8,
    }  # fmt: skip
    assert store.table.grave(b"gone") is None, "only the event that is gone spoke of it"
    again = store_of(disk=disk, event_entries_max=2)
    assert trim(again) == 0
    assert (again.index.revision, again.index.log_floor, again.index.entries) == (5, 3, 2)
    commit(again, put("k9"))
    assert trim(again) == 1
    assert numbers(disk, b"mk") == {b"mk": 4}


def test_a_log_that_is_restarted_begins_at_a_revision_of_its_own() -> None:
    store = store_of()
    commit(store, put("k"))
    store.index.restart_log()
    assert (store.index.revision, store.index.log_floor) == (2, 2)


# -- after a start -----------------------------------------------------------------------------


def test_the_first_transaction_after_a_start_names_all_that_others_wrote() -> None:
    disk = MemoryDisk()
    store = store_of(disk=disk)
    commit(store, put("mine"))
    store.receive(commit(store_of(OTHER), put("k")), 1_000)
    make_durable(store)

    again = store_of(disk=disk)

    assert commit(again, put("l")).transaction(2).past == {OTHER: 1}
    assert commit(again, put("m")).transaction(3).past == {}


def test_a_batch_that_is_closed_has_its_own_open_puts_in_the_vector() -> None:
    store = store_of()
    store.submit([put("k")], [], 1_000)
    assert (store.is_quiet, store.outbox) == (False, [])

    store.table.storage.write(store.close_batch())  # type: ignore[attr-defined]
    store.batch_durable()

    assert store.vector == {ME: 1}
    assert not store.is_quiet, "it has yet to be sent"
    store.take_outbox()
    assert store.is_quiet


def test_what_changes_nothing_while_puts_are_open_is_of_their_revision() -> None:
    store = store_of()
    commit(store, put("l", "old"))
    assert store.submit([put("k")], [], 1_000).revision == 2
    assert store.submit([put("l", "old")], [], 1_000)[:3] == (None, 2, 0)


# -- frames that overlap, and chains -----------------------------------------------------------


def test_of_a_frame_that_overlaps_what_is_known_the_rest_is_applied() -> None:
    source, store = store_of(OTHER), store_of()
    frames = [commit(source, put(f"k{n}")) for n in range(3)]
    for frame in frames[:2]:
        store.receive(frame, 1_000)
    whole = Frame(OTHER, 1, [frame.bodies[0] for frame in frames])

    assert store.receive(whole, 1_000) == (1, False, False, False)

    assert (store.vector, store.held_count) == ({OTHER: 3}, 0)
    assert store.receive(whole, 1_000) == (0, False, False, False)


def test_what_waits_for_what_waits_is_applied_with_it() -> None:
    """In whatever order of origins: the first in order waits for the second, that for the third."""
    first, second, third = store_of(ME + 10), store_of(ME + 11), store_of(ME + 12)
    c = commit(third, put("c"))
    second.receive(c, 1_000)
    b = commit(second, put("b"))
    first.receive(c, 1_000)
    first.receive(b, 1_000)
    a = commit(first, put("a"))
    store = store_of()

    assert store.receive(a, 1_000) == (0, True, False, False)
    assert store.receive(b, 1_000) == (0, True, False, False)
    assert store.receive(c, 1_000) == (3, False, False, False)

    assert store.vector == {ME + 10: 1, ME + 11: 1, ME + 12: 1}


# -- lives -------------------------------------------------------------------------------------


@pytest.mark.parametrize("newest", [0, 1])
def test_a_writer_sees_the_life_that_was_created_last(newest: int) -> None:
    table = Table(MemoryStorage())
    for life in (0, 1):
        record: Record = {LIFE: {(OTHER, life + 1): (9 if life == newest else 5, b"\0v")}}
        table.put(make_record_id(b"k", life), record)
    found = Planner(table, (ME, 1), 99, 1, Limits(), lambda _: None).find(b"k")
    assert found is not None
    assert found[0] == make_record_id(b"k", newest)


# -- intents as JSON ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "operation"),
    [
        ('{"op": "put", "key": "k", "value": "v", "ttl_ms": 5}', ops.Put("k", "v", ttl_ms=5)),
        ('{"op": "put", "key": "k", "value_base64": "dg=="}', ops.Put("k", value_base64=b"v")),
        ('{"op": "delete", "key": "k"}', ops.Delete("k")),
        ('{"op": "map_put", "key": "k", "value": {}}', ops.MapPut("k", {})),
        ('{"op": "map_merge", "key": "k", "value": {}}', ops.MapMerge("k", {})),
        ('{"op": "apply", "key": "k", "value": {}}', ops.Apply("k", {}, manager="default")),
        ('{"op": "set_add", "key": "k", "elements": ["x"]}', ops.SetAdd("k", ["x"])),
        ('{"op": "set_remove", "key": "k", "elements": []}', ops.SetRemove("k", [])),
        ('{"op": "counter_add", "key": "k", "amount": 2}', ops.CounterAdd("k", 2)),
        ('{"op": "flag_set", "key": "k", "value": true}', ops.FlagSet("k", value=True)),
        ('{"op": "bounded_create", "key": "k", "amount": 2}', ops.BoundedCreate("k", 2)),
        ('{"op": "bounded_add", "key": "k", "amount": 2}', ops.BoundedAdd("k", 2)),
        ('{"op": "bounded_take", "key": "k", "amount": 2}', ops.BoundedTake("k", 2)),
        (
            '{"op": "bounded_transfer", "key": "k", "amount": 2, "to": "b"}',
            ops.BoundedTransfer("k", 2, "b"),
        ),
    ],
)
def test_an_operation_is_read_from_json_and_nothing_unknown_in_it(
    text: str, operation: ops.Operation
) -> None:
    assert msgspec.json.decode(text, type=ops.Operation) == operation
    with pytest.raises(msgspec.ValidationError, match="unknown field `more`"):
        msgspec.json.decode(text[:-1] + ', "more": 1}', type=ops.Operation)
    with pytest.raises(AttributeError):
        operation.key = "other"  # type: ignore[misc]


def test_a_precondition_and_an_edit_are_read_strictly_and_never_change() -> None:
    assert msgspec.json.decode('{"key": "k", "absent": true}', type=ops.Precondition) == (
        ops.Precondition("k", absent=True)
    )
    with pytest.raises(msgspec.ValidationError, match="unknown field `more`"):
        msgspec.json.decode('{"key": "k", "more": 1}', type=ops.Precondition)
    for value in (ops.Precondition("k"), ops.Edit(b"k", lambda *_: None)):
        with pytest.raises(AttributeError):
            value.key = "other"  # type: ignore[misc, assignment]


def test_rights_are_given_to_members_only() -> None:
    store = store_of()
    commit(store, ops.BoundedCreate("n", 5))
    with pytest.raises(NotFoundError) as raised:
        store.submit([ops.BoundedTransfer("n", 2, "nobody")], [], 1_000)
    assert raised.value.code == "no_such_member"
