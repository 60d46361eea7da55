"""Public values: what the clients hand out. Frozen, without behaviour, without I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, final

__all__ = [
    "BackupInfo",
    "BoundedState",
    "Conflict",
    "ConflictValue",
    "Event",
    "Item",
    "KeyInfo",
    "Kind",
    "MemberInfo",
    "Page",
    "Reach",
    "ResourceEvent",
    "ResourceList",
    "ResourceRow",
    "ResourceTable",
    "Status",
    "WriteResult",
]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One key as a peer shows it."""

    key: str
    type: str
    """`register`, `map`, `set`, `counter`, `flag` or `bounded`."""
    value: Any
    """bytes of a register, the JSON value of all others; None in a listing of keys only."""
    version: str
    """Opaque: equal versions mean equal content, on every peer."""
    conflicts: int = 0
    """How many concurrent values lost against the one shown."""
    expires_ms: int | None = None
    """When it goes, in milliseconds since 1970, or None."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a watch. A bookmark says only how far the watch is."""

    type: Literal["put", "delete", "bookmark"]
    key: str = ""
    item: Item | None = None
    revision: str | None = None
    """Where a watch of the same peer may resume; None while a state is being listed, and then
    the bookmark at the end of the listing has it."""


@final
@dataclass(frozen=True, slots=True)
class Page:
    """One consistent part of a listing."""

    items: tuple[Item, ...]
    next: str | None
    """What asks for the following page, None after the last."""
    revision: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class WriteResult:
    """A write that is durable on the peer that answered. It is not undone later."""

    version: str | None
    """The key's version after a put, None for other writes."""
    revision: str
    replicas: int
    """How many replicas had it durable when the answer was sent."""
    token: str | None
    """Causal token that includes the write."""
    changed: int | None = None
    """How many things a transaction or an apply changed."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictValue:
    """One of several concurrent values."""

    value: Any
    """A JSON value; bytes where the value is not text."""
    origin: str
    peer: str | None
    time_ms: int
    wins: bool


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Concurrent writes to one place, all of which are still there."""

    key: str
    path: str
    kind: str
    """`concurrent_values` or `update_after_delete`."""
    values: tuple[ConflictValue, ...]


@final
@dataclass(frozen=True, slots=True)
class BoundedState:
    """A bounded counter after an operation."""

    value: int
    available: int
    """What the peer that answered may still take without asking others."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MemberInfo:
    """A row of the membership table."""

    name: str
    origin: str | None
    address: str | None
    api: str | None
    liveness: str
    linked: bool
    incarnation: int | None
    vector_behind: int | None
    """Transactions that it lacks, as far as is known; None when it is not known."""
    is_self: bool
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The whole row."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How the peer that answered is."""

    name: str
    origin: str
    revision: str
    token: str
    ready: bool
    reason: str
    linked: tuple[str, ...]
    members: int
    minority: bool
    conflicts: int
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The whole answer; docs/protocol/native-api.md names what is in it."""


@final
@dataclass(frozen=True, slots=True)
class Reach:
    """Which peers have all of a causal token durable, and which members do not."""

    have: tuple[str, ...]
    missing: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class BackupInfo:
    """A finished backup, on the disk of the peer that answered."""

    path: str
    files: int
    bytes: int


@final
@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key of the cluster, by its id; the key itself is never shown."""

    id: str
    primary: bool


@final
@dataclass(frozen=True, slots=True)
class Kind:
    """What a resource of the Kubernetes API is called."""

    group: str
    """Empty for the core group."""
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`v1` or `group/version`, as objects say it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def name(self) -> str:
        """`pods` or `deployments.apps`: for people, logs and metrics."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


@final
@dataclass(frozen=True, slots=True)
class ResourceEvent:
    """One line of a watch of resources."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: dict[str, Any]
    """As it is now, as it was last for DELETED; only a resourceVersion for BOOKMARK."""

    @property
    def resource_version(self) -> str:
        """Where a watch of the same peer may resume."""
        return str(self.object["metadata"]["resourceVersion"])


@final
@dataclass(frozen=True, slots=True)
class ResourceList:
    """All objects that were asked for, as one peer shows them."""

    items: tuple[dict[str, Any], ...]
    resource_version: str
    """Where a watch of the same peer may start."""


@final
@dataclass(frozen=True, slots=True)
class ResourceRow:
    """One object as people are shown it."""

    namespace: str | None
    cells: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class ResourceTable:
    """Objects of one kind in the columns that the peer chose for it."""

    columns: tuple[str, ...]
    rows: tuple[ResourceRow, ...]
