"""What all handlers of the resource API share: the peer, its kinds, its objects.

Invariants:
    KST-1  The four namespaces that every cluster has are always visible; the first write to one
           makes it an object like any other, under the uid that was shown before.
"""

import random
from typing import final

from crdtstate.api.kube.faces import BEGINNING, CRDS, DEFAULT_NAMESPACES, NAMESPACES
from crdtstate.api.kube.feed import Feed
from crdtstate.api.kube.quotas import Quotas
from crdtstate.api.kube.routes import Route
from crdtstate.api.kube.showing import Showing
from crdtstate.api.ports import Backend
from crdtstate.kube.cache import CachedObject, Event
from crdtstate.kube.crds import name_conflicts, resources_of
from crdtstate.kube.keys import ObjectKey
from crdtstate.kube.objects import Live
from crdtstate.kube.reading import Shown
from crdtstate.kube.resources import Registry, Resource
from crdtstate.kube.statuses import StatusError
from crdtstate.kube.uids import uid_bytes, uid_text

__all__ = ["CLEANUP", "KubeState", "not_found", "qualified"]

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer of a definition that waits for the end of its objects."""


def qualified(resource: Resource) -> str:
    """Return `plural.group`, as messages name a resource."""
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


@final
class KubeState:
    """One peer's kinds and objects.

    Args:
        rng: Where generated names come from.
    """

    def __init__(
        self,
        backend: Backend,
        feed: Feed,
        registry: Registry,
        rng: random.Random,
    ) -> None:
        self.backend, self.feed, self.registry, self.rng = backend, feed, registry, rng
        quota = registry.find("", "v1", "resourcequotas")
        assert quota is not None
        self.quotas = Quotas(feed, quota)
        self._crds: dict[str, int] = {}  # name -> version of what the registry has of it
        self._crds_seen = 0
        self.ending: dict[str, str] = {}
        """Definitions that are being deleted: the kind that each has, empty when it has none."""
        self.showing = Showing()
        self._virtual = {name: self._make_virtual(name) for name in DEFAULT_NAMESPACES}

    def _make_virtual(self, name: str) -> CachedObject:
        key = ObjectKey(NAMESPACES, "", name)
        uid = uid_text(uid_bytes(self.feed.cluster_id, key, 0))
        body = {
            "metadata": {
                "name": name,
                "uid": uid,
                "creationTimestamp": BEGINNING,
                "labels": {"kubernetes.io/metadata.name": name},
                "finalizers": ["spec:kubernetes"],
            }
        }
        shown = Shown(b"", {}, body, uid, False, (0, (0, 0)), "", 0)
        return CachedObject(key, shown, self.feed.cache.version)

    # -- kinds ---------------------------------------------------------------------------------

    def resource(self, route: Route) -> Resource:
        """Return the resource of a path. Raises: StatusError (NotFound)."""
        self.refresh()
        found = self.registry.find(route.group, route.version, route.plural)
        if found is None or not found.served:
            raise StatusError("NotFound", "the server could not find the requested resource")
        if found.namespaced != bool(route.namespace) and (route.namespace or route.name):
            raise StatusError("NotFound", "the server could not find the requested resource")
        return found

    def refresh(self) -> None:
        """Take in what changed of the CustomResourceDefinitions. Cost: O(1) when nothing did."""
        last = self.feed.cache.last(CRDS)
        if last == self._crds_seen:
            return
        self._crds_seen = last
        found = {cached.key.name: cached for cached in self.feed.cache.list(CRDS)}
        conflicts = name_conflicts(cached.body for cached in found.values())
        self.showing.conflicts = conflicts
        accepted = {n: cached for n, cached in found.items() if n not in conflicts}
        for name in self._crds.keys() - accepted.keys():
            del self._crds[name]
            self.registry.set_custom(name, ())
        self.ending = {
            name: f"{cached.body['spec']['group']}/{cached.body['spec']['names']['plural']}"
            if name in accepted
            else ""
            for name, cached in found.items()
            if _waits(cached)
        }
        for name, cached in accepted.items():
            if self._crds.get(name) != cached.version:
                self._crds[name] = cached.version
                self.registry.set_custom(name, resources_of(cached.body))

    # -- objects -------------------------------------------------------------------------------

    def get(self, resource: Resource, namespace: str, name: str) -> CachedObject | None:
        """Return one object as this peer shows it."""
        stored_as = resource.stored_as
        found = self.feed.cache.get(stored_as, namespace, name)
        if found is None and stored_as == NAMESPACES:
            return self._virtual.get(name)
        return found

    def require(self, resource: Resource, namespace: str, name: str) -> CachedObject:
        """Return one object. Raises: StatusError (NotFound)."""
        found = self.get(resource, namespace, name)
        if found is None:
            raise not_found(resource, name)
        return found

    def require_uid(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """Check that the object of this uid is there.

        Raises: StatusError (NotFound); details.uid says that its deletion is known here.
        """
        found = self.get(resource, namespace, name)
        if found is not None and found.uid == uid:
            return
        refusal = not_found(resource, name)
        if self.feed.was_deleted(ObjectKey(resource.stored_as, namespace, name), uid):
            refusal.details["uid"] = uid
        raise refusal

    def objects(self, resource: Resource, namespace: str) -> list[CachedObject]:
        """Return the objects of a kind by namespace and name."""
        stored_as = resource.stored_as
        found = self.feed.cache.list(stored_as, namespace or None)
        if stored_as == NAMESPACES:
            names = {cached.key.name for cached in found}
            found += [v for name, v in self._virtual.items() if name not in names]
            found.sort(key=lambda cached: cached.key)
        return found

    def is_default_namespace(self, resource: Resource, name: str) -> bool:
        """Whether it is one of those that are there without ever having been written."""
        return resource.stored_as == NAMESPACES and name in self._virtual

    def live_virtual(self, resource: Resource, name: str) -> Live | None:
        """Return a default namespace that was never written, as a writer sees it (KST-1)."""
        if not self.is_default_namespace(resource, name):
            return None
        body = dict(self._virtual[name].body)
        return Live({**body, "metadata": dict(body["metadata"])}, "")

    def events_after(self, resource: Resource, version: int, *, own: bool = False) -> list[Event]:
        """Return what happened to a kind after a version. Raises: StatusError (Expired)."""
        cache = self.feed.cache
        try:
            events = cache.events_after(resource.stored_as, version, own=own)
        except StatusError:  # Another peer's, perhaps: what its client is told next is above it.
            cache.absorb(version, self.backend.wall_ms())
            raise
        if resource.stored_as != NAMESPACES:
            return events
        return [self._as_seen(event) for event in events]

    def _as_seen(self, event: Event) -> Event:
        virtual = self._virtual.get(event.object.key.name)
        if virtual is None or event.type != "ADDED":
            return event
        return Event("MODIFIED", virtual, event.object)

    def require_namespace(self, namespace: str) -> None:
        """Check that something may be created in a namespace.

        Raises: StatusError (NotFound, Forbidden).
        """
        found = self.feed.cache.get(NAMESPACES, "", namespace) or self._virtual.get(namespace)
        if found is None:
            raise StatusError(
                "NotFound",
                f'namespaces "{namespace}" not found',
                details={"name": namespace, "kind": "namespaces"},
            )
        if "deletionTimestamp" in found.body["metadata"]:
            text = f"namespace {namespace} is being terminated"
            cause = {
                "reason": "NamespaceTerminating", "message": text, "field": "metadata.namespace",
            }  # fmt: skip
            raise StatusError(
                "Forbidden",
                f"unable to create new content in namespace {namespace} because it is being "
                "terminated",
                causes=[cause],
                details={"name": namespace, "kind": "namespaces"},
            )


def _waits(crd: CachedObject) -> bool:
    metadata = crd.body["metadata"]
    return "deletionTimestamp" in metadata and CLEANUP in (metadata.get("finalizers") or ())


def not_found(resource: Resource, name: str) -> StatusError:
    """Return the refusal for an object that is not there."""
    return StatusError(
        "NotFound",
        f'{qualified(resource)} "{name}" not found',
        details={"name": name, "group": resource.group, "kind": resource.plural},
    )
