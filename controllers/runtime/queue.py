"""A work queue of keys: no I/O, no clock.

A key that is added while it waits is there once; one that is added while a worker has it comes back
when that worker is done. Nothing is ever lost, and events of a burst become one reconcile.

Source: client-go's workqueue: the sets `dirty` and `processing`, and a heap of delayed keys.

Invariants:
    WQ-1  No key is with two workers at once.
    WQ-2  A key that was added is handed out again after that moment.
    WQ-3  A key waits in at most one place for a worker, and once at most for its time.
"""

import heapq
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar, final

__all__ = ["QueueStats", "WorkQueue"]

K = TypeVar("K")


@final
@dataclass(frozen=True, slots=True)
class QueueStats:
    """How full it is, and what went through."""

    ready: int
    delayed: int
    processing: int
    added: int


@final
class WorkQueue(Generic[K]):
    """Keys wait here. Bounded by the number of keys there are."""

    def __init__(self) -> None:
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()  # Shall be processed: in `ready`, or with a worker now.
        self._processing: set[K] = set()
        self._due: dict[K, int] = {}  # When a delayed key becomes ready.
        self._heap: list[tuple[int, int, K]] = []  # May hold entries that `_due` has outrun.
        self._count = 0
        self._added = 0

    def add(self, key: K) -> None:
        """Ask for a key to be processed as soon as possible."""
        self._due.pop(key, None)
        if key in self._dirty:
            return
        self._added += 1
        self._dirty.add(key)
        if key not in self._processing:
            self._ready.append(key)

    def add_at(self, key: K, at_ms: int) -> None:
        """Ask for a key at `at_ms`; the earlier of two wishes holds."""
        if key in self._dirty and key not in self._processing:
            return
        before = self._due.get(key)
        if before is not None and before <= at_ms:
            return
        self._due[key] = at_ms
        self._count += 1  # Makes entries of the heap comparable without their keys.
        heapq.heappush(self._heap, (at_ms, self._count, key))

    def take(self, now_ms: int) -> K | None:
        """Hand out a key, or None. The worker says `done` afterwards, whatever happened."""
        while self._heap and self._heap[0][0] <= now_ms:
            at_ms, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == at_ms:
                self.add(key)
        if not self._ready:
            return None
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        """Take a key back from its worker."""
        self._processing.remove(key)
        if key in self._dirty:
            self._ready.append(key)

    def next_ms(self) -> int | None:
        """Return when the next delayed key is due, None when none is delayed."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for a worker or is with one; delayed keys do not count."""
        return not self._ready and not self._processing

    def stats(self) -> QueueStats:
        """Return a summary."""
        return QueueStats(len(self._ready), len(self._due), len(self._processing), self._added)

    def check(self) -> None:
        """Assert what must hold between the parts."""
        waiting = list(self._ready)
        assert len(waiting) == len(set(waiting)), "WQ-3"
        assert not set(waiting) & self._processing, "WQ-1"
        assert self._dirty == set(waiting) | (self._dirty & self._processing), "WQ-2"
