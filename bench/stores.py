"""What writes cost the stores alone: CPU of one thread, with RocksDB and its sync, without sockets.

One store takes puts of 256 B on 10,000 keys and another applies its frames, in batches as at 64
clients (32 requests of one put) and as in large transactions (4 of 128). Two more put to the same
keys concurrently. Another catches up: while a join is written, own writes wait.
"""

import gc
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple, final

from bench.measures import Row, Say
from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.storage.rocks import RocksStorage
from crdtstate.store import operations as ops
from crdtstate.store.catchup import Joiner, serve_pull
from crdtstate.store.parts import End, Part
from crdtstate.store.store import Store, StoreConfig
from crdtstate.store.transaction import decode_frame, encode_frame

__all__ = ["stores"]

KEYS, VALUE_BYTES = 10_000, 256
ROUNDS = 5
REQUESTS, BATCHES = {1: 32, 128: 4}, {1: 300, 128: 30}  # By puts of a request: of a batch, a round.
JOINED = 1_500
CONCURRENT, PUT = (1, 32, 128), 128  # So many of the puts of a transaction meet another's.
_NOW_MS = 1_700_000_000_000


@final
class _Cost(NamedTuple):
    """Microseconds of CPU a put."""

    taken: float
    received: float
    disk: float


def stores(path: Path, say: Say) -> list[Row]:
    """Measure stores below `path`."""
    rows: list[Row] = []
    for size in REQUESTS:
        one, other = _open(path / f"one{size}", 1), _open(path / f"other{size}", 2)
        _round(one, other, size, 0)  # Warm.
        found = []
        for number in range(1, ROUNDS + 1):
            say(f"stores, {size} puts a request, round {number} of {ROUNDS}")
            found.append(_round(one, other, size, number))
        taken, received, disk = (median(column) for column in zip(*found, strict=True))
        rows.append(
            Row(
                f"a put of {size} a request",
                f"{taken:.1f} us where it is taken, {received:.1f} on each other, "
                f"{disk:.1f} on each disk",
            )
        )
    for met in CONCURRENT:
        say(f"stores, {met} of {PUT} puts concurrent")
        pairs = [_meet(path / f"met{met}-{n}", met) for n in range(ROUNDS)]
        received, next_put = (median(column) for column in zip(*pairs, strict=True))
        rows.append(
            Row(
                f"{met} of {PUT} puts concurrent",
                f"{received:.1f} us a put that arrives, {next_put:.1f} the next own one",
            )
        )
    say("stores, catching up")
    rows.append(_join(path))
    return rows


def _open(path: Path, number: int) -> Store:
    return Store(RocksStorage.open(path), ORIGIN_MIN + number, StoreConfig())


def _durable(store: Store) -> tuple[float, list[bytes], int]:
    """Make the open batch durable; return the disk's CPU seconds, bodies, and their first seq."""
    first, bodies = store.take_outbox()
    batch = store.close_batch()
    began = time.thread_time()
    storage = store.table.storage
    assert isinstance(storage, RocksStorage)
    storage.write(batch)
    store.batch_durable()
    return time.thread_time() - began, bodies, first


def _round(one: Store, other: Store, size: int, number: int) -> _Cost:
    gc.collect()
    taken = received = disk = 0.0
    puts = 0
    for batch in range(BATCHES[size]):
        value = b"%08d" % (number * 10_000 + batch) + bytes(VALUE_BYTES - 8)
        requests = []
        for _ in range(REQUESTS[size]):
            keys = [f"bench/key{(puts + n) * 7_919 % KEYS:05}" for n in range(size)]
            requests.append([ops.Put(key, value_base64=value) for key in keys])
            puts += size
        began = time.thread_time()
        for request in requests:
            one.submit(request, [], _NOW_MS)
        spent, bodies, first = _durable(one)
        taken += time.thread_time() - began - spent
        disk += spent
        frame = encode_frame(one.origin, first, bodies)
        began = time.thread_time()
        other.receive(decode_frame(frame), _NOW_MS)
        spent, _, _ = _durable(other)
        received += time.thread_time() - began - spent
        disk += spent
    return _Cost(*(1e6 * seconds / puts for seconds in (taken, received, disk / 2)))


def _meet(path: Path, met: int) -> tuple[float, float]:
    """Put to keys of which `met` are being put to elsewhere; return CPU us of arriving, of next."""
    path.mkdir()
    one, other = _open(path / "one", 5), _open(path / "other", 6)

    def put(store: Store, count: int, text: str) -> tuple[float, bytes]:
        puts = [ops.Put(f"k{n:03}", value=text * VALUE_BYTES) for n in range(count)]
        began = time.thread_time()
        store.submit(puts, [], _NOW_MS)
        store.settle()
        spent = time.thread_time() - began
        _, bodies, first = _durable(store)
        return spent, encode_frame(store.origin, first, bodies)

    _, frame = put(one, PUT, "x")
    other.receive(decode_frame(frame), _NOW_MS)
    _durable(other)
    put(other, met, "y")
    _, frame = put(one, PUT, "z")
    began = time.thread_time()
    other.receive(decode_frame(frame), _NOW_MS)
    received = time.thread_time() - began
    _durable(other)
    spent, _ = put(other, PUT, "w")
    return 1e6 * received / PUT, 1e6 * spent / PUT


def _join(path: Path) -> Row:
    """Let a store catch up with one that has put to many keys; both have keys of their own."""
    one, other = _open(path / "ahead", 3), _open(path / "behind", 4)
    for n in range(JOINED):
        one.submit([ops.Put(f"k{n}", value="x" * VALUE_BYTES)], [], _NOW_MS)
        other.submit([ops.Put(f"own{n}", value="x" * VALUE_BYTES)], [], _NOW_MS)
        if n % 50 == 49:
            _durable(one)
            _durable(other)
    joiner = Joiner(other, bytes_max=1 << 30)
    end: End | None = None
    for item in serve_pull(one.table.snapshot(), {}):
        if isinstance(item, Part):
            joiner.stage(item)
        elif isinstance(item, End):
            end = item
    assert end is not None
    began = time.thread_time()
    for _ in joiner.prepare(end):
        pass
    prepared = time.thread_time()
    for _ in joiner.apply(end, _NOW_MS):
        pass
    applied = time.thread_time()
    assert joiner.changed == JOINED
    return Row(
        f"a join of {JOINED:,} records",
        f"{1e6 * (prepared - began) / JOINED:.1f} us a record before, "
        f"{1e6 * (applied - prepared) / JOINED:.1f} while own writes wait",
    )
