"""The contract of a reconciler: a key in, a result out. It reads the world, never the event."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, final

if TYPE_CHECKING:
    from controllers.runtime.scope import Scope

__all__ = ["DONE", "Reconciler", "Request", "Result"]


@final
@dataclass(frozen=True, slots=True, order=True)
class Request:
    """Which object shall be looked at. The namespace is empty for a cluster-scoped one."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@final
@dataclass(frozen=True, slots=True)
class Result:
    """What follows from a reconcile that raised nothing."""

    requeue_ms: int | None = None
    """Look again after so long, even when nothing changes until then."""


DONE = Result()


class Reconciler(Protocol):
    """Brings one object, and what it owns, nearer to what is wanted.

    It is called again and again, for any reason or none, here and at the same time on other peers:
    what it does twice must be harmless, and names that it gives are functions of the owner.
    """

    async def reconcile(self, request: Request, scope: "Scope") -> Result:
        """Do what is to be done now. Raises: TerminalError; anything else is tried again."""
