"""EDGE: removes the records of objects that are gone, once everyone has their deletion.

Until then a record stays, marked, so that a finalizer that was added on the other side of a
partition shows the object again. Who marked it removes it; the others only after a while, should
that one be away: two removals are harmless, and cost a transaction.

Invariants:
    SWP-1  A record is removed only when its mark is stable, or older than the horizon; of a kind
           that lives an hour (events) at once.
    SWP-2  A round looks at no more than ROUND_RECORDS records, whatever waits.
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING, final

from crdtstate.api.kube.feed import Feed
from crdtstate.crdt.dots import join_vectors
from crdtstate.crdt.record import LIFE
from crdtstate.errors import BehindError, CrdtstateError
from crdtstate.kube.cache import Leaving
from crdtstate.store import operations as ops
from crdtstate.store.marks import seen_by
from crdtstate.tokens import encode_token

if TYPE_CHECKING:
    from crdtstate.store.planner import Planner

__all__ = ["Sweeper"]

ROUND_S = 5.0
ROUND_RECORDS = 256
TRANSACTION_RECORDS = 32
DEPUTY_AFTER_MS = 60_000
HORIZON_MS = 7 * 24 * 3_600_000
LOST_SHOWN_MS = 24 * 3_600_000
_PATIENCE_MS = 5_000


@final
class Sweeper:
    """Sweeps for one peer."""

    def __init__(self, feed: Feed) -> None:
        self._feed, self._backend = feed, feed.backend
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; it ends with the feed."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._feed.failure is None:
            await asyncio.sleep(ROUND_S)
            with contextlib.suppress(CrdtstateError):  # Stopping, or a clock that is wrong.
                await self._feed.caught_up(0)
                if self._feed.cache.leaving_count:
                    await self.round()

    async def round(self) -> int:
        """Remove what may be removed now; return how many records went."""
        now_ms = self._backend.wall_ms()
        some = self._feed.cache.leaving(ROUND_RECORDS)  # SWP-2
        due = [record for record in some if self._is_due(record, now_ms)]
        young = [record for record in due if not _is_beyond(record, now_ms)]
        if young and not await self._is_stable(young):
            due = [record for record in due if _is_beyond(record, now_ms)]
        swept = 0
        for at in range(0, len(due), TRANSACTION_RECORDS):
            outcome = await self._feed.commit(
                [_removal(record) for record in due[at : at + TRANSACTION_RECORDS]]
            )
            assert outcome.committed is not None
            swept += sum(outcome.committed.results)
        return swept

    def _is_due(self, record: Leaving, now_ms: int) -> bool:
        wait_ms = LOST_SHOWN_MS if record.lost and not record.key.fleeting else 0
        if record.sweeper != self._backend.origin:
            wait_ms += DEPUTY_AFTER_MS
        return now_ms >= record.since_ms + wait_ms

    async def _is_stable(self, records: list[Leaving]) -> bool:
        """Ask around, once for all of them (SWP-1)."""
        vector: dict[int, int] = {}
        for record in records:
            vector = join_vectors(vector, record.seen)
        with contextlib.suppress(BehindError):  # Somebody is away.
            if not self._backend.is_stable(vector):
                await self._backend.wait_replicas(encode_token(vector), "all", _PATIENCE_MS)
        return self._backend.is_stable(vector)


def _is_beyond(record: Leaving, now_ms: int) -> bool:
    """Tell whether a record goes whoever may not have heard of it."""
    return record.key.fleeting or now_ms >= record.since_ms + HORIZON_MS


def _removal(record: Leaving) -> ops.Edit:
    def plan(planner: "Planner", _key: bytes) -> bool:
        if not planner.encoded(record.record_id):
            return False
        if seen_by(planner.record(record.record_id)) != record.seen:
            return False  # Something arrived meanwhile: the feed will tell.
        planner.drop_path(record.record_id, LIFE)
        return True

    return ops.Edit(record.key.encode(), plan)
