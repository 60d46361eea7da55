"""A store without a replica around it, written to in one line."""

from typing import Any

from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.storage.memory import MemoryDisk, MemoryStorage
from crdtstate.store import operations as ops
from crdtstate.store.store import Store, StoreConfig
from crdtstate.store.transaction import Frame, decode_frame, encode_frame
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
