"""A store alone, without a replica: what was committed is made durable at once."""

from crdtstate.store.store import Store

__all__ = ["make_durable"]


def make_durable(store: Store) -> None:
    """Write the open batch to the store's own storage, and drop what would go out with it."""
    store.take_outbox()
    store.table.storage.write(store.close_batch())  # type: ignore[attr-defined]
    store.batch_durable()
