"""The short way of plain puts does to the byte what the general way does."""

from random import Random

import pytest

from crdtstate.errors import CrdtstateError
from crdtstate.storage.memory import MemoryStorage
from crdtstate.store import operations as ops
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
    short = play(seed)
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "plan_puts", lambda *_: None)
        patch.setattr(store_module, "rows_of_puts", lambda *_: None)
        general = play(seed)

    assert short.results == general.results
    assert short.bodies == general.bodies
    assert short.state() == general.state()
    assert short.stores[0].table.fingerprint.root == short.stores[1].table.fingerprint.root


def test_the_short_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bool] = []
    plan, rows = store_module.plan_puts, store_module.rows_of_puts

    def note(found: object) -> object:
        taken.append(found is not None)
        return found

    monkeypatch.setattr(store_module, "plan_puts", lambda *a: note(plan(*a)))
    monkeypatch.setattr(store_module, "rows_of_puts", lambda *a: note(rows(*a)))
    for seed in range(5):
        play(seed)

    assert 0.2 < sum(taken) / len(taken) < 0.9


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
