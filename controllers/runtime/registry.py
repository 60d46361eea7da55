"""How a controller says what it is: a decorator for its class, an entry point for its package.

    @controller("websites", of=WEBSITES, owns=[DEPLOYMENTS])
    class Websites:
        async def reconcile(self, request: Request, scope: Scope) -> Result: ...

and in the package's pyproject.toml, for those that shall run with the built-in ones:

    [project.entry-points."crdtstate.controllers"]
    websites = "websites:Websites"
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TypeVar, final

from controllers.runtime.cache import IndexFunction
from controllers.runtime.mapping import Mapper, to_controller, to_self
from controllers.runtime.predicates import Predicate, any_change
from controllers.runtime.request import Reconciler
from controllers.runtime.view import ACT, Policy
from crdtstate.errors import InvalidError
from crdtstate.model import Kind

__all__ = ["GROUP", "ControllerSpec", "Watch", "controller", "load_controllers", "spec_of_class"]

GROUP = "crdtstate.controllers"
_ATTRIBUTE = "__controller_spec__"
C = TypeVar("C", bound=type)


@final
@dataclass(frozen=True)
class Watch:
    """Changes of one kind, and the keys that they concern."""

    kind: Kind
    mapper: Mapper
    predicate: Predicate = any_change


@final
@dataclass(frozen=True, kw_only=True)
class ControllerSpec:
    """What a controller needs, and when it may act."""

    name: str
    of: Kind
    make: Callable[[], Reconciler]
    predicate: Predicate = any_change
    mapper: Mapper = to_self
    watches: tuple[Watch, ...] = ()
    reads: tuple[Kind, ...] = ()
    indexes: Mapping[Kind, Mapping[str, IndexFunction]] = field(default_factory=dict)
    everything: Mapper | None = None
    """Keys that a change of any object of any kind concerns: for a collector, and nobody else."""
    policy: Policy = ACT
    workers: int = 2

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Every kind that it sees."""
        return tuple(dict.fromkeys((self.of, *(w.kind for w in self.watches), *self.reads)))


def controller(
    name: str,
    *,
    of: Kind,
    owns: Sequence[Kind] = (),
    watches: Sequence[Watch] = (),
    reads: Sequence[Kind] = (),
    indexes: Mapping[Kind, Mapping[str, IndexFunction]] | None = None,
    predicate: Predicate = any_change,
    mapper: Mapper = to_self,
    everything: Mapper | None = None,
    policy: Policy = ACT,
    workers: int = 2,
) -> Callable[[C], C]:
    """Register a class with a `reconcile`; it is made without arguments.

    Args:
        of: Whose keys are reconciled.
        owns: Kinds that it creates with an owner reference; their changes wake the owner.
        watches: Other kinds whose changes concern keys of `of`.
        reads: Kinds that it reads only.
        predicate: Which changes of `of` are worth a look.
        mapper: Keys that a change of `of` concerns, where they are not the object's own.
        everything: Keys that a change of any object of any kind concerns.
        policy: When it may act; the annotation crdtstate.io/policy of an object wins.
        workers: How many keys at a time.
    """

    def register(cls: C) -> C:
        spec = ControllerSpec(
            name=name, of=of, make=cls, predicate=predicate, mapper=mapper,
            watches=(*(Watch(kind, to_controller(of)) for kind in owns), *watches),
            reads=tuple(reads), indexes=indexes or {}, everything=everything, policy=policy,
            workers=workers,
        )  # fmt: skip
        setattr(cls, _ATTRIBUTE, spec)
        return cls

    return register


def spec_of_class(cls: type) -> ControllerSpec:
    """Return what a class was registered as. Raises: InvalidError."""
    spec = getattr(cls, _ATTRIBUTE, None)
    if not isinstance(spec, ControllerSpec):
        raise InvalidError(
            f"{cls.__module__}.{cls.__qualname__} is no controller: decorate it with @controller",
            code="invalid_controller",
        )
    return spec


def load_controllers() -> list[ControllerSpec]:
    """Return the installed controllers, by the name of their entry point. Raises: InvalidError."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return [spec_of_class(point.load()) for point in points]
