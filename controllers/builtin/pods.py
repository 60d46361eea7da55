"""What several planners ask about pods, and how they make one of a template."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from controllers.runtime.actions import Action, Patch
from controllers.runtime.objects import (
    Object,
    annotations_of,
    condition_of,
    controller_of,
    created_ms,
    is_deleting,
    labels_of,
    meta,
    name_of,
    namespace_of,
    owner_reference,
    owners_of,
    selects,
    spec_of,
    status_of,
    to_ms,
    uid_of,
)
from controllers.runtime.view import LOST_MS
from crdtstate.client.kinds import PODS
from crdtstate.model import Kind

__all__ = [
    "adopt",
    "available_in_ms",
    "goodness",
    "host_of",
    "is_active",
    "is_available",
    "is_finished",
    "is_ready",
    "lost_in_ms",
    "orphans_by_namespace",
    "pod_of",
    "release",
    "worst_first",
]

_COST = "controller.kubernetes.io/pod-deletion-cost"


def host_of(pod: Object) -> str:
    """Return the name of the Node that a pod is bound to, empty when it is to none."""
    return str(spec_of(pod).get("nodeName") or "")


def phase_of(pod: Object) -> str:
    """Return the phase, Pending when it is not said yet."""
    return str(status_of(pod).get("phase") or "Pending")


def is_finished(pod: Object) -> bool:
    """Whether all its containers have ended for good."""
    return phase_of(pod) in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Whether it runs, or is going to."""
    return not is_finished(pod) and not is_deleting(pod)


def is_ready(pod: Object) -> bool:
    """Whether its condition Ready holds."""
    condition = condition_of(pod, "Ready")
    return condition is not None and condition.get("status") == "True"


def available_in_ms(pod: Object, min_ready_s: int, now_ms: int) -> int | None:
    """Return when the pod will have been ready for long enough, 0 for now; None: it is not ready.

    Now is wall time here, and the pod's word comes from another machine's clock.
    """
    condition = condition_of(pod, "Ready")
    if condition is None or condition.get("status") != "True":
        return None
    if not min_ready_s:
        return 0
    since_ms = to_ms(condition.get("lastTransitionTime")) or now_ms
    return max(0, since_ms + min_ready_s * 1000 - now_ms)


def is_available(pod: Object, min_ready_s: int, now_ms: int) -> bool:
    """Whether it has been ready for `min_ready_s`."""
    return available_in_ms(pod, min_ready_s, now_ms) == 0


def started_ms(pod: Object) -> int:
    """Return since when it runs without a break, as well as its status tells."""
    running = [
        to_ms(((status.get("state") or {}).get("running") or {}).get("startedAt"))
        for status in status_of(pod).get("containerStatuses") or []
    ]
    known = [ms for ms in running if ms is not None]
    return max(known) if known else to_ms(status_of(pod).get("startTime")) or created_ms(pod)


def lost_in_ms(pod: Object, lost: Collection[str], now_ms: int) -> int | None:
    """Return in how many milliseconds a pod counts as lost with its host, 0 for now.

    None: its host is not lost. A pod that was made after the host fell silent has a grace of its
    own: whoever bound it there hears the host, and we may be the last to know that it is back.
    """
    if host_of(pod) not in lost:
        return None
    return max(0, created_ms(pod) + LOST_MS - now_ms)


def goodness(pod: Object, lost: Iterable[str] = ()) -> tuple[Any, ...]:
    """Return what sorts pods from the first to be removed to the one to be kept longest.

    Not on a lost host, bound, running, ready, of a higher deletion cost, and running for longer:
    in this order. The name breaks ties, so that all peers agree.
    """
    text = annotations_of(pod).get(_COST, "0")
    cost = int(text) if text.lstrip("-").isdigit() else 0
    return (
        host_of(pod) not in lost,
        bool(host_of(pod)),
        phase_of(pod) == "Running",
        is_ready(pod),
        cost,
        -started_ms(pod),
        name_of(pod),
    )


def worst_first(pods: Iterable[Object], lost: Iterable[str] = ()) -> list[Object]:
    """Sort pods, those to be removed first."""
    gone = frozenset(lost)
    return sorted(pods, key=lambda pod: goodness(pod, gone))


def pod_of(
    kind: Kind,
    owner: Object,
    template: Mapping[str, Any],
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    spec: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a pod of a template.

    Args:
        labels: More labels.
        spec: Fields of the spec that win over the template's.
    """
    given = template.get("metadata") or {}
    metadata: dict[str, Any] = {
        "name": name, "namespace": namespace_of(owner),
        "labels": {**(given.get("labels") or {}), **(labels or {})},
        "ownerReferences": [owner_reference(kind, owner)],
    }  # fmt: skip
    for field in ("annotations", "finalizers"):
        if given.get(field):
            metadata[field] = given[field]
    return {"metadata": metadata, "spec": {**(template.get("spec") or {}), **(spec or {})}}


# -- adopting and releasing ------------------------------------------------------------------------


def orphans_by_namespace(body: Object) -> list[str]:
    """An index: the namespace of an object that nobody controls."""
    return [] if controller_of(body) else [namespace_of(body)]


def adopt(
    kind: Kind,
    owner: Object,
    orphans: Sequence[Object],
    selector: Mapping[str, Any],
    *,
    child: Kind = PODS,
) -> list[Action]:
    """Take what nobody controls and the owner's selector selects."""
    if is_deleting(owner):
        return []
    return [
        _owned(child, body, [*owners_of(body), owner_reference(kind, owner)])
        for body in orphans
        if selects(selector, labels_of(body)) and is_active(body) and not controller_of(body)
    ]


def release(
    owner: Object, owned: Sequence[Object], selector: Mapping[str, Any]
) -> tuple[list[Object], list[Action]]:
    """Let go of what the selector no longer selects; return the rest, and the actions."""
    kept = [body for body in owned if selects(selector, labels_of(body))]
    actions: list[Action] = [
        _owned(PODS, body, [o for o in owners_of(body) if o.get("uid") != uid_of(owner)])
        for body in owned
        if not selects(selector, labels_of(body))
    ]
    return kept, actions


def _owned(kind: Kind, body: Object, owners: Sequence[Mapping[str, Any]]) -> Patch:
    metadata = {"ownerReferences": owners, "resourceVersion": meta(body)["resourceVersion"]}
    return Patch(
        kind=kind, namespace=namespace_of(body), name=name_of(body), patch={"metadata": metadata}
    )
