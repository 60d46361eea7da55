"""What a peer's API asks of the agent beside it, about pods of this machine. Values and a protocol.

The one thing that an agent gives to its peer in the same process rather than through the API: bytes
of logs, and figures that are true for a second, are nothing to replicate.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol, final

__all__ = ["ContainerUse", "LogQuery", "PodAccess", "PodUse", "Usage"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """Which lines of a container's output, and how they are shown."""

    previous: bool = False
    """Of the process before this one."""
    tail: int | None = None
    since: str = ""
    """RFC 3339 in UTC; empty: all."""
    stamped: bool = False
    bytes_max: int | None = None
    follow: bool = False


@final
@dataclass(frozen=True, slots=True)
class ContainerUse:
    """What one container uses: billionths of a core, bytes."""

    name: str
    nanocores: int
    memory_bytes: int


@final
@dataclass(frozen=True, slots=True)
class PodUse:
    """What one pod uses."""

    namespace: str
    name: str
    containers: tuple[ContainerUse, ...]


@final
@dataclass(frozen=True, slots=True)
class Usage:
    """What is used on one machine."""

    machine: str
    """The Node's name."""
    wall_ms: int
    window_ms: int
    """Over which processor time was counted."""
    nanocores: int
    memory_bytes: int
    pods: Sequence[PodUse]


class PodAccess(Protocol):
    """An agent, as its peer's API sees it."""

    def logs(
        self, namespace: str, pod: str, container: str, query: LogQuery
    ) -> AsyncGenerator[bytes]:
        """Return a container's output, chunk by chunk.

        Raises, before there is any: NotFoundError when the pod is not on this machine,
        InvalidError when the container has no such output.
        """

    async def usage(self) -> Usage:
        """Return what is used now. May take a second, to count processor time over one."""
