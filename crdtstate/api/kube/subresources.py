"""/scale: an object seen as a number of replicas.

Source: Kubernetes autoscaling/v1 Scale; CustomResourceDefinition `subresources.scale`.
"""

from collections.abc import Mapping
from typing import Any

from crdtstate.kube.resources import Resource
from crdtstate.kube.selectors import selector_text
from crdtstate.kube.statuses import StatusError

__all__ = ["scale_of", "with_scale"]

REPLICAS_MAX = 2**31 - 1


def _path(resource: Resource, name: str) -> list[str]:
    return [step for step in resource.scale.get(name, "").split(".") if step]


def _at(body: Mapping[str, Any], path: list[str]) -> Any:
    value: Any = body
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value if path else None


def scale_of(resource: Resource, shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Scale of an object as a client sees it."""
    metadata = shown["metadata"]
    names = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    selector = _at(shown, _path(resource, "labelSelectorPath"))
    status: dict[str, Any] = {"replicas": _at(shown, _path(resource, "statusReplicasPath")) or 0}
    text = selector if isinstance(selector, str) else selector_text(selector)
    if text:
        status["selector"] = text
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in names if name in metadata},
        "spec": {"replicas": _at(shown, _path(resource, "specReplicasPath")) or 0},
        "status": status,
    }


def with_scale(
    resource: Resource, shown: Mapping[str, Any], scale: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the object with the replicas of `scale`, and the version that `scale` names.

    Raises: StatusError (BadRequest, Invalid).
    """
    spec, metadata = scale.get("spec"), scale.get("metadata") or {}
    replicas = spec.get("replicas", 0) if isinstance(spec, Mapping) else None
    if not isinstance(metadata, Mapping) or scale.get("kind", "Scale") != "Scale":
        raise StatusError("BadRequest", "body is not a Scale")
    if type(replicas) is not int or not 0 <= replicas <= REPLICAS_MAX:
        message = f"Invalid value: {replicas!r}: must be an integer within 0 to {REPLICAS_MAX}"
        cause = {"reason": "FieldValueInvalid", "message": message, "field": "spec.replicas"}
        raise StatusError("Invalid", f"spec.replicas: {message}", causes=[cause])
    given = {k: metadata[k] for k in ("resourceVersion", "uid", "name") if metadata.get(k)}
    kept = {k: v for k, v in shown["metadata"].items() if k != "resourceVersion"}
    body = {**shown, "metadata": {**kept, **given}}
    _put(body, _path(resource, "specReplicasPath"), replicas)
    return body


def _put(body: dict[str, Any], path: list[str], value: Any) -> None:
    for step in path[:-1]:
        below = body.get(step)
        body[step] = dict(below) if isinstance(below, Mapping) else {}
        body = body[step]
    body[path[-1]] = value
