"""One client interface for every system: what a workload may ask, and what an answer says.

A session belongs to one member, as a client beside that member does. An operation ends `OK`,
`REFUSED` (its condition does not hold: an answer, too), `FAILED` (it has not happened and never
will), or `UNKNOWN` (it may have happened: time-outs and lost connections). Nothing here retries:
that is a workload's business, and counted.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, final

OK, REFUSED, FAILED, UNKNOWN = "ok", "refused", "failed", "unknown"


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation came to.

    `told` counts the concurrent values that the system said lost against the one shown; `version`
    names a state for a conditional write; `reason` is the error's text.
    """

    status: str
    value: bytes | None = None
    version: str = ""
    told: int = 0
    values: dict[bytes, bytes] = field(default_factory=dict)
    reason: str = ""


@final
@dataclass(frozen=True, slots=True)
class Modes:
    """What a client of ours can choose; etcd has no such choice."""

    replicas: str = "1"
    """Of writes: 1, 2, majority."""
    token: bool = True
    """Carry causal tokens from answer to request."""


Done = Callable[[bool], None]


class Wire(Protocol):
    """The leanest way to load a system: callbacks, one connection, one request at a time."""

    async def open(self) -> None:
        """Connect. Raises: OSError."""

    def put(self, key: str, value: bytes, done: Done) -> None:
        """Write one key."""

    def get(self, key: str, done: Done, *, strong: bool) -> None:
        """Read one key: linearizable when `strong` and the system has it, else local."""

    def many(self, pairs: list[tuple[str, bytes]], done: Done) -> None:
        """Write many keys in one atomic request."""

    def close(self) -> None:
        """Disconnect."""


class Session(Protocol):
    """One client beside one member. Every method ends within the session's time-out."""

    async def put(self, key: str, value: bytes) -> Answer:
        """Write one key."""

    async def get(self, key: str, *, strong: bool = False) -> Answer:
        """Read one key; `value` None when it is not there."""

    async def scan(self, prefix: str) -> Answer:
        """Read every key of a prefix from this member, as it is now there."""

    async def compare_and_put(self, key: str, version: str, value: bytes) -> Answer:
        """Write if the key is still at `version`; empty: if it is not there."""

    async def increment(self, key: str) -> Answer:
        """Add 1 to a counter, the way that the system is best at."""

    async def add_element(self, key: str, element: str) -> Answer:
        """Add to a set, the way that the system is best at."""

    async def edit_field(self, key: str, name: str, value: str) -> Answer:
        """Change one field of an object, the way that the system is best at."""

    async def acquire(self, key: str, me: str, ttl_s: int) -> Answer:
        """Try to take a lease-like lock for `ttl_s` seconds."""

    async def keep(self, key: str, me: str, ttl_s: int, version: str) -> Answer:
        """Extend what `acquire` gave; `version` of the last answer."""

    async def watch(self, prefix: str, on_value: Callable[[str, bytes], None]) -> None:
        """Call back with every new value under a prefix until the session closes or it breaks."""

    def carry(self, token: str) -> str:
        """Take over what another session of the same client has seen; return all that is known."""

    async def close(self) -> None:
        """Disconnect."""
