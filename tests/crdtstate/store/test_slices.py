"""Sessions in parts of bounded size with places to pause; the event index and the log in bytes."""

from collections.abc import Iterator

import pytest

from crdtstate.crdt.codec import encode_register
from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.errors import RemoteProtocolError, TooLargeError
from crdtstate.storage.memory import MemoryDisk, MemoryStorage
from crdtstate.store import catchup
from crdtstate.store import operations as ops
from crdtstate.store import parts as parts_module
from crdtstate.store import store as store_module
from crdtstate.store.catchup import (
    BelowFloor,
    Joiner,
    group_sums,
    read_buckets,
    serve_pull,
    serve_repair,
)
from crdtstate.store.fingerprint import bucket_of
from crdtstate.store.index import (
    encode_event,
    read_events,
    read_floors,
    read_log,
    read_revision,
    read_vector,
)
from crdtstate.store.limits import Limits
from crdtstate.store.parts import End, Part, records_only
from crdtstate.store.store import Store, StoreConfig
from crdtstate.store.transaction import decode_frame, encode_frame
from crdtstate.store.watch import _runs, read_touched
from tests.crdtstate.store.served import events_of, part_of
from tests.models.durable import make_durable

O1 = ORIGIN_MIN + 1


@pytest.fixture(autouse=True)
def slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests make them small for good."""
    monkeypatch.setattr(parts_module, "SLICE", 256)
    return


def store_of(config: StoreConfig | None = None, disk: MemoryDisk | None = None) -> Store:
    return Store(MemoryStorage(disk), O1, config or StoreConfig())


def commit(store: Store, *operations: ops.Operation, wall_ms: int = 1_000) -> None:
    store.submit(list(operations), [], wall_ms)
    make_durable(store)


def fill(store: Store, count: int, value: str = "v") -> None:
    for n in range(count):
        commit(store, ops.Put(f"k{n:04}", value=value))


def served(steps: Iterator[Part | End | None]) -> tuple[list[Part], int, End]:
    parts: list[Part] = []
    pauses, end = 0, None
    for item in steps:
        assert end is None, "nothing comes after the end"
        if item is None:
            pauses += 1
        elif isinstance(item, Part):
            parts.append(item)
        else:
            end = item
    assert end is not None
    return parts, pauses, end


# -- serving -----------------------------------------------------------------------------------


def test_a_pull_serves_what_is_lacked_in_order_with_its_events() -> None:
    store = store_of()
    fill(store, 5)

    parts, pauses, end = served(serve_pull(store.table.snapshot(), {O1: 3}))

    assert events_of(parts) == [
        ((O1, 4), encode_event([b"k0003\0"], []), []),
        ((O1, 5), encode_event([b"k0004\0"], []), []),
    ]
    records = [record for part in parts for record in part.records]
    assert records == [(key, store.table.get_encoded(key)) for key in (b"k0003\0", b"k0004\0")]
    assert (end, pauses) == (End({O1: 5}, None), 0)
    assert served(serve_pull(store.table.snapshot(), {O1: 5})) == ([], 0, End({O1: 5}, None))


def test_a_long_pull_pauses_after_each_slice_of_events_and_of_records() -> None:
    store = store_of()
    fill(store, 600)

    parts, pauses, _ = served(serve_pull(store.table.snapshot(), {}))

    assert pauses == 2 + 2
    assert [len(events_of([part])) for part in parts] == [600, 0]
    assert [len(part.records) for part in parts] == [0, 600]


def test_a_part_is_bounded_in_bytes() -> None:
    store = store_of()
    fill(store, 10, "v" * 10_000)

    parts, _, _ = served(serve_pull(store.table.snapshot(), {}))

    sizes = [[len(data or b"") + 14 for _, data in part.records] for part in parts if part.records]
    assert [len(size) for size in sizes] == [5, 5]
    for size in sizes:
        assert sum(size[:-1]) <= parts_module.PART_BYTES < sum(size)


def test_events_fill_parts_by_the_ids_that_they_name(monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of()
    fill(store, 6)
    event_bytes = 2 + len(encode_event([b"k0000\0"], []))
    monkeypatch.setattr(parts_module, "PART_BYTES", 24 + 2 * event_bytes)

    parts, _, _ = served(serve_pull(store.table.snapshot(), {}))

    assert [len(events_of([part])) for part in parts if part.runs] == [3, 3]


def test_a_removed_record_is_served_as_gone_and_its_life_as_ended() -> None:
    store = store_of()
    commit(store, ops.Put("k", value="v"))
    commit(store, ops.Delete("k"))

    parts, _, _ = served(serve_pull(store.table.snapshot(), {O1: 1}))

    assert [part for part in parts if part.records] == [records_only([(b"k\0", None)])]
    assert events_of(parts) == [((O1, 2), encode_event([b"k\0"], [b"k\0"]), [b"k\0"])]


def test_who_is_below_a_floor_is_not_served_and_who_is_at_it_is() -> None:
    store = store_of()
    fill(store, 3)
    store.index.raise_floor(O1, 2)
    make_durable(store)

    with pytest.raises(BelowFloor):
        next(serve_pull(store.table.snapshot(), {O1: 1}))
    with pytest.raises(BelowFloor):
        next(serve_pull(store.table.snapshot(), {}))
    parts, _, _ = served(serve_pull(store.table.snapshot(), {O1: 2}))
    assert [dot for dot, _, _ in events_of(parts)] == [(O1, 3)]


def test_a_repair_serves_the_records_of_the_buckets_alone() -> None:
    store = store_of()
    fill(store, 300)
    ids = [f"k{n:04}\0".encode() for n in range(300)]
    wanted = sorted({bucket_of(record_id) for record_id in ids[:20]})

    parts, _, end = served(serve_repair(store.table.snapshot(), wanted))

    found = [record_id for part in parts for record_id, _ in part.records]
    assert found == [record_id for record_id in ids if bucket_of(record_id) in wanted]
    assert end == End({O1: 300}, wanted)
    assert served(serve_repair(store.table.snapshot(), [])) == ([], 0, End({O1: 300}, []))


def test_bucket_sums_are_those_of_the_table_and_groups_those_of_the_buckets() -> None:
    store = store_of()
    fill(store, 50)
    commit(store, ops.Delete("k0007"))

    *_, sums = read_buckets(store.table.snapshot())

    assert sums == {b: s for b, s in enumerate(store.table.fingerprint.buckets()) if s}
    groups = group_sums(sums)
    assert len(groups) == 256
    for group in range(256):
        inside = [total for bucket, total in sums.items() if bucket // 256 == group]
        assert groups[group] == sum(inside) % (1 << 128)
    assert group_sums({511: (1 << 128) - 1, 256: 3}) == [0, 2, *[0] * 254]


# -- joining -----------------------------------------------------------------------------------


def test_a_session_that_stages_too_much_is_refused_with_the_bound() -> None:
    store = store_of()
    record = (b"k\0", encode_register((ORIGIN_MIN, 1), 1, b"\0v"))
    size = len(record[0]) + len(record[1]) + 120
    joiner = Joiner(store, bytes_max=2 * size)
    joiner.stage(records_only([record]))
    joiner.stage(records_only([record]))

    with pytest.raises(RemoteProtocolError, match=f"staged {3 * size} bytes, over .*={2 * size}"):
        joiner.stage(records_only([record]))
    events = [((ORIGIN_MIN, 1), [b"k\0"], []), ((ORIGIN_MIN, 2), [b"k\0"], [])]
    once = 120 + len(encode_event([b"k\0"], [])) + 200 + 2 * 36
    joiner = Joiner(store, bytes_max=once)
    joiner.stage(part_of(events))
    with pytest.raises(RemoteProtocolError, match=f"staged {once + 122} bytes"):
        joiner.stage(records_only([(b"k\0", None)]))


@pytest.mark.parametrize("buckets", [[], [1]])
def test_an_end_of_the_other_kind_of_session_is_refused(buckets: list[int]) -> None:
    store = store_of()
    with pytest.raises(RemoteProtocolError, match="not that of this kind of session"):
        list(Joiner(store, bytes_max=1).prepare(End({}, buckets)))
    repair = Joiner(store, bytes_max=1, base=store.table.snapshot())
    with pytest.raises(RemoteProtocolError, match="not that of this kind of session"):
        list(repair.prepare(End({}, None)))


def test_a_long_join_pauses_while_it_prepares_and_while_it_writes() -> None:
    source, store = store_of(), Store(MemoryStorage(), ORIGIN_MIN, StoreConfig())
    fill(source, 600)
    parts, _, end = served(serve_pull(source.table.snapshot(), {}))
    joiner = Joiner(store, bytes_max=1 << 20)
    for part in parts:
        joiner.stage(part)

    assert len(list(joiner.prepare(end))) == 2
    assert len(list(joiner.apply(end, 1_000))) == 2
    assert (joiner.changed, joiner.alarm) == (600, False)
    make_durable(store)
    assert store.vector == {O1: 600}
    assert store.table.fingerprint.root == source.table.fingerprint.root
    assert [seq for seq, _ in read_events(store.table.storage, O1, 1, 600)] == [*range(1, 601)]
    entered = [dots for _, dots in read_log(store.table.storage, 0, 99)]
    assert [len(dots) for dots in entered] == [128, 128, 128, 128, 88]
    assert [dot for dots in entered for dot in dots] == [(O1, n) for n in range(1, 601)]


def test_a_join_pauses_after_few_large_records_and_after_many_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What holds up others is bytes as well as records; and events have a record in common."""
    monkeypatch.setattr(catchup, "_SLICE_BYTES", 10_000)
    source, store = store_of(), Store(MemoryStorage(), ORIGIN_MIN, StoreConfig())
    fill(source, 6, "v" * 4_000)
    for n in range(3_100):
        commit(source, ops.Put("k0000", value=f"{n}"))
    parts, _, end = served(serve_pull(source.table.snapshot(), {}))
    joiner = Joiner(store, bytes_max=1 << 20)
    for part in parts:
        joiner.stage(part)

    assert len(list(joiner.prepare(end))) == 1
    assert len(list(joiner.apply(end, 1_000))) == 1 + 1
    make_durable(store)
    assert store.table.fingerprint.root == source.table.fingerprint.root
    assert store.index.entries == 3_106


def test_what_was_held_is_applied_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pushes that came while a pull brought their past."""
    source, store = store_of(), Store(MemoryStorage(), ORIGIN_MIN, StoreConfig())
    fill(source, 1)
    parts, _, end = served(serve_pull(source.table.snapshot(), {}))
    for n in range(50):
        source.submit([ops.SetAdd("s", [f"{n}"])], [], 1_000)
        first, bodies = source.take_outbox()
        make_durable(source)
        assert store.receive(decode_frame(encode_frame(O1, first, bodies)), 1_000).held
    joiner = Joiner(store, bytes_max=1 << 20)
    for part in parts:
        joiner.stage(part)
    monkeypatch.setattr(store_module, "DRAIN_STEP", 20)

    assert list(joiner.prepare(end)) == []
    assert len(list(joiner.apply(end, 1_000))) == 2
    make_durable(store)
    assert store.held_count == 0
    assert store.table.fingerprint.root == source.table.fingerprint.root


def test_a_look_at_the_log_ends_after_about_so_many_transactions() -> None:
    store = store_of()
    fill(store, 5)
    snapshot = store.table.snapshot()

    assert read_touched(snapshot, 0, b" ", b"\xff", 2) == (2, {b"k0000": 1, b"k0001": 2})
    assert read_touched(snapshot, 2, b" ", b"\xff", 9) == (
        5, {b"k0002": 3, b"k0003": 4, b"k0004": 5},
    )  # fmt: skip


def test_dots_that_follow_each_other_are_one_scan() -> None:
    o2 = O1 + 1
    dots = [(O1, 3), (O1, 4), (o2, 5), (o2, 6), (o2, 7), (o2, 9), (O1, 10)]

    assert list(_runs(dots)) == [(O1, 3, 4), (o2, 5, 7), (o2, 9, 9), (O1, 10, 10)]
    assert list(_runs([])) == []


# -- the index ---------------------------------------------------------------------------------


def test_what_a_start_reads_is_what_the_last_batch_wrote() -> None:
    disk = MemoryDisk()
    store = store_of(disk=disk)
    fill(store, 3)
    store.index.raise_floor(O1, 1)
    make_durable(store)

    again = store_of(disk=disk)

    assert read_vector(again.table.storage) == again.vector == {O1: 3}
    assert read_floors(again.table.storage) == again.index.floors == {O1: 1}
    assert read_revision(again.table.storage) == (again.index.revision, again.index.log_floor)
    assert (again.index.revision, again.index.log_floor, again.index.entries) == (3, 0, 3)
    assert again.table.fingerprint.root == store.table.fingerprint.root != 0


def test_a_floor_only_rises() -> None:
    index = store_of().index
    index.raise_floor(O1, 5)
    index.raise_floor(O1, 4)
    assert index.floors == {O1: 5}
    index.raise_floor(O1, 6)
    assert index.floors == {O1: 6}


def test_the_index_is_trimmed_to_its_bound_by_number() -> None:
    store = store_of(StoreConfig(event_entries_max=10))
    fill(store, 25)

    assert store.index.trim(store.index.revision, 1_000) == 15
    make_durable(store)
    while store.index.trim(store.index.revision, 1_000):
        make_durable(store)
    make_durable(store)

    assert (store.index.entries, store.index.floors, store.index.log_floor) == (10, {O1: 15}, 15)
    assert [seq for seq, _ in read_events(store.table.storage, O1, 0, 99)] == [*range(16, 26)]
    assert [revision for revision, _ in read_log(store.table.storage, 0, 99)] == [*range(16, 26)]


def test_the_index_is_trimmed_by_age_too_and_only_what_is_durable() -> None:
    store = store_of(StoreConfig(event_age_ms_max=500))
    for n in range(4):
        commit(store, ops.Put(f"k{n}", value="v"), wall_ms=1_000 + 100 * n)

    assert store.index.trim(1, 1_700) == 1
    make_durable(store)
    assert store.index.log_floor == 1
    assert store.index.trim(4, 1_599) == 0
    assert store.index.trim(4, 1_600) == 1
    assert store.index.floors == {O1: 2}


def test_at_most_a_step_is_trimmed_at_once() -> None:
    store = store_of(StoreConfig(event_entries_max=1))
    fill(store, 600)

    assert store.index.trim(600, 1_000) == 512
    make_durable(store)
    assert store.index.entries == 88


# -- a transaction's own size ------------------------------------------------------------------


@pytest.mark.parametrize("spare", [0, 1])
def test_a_transaction_s_size_counts_ids_values_and_a_little_each(spare: int) -> None:
    size = len(b"k\0") + len(b"\0vvv") + 24 + len(b"m\0") + len(b"\x02") + 24
    size += len(b"m\0") + len(b"\x01") + 24
    store = store_of(StoreConfig(limits=Limits(transaction_bytes_max=size - spare)))
    operations = [ops.Put("k", value="vvv", ttl_ms=None), ops.MapPut("m", {"x": 1})]
    if not spare:
        commit(store, *operations)
        assert store.vector == {O1: 1}
        return
    with pytest.raises(TooLargeError, match=f"over transaction_bytes_max={size - 1}") as caught:
        commit(store, *operations)
    assert caught.value.data == {"limit": size - 1, "value": size}
    assert store.vector == {}
