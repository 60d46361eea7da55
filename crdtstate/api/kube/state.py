"""What all handlers of the resource API share: the peer, its kinds, its objects as they are shown.

Invariants:
    KST-1  The four namespaces that every cluster has are always visible; the first write to one
           makes it an object like any other, under the uid that was shown before.
"""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple, final

import msgspec

from crdtstate.api.kube.faces import CRDS, DEFAULT_NAMESPACES, NAMESPACES, face_of
from crdtstate.api.kube.feed import Feed
from crdtstate.api.kube.routes import Route
from crdtstate.api.ports import Backend
from crdtstate.kube.cache import CachedObject, CacheEvent
from crdtstate.kube.crds import resources_of
from crdtstate.kube.defaulting import apply_defaults
from crdtstate.kube.keys import ObjectKey
from crdtstate.kube.resources import Registry, Resource
from crdtstate.kube.statuses import StatusError
from crdtstate.kube.uids import uid_bytes, uid_text

__all__ = ["KubeState", "qualified"]

_encode = msgspec.json.Encoder().encode
_BEGINNING = "2024-01-01T00:00:00Z"
"""When the default namespaces began: the same on every peer, before anything was written."""


def qualified(resource: Resource) -> str:
    """Return `plural.group`, as messages name a resource."""
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural
