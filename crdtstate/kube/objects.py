"""What a verb says of an object and what it is told: the words between a verb and `editing`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, final

from crdtstate.kube.keys import ObjectKey
from crdtstate.kube.resources import Resource
from crdtstate.kube.schema import Schema

__all__ = ["Change", "Context", "EditResult", "Keep", "Live", "Removal", "Target"]


@final
@dataclass(frozen=True, slots=True)
class Target:
    """Which object."""

    resource: Resource
    namespace: str
    name: str

    @property
    def key(self) -> ObjectKey:
        """Its place in the store."""
        return ObjectKey(self.resource.stored_as, self.namespace, self.name)


@final
@dataclass(frozen=True, slots=True)
class Live:
    """What the writer sees.

    Args:
        body: The object without apiVersion, kind and resourceVersion. The change's own: it may be
            altered in place and returned.
        digest: Of the record; equals `CachedObject.digest` if nothing changed since.
    """

    body: dict[str, Any]
    digest: str


@final
@dataclass(frozen=True, slots=True)
class Context:
    """What a change may depend on beside the object."""

    wall_ms: int
    origin: int
    new_uid: str
    """The uid that an object created here would get."""
    schema: Schema


@final
@dataclass(frozen=True, slots=True)
class Removal:
    """The object is to go.

    Args:
        grace_s: deletionGracePeriodSeconds; the object stays until a removal without grace.
        body: The object as it is to be while it terminates (finalizers added); None: as it is.
    """

    grace_s: int = 0
    body: dict[str, Any] | None = None


@final
@dataclass(frozen=True, slots=True)
class Keep:
    """What is shown is what is wanted: the values that lost to it are let go.

    Args:
        paths: As a conflict names them; None: all.
    """

    paths: tuple[str, ...] | None = None


Change = Callable[[Live | None, Context], "dict[str, Any] | Removal | Keep | None"]


@final
@dataclass(frozen=True, slots=True)
class EditResult:
    """What an edit did.

    Args:
        overridden: Paths at which values written concurrently were settled by this write.
    """

    body: dict[str, Any] | None
    digest: str
    outcome: Literal["created", "updated", "unchanged", "marked", "gone"]
    overridden: list[str] = field(default_factory=list)
