"""EDGE: one task a peer that follows the durable state and keeps the object cache up to it.

Everything that the resource API shows comes from the cache; everything that it writes goes through
`Feed.edit`, which returns once the cache shows the write.

Invariants:
    FED-1  `caught_up(r)` returns when the cache shows revision r or a later one.
    FED-2  The loop is never held for more than a slice of records.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from typing import NamedTuple, final

from crdtstate.api.ports import Backend
from crdtstate.crdt.codec import decode_record
from crdtstate.errors import CompactedError, CrdtstateError, UnavailableError
from crdtstate.kube.cache import CachedObject, ObjectCache
from crdtstate.kube.editing import edit
from crdtstate.kube.keys import KEYS_FIRST, KEYS_STOP, ObjectKey, decode_key
from crdtstate.kube.objects import Change, EditResult, Target
from crdtstate.kube.reading import Shown, read_lives, render
from crdtstate.kube.uids import uid_bytes, uid_text
from crdtstate.replica.events import Outcome
from crdtstate.store import operations as ops
from crdtstate.store.index import read_revision
from crdtstate.store.ports import Family, Reader
from crdtstate.store.transaction import split_record_id
from crdtstate.store.watch import read_touched

__all__ = ["Edited", "Feed"]

_SLICE_RECORDS, _SLICE_BYTES = 64, 32 << 10
_CHUNK = 256  # transactions
_LOOK_MS = 60_000
DELETIONS_SEARCHED = 4_096
_Row = tuple[ObjectKey, list[Shown]]


@final
class Edited(NamedTuple):
    """What became of an edit.

    Args:
        result: What the transaction did.
        cached: The object as this peer shows it once it shows the write: `result`, or what came
            after it. Answers are made of this one, so that body and version belong together.
        outcome: Who has it durable.
    """

    result: EditResult
    cached: CachedObject | None
    outcome: Outcome


@final
class Feed:
    """Follows one backend. Started and stopped with its peer."""

    def __init__(self, backend: Backend, cluster_id: bytes) -> None:
        self.backend, self.cluster_id = backend, cluster_id
        self.cache = ObjectCache(backend.origin, backend.wall_ms())
        self.revision = -1
        self.failure: CrdtstateError | None = None
        self._task: asyncio.Task[None] | None = None
        self._moved: asyncio.Future[None] | None = None
        self._kinds: dict[str, asyncio.Future[None]] = {}

    def start(self) -> None:
        """Begin to follow; what is there already is read first, in slices."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End; whoever waits is told so."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._fail(UnavailableError("this peer is stopping", code="stopping"))

    # -- writing -------------------------------------------------------------------------------

    async def edit(
        self, target: Target, change: Change, *, replicas: int | str = 1, timeout_ms: int = 5_000
    ) -> Edited:
        """Commit one edit and return once the cache shows it. Raises: what refuses it."""
        operation = edit(target, change, self.cluster_id)
        outcome = await self.commit([operation], replicas=replicas, timeout_ms=timeout_ms)
        assert outcome.committed is not None
        cached = self.cache.get(*target.key)
        return Edited(outcome.committed.results[0], cached, outcome)

    async def commit(
        self, operations: Sequence[ops.Edit], *, replicas: int | str = 1, timeout_ms: int = 5_000
    ) -> Outcome:
        """Commit edits of several objects in one transaction; all or nothing."""
        outcome = await self.backend.submit(operations, (), replicas, timeout_ms)
        assert outcome.committed is not None
        await self.caught_up(outcome.committed.revision)
        return outcome

    # -- waiting -------------------------------------------------------------------------------

    async def caught_up(self, revision: int) -> None:
        """Return once the cache shows `revision`; 0: once it is filled (FED-1).

        Raises: UnavailableError when the peer stops or has failed.
        """
        while self.revision < revision:
            if self.failure is not None:
                raise self.failure
            if self._moved is None:
                self._moved = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._moved)

    async def wait(self, stored_as: str, version: int, timeout_ms: int) -> bool:
        """Return True once there is an event of the kind after `version`, False at the deadline.

        Raises: UnavailableError when the peer stops or has failed.
        """
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while self.cache.last(stored_as) <= version:
                    if self.failure is not None:
                        raise self.failure
                    future = self._kinds.get(stored_as)
                    if future is None:
                        future = asyncio.get_running_loop().create_future()
                        self._kinds[stored_as] = future
                    await asyncio.shield(future)
        except TimeoutError:
            return False
        return True

    async def pause(self) -> None:
        """Let others run, between two parts of what takes long."""
        await asyncio.sleep(0)

    def _wake(self, kinds: Iterable[str]) -> None:
        for name in kinds:
            future = self._kinds.pop(name, None)
            if future is not None and not future.done():
                future.set_result(None)

    def _wake_revision(self) -> None:
        moved, self._moved = self._moved, None
        if moved is not None and not moved.done():
            moved.set_result(None)

    def _fail(self, error: CrdtstateError) -> None:
        self.failure = self.failure or error
        self._wake(list(self._kinds))
        self._wake_revision()

    # -- reading -------------------------------------------------------------------------------

    def was_deleted(self, key: ObjectKey, uid: str) -> bool:
        """Tell whether the object that had this uid under `key` is known to be deleted.

        False says nothing of an object that is not here: absence is no deletion. True also for one
        whose record is long gone, if this peer took part in its removal or in what came after.

        Cost: O(objects that were under the key), at most DELETIONS_SEARCHED.
        """
        cached = self.cache.get(*key)
        if cached is not None and cached.uid == uid:
            return False
        if self.cache.is_gone(key, uid):
            return True
        grave = self.backend.storage.get(Family.GRAVE + key.encode())
        last = -1 if grave is None else int.from_bytes(grave, "big")
        return any(
            uid_text(uid_bytes(self.cluster_id, key, number)) == uid
            for number in range(last, max(-1, last - DELETIONS_SEARCHED), -1)
        )

    # -- following -----------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._load()
            while True:
                try:
                    if not await self.backend.wait_revision(self.revision, _LOOK_MS):
                        continue
                    if self.backend.objects_revision > self.revision:
                        await self._follow()
                    else:  # Other keys than ours: there is nothing to read.
                        self._reached(self.backend.revision)
                except CompactedError:
                    await self._load()
        except CrdtstateError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - who waits must hear of it.
            self._fail(UnavailableError(f"the feed has failed: {error!r}", code="internal"))
            told = {"message": "the feed has failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(told)

    async def _follow(self) -> None:
        with closing(self.backend.snapshot()) as snapshot:
            touched = read_touched(snapshot, self.revision, KEYS_FIRST, KEYS_STOP, _CHUNK)
            keys = [key for key in map(decode_key, touched.keys) if key is not None]
            await self._take((key, read_lives(snapshot, key)) for key in keys)
        self._reached(touched.revision)

    async def _load(self) -> None:
        """Read everything; what the cache has seen already is compared, and told if it differs."""
        cache = self.cache
        absent = dict.fromkeys(sorted(cache.keys()))
        with closing(self.backend.snapshot()) as snapshot:
            revision, _ = read_revision(snapshot)
            await self._take(_scan(snapshot, absent))
        no_lives: list[Shown] = []
        await self._take((key, no_lives) for key in absent)
        cache.loading = False
        self._reached(revision)

    async def _take(self, rows: Iterator[_Row]) -> None:
        """Give rows to the cache in slices (FED-2); they are read as they are taken."""
        while some := _slice(rows):
            await self.backend.announced()
            wall_ms = self.backend.wall_ms()
            for key, lives in some:
                self.cache.update(key, lives, wall_ms)
            self._wake({key.stored_as for key, _ in some})
            await self.pause()

    def _reached(self, revision: int) -> None:
        self.revision = revision
        self._wake_revision()


def _slice(rows: Iterator[_Row]) -> list[_Row]:
    taken: list[_Row] = []
    size = 0
    for row in rows:
        taken.append(row)
        size += sum(shown.size for shown in row[1])
        if size > _SLICE_BYTES or len(taken) >= _SLICE_RECORDS:
            break
    return taken


def _scan(snapshot: Reader, absent: dict[ObjectKey, None]) -> Iterator[_Row]:
    """Yield the lives of every object key; those found are taken out of `absent`."""
    found = snapshot.scan(Family.RECORD + KEYS_FIRST, Family.RECORD + KEYS_STOP)
    for encoded, records in groupby(found, lambda item: split_record_id(item[0][1:])[0]):
        key = decode_key(encoded)
        if key is not None:
            absent.pop(key, None)
            lives = [render(key, k[1:], decode_record(data), data) for k, data in records]
            yield key, [shown for shown in lives if shown is not None]
