"""The short way of plain puts does to the byte what the general way does."""

from random import Random
from typing import Any

import pytest

from crdtstate.errors import CrdtstateError
from crdtstate.storage.memory import MemoryStorage
from crdtstate.store import operations as ops
from crdtstate.store import puts
from crdtstate.store import store as store_module
from crdtstate.store.store import Store, StoreConfig
from crdtstate.store.table import RECENT_BYTES_MAX, RECENT_MAX
from crdtstate.store.transaction import decode_frame, encode_frame

ORIGINS = ((1 << 63) + 1, (1 << 63) + 2)
WALL_MS = 1_700_000_000_000


class Pair:
    """Two stores that push to each other, as one script of random steps says."""

    def __init__(self) -> None:
        self.stores = [Store(MemoryStorage(), origin, StoreConfig()) for origin in ORIGINS]
        self.bodies: list[bytes] = []
        self.results: list[object] = []
        self.kept: list[list[tuple[int, int, bytes]]] = [[], []]

    def submit(self, at: int, operations: list[ops.Intent], turn: int) -> None:
        try:
            committed = self.stores[at].submit(operations, (), WALL_MS + turn)
        except CrdtstateError as error:
            self.results.append(error.message)
        else:
            self.results.append((committed.seq, committed.changed, committed.results))

    def flush(self, at: int) -> None:
        store = self.stores[at]
        first, bodies = store.take_outbox()
        if bodies:
            self.bodies += bodies
            self.kept[1 - at].append(
                (store.origin, first, encode_frame(store.origin, first, bodies))
            )
        store.table.storage.write(store.close_batch())
        store.batch_durable()

    def deliver(self, at: int, turn: int) -> None:
        for _, _, frame in self.kept[at]:
            self.stores[at].receive(decode_frame(frame), WALL_MS + turn)
        self.kept[at].clear()

    def state(self) -> list[object]:
        found: list[object] = []
        for store in self.stores:
            disk = store.table.storage
            assert isinstance(disk, MemoryStorage)
            found += [dict(disk.disk.data), store.table.fingerprint.root, store.table.conflicts]
        return found


def some_operation(rng: Random) -> ops.Intent:
    key = rng.choice("abcdefg")
    match rng.randrange(12):
        case 0:
            return ops.Delete(key)
        case 1:
            return ops.SetAdd(key, ["x"])
        case 2:
            return ops.Put(key, value="t", ttl_ms=5)
        case 3:
            return ops.Put(key, value_base64=bytes((rng.randrange(256), rng.randrange(3))))
        case 4:
            return ops.Put(rng.choice(("", "a\x01", "k" * 2000)), value="refused")
        case 5:
            return ops.Put(key, value="a", value_base64=b"a")
        case _:
            return ops.Put(key, value=str(rng.randrange(4)) * rng.choice((1, 30, 300)))


def play(seed: int) -> Pair:
    rng, pair = Random(seed), Pair()
    for turn in range(120):
        at = rng.randrange(2)
        match rng.randrange(5):
            case 0:
                pair.flush(at)
            case 1:
                pair.deliver(at, turn)
            case _:
                operations = [some_operation(rng) for _ in range(rng.choice((1, 1, 3)))]
                pair.submit(at, operations, turn)
    for at in (0, 1, 0, 1):
        pair.flush(at)
        pair.deliver(at, 200)
        pair.flush(at)
    return pair


@pytest.mark.parametrize("seed", range(60))
def test_both_ways_write_the_same_bytes(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """PLA-1, at the writer and where its transactions arrive."""
    monkeypatch.setattr(puts, "OPEN_BYTES_MAX", 0)  # A transaction for each request, as there.
    short = play(seed)
    with monkeypatch.context() as patch:
        patch.setattr(puts, "plan_puts", lambda *_: None)
        patch.setattr(store_module, "rows_of_puts", lambda _, given: ([], given.changes))
        general = play(seed)

    assert short.results == general.results
    assert short.bodies == general.bodies
    assert short.state() == general.state()
    assert short.stores[0].table.fingerprint.root == short.stores[1].table.fingerprint.root


def test_the_short_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[bool] = []
    settled = short = rest = 0
    plan, rows = puts.plan_puts, store_module.rows_of_puts

    def note_plan(*given: Any) -> Any:
        nonlocal settled
        found = plan(*given)
        planned.append(found is not None)
        settled += len(found.settled) if found is not None else 0
        return found

    def note_rows(*given: Any) -> Any:
        nonlocal short, rest
        found = rows(*given)
        short, rest = short + len(found[0]), rest + len(found[1])
        return found

    monkeypatch.setattr(puts, "plan_puts", note_plan)
    monkeypatch.setattr(store_module, "rows_of_puts", note_rows)
    for seed in range(5):
        play(seed)

    assert 0.2 < sum(planned) / len(planned) < 0.9
    assert 0.2 < short / (short + rest) < 0.9
    assert settled > 5


def test_puts_that_follow_each_other_share_a_transaction() -> None:
    pair = Pair()
    store = pair.stores[0]

    done = [store.submit([ops.Put(key, value="1")], (), WALL_MS) for key in "abc"]

    assert [(d.seq, d.revision) for d in done] == [(1, 1)] * 3
    assert store.vector == {}, "PUT-1"
    pair.flush(0)
    assert store.vector == {ORIGINS[0]: 1}
    assert len(pair.bodies) == 1
    pair.deliver(1, 0)
    assert pair.stores[1].table.get_encoded(b"c\0") == store.table.get_encoded(b"c\0")


def test_the_same_key_again_is_a_transaction_of_its_own() -> None:
    """PUT-2: the second is settled at once."""
    store = Pair().stores[0]

    first = store.submit([ops.Put("a", value="1")], (), WALL_MS)
    second = store.submit([ops.Put("a", value="2")], (), WALL_MS)

    assert (first.seq, second.seq) == (1, 2)
    assert store.vector == {ORIGINS[0]: 2}
    assert len(store.take_outbox()[1]) == 2


@pytest.mark.parametrize(
    "other", [[ops.Delete("z")], [ops.SetAdd("s", ["x"])], [ops.Put("t", value="1", ttl_ms=5)]]
)
def test_whatever_is_no_plain_put_settles_what_is_open(other: list[ops.Intent]) -> None:
    store = Pair().stores[0]
    store.submit([ops.Put("a", value="1")], (), WALL_MS)

    store.submit(other, (), WALL_MS)

    assert store.vector[ORIGINS[0]] >= 1
    assert store.take_outbox()[1]


def test_what_arrives_settles_what_is_open_before_it_is_applied() -> None:
    """PUT-1: what was written before it arrived does not claim to have seen it."""
    pair = Pair()
    pair.submit(1, [ops.Put("a", value="theirs")], 0)
    pair.flush(1)
    pair.submit(0, [ops.Put("b", value="mine")], 0)
    pair.deliver(0, 0)
    pair.submit(0, [ops.Put("c", value="later")], 0)
    pair.flush(0)

    mine = [
        decode_frame(encode_frame(ORIGINS[0], 1, pair.bodies[1:])).transaction(s) for s in (1, 2)
    ]

    assert [transaction.past for transaction in mine] == [{}, {ORIGINS[1]: 1}]


def test_a_put_that_changes_nothing_joins_no_transaction() -> None:
    store = Pair().stores[0]
    store.submit([ops.Put("a", value="1")], (), WALL_MS)

    again = store.submit([ops.Put("b", value="1"), ops.Put("c", value="1")], (), WALL_MS)
    same = store.submit([ops.Put("d", value="1")], (), WALL_MS)
    store.settle()
    nothing = store.submit([ops.Put("d", value="1")], (), WALL_MS)

    assert (again.seq, same.seq, nothing.seq, nothing.changed) == (1, 1, None, 0)
    assert nothing.results == same.results


def test_a_transaction_does_not_grow_without_bound() -> None:
    store = Pair().stores[0]
    for n in range(100):
        store.submit([ops.Put(f"k{n}", value="x" * 1_000)], (), WALL_MS)

    bodies = store.take_outbox()[1]

    assert len(bodies) > 3
    assert all(len(body) < 2 * puts.OPEN_BYTES_MAX for body in bodies)


def test_what_is_remembered_of_the_disk_is_bounded_and_true() -> None:
    pair = Pair()
    store = pair.stores[0]
    large = "x" * (RECENT_BYTES_MAX + 1)
    for turn in range(3):
        for start in range(0, RECENT_MAX, 1_000):
            puts = [ops.Put(f"k{start + n}", value=f"{turn}") for n in range(1_000)]
            store.submit(puts, (), WALL_MS)
            store.submit([ops.Put("large", value=large + str(turn))], (), WALL_MS)
            pair.flush(0)

    table = store.table
    assert len(table._recent) + len(table._older) <= 2 * RECENT_MAX + 2_000
    assert all(len(v) <= RECENT_BYTES_MAX for v in (table._recent | table._older).values())
    for key, value in (table._older | table._recent).items():
        assert (table.storage.get(key) or b"") == value
