"""The receiving side of a session: what changed here meanwhile, what is written, when to worry."""

from collections.abc import Iterator

import pytest

from crdtstate.crdt.codec import encode_record, encode_register, encode_value
from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.crdt.record import LIFE, Record
from crdtstate.errors import RemoteProtocolError
from crdtstate.storage.memory import MemoryStorage
from crdtstate.store import operations as ops
from crdtstate.store.catchup import Joiner, serve_repair
from crdtstate.store.fingerprint import bucket_of
from crdtstate.store.index import encode_event, read_events, read_floors, read_log, read_revision
from crdtstate.store.parts import End, Part, records_only
from crdtstate.store.ports import Family
from crdtstate.store.store import Store, StoreConfig
from crdtstate.store.views import encode_life
from tests.crdtstate.store.served import ServedEvent, part_of
from tests.models.durable import make_durable

ME, OTHER = ORIGIN_MIN, ORIGIN_MIN + 1
BYTES_MAX = 1 << 20


def store_of(origin: int = ME) -> Store:
    return Store(MemoryStorage(), origin, StoreConfig())


def commit(store: Store, *operations: ops.Operation) -> None:
    store.submit(list(operations), [], 1_000)
    make_durable(store)


def put(key: str, value: str) -> ops.Put:
    return ops.Put(key, value=value)


def join(joiner: Joiner, end: End, store: Store) -> None:
    for _ in joiner.prepare(end):
        pass
    for _ in joiner.apply(end, 1_000):
        pass
    make_durable(store)


def repair_from(source: Store, store: Store, buckets: list[int]) -> tuple[Joiner, End]:
    """A joiner with all parts staged, and the end that is still to come."""
    joiner = Joiner(store, bytes_max=BYTES_MAX, base=store.table.snapshot())
    items: Iterator[Part | End | None] = serve_repair(source.table.snapshot(), buckets)
    for item in items:
        if isinstance(item, Part):
            joiner.stage(item)
        elif isinstance(item, End):
            return joiner, item
    raise AssertionError("a repair has an end")


def register(dot: tuple[int, int], value: bytes, stamp: int = 5) -> bytes:
    return encode_register(dot, stamp, b"\0" + value)


# -- repairs -----------------------------------------------------------------------------------


def test_what_was_written_here_after_the_sums_stays_in_every_bucket() -> None:
    """CAT-3: in a repaired bucket the other has none of it, in another one what the base has."""
    source, store = store_of(OTHER), store_of()
    for n in range(3):
        commit(source, put(f"k{n}", "theirs"))
    commit(store, put("both", "mine"))
    repaired = sorted({bucket_of(f"k{n}\0".encode()) for n in range(3)})
    joiner, end = repair_from(source, store, repaired)
    assert bucket_of(b"both\0") not in repaired
    commit(store, put("both", "newer"), put("k1", "mine too"))
    commit(store, put("later", "mine"))

    join(joiner, end, store)

    table = store.table
    assert table.get_encoded(b"later\0") is not None
    record = table.get(b"k1\0")
    assert {dot[0] for dot in record[LIFE]} == {ME, OTHER}
    assert [value for _, value in table.get(b"both\0")[LIFE].values()] == [b"\0newer"]
    assert store.vector == {ME: 3, OTHER: 3}
    assert not joiner.alarm


def test_what_was_removed_here_after_the_sums_stays_removed() -> None:
    source, store = store_of(OTHER), store_of()
    commit(store, put("k", "v"))
    commit(source, put("other", "v"))
    joiner, end = repair_from(source, store, [bucket_of(b"other\0")])
    commit(store, ops.Delete("k"))

    join(joiner, end, store)

    assert store.table.get_encoded(b"k\0") is None
    assert store.table.get_encoded(b"other\0") is not None


def test_what_only_this_side_holds_in_a_repaired_bucket_is_what_the_other_removed() -> None:
    source, store = store_of(OTHER), store_of()
    commit(store, put("k", "v"))
    end = End({ME: 1, OTHER: 1}, [bucket_of(b"k\0")])
    joiner = Joiner(store, bytes_max=BYTES_MAX, base=store.table.snapshot())
    commit(source, put("other", "v"))

    join(joiner, end, store)

    assert store.table.get_encoded(b"k\0") is None
    assert (joiner.changed, joiner.alarm) == (1, False)


def test_a_repair_leaves_other_buckets_alone() -> None:
    store = store_of()
    commit(store, put("k", "v"))
    joiner = Joiner(store, bytes_max=BYTES_MAX, base=store.table.snapshot())
    other = (bucket_of(b"k\0") + 1) % 65536

    join(joiner, End({ME: 1, OTHER: 1}, [other]), store)

    assert store.table.get_encoded(b"k\0") is not None
    assert joiner.changed == 0


def test_a_repair_raises_floors_and_lets_watchers_list_again_when_it_changed_something() -> None:
    source, store = store_of(OTHER), store_of()
    for n in range(3):
        commit(source, put(f"k{n}", "theirs"))
    commit(store, put("mine", "v"))
    joiner, end = repair_from(source, store, sorted({bucket_of(b"k%d\0" % n) for n in range(3)}))

    join(joiner, end, store)

    assert joiner.changed == 3
    assert read_floors(store.table.storage) == {OTHER: 3}
    revision, floor = read_revision(store.table.storage)
    assert revision == floor == store.index.revision

    joiner, end = repair_from(source, store, [])
    join(joiner, end, store)
    assert joiner.changed == 0
    assert read_revision(store.table.storage) == (revision, floor)


# -- the alarm ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "buckets", "alarm"),
    [
        ({ME: 1}, [bucket_of(b"k\0")], True),
        ({ME: 1, OTHER: 1}, [bucket_of(b"k\0")], False),
        ({}, [bucket_of(b"k\0")], False),
        ({ME: 1}, None, False),
    ],
)
def test_equal_vectors_and_other_bytes_are_an_alarm_in_a_repair(
    target: dict[int, int], buckets: list[int] | None, alarm: bool
) -> None:
    """CAT-4"""
    store = store_of()
    commit(store, put("k", "v"))
    base = None if buckets is None else store.table.snapshot()
    joiner = Joiner(store, bytes_max=BYTES_MAX, base=base)
    assert (joiner.changed, joiner.alarm) == (0, False)
    both: Record = {LIFE: {(ME, 1): (5, b"\0other"), (OTHER, 9): (5, b"\0v")}}
    joiner.stage(records_only([(b"k\0", encode_record(both))]))

    join(joiner, End(target, buckets), store)

    assert joiner.changed == 1
    assert joiner.alarm is alarm


# -- pulls -------------------------------------------------------------------------------------


def test_events_that_are_covered_are_not_noted_again() -> None:
    store = store_of()
    commit(store, put("mine", "v"))
    joiner = Joiner(store, bytes_max=BYTES_MAX)
    events: list[ServedEvent] = [
        ((ME, 1), [b"mine\0"], []),
        ((OTHER, 1), [b"k\0"], []),
        ((OTHER, 2), [b"k\0"], [b"gone\0"]),
        ((OTHER, 3), [b"later\0"], []),  # Beyond the end's target: not covered by it.
    ]
    joiner.stage(part_of(events, (b"k\0", register((OTHER, 2), b"v"))))

    join(joiner, End({OTHER: 2}, None), store)

    found = dict(read_events(store.table.storage, OTHER, 1, 9))
    assert found == {1: encode_event([b"k\0"], []), 2: encode_event([b"k\0"], [b"gone\0"])}
    assert [dots for _, dots in read_log(store.table.storage, 1, 9)] == [[(OTHER, 1), (OTHER, 2)]]
    assert store.table.grave(b"gone") == 0
    assert store.vector == {ME: 1, OTHER: 2}
    assert store.index.entries == 3


def test_what_comes_with_a_time_to_live_is_queued_for_removal() -> None:
    """STR-4, for a plain register and for one with siblings."""
    life = encode_life("register", b"v", 9_000)
    siblings: Record = {LIFE: {(OTHER, 2): (7, life), (OTHER, 3): (1, b"\0old")}}
    store = store_of()
    joiner = Joiner(store, bytes_max=BYTES_MAX)
    joiner.stage(
        records_only(
            [(b"k\0", encode_register((OTHER, 1), 5, life)), (b"l\0", encode_record(siblings))]
        )
    )
    orphan: Record = {(".x",): {(OTHER, 4): (1, encode_value(1))}}
    joiner.stage(
        records_only([(b"m\0", encode_record(orphan)), (b"n\0", register((OTHER, 5), b"v"))])
    )

    join(joiner, End({OTHER: 5}, None), store)

    due = [key for key, _ in store.table.storage.scan(Family.EXPIRY, b"\xff")]
    prefix = Family.EXPIRY + (9_000).to_bytes(8, "big")
    assert [key for key in due if key.startswith(Family.EXPIRY)] == [
        prefix + b"k\0", prefix + b"l\0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [b"\x81\x85\x80\x1b", b"\xff", b"\x80", register((1, 1), b"v"), register((OTHER, 0), b"")],
)
def test_a_record_that_no_correct_peer_serves_is_refused(data: bytes) -> None:
    store = store_of()
    joiner = Joiner(store, bytes_max=BYTES_MAX)
    joiner.stage(records_only([(b"k\0", data)]))
    with pytest.raises(RemoteProtocolError):
        list(joiner.prepare(End({OTHER: 1}, None)))
    assert store.vector == {}
