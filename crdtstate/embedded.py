"""EDGE: the same store in this process, without a daemon: for tests, tools and first looks.

    >>> import crdtstate, tempfile
    >>> with crdtstate.open(tempfile.mkdtemp()) as store:
    ...     _ = store.put("greeting", b"hello")
    ...     store.get("greeting").value
    b'hello'

One directory, one process. A daemon may open the directory later, and the other way round: the
records, the identity and the rules are the same. Every call blocks until its write is durable.
"""

import time
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from crdtstate.errors import CrdtstateError
from crdtstate.replica import events as ev
from crdtstate.replica.machine import Replica, ReplicaConfig
from crdtstate.storage.layout import DataDirectory
from crdtstate.storage.rocks import RocksStorage
from crdtstate.store import operations as ops
from crdtstate.store.limits import check_key
from crdtstate.store.reading import ConflictFound, Entry, find_view, list_conflicts, list_views
from crdtstate.store.store import Committed

__all__ = ["Embedded", "open"]

_PAGE = 500


@final
class _Request:
    """Stands for a client that waits."""

    __slots__ = ("outcome",)

    def __init__(self) -> None:
        self.outcome: ev.Outcome | CrdtstateError | None = None


@final
class Embedded:
    """A store that is open in this process. Not safe for use from several threads at once."""

    def __init__(self, path: str | PathLike[str], *, name: str = "embedded") -> None:
        self._directory = DataDirectory.open(Path(path), name=name, cluster_id=None)
        try:
            self._storage = RocksStorage.open(self._directory.db_path)
        except BaseException:
            self._directory.close()
            raise
        identity = self._directory.identity
        # There is nobody to ask: an identity is trusted after an orderly end, or when there never
        # was another member (REP-3).
        config = ReplicaConfig(
            name=name, clean=identity.clean, identity_check_ms=0, alone_ready_ms=0
        )
        self._replica = Replica(self._storage, identity.origin, config)
        self._open = True
        self._step(ev.Tick())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the directory; idempotent."""
        if self._open:
            self._open = False
            self._storage.close()
            self._directory.mark_clean()
            self._directory.close()

    # -- writing -------------------------------------------------------------------------------

    def put(self, key: str, value: bytes | str, *, ttl_ms: int | None = None) -> Committed:
        """Create or replace a register."""
        content = value.encode() if isinstance(value, str) else value
        return self.transact([ops.Put(key, value_base64=content, ttl_ms=ttl_ms)])

    def delete(self, key: str) -> bool:
        """Remove a key of any type; tell whether it was there."""
        return bool(self.transact([ops.Delete(key)]).results[0])

    def apply(self, key: str, document: dict[str, Any], *, manager: str = "default") -> Committed:
        """Apply a document to a map, field by field."""
        return self.transact([ops.Apply(key, document, manager)])

    def transact(
        self,
        operations: Sequence[ops.Operation],
        preconditions: Sequence[ops.Precondition] = (),
    ) -> Committed:
        """Commit many operations, all or nothing.

        Raises: the errors of `crdtstate.errors`; nothing has changed then.
        """
        request = _Request()
        self._step(ev.Submit(request, operations, preconditions))
        self._step(ev.Tick())
        outcome = request.outcome
        if isinstance(outcome, CrdtstateError):
            raise outcome
        assert outcome is not None, "REP-4"
        assert outcome.committed is not None
        return outcome.committed

    def _step(self, event: ev.Input) -> None:
        pending = [event]
        while pending:
            wall_ms = time.time_ns() // 1_000_000
            now_ms = time.monotonic_ns() // 1_000_000
            for effect in self._replica.step(now_ms, wall_ms, pending.pop(0)):
                match effect:
                    case ev.Persist():
                        self._storage.write(effect.batch)
                        pending.append(ev.Durable())
                    case ev.Reply():
                        effect.request.outcome = effect.outcome
                    case ev.NewIdentity():
                        origin = self._directory.new_origin(effect.reason)
                        pending.append(ev.IdentityTaken(origin))
                    case ev.RunAgain():
                        pending.append(ev.Again(effect.work))
                    case _:
                        pass  # No peers, no watchers, no time but the caller's.

    # -- reading -------------------------------------------------------------------------------

    def get(self, key: str) -> Entry | None:
        """Return a readable key, or None."""
        encoded = check_key(key, self._replica.config.store.limits)
        found = find_view(self._storage, encoded, time.time_ns() // 1_000_000)
        return Entry(key, *found) if found else None

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield the readable keys with a prefix, in byte order, of one instant."""
        wall_ms = time.time_ns() // 1_000_000
        snapshot = self._storage.snapshot()
        try:
            after: bytes | None = None
            while True:
                found, after = list_views(snapshot, prefix.encode(), after, _PAGE, wall_ms)
                yield from found
                if after is None:
                    return
        finally:
            snapshot.close()

    def conflicts(self, prefix: str = "") -> Iterator[ConflictFound]:
        """Yield what was written concurrently and differs."""
        after: bytes | None = None
        while True:
            found, after = list_conflicts(self._storage, prefix.encode(), after, _PAGE)
            yield from found
            if after is None:
                return


def open(path: str | PathLike[str], *, name: str = "embedded") -> Embedded:  # noqa: A001 - as users expect.
    """Open or create the store in directory `path`.

    Raises: StorageError when the directory is in use or cannot be used.
    """
    return Embedded(path, name=name)
