"""Dependents of what is gone: removed, or let go, as the deletion of the owner said.

In a store where every write is accepted everywhere, "not here" is not "gone": the owner may be on
its way. A dependent goes only when the deletion of each of its owners is known: the peer says that
this uid was deleted; or the owner is nowhere while, for a minute, every member was heard, so that
what any of them has is here.

So does what the other side of a cut created in a namespace that this side deleted meanwhile. Here
"not here" is "gone": whoever made the object saw the namespace, and no peer shows an effect without
its cause.

Invariants:
    COL-1  Nothing is removed because an owner is not seen.
    COL-2  An owner that is deleted in the foreground goes after the dependents that block it; in a
           ring of owners nobody blocks.
    COL-3  What is in a namespace goes when one peer shows it and, asked later, not the namespace.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

from controllers.runtime.actions import Action, Patch, removal
from controllers.runtime.cache import Cache, Change
from controllers.runtime.finalizers import has_finalizer, without_finalizer
from controllers.runtime.mapping import Caches
from controllers.runtime.objects import (
    Object,
    is_deleting,
    meta,
    name_of,
    namespace_of,
    owners_of,
    uid_of,
)
from controllers.runtime.registry import controller
from controllers.runtime.request import DONE, Request, Result
from controllers.runtime.scope import OWNER_INDEX, Scope
from crdtstate.client.kinds import NAMESPACES
from crdtstate.model import Kind

__all__ = ["Collector", "CollectorState", "Fate", "plan"]

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
Fate = Literal["here", "deleted", "unknown"]
SURE_MS = 60_000
"""How long every member must be heard, and an owner be nowhere, before it counts as deleted."""
_AGAIN_MS = 15_000
_RING_MAX = 1_000


@final
@dataclass(frozen=True, kw_only=True)
class CollectorState:
    """What a plan is made of."""

    kind: Kind
    body: Object
    fates: Mapping[str, Fate]
    """What is known of each of its owners, by uid."""
    dependents: Sequence[tuple[Kind, Object]] = ()
    """What names it as an owner; asked for only when it is being deleted."""
    in_ring: bool = False
    """Whether it depends on itself, through others."""
    stray: bool = False
    """Whether its namespace was deleted."""


def plan(state: CollectorState) -> list[Action]:
    """Return what to do about one object."""
    body = state.body
    if is_deleting(body):
        if has_finalizer(body, ORPHAN):
            return _let_go(state)
        if has_finalizer(body, FOREGROUND):
            return _in_foreground(state)
        return []
    if state.stray:
        return [removal(state.kind, body, propagation="Background")]
    owners = owners_of(body)
    gone = [o for o in owners if state.fates.get(str(o.get("uid"))) == "deleted"]
    if not gone:
        return []
    if len(gone) == len(owners):
        return [removal(state.kind, body, propagation="Background")]
    return [_disowned(state.kind, body, {str(o.get("uid")) for o in gone})]


def _disowned(kind: Kind, body: Object, uids: Iterable[str]) -> Patch:
    left = [o for o in owners_of(body) if str(o.get("uid")) not in set(uids)]
    return _with_owners(kind, body, left)


def _unblocking(kind: Kind, body: Object) -> Patch:
    owners = [{**owner, "blockOwnerDeletion": False} for owner in owners_of(body)]
    return _with_owners(kind, body, owners)


def _with_owners(kind: Kind, body: Object, owners: Sequence[Object]) -> Patch:
    metadata = {"ownerReferences": owners, "resourceVersion": meta(body)["resourceVersion"]}
    return Patch(
        kind=kind, namespace=namespace_of(body), name=name_of(body), patch={"metadata": metadata}
    )


def _released(state: CollectorState, finalizer: str) -> list[Action]:
    body = state.body
    change = without_finalizer(body, finalizer)
    metadata = {**change["metadata"], "resourceVersion": meta(body)["resourceVersion"]}
    return [Patch(kind=state.kind, namespace=namespace_of(body), name=name_of(body),
                  patch={"metadata": metadata})]  # fmt: skip


def _let_go(state: CollectorState) -> list[Action]:
    if not state.dependents:
        return _released(state, ORPHAN)
    return [_disowned(kind, body, [uid_of(state.body)]) for kind, body in state.dependents]


def _in_foreground(state: CollectorState) -> list[Action]:
    uid = uid_of(state.body)
    if state.in_ring and any(o.get("blockOwnerDeletion") for o in owners_of(state.body)):
        return [_unblocking(state.kind, state.body)]
    blocking = [
        body
        for _, body in state.dependents
        for owner in owners_of(body)
        if owner.get("uid") == uid and owner.get("blockOwnerDeletion")
    ]
    doomed = [(k, b) for k, b in state.dependents if not is_deleting(b)]
    if not blocking and not doomed:
        return _released(state, FOREGROUND)
    return [removal(kind, body, propagation="Foreground") for kind, body in doomed]


# -- keys: every kind in one controller ------------------------------------------------------------


def key_of(kind: Kind, body: Object) -> Request:
    """Return the key of an object of any kind."""
    return Request(f"{kind.name}:{namespace_of(body)}", name_of(body))


def _cache_of(key: Request, caches: Caches) -> tuple[Cache, Request] | None:
    plural, _, namespace = key.namespace.partition(":")
    cache = next((c for kind, c in caches.items() if kind.name == plural), None)
    return None if cache is None else (cache, Request(namespace, key.name))


def _dependents(uid: str, caches: Caches) -> list[tuple[Kind, Object]]:
    found = {
        uid_of(body): (kind, body)
        for kind, cache in caches.items()
        for body in cache.find(OWNER_INDEX, uid)
    }
    return list(found.values())


def _is_in_ring(uid: str, caches: Caches) -> bool:
    """Whether an object is among its own dependents' dependents. Cost: O(those), bounded."""
    seen: dict[str, None] = {uid: None}
    waiting = [uid]
    while waiting and len(seen) < _RING_MAX:
        for _, body in _dependents(waiting.pop(), caches):
            below = uid_of(body)
            if below == uid:
                return True
            if below not in seen:
                seen[below] = None
                waiting.append(below)
    return False


def _seems_stray(body: Object, caches: Caches) -> bool:
    """Whether the namespace is not seen; its informer may be late, so that the peer is asked."""
    namespace = namespace_of(body)
    return bool(namespace) and caches[NAMESPACES].get(Request("", namespace)) is None


def _owner_key(owner: Mapping[str, object], namespace: str, caches: Caches) -> Request | None:
    group = str(owner.get("apiVersion", "")).rpartition("/")[0]
    kind = next((k for k in caches if k.kind == owner.get("kind") and k.group == group), None)
    if kind is None:
        return None
    return Request(f"{kind.name}:{namespace if kind.namespaced else ''}", str(owner.get("name")))


def concerned(change: Change, caches: Caches) -> Iterable[Request]:
    """An object with owners, marked, or astray; dependents of one that goes; an owner that waits.

    Cost: of a namespace that goes, O(kinds + what is in it).
    """
    found: dict[Request, None] = {}
    body, after = change.object, change.after
    if after is not None and (
        owners_of(after) or is_deleting(after) or _seems_stray(after, caches)
    ):
        found[key_of(change.kind, after)] = None
    if after is None and change.kind == NAMESPACES:
        for kind, cache in caches.items():
            for left in cache.list(name_of(body)) if kind.namespaced else ():
                found[key_of(kind, left)] = None
    if after is None:
        for kind, dependent in _dependents(uid_of(body), caches):
            found[key_of(kind, dependent)] = None
    still = {str(o.get("uid")) for o in owners_of(after)} if after is not None else set()
    for owner in owners_of(change.before) if change.before is not None else ():
        key = _owner_key(owner, namespace_of(body), caches)
        if key is not None and str(owner.get("uid")) not in still:
            found[key] = None  # It may be waiting for this.
    return found


@final
@controller(
    "collector", of=NAMESPACES, predicate=lambda _change: False, everything=concerned, workers=4
)
class Collector:
    """Finds out the fate of owners, plans, performs."""

    def __init__(self) -> None:
        self._missed: dict[str, int] = {}  # uid -> since when it is nowhere, and all are heard.

    async def reconcile(self, request: Request, scope: Scope) -> Result:
        """Look at one object of any kind."""
        found = _cache_of(request, scope.caches)
        body = found[0].get(found[1]) if found is not None else None
        if found is None or body is None:
            return DONE
        if not scope.view.settled:
            return Result(_AGAIN_MS)
        kind = found[0].kind
        stray = _seems_stray(body, scope.caches) and await self._is_stray(body, scope)
        fates: dict[str, Fate] = {}
        for owner in owners_of(body) if not is_deleting(body) else ():
            fates[str(owner.get("uid"))] = await self._fate(owner, namespace_of(body), scope)
        dependents: list[tuple[Kind, Object]] = []
        if has_finalizer(body, ORPHAN) or has_finalizer(body, FOREGROUND):
            dependents = _dependents(uid_of(body), scope.caches)
            # Before it is let go for ever, what the peer shows is asked: a cache may be late.
            dependents = dependents or await self._fetched(kind, body, scope)
        in_ring = has_finalizer(body, FOREGROUND) and _is_in_ring(uid_of(body), scope.caches)
        state = CollectorState(
            kind=kind, body=body, fates=fates, dependents=dependents, in_ring=in_ring, stray=stray
        )
        await scope.perform(plan(state))
        return Result(_AGAIN_MS) if "unknown" in fates.values() else DONE

    async def _is_stray(self, body: Object, scope: Scope) -> bool:
        there = await scope.fetch(NAMESPACES)
        return namespace_of(body) not in map(name_of, there)  # COL-3

    async def _fetched(self, kind: Kind, owner: Object, scope: Scope) -> list[tuple[Kind, Object]]:
        found: list[tuple[Kind, Object]] = []
        namespace = namespace_of(owner) or None
        for each in await scope.served("list", "delete"):
            if each.namespaced or not kind.namespaced:
                listed = await scope.fetch(each, namespace if each.namespaced else None)
                found += [
                    (each, body)
                    for body in listed
                    if any(o.get("uid") == uid_of(owner) for o in owners_of(body))
                ]
        return found

    async def _fate(self, owner: Mapping[str, object], namespace: str, scope: Scope) -> Fate:
        uid, name = str(owner.get("uid")), str(owner.get("name"))
        key = _owner_key(owner, namespace, scope.caches)
        found = _cache_of(key, scope.caches) if key is not None else None
        if found is None:
            return "unknown"  # A kind that is not served here: it may be one day.
        cache, target = found
        here = cache.get(target)
        if here is not None and uid_of(here) == uid:
            self._missed.pop(uid, None)
            return "here"
        known = await scope.was_deleted(cache.kind, name, target.namespace, uid)
        if known is False:
            self._missed.pop(uid, None)
            return "here"
        if known:
            self._missed.pop(uid, None)
            return "deleted"
        return "deleted" if self._is_nowhere(uid, scope) else "unknown"

    def _is_nowhere(self, uid: str, scope: Scope) -> bool:
        """Whether every member has been heard for long enough without bringing this uid."""
        if not scope.view.members or scope.view.silent_ms:
            self._missed.pop(uid, None)
            return False
        if len(self._missed) > 10_000:
            self._missed.clear()  # Waiting again is harmless.
        return scope.now_ms - self._missed.setdefault(uid, scope.now_ms) >= SURE_MS
