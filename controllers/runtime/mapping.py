"""From a change of one object to the keys that shall be looked at."""

from collections.abc import Callable, Iterable, Mapping

from controllers.runtime.cache import Cache, Change
from controllers.runtime.objects import (
    Object,
    controller_of,
    labels_of,
    namespace_of,
    request_of,
)
from controllers.runtime.request import Request
from crdtstate.model import Kind

__all__ = ["Caches", "Mapper", "by_label", "everyone", "to_controller", "to_self"]

Caches = Mapping[Kind, Cache]
Mapper = Callable[[Change, Caches], Iterable[Request]]


def to_self(change: Change, _caches: Caches) -> Iterable[Request]:
    """The object itself."""
    return [request_of(change.object)]


def to_controller(kind: Kind) -> Mapper:
    """The object's controlling owner, where that is of this kind; both, when it changes."""

    def mapper(change: Change, _caches: Caches) -> Iterable[Request]:
        found: dict[Request, None] = {}
        for body in (change.before, change.after):
            request = _controlled_by(kind, body) if body is not None else None
            if request is not None:
                found[request] = None
        return found

    return mapper


def _controlled_by(kind: Kind, body: Object) -> Request | None:
    owner = controller_of(body)
    if owner is None or owner.get("kind") != kind.kind:
        return None
    if str(owner.get("apiVersion", "")).rpartition("/")[0] != kind.group:
        return None
    return Request(namespace_of(body) if kind.namespaced else "", str(owner.get("name", "")))


def by_label(label: str) -> Mapper:
    """The object of the same namespace that a label names."""

    def mapper(change: Change, _caches: Caches) -> Iterable[Request]:
        found: dict[Request, None] = {}
        for body in (change.before, change.after):
            name = labels_of(body).get(label) if body is not None else None
            if body is not None and name:
                found[Request(namespace_of(body), name)] = None
        return found

    return mapper


def everyone(kind: Kind) -> Mapper:
    """All objects of a kind. For changes that are rare. Cost: O(all of the kind)."""

    def mapper(_change: Change, caches: Caches) -> Iterable[Request]:
        return [request_of(body) for body in caches[kind].list()]

    return mapper
