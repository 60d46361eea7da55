"""Service: the addresses of its pods, as EndpointSlices and as Endpoints.

The name of a slice is a function of the Service and of the slice's number. A pod on a host that is
not heard is not ready: as far as this side of a cut can tell, nobody reaches it.

Invariants:
    EPS-1  The addresses of a slice are in one order on every peer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from controllers.builtin.names import slot_name
from controllers.builtin.performing import perform_for
from controllers.builtin.pods import host_of, is_finished, is_ready
from controllers.runtime.actions import Action, Create, Patch, difference, removal
from controllers.runtime.cache import Change
from controllers.runtime.mapping import Caches
from controllers.runtime.objects import (
    Object,
    annotations_of,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    request_of,
    spec_of,
    status_of,
    uid_of,
)
from controllers.runtime.registry import Watch, controller
from controllers.runtime.request import DONE, Request, Result
from controllers.runtime.scope import Scope
from crdtstate.client.kinds import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES

__all__ = ["EndpointsState", "ServiceEndpoints", "plan"]

SLICE_MAX = 100
_SERVICE_LABEL = "kubernetes.io/service-name"
_MANAGED_LABEL, _MANAGER = "endpointslice.kubernetes.io/managed-by", "crdtstate-controllers"
_MIRROR_LABEL = "endpointslice.kubernetes.io/skip-mirror"


@final
@dataclass(frozen=True, kw_only=True)
class EndpointsState:
    """What a plan is made of."""

    service: Object
    pods: Sequence[Object]
    """Those of the namespace that the selector selects."""
    slices: Sequence[Object]
    endpoints: Object | None
    silent: frozenset[str] = frozenset()


def plan(state: EndpointsState) -> list[Action]:
    """Return what to do. A Service without a selector is left to its user."""
    service = state.service
    if not spec_of(service).get("selector") or is_deleting(service):
        return []
    if spec_of(service).get("type") == "ExternalName":
        return []
    rows = [
        (pod, str(status_of(pod).get("podIP")))
        for pod in sorted(state.pods, key=name_of)
        if status_of(pod).get("podIP") and not is_finished(pod)
    ]
    return [*_slices(state, rows), *_endpoints(state, rows)]


def _conditions(state: EndpointsState, pod: Object) -> dict[str, bool]:
    publishes = bool(spec_of(state.service).get("publishNotReadyAddresses"))
    serving = is_ready(pod) and host_of(pod) not in state.silent
    ending = is_deleting(pod)
    return {
        "ready": (serving or publishes) and not ending, "serving": serving, "terminating": ending,
    }  # fmt: skip


def _port_of(pod: Object, port: Mapping[str, Any]) -> int | None:
    target = port.get("targetPort", port.get("port"))
    if isinstance(target, int):
        return target
    for container in spec_of(pod).get("containers") or []:
        for row in container.get("ports") or []:
            if row.get("name") == target:
                return int(row["containerPort"])
    return int(target) if isinstance(target, str) and target.isdigit() else None


def _reference(pod: Object) -> dict[str, Any]:
    return {
        "kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod),
    }  # fmt: skip


def _by_ports(
    state: EndpointsState, rows: Sequence[tuple[Object, str]]
) -> list[tuple[list[dict[str, Any]], list[tuple[Object, str]]]]:
    """Group pods by what the ports of the Service are on them; a name may differ between pods."""
    groups: dict[tuple[Any, ...], tuple[list[dict[str, Any]], list[tuple[Object, str]]]] = {}
    for pod, address in rows:
        ports = []
        for port in spec_of(state.service).get("ports") or []:
            number = _port_of(pod, port)
            if number is not None:
                named = {"name": port.get("name", ""), "protocol": port.get("protocol", "TCP")}
                if port.get("appProtocol"):
                    named["appProtocol"] = port["appProtocol"]
                ports.append({**named, "port": number})
        key = tuple(tuple(sorted(port.items())) for port in ports)
        groups.setdefault(key, (ports, []))[1].append((pod, address))
    return [groups[key] for key in sorted(groups)]


# -- EndpointSlices --------------------------------------------------------------------------------


def _slices(state: EndpointsState, rows: Sequence[tuple[Object, str]]) -> list[Action]:
    service = state.service
    wanted: dict[str, dict[str, Any]] = {}
    parts = [
        (ports, "IPv6" if six else "IPv4", group[at : at + SLICE_MAX])
        for ports, found in _by_ports(state, rows)
        for six in (False, True)
        for group in [[row for row in found if (":" in row[1]) == six]]
        for at in range(0, len(group), SLICE_MAX)
    ] or [([], "IPv4", [])]
    for number, (ports, family, group) in enumerate(parts):
        name = slot_name(name_of(service), str(number))
        wanted[name] = {
            "addressType": family,
            "endpoints": [_endpoint(state, pod, address) for pod, address in group],
            "ports": ports,
        }
    mine = {name_of(s): s for s in state.slices if labels_of(s).get(_MANAGED_LABEL) == _MANAGER}
    actions: list[Action] = []
    for name, body in wanted.items():
        found = mine.pop(name, None)
        if found is None or found.get("addressType") != body["addressType"]:
            # The type of a slice cannot change: the old one goes, the next look makes the new.
            actions.append(
                removal(ENDPOINT_SLICES, found) if found is not None
                else Create(ENDPOINT_SLICES, _slice(service, name, body))
            )  # fmt: skip
            continue
        change = difference({n: found.get(n) or [] for n in ("endpoints", "ports")},
                            {n: body[n] for n in ("endpoints", "ports")})  # fmt: skip
        if change:
            actions.append(
                Patch(kind=ENDPOINT_SLICES, namespace=namespace_of(service), name=name,
                      patch=change)
            )  # fmt: skip
    return actions + [removal(ENDPOINT_SLICES, mine[name]) for name in sorted(mine)]


def _slice(service: Object, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    labels = {_SERVICE_LABEL: name_of(service), _MANAGED_LABEL: _MANAGER}
    metadata = {
        "name": name, "namespace": namespace_of(service), "labels": labels,
        "ownerReferences": [owner_reference(SERVICES, service)],
    }  # fmt: skip
    return {"metadata": metadata, **body}


def _endpoint(state: EndpointsState, pod: Object, address: str) -> dict[str, Any]:
    endpoint: dict[str, Any] = {
        "addresses": [address], "conditions": _conditions(state, pod),
        "nodeName": host_of(pod), "targetRef": _reference(pod),
    }  # fmt: skip
    if spec_of(pod).get("subdomain") == name_of(state.service) and spec_of(pod).get("hostname"):
        endpoint["hostname"] = spec_of(pod)["hostname"]
    return endpoint


# -- Endpoints -------------------------------------------------------------------------------------


def _endpoints(state: EndpointsState, rows: Sequence[tuple[Object, str]]) -> list[Action]:
    service = state.service
    subsets = []
    for ports, group in _by_ports(state, rows):
        subset: dict[str, Any] = {}
        for field, wanted in (("addresses", True), ("notReadyAddresses", False)):
            found = [
                {"ip": address, "nodeName": host_of(pod), "targetRef": _reference(pod)}
                for pod, address in group[:1_000]
                if _conditions(state, pod)["ready"] == wanted and not is_deleting(pod)
            ]
            if found:
                subset[field] = found
        if subset:
            subsets.append({**subset, "ports": ports} if ports else subset)
    if state.endpoints is None:
        metadata = {
            "name": name_of(service), "namespace": namespace_of(service),
            "labels": {**labels_of(service), _MIRROR_LABEL: "true"},
            "ownerReferences": [owner_reference(SERVICES, service)],
        }  # fmt: skip
        return [Create(ENDPOINTS, {"metadata": metadata, "subsets": subsets})]
    if (state.endpoints.get("subsets") or []) == subsets:
        return []
    return [
        Patch(
            kind=ENDPOINTS, namespace=namespace_of(service), name=name_of(service),
            patch={"subsets": subsets},
        )
    ]  # fmt: skip


# -- reconciling -----------------------------------------------------------------------------------


def _services_of(change: Change, caches: Caches) -> list[Request]:
    """The Services that select a pod, as it is or as it was."""
    found: dict[Request, None] = {}
    for pod in (change.before, change.after):
        if pod is None:
            continue
        labels = labels_of(pod)
        for service in caches[SERVICES].find("namespace", namespace_of(pod)):
            selector = spec_of(service).get("selector")
            if selector and selector.items() <= labels.items():
                found[request_of(service)] = None
    return list(found)


def _matters(change: Change) -> bool:
    before, after = change.before, change.after
    if before is None or after is None:
        return True
    return (
        labels_of(before) != labels_of(after)
        or is_ready(before) != is_ready(after)
        or is_deleting(before) != is_deleting(after)
        or is_finished(before) != is_finished(after)
        or host_of(before) != host_of(after)
        or status_of(before).get("podIP") != status_of(after).get("podIP")
        or annotations_of(before) != annotations_of(after)
    )


def _by_service(body: Object) -> list[str]:
    return [f"{namespace_of(body)}/{labels_of(body).get(_SERVICE_LABEL, '')}"]


@final
@controller(
    "endpoints", of=SERVICES, owns=[ENDPOINT_SLICES], workers=4,
    watches=[
        Watch(PODS, _services_of, _matters),
        Watch(ENDPOINTS, lambda change, _caches: [request_of(change.object)]),
    ],
    indexes={
        SERVICES: {"namespace": lambda service: [namespace_of(service)]},
        PODS: {"namespace": lambda pod: [namespace_of(pod)]},
        ENDPOINT_SLICES: {"service": _by_service},
    },
)  # fmt: skip
class ServiceEndpoints:
    """Reads the caches, plans, performs."""

    async def reconcile(self, request: Request, scope: Scope) -> Result:
        """Bring the endpoints of one Service up to date."""
        service = scope.get(SERVICES, request.name, request.namespace)
        if service is None:
            return DONE
        selector = spec_of(service).get("selector") or {}
        state = EndpointsState(
            service=service,
            pods=[
                pod
                for pod in scope.find(PODS, "namespace", request.namespace)
                if selector.items() <= labels_of(pod).items()
            ],
            slices=scope.find(ENDPOINT_SLICES, "service", str(request)),
            endpoints=scope.get(ENDPOINTS, request.name, request.namespace),
            silent=frozenset(scope.view.silent_ms),
        )
        await perform_for(scope, SERVICES, service, plan(state))
        return DONE
