"""A store without a replica around it, written to in one line."""

from typing import Any

from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.storage.memory import MemoryDisk, MemoryStorage
from crdtstate.store import operations as ops
from crdtstate.store.reading import find_view
from crdtstate.store.store import Store, StoreConfig
from crdtstate.store.transaction import Change, Frame, decode_frame, encode_body, encode_frame
from tests.models.durable import make_durable


def store_of(origin: int = ORIGIN_MIN, disk: MemoryDisk | None = None, **config: Any) -> Store:
    """Return a store in memory; `config` is of StoreConfig."""
    return Store(MemoryStorage(disk), origin, StoreConfig(**config))


def put(key: str, value: str = "v") -> ops.Put:
    """Return the operation that puts a text."""
    return ops.Put(key, value=value)


def commit(store: Store, *operations: ops.Operation) -> Frame:
    """Commit and make durable; return the frame that the others get."""
    store.submit(list(operations), [], 1_000)
    first, bodies = store.take_outbox()
    make_durable(store)
    return decode_frame(encode_frame(store.origin, first, bodies))


def frame_of(
    origin: int, first: int, *changes: list[Change], stamp: int = 1, past: Any = None
) -> Any:
    """Return the frame of transactions from `first` on, each given as its changes."""
    bodies = [encode_body(stamp, past or {}, some) for some in changes]
    return decode_frame(encode_frame(origin, first, bodies))


def shown(store: Store, key: bytes) -> Any:
    """Return what a reader of the durable state sees, after making all durable."""
    make_durable(store)
    found = find_view(store.table.storage, key, 1)
    return found[0].value if found else None
