"""What some built-in kinds have of their own: two faces of Events, phases, fields set at creation.

An object has a stored face and a shown face. They are the same but for: Events, stored once and
shown by two groups; Namespaces, whose `spec.finalizers` are stored as finalizers like any other, so
that "gone" is one rule; and what is computed when shown and never stored (phases, the status of a
CustomResourceDefinition).

Source: Kubernetes' registry strategies (PrepareForCreate, PrepareForUpdate) of each kind.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, final

from crdtstate.kube.crds import crd_status
from crdtstate.kube.resources import Resource

__all__ = ["BEGINNING", "DEFAULT_NAMESPACES", "NAMESPACES", "Face", "face_of"]

NAMESPACES = "/namespaces"
SECRETS, EVENTS, PODS = "/secrets", "/events", "/pods"
CRDS = "apiextensions.k8s.io/customresourcedefinitions"
DEFAULT_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
BEGINNING = "2024-01-01T00:00:00Z"
"""When the default namespaces began: the same on every peer, before anything was written."""
_SPEC_FINALIZER = "spec:"  # No finalizer that a user gives has a colon: names are qualified.

Body = dict[str, Any]


def _same(body: Body) -> Body:
    return body


def _keep_nothing(body: Body, _live: Body, _subresource: str) -> Body:
    return body


@final
class Face(NamedTuple):
    """How one kind is shown, stored and begun. Every function gets a body of its own to change."""

    show: Callable[[Body], Body] = _same
    store: Callable[[Body], Body] = _same
    """The inverse of `show`."""
    compute: Callable[[Body], Body] = _same
    """Fills in what is never stored, into what is shown."""
    settle: Callable[[Body], Body] = _same
    """What a client may say in two ways, said in one."""
    begin: Callable[[Body], Body] = _same
    keep: Callable[[Body, Body, str], Body] = _keep_nothing
    """(new, live, sub-resource): what this endpoint cannot change, as it is in `live`."""


def face_of(resource: Resource) -> Face:
    """Return the face of a kind."""
    if resource.group == "events.k8s.io" and resource.plural == "events":
        return _EVENT_OF_ITS_GROUP
    return _FACES.get(resource.stored_as, _PLAIN)


# -- namespaces --------------------------------------------------------------------------------


def _show_namespace(body: Body) -> Body:
    metadata = dict(body["metadata"])
    finalizers = metadata.pop("finalizers", None) or []
    inner = [f.removeprefix(_SPEC_FINALIZER) for f in finalizers if f.startswith(_SPEC_FINALIZER)]
    outer = [f for f in finalizers if not f.startswith(_SPEC_FINALIZER)]
    if outer:
        metadata["finalizers"] = outer
    if metadata["name"] in DEFAULT_NAMESPACES:
        metadata["creationTimestamp"] = BEGINNING
    shown = dict(body, metadata=metadata)
    shown["spec"] = {**(body.get("spec") or {}), **({"finalizers": inner} if inner else {})}
    return shown


def _store_namespace(body: Body) -> Body:
    metadata, spec = dict(body["metadata"]), dict(body.get("spec") or {})
    status = dict(body.get("status") or {})
    inner = [_SPEC_FINALIZER + f for f in spec.pop("finalizers", None) or []]
    finalizers = [*(metadata.get("finalizers") or []), *inner]
    metadata.pop("finalizers", None)
    if finalizers:
        metadata["finalizers"] = finalizers
    status.pop("phase", None)
    stored = dict(body, metadata=metadata, spec=spec, status=status)
    return {key: value for key, value in stored.items() if value or key not in ("spec", "status")}


def _begin_namespace(body: Body) -> Body:
    metadata = dict(body["metadata"])
    labels = dict(metadata.get("labels") or {})
    metadata["labels"] = labels | {"kubernetes.io/metadata.name": metadata["name"]}
    spec = dict(body.get("spec") or {})
    spec["finalizers"] = sorted({*(spec.get("finalizers") or []), "kubernetes"})
    return dict(body, metadata=metadata, spec=spec)


def _keep_namespace(body: Body, live: Body, subresource: str) -> Body:
    """`spec.finalizers` is changed by /finalize, which changes nothing else."""
    source, target = (body, live) if subresource == "finalize" else (live, body)
    finalizers = (source.get("spec") or {}).get("finalizers")
    spec = {k: v for k, v in (target.get("spec") or {}).items() if k != "finalizers"}
    return {**target, "spec": {**spec, **({"finalizers": finalizers} if finalizers else {})}}


# -- secrets -----------------------------------------------------------------------------------


def _settle_secret(body: Body) -> Body:
    given = body.get("stringData")
    if given is None:
        return body
    stored = {key: value for key, value in body.items() if key != "stringData"}
    if isinstance(given, Mapping) and given:
        encoded = {
            key: base64.b64encode(text.encode()).decode()
            for key, text in given.items()
            if isinstance(text, str)
        }
        stored["data"] = {**(body.get("data") or {}), **encoded}
    return stored


# -- pods --------------------------------------------------------------------------------------


def _compute_pod(body: Body) -> Body:
    status = body.get("status") or {}
    return body if "phase" in status else dict(body, status={"phase": "Pending", **status})


# -- events ------------------------------------------------------------------------------------

_EVENT_NAMES: Mapping[str, str] = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_EVENT_NAMES_BACK = {new: old for old, new in _EVENT_NAMES.items()}


def _show_event(body: Body) -> Body:
    return {_EVENT_NAMES.get(key, key): value for key, value in body.items()}


def _store_event(body: Body) -> Body:
    return {_EVENT_NAMES_BACK.get(key, key): value for key, value in body.items()}


# -- custom resource definitions ---------------------------------------------------------------

_COMPUTED = ("NamesAccepted", "Established", "Terminating")


def _compute_crd(body: Body) -> Body:
    computed, status = crd_status(body), dict(body.get("status") or {})
    others = [c for c in status.get("conditions") or () if c.get("type") not in _COMPUTED]
    return {**body, "status": {**computed, "conditions": [*computed["conditions"], *others]}}


def _store_crd(body: Body) -> Body:
    conditions = (body.get("status") or {}).get("conditions") or ()
    others = [c for c in conditions if isinstance(c, dict) and c.get("type") not in _COMPUTED]
    stored = {key: value for key, value in body.items() if key != "status"}
    return {**stored, "status": {"conditions": others}} if others else stored


_PLAIN = Face()
_EVENT_OF_ITS_GROUP = Face(show=_show_event, store=_store_event)
_FACES: Mapping[str, Face] = {
    NAMESPACES: Face(
        show=_show_namespace, store=_store_namespace, begin=_begin_namespace, keep=_keep_namespace
    ),
    SECRETS: Face(settle=_settle_secret),
    PODS: Face(compute=_compute_pod),
    CRDS: Face(compute=_compute_crd, store=_store_crd),
}
