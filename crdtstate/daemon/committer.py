"""EDGE: makes batches durable in one thread of its own, so that a disk sync never blocks the loop.

The thread that comes back from a sync needs the interpreter lock, and would wait a whole switch
interval for it (5 ms by default) while the loop is busy: the daemon sets a shorter one.
"""

import asyncio
import queue
import sys
import threading
from collections.abc import Callable
from typing import Protocol, final

from crdtstate.errors import StorageError
from crdtstate.store.ports import Batch, Storage

__all__ = ["Committer", "Done", "ThreadCommitter"]

SWITCH_INTERVAL_S = 0.0005

Done = Callable[[StorageError | None], None]


class Committer(Protocol):
    """Makes batches durable, one at a time, and says so on the loop."""

    def commit(self, batch: Batch) -> None:
        """Start making `batch` durable."""

    async def stop(self) -> None:
        """Let the batch in flight finish, then release everything."""


@final
class ThreadCommitter:
    """One batch at a time; `done(error or None)` is called on the loop."""

    def __init__(self, storage: Storage, done: Done) -> None:
        self._storage, self._done = storage, done
        self._loop = asyncio.get_running_loop()
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    def commit(self, batch: Batch) -> None:
        """Start making `batch` durable."""
        self._batches.put(batch)

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            error: StorageError | None = None
            try:
                self._storage.write(batch)
            except StorageError as failure:
                error = failure
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._done, error)

    async def stop(self) -> None:
        """Let the batch in flight finish, then end the thread."""
        self._batches.put(None)
        await asyncio.to_thread(self._thread.join)
