"""EDGE: makes batches durable; the disk's syncs are waited for in one thread of its own.

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
        self._syncs: queue.SimpleQueue[bool] = queue.SimpleQueue()  # False: end.
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    def commit(self, batch: Batch) -> None:
        """Start making `batch` durable."""
        try:
            self._storage.stage(batch)
        except StorageError as error:
            self._loop.call_soon(self._done, error)
        else:
            self._syncs.put(True)

    def _run(self) -> None:
        while self._syncs.get():
            error: StorageError | None = None
            try:
                self._storage.sync()
            except StorageError as failure:
                error = failure
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._done, error)

    async def stop(self) -> None:
        """Let the batch in flight finish, then end the thread."""
        self._syncs.put(False)
        await asyncio.to_thread(self._thread.join)
