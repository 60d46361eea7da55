"""What the HTTP API asks of the peer behind it. The daemon's driver is one; tests have others."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from crdtstate.errors import InvalidError, NotFoundError
from crdtstate.replica.events import Outcome
from crdtstate.store import operations as ops
from crdtstate.store.limits import Limits
from crdtstate.store.ports import Snapshot, Storage

__all__ = ["Backend", "Cluster", "NoCluster"]


class Cluster(Protocol):
    """What one peer knows of and can do to its cluster."""

    def status(self) -> dict[str, Any]:
        """Return the fields of GET /status. Cost: O(1)."""

    def members(self) -> list[dict[str, Any]]:
        """Return the rows of GET /members."""

    async def forget(self, name: str) -> Outcome:
        """Forget a member for good. Raises: NotFoundError."""

    async def backup(self, path: str) -> dict[str, Any]:
        """Write a checkpoint to a new directory while running. Raises: StorageError."""

    def keys(self) -> list[dict[str, Any]]:
        """Return the ids of the cluster keys, never the keys."""

    async def change_keys(self, change: dict[str, Any]) -> list[dict[str, Any]]:
        """Carry out one step of a key rotation. Raises: InvalidError."""

    def fault(self, change: dict[str, Any]) -> None:
        """Change the fault layer. Raises: InvalidError (code not_dev), NotFoundError."""

    def metrics(self) -> bytes:
        """Return the Prometheus text."""


class NoCluster:
    """The cluster's side of a replica that has no network."""

    def status(self) -> dict[str, Any]:
        """Nothing but itself."""
        return {"members": 1, "linked": [], "minority": False}

    def members(self) -> list[dict[str, Any]]:
        """Nobody."""
        return []

    async def forget(self, name: str) -> Outcome:
        """There is nobody to forget."""
        raise NotFoundError(f"there is no member {name!r}", code="no_such_member", name=name)

    async def backup(self, path: str) -> dict[str, Any]:
        """Needs a data directory."""
        raise InvalidError(f"no backup to {path!r}: this replica has no data directory")

    def keys(self) -> list[dict[str, Any]]:
        """There are none."""
        return []

    async def change_keys(self, change: dict[str, Any]) -> list[dict[str, Any]]:
        """There are none."""
        raise InvalidError(f"no keys to change: {sorted(change)}")

    def fault(self, change: dict[str, Any]) -> None:
        """There are no links."""
        raise InvalidError(f"no link to {change['peer']!r}")

    def metrics(self) -> bytes:
        """None are kept."""
        return b""


class Backend(Protocol):
    """One peer: writes go through `submit`, reads through `storage`, which is durable state."""

    name: str
    limits: Limits
    watches_max: int
    cluster: Cluster

    @property
    def storage(self) -> Storage:
        """Durable state for point reads. Raises: UnavailableError when the peer has failed."""

    def snapshot(self) -> Snapshot:
        """Return an unchanging durable state; close it."""

    @property
    def origin(self) -> int:
        """The identity under which this replica writes and counts revisions."""

    @property
    def token(self) -> str:
        """The causal token of the durable state. Cost: O(1), made once a batch."""

    @property
    def revision(self) -> int:
        """The durable revision."""

    @property
    def objects_revision(self) -> int:
        """The last durable revision that changed an object of the resource API."""

    @property
    def ready(self) -> tuple[bool, str]:
        """Whether reads here are as good as anywhere, else why not."""

    def wall_ms(self) -> int:
        """The wall clock."""

    def now_ms(self) -> int:
        """The monotonic clock."""

    def peer_name(self, origin: int) -> str | None:
        """Return the member that writes under `origin`, when it is known."""

    async def submit(
        self,
        operations: Sequence[ops.Intent],
        preconditions: Sequence[ops.Precondition],
        replicas: int | str,
        timeout_ms: int,
    ) -> Outcome:
        """Commit, and wait until durable here and on as many replicas as asked for.

        Raises: every CrdtstateError that a write can meet.
        """

    def begin(
        self,
        request: Any,
        operations: Sequence[ops.Intent],
        preconditions: Sequence[ops.Precondition],
        replicas: int | str,
        timeout_ms: int,
    ) -> None:
        """Do what `submit` does for `request`, which is settled as a future would be."""

    def covers(self, token: str) -> bool:
        """Whether the durable state includes `token`. Raises: InvalidError (invalid_token)."""

    @property
    def is_announced(self) -> bool:
        """Whether `announced` would return at once."""

    async def wait_covered(self, token: str, timeout_ms: int) -> None:
        """Return once the durable state includes `token`.

        Raises: InvalidError (invalid_token), BehindError naming what is missing.
        """

    async def wait_replicas(self, token: str, replicas: int | str, timeout_ms: int) -> Outcome:
        """Return once so many replicas have all of `token` durable. Raises: BehindError."""

    def is_stable(self, vector: Mapping[int, int]) -> bool:
        """Tell whether everyone is known to have `vector`, and nothing concurrent is to come."""

    async def announced(self) -> None:
        """Return once all that `storage` holds by now is covered by `token` (API-3).

        Cost: nothing, unless a batch is on its way to the disk.
        """

    async def wait_revision(self, after: int, timeout_ms: int) -> bool:
        """Return True once the durable revision is greater than `after`, False at the deadline."""
