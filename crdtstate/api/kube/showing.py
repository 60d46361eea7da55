"""Stored objects as clients see them: their face, their defaults, kind and resourceVersion."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

from crdtstate.api.kube.answers import encode
from crdtstate.api.kube.faces import CRDS, face_of
from crdtstate.kube.cache import CachedObject
from crdtstate.kube.crds import crd_status
from crdtstate.kube.defaulting import apply_defaults
from crdtstate.kube.resources import Resource
from crdtstate.kube.selectors import Selection

__all__ = ["Showing"]


@final
class Showing:
    """Shows the objects of one peer. Each is encoded once a version."""

    def __init__(self) -> None:
        self.conflicts: Mapping[str, str] = {}
        """Definitions whose names another one has, and why: no such thing is stored."""

    def body(self, resource: Resource, body: Mapping[str, Any], version: str) -> dict[str, Any]:
        """Return a stored body as clients see it; `version` empty: it has none yet."""
        face = face_of(resource)
        shown = apply_defaults(resource.schema, face.compute(face.show(dict(body))))
        metadata = dict(shown["metadata"])
        if version:
            metadata["resourceVersion"] = version
        conflict = self._conflict(resource, metadata.get("name", ""))
        if conflict:
            shown = {**shown, "status": crd_status(shown, conflict)}
        head = {"apiVersion": resource.api_version, "kind": resource.kind}
        return {**head, **shown, "metadata": metadata}

    def object(self, resource: Resource, cached: CachedObject) -> dict[str, Any]:
        """Return an object as clients see it. Cost: O(its size), each time."""
        return self.body(resource, cached.body, str(cached.version))

    def encoded(self, resource: Resource, cached: CachedObject) -> bytes:
        """Return the JSON of an object; made once a version."""
        form = (resource, self._conflict(resource, cached.key.name))
        return cached.encoded(form, lambda held: encode(self.object(resource, held)))

    def select(
        self, resource: Resource, objects: Sequence[CachedObject], select: Selection
    ) -> Iterator[CachedObject]:
        """Yield the objects that a client wants. Cost: O(objects); their sizes, for fields."""
        for cached in objects:
            if not select.fields:
                chosen = select.matches(cached.body)
            else:
                chosen = select.name in (None, cached.key.name) and select.matches(
                    self.object(resource, cached)
                )
            if chosen:
                yield cached

    def _conflict(self, resource: Resource, name: str) -> str:
        return self.conflicts.get(name, "") if resource.stored_as == CRDS else ""
