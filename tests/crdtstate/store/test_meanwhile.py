"""CAT-3: what arrives here between the sums and the join counts, staged or not."""

import pytest

from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.store import operations as ops
from crdtstate.store.catchup import Joiner, serve_repair
from crdtstate.store.fingerprint import bucket_of
from crdtstate.store.parts import End, Part
from crdtstate.store.store import Store
from crdtstate.store.transaction import Frame
from tests.crdtstate.store.alone import commit, store_of
from tests.crdtstate.store.served import part_of
from tests.models.durable import make_durable

ME, OTHER, THIRD = ORIGIN_MIN, ORIGIN_MIN + 1, ORIGIN_MIN + 2
PLAIN, MAP = ops.Put("k", value="v"), ops.MapPut("k", {"x": 1})


def receive(store: Store, *frames: Frame) -> None:
    for frame in frames:
        store.receive(frame, 1_000)
    make_durable(store)


def join(joiner: Joiner, end: End, store: Store) -> None:
    for _ in (*joiner.prepare(end), *joiner.apply(end, 1_000)):
        pass
    make_durable(store)


def written_and_removed(operation: ops.Operation) -> tuple[Frame, Store]:
    """THIRD writes k, OTHER gets that and removes it: its state has no k and covers both."""
    frame = commit(store_of(THIRD), operation)
    other = store_of(OTHER)
    receive(other, frame)
    commit(other, ops.Delete("k"))
    return frame, other


@pytest.mark.parametrize("operation", [PLAIN, MAP])
@pytest.mark.parametrize("repaired", [True, False])
def test_a_write_that_arrives_after_its_removal_was_compared_stays_removed(
    operation: ops.Operation, repaired: bool
) -> None:
    """It is in no part, whether its bucket is repaired or had equal sums; the target covers it."""
    late, other = written_and_removed(operation)
    store = store_of(ME)
    joiner = Joiner(store, bytes_max=1 << 20, base=store.table.snapshot())
    buckets = [(bucket_of(b"k\0") + (not repaired)) % 65_536]
    *parts, end = [item for item in serve_repair(other.table.snapshot(), buckets) if item]
    assert parts == []
    assert isinstance(end, End)

    receive(store, late)
    assert store.table.get_encoded(b"k\0") is not None
    join(joiner, end, store)

    assert store.table.get_encoded(b"k\0") is None
    assert (store.vector, joiner.changed) == ({OTHER: 1, THIRD: 1}, 1)
    assert store.touched_during_join is None, "nobody keeps count of what no join waits for"


@pytest.mark.parametrize("operation", [PLAIN, MAP])
def test_a_write_that_arrives_while_a_pull_is_prepared_stays_removed(
    operation: ops.Operation,
) -> None:
    late, other = written_and_removed(operation)
    store = store_of(ME)
    joiner = Joiner(store, bytes_max=1 << 20)
    joiner.stage(
        part_of([((THIRD, 1), [b"k\0"], []), ((OTHER, 1), [b"k\0"], [b"k\0"])], (b"k\0", None))
    )
    end = End(dict(other.vector), None)
    for _ in joiner.prepare(end):
        pass

    receive(store, late)
    for _ in joiner.apply(end, 1_000):
        pass
    make_durable(store)

    assert store.table.get_encoded(b"k\0") is None
    assert store.vector == {OTHER: 1, THIRD: 1}


def test_events_that_arrived_meanwhile_are_not_noted_again() -> None:
    """IDX-2: the log would tell watchers twice, and count entries that are not there."""
    third = store_of(THIRD)
    frames = [commit(third, ops.Put(f"k{n}", value="v")) for n in range(3)]
    store = store_of(ME)
    receive(store, *frames[:2])
    joiner = Joiner(store, bytes_max=1 << 20)
    joiner.stage(
        part_of(
            [((THIRD, n), [f"k{n - 1}\0".encode()], []) for n in (1, 2, 3)],
            (b"k2\0", third.table.get_encoded(b"k2\0")),
        )
    )

    join(joiner, End({THIRD: 3}, None), store)

    assert store.index.entries == 3
    assert store.index.revision == 3


def test_an_end_without_news_changes_neither_vector_nor_log() -> None:
    store = store_of(ME)
    commit(store, PLAIN)
    before = store.index.revision

    join(Joiner(store, bytes_max=1 << 20), End({ME: 1}, None), store)

    assert (store.vector, store.index.revision) == ({ME: 1}, before)
    assert list(store.table.storage.scan(b"mv", b"mw")) == [
        (b"mv" + ME.to_bytes(8, "big"), (1).to_bytes(8, "big"))
    ]


def test_a_part_is_the_last_one_that_its_bytes_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record counts as its id, its bytes and eight more; each part begins with nothing."""
    from crdtstate.store import parts as parts_module

    store = store_of(ME)
    for n in range(9):
        commit(store, ops.Put(f"k{n}", value="v"))
    size = 3 + len(store.table.get_encoded(b"k0\0") or b"") + 8
    monkeypatch.setattr(parts_module, "PART_BYTES", 3 * size)

    served = serve_repair(store.table.snapshot(), list(range(65_536)))

    assert [len(part.records) for part in served if isinstance(part, Part)] == [4, 4, 1]
