"""metrics.k8s.io: what pods and machines use now, for `kubectl top`, gathered from all agents.

Nothing of it is stored. A machine that does not answer in time is missing from the answer.
"""

from collections.abc import Iterator, Mapping
from typing import Any, final

from crdtstate.api.exchange import Request, Response
from crdtstate.api.kube.answers import object_response
from crdtstate.api.kube.elsewhere import RELAYED, Elsewhere
from crdtstate.api.kube.negotiation import choose_form
from crdtstate.api.kube.options import parse_list
from crdtstate.api.kube.podlogs import LogHandlers
from crdtstate.api.kube.routes import Route
from crdtstate.api.kube.state import KubeState, not_found
from crdtstate.kube.crd_schema import structural_schema
from crdtstate.kube.reading import format_time
from crdtstate.kube.resources import Resource
from crdtstate.kube.selectors import selection
from crdtstate.podaccess import Usage

__all__ = ["METRICS", "MetricsHandlers"]

GROUP, GATHER_MS = "metrics.k8s.io", 4_000
_QUANTITIES = {"type": "object", "additionalProperties": {"type": "string"}}
_COMMON = {
    "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
    "timestamp": {"type": "string", "format": "date-time"}, "window": {"type": "string"},
}  # fmt: skip
_CONTAINER = {
    "type": "object", "properties": {"name": {"type": "string"}, "usage": _QUANTITIES},
}  # fmt: skip
_POD = {**_COMMON, "containers": {"type": "array", "items": _CONTAINER}}


def _resource(kind: str, plural: str, properties: Mapping[str, Any], *, spaced: bool) -> Resource:
    schema = structural_schema({"type": "object", "properties": properties})
    return Resource(
        GROUP, "v1beta1", kind, plural, kind.lower(), spaced, schema, verbs=("get", "list"),
        custom=True,
    )  # fmt: skip


METRICS = (
    _resource("NodeMetrics", "nodes", {**_COMMON, "usage": _QUANTITIES}, spaced=False),
    _resource("PodMetrics", "pods", _POD, spaced=True),
)


@final
class MetricsHandlers:
    """GET of one or all."""

    def __init__(self, state: KubeState, elsewhere: Elsewhere, logs: LogHandlers) -> None:
        self._state, self._elsewhere, self._logs = state, elsewhere, logs

    async def get(self, request: Request, route: Route, resource: Resource) -> Response:
        """Return what is used. Raises: StatusError."""
        choose_form(request.headers.get("Accept", ""), has_table=False)
        options = parse_list(request.query)
        select = selection(resource, options.label_selector, options.field_selector)
        found: list[dict[str, Any]] = []
        if self._logs.access is not None:
            found += self._items(resource, await self._logs.access.usage())
        if not request.headers.get(RELAYED):
            path = f"/apis/{GROUP}/{resource.version}/{resource.plural}"
            for answer in await self._elsewhere.gather(path, request, GATHER_MS):
                found += answer.get("items") or []
        items = [
            item
            for item in sorted(found, key=_place)
            if route.namespace in ("", item["metadata"].get("namespace", ""))
            and route.name in ("", item["metadata"]["name"])
            and select.matches(item)
        ]
        if not route.name:
            return object_response(
                {
                    "kind": f"{resource.kind}List", "apiVersion": resource.api_version,
                    "metadata": {}, "items": items,
                }
            )  # fmt: skip
        if not items:
            raise not_found(resource, route.name)
        return object_response(items[0])

    def _items(self, resource: Resource, usage: Usage) -> Iterator[dict[str, Any]]:
        """Yield the objects that one machine's figures make."""
        common = {
            "kind": resource.kind, "apiVersion": resource.api_version,
            "timestamp": format_time(usage.wall_ms), "window": f"{usage.window_ms / 1000:g}s",
        }  # fmt: skip
        if resource.plural == "nodes":
            yield {
                **common, "metadata": self._metadata("nodes", "", usage.machine),
                "usage": _quantities(usage.nanocores, usage.memory_bytes),
            }  # fmt: skip
            return
        for pod in usage.pods:
            yield {
                **common, "metadata": self._metadata("pods", pod.namespace, pod.name),
                "containers": [
                    {"name": use.name, "usage": _quantities(use.nanocores, use.memory_bytes)}
                    for use in pod.containers
                ],
            }  # fmt: skip

    def _metadata(self, plural: str, namespace: str, name: str) -> dict[str, Any]:
        """Return the metadata, with the labels of the object that is measured."""
        cached = self._state.feed.cache.get(f"/{plural}", namespace, name)
        labels = cached.body["metadata"].get("labels") if cached is not None else None
        metadata = {"name": name, **({"labels": labels} if labels else {})}
        return {**metadata, "namespace": namespace} if namespace else metadata


def _place(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _quantities(nanocores: int, memory_bytes: int) -> dict[str, str]:
    return {"cpu": f"{nanocores}n", "memory": f"{memory_bytes // 1024}Ki"}
