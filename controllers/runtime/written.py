"""Read your own writes, for each key: a reconcile waits until its caches have its last writes.

Without it a controller that has just created ten objects looks into a cache that does not show them
yet, and creates ten more (or, with names that are functions of the owner, tries to, and fights with
itself over numbers). Versions are those of one peer: a list from another ends the wait.

Source: KEP-5647, "Stale controller handling".

Invariants:
    RYW-1  While `missing` names a kind, the cache of that kind does not show the write yet.
"""

from collections.abc import Mapping
from typing import final

from controllers.runtime.cache import Cache
from controllers.runtime.objects import Object, is_deleting, uid_of, version_of
from controllers.runtime.request import Request
from crdtstate.model import Kind

__all__ = ["Written"]


@final
class Written:
    """The writes of one controller. Memory: keys whose writes the caches do not show yet."""

    def __init__(self, caches: Mapping[Kind, Cache]) -> None:
        self._caches = caches
        self._waits: dict[Request, dict[Kind, tuple[int, int]]] = {}
        self._deletions: dict[Request, dict[tuple[Kind, Request], tuple[int, str]]] = {}

    def note(self, request: Request, kind: Kind, body: Object) -> None:
        """Note that a reconcile of `request` has written `body`, as the peer answered."""
        cache = self._caches.get(kind)
        version = version_of(body)
        if cache is not None and version > cache.version:
            waits = self._waits.setdefault(request, {})
            before = waits.get(kind, (0, 0))
            waits[kind] = max(before, (cache.epoch, version))

    def note_deletion(self, request: Request, kind: Kind, target: Request, uid: str) -> None:
        """Note that a reconcile of `request` has deleted an object, or marked it."""
        cache = self._caches.get(kind)
        if cache is not None:
            self._deletions.setdefault(request, {})[kind, target] = (cache.epoch, uid)

    def missing(self, request: Request) -> Kind | None:
        """Return a kind whose cache is behind the writes of `request`; None when none is."""
        waits = self._waits.get(request, {})
        for kind, (epoch, version) in list(waits.items()):
            cache = self._caches[kind]
            if cache.epoch == epoch and cache.version < version:
                return kind
            del waits[kind]
        self._waits.pop(request, None)
        deletions = self._deletions.get(request, {})
        for (kind, target), (epoch, uid) in list(deletions.items()):
            cache = self._caches[kind]
            body = cache.get(target)
            there = body is not None and uid_of(body) == uid and not is_deleting(body)
            if there and cache.epoch == epoch:
                return kind
            del deletions[kind, target]
        self._deletions.pop(request, None)
        return None
