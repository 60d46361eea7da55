"""Conflicts as objects: `kubectl get conflicts` shows what was written concurrently and lost.

They are read from the store's index when asked for, and cannot be written: whoever writes the field
again settles its conflict. A conflict of an object without a namespace is shown in `default`.
"""

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any, final

from crdtstate.api.exchange import Request, Response
from crdtstate.api.kube.answers import object_response, partial
from crdtstate.api.kube.negotiation import choose_form
from crdtstate.api.kube.options import parse_list
from crdtstate.api.kube.routes import Route
from crdtstate.api.kube.state import KubeState, not_found
from crdtstate.kube.keys import ObjectKey, decode_key
from crdtstate.kube.reading import format_time
from crdtstate.kube.resources import Resource
from crdtstate.kube.schema import ANY, Schema
from crdtstate.kube.selectors import selection
from crdtstate.kube.tables import table
from crdtstate.kube.uids import uid_bytes, uid_text
from crdtstate.store.reading import ConflictFound, list_conflicts

__all__ = ["CONFLICTS", "ConflictHandlers"]

_SHOWN_MAX = 1_000
_TEXT = Schema("scalar", raw={"type": "string"})
_FLAG = Schema("scalar", raw={"type": "boolean"})
_VALUE = Schema(
    "object",
    properties={"peer": _TEXT, "time": _TEXT, "value": ANY, "shown": _FLAG},
    raw={"type": "object"},
)
_FIELD = Schema(
    "object",
    properties={
        "path": _TEXT,
        "kind": _TEXT,
        "values": Schema("array", items=_VALUE, raw={"type": "array"}),
    },
    raw={"type": "object"},
)
_OBJECT = Schema(
    "object",
    properties={"group": _TEXT, "resource": _TEXT, "namespace": _TEXT, "name": _TEXT},
    raw={"type": "object"},
)
_SCHEMA = Schema(
    "object",
    properties={
        "apiVersion": _TEXT,
        "kind": _TEXT,
        "metadata": ANY,
        "object": _OBJECT,
        "fields": Schema("array", items=_FIELD, raw={"type": "array"}),
    },
    raw={
        "type": "object",
        "description": "Values of one object that were written concurrently; one of each is shown.",
    },
)
CONFLICTS = Resource(
    "crdtstate.io", "v1", "Conflict", "conflicts", "conflict", True, _SCHEMA,
    verbs=("get", "list"), custom=True,
    columns=(
        {"name": "Resource", "type": "string", "jsonPath": ".object.resource"},
        {"name": "Object", "type": "string", "jsonPath": ".object.name"},
        {"name": "Fields", "type": "string", "jsonPath": ".fields[*].path"},
    ),
)  # fmt: skip
"""Built in, though made like a custom kind: no other program publishes its schema."""


@final
class ConflictHandlers:
    """GET of conflicts."""

    def __init__(self, state: KubeState) -> None:
        self._state = state

    async def answer(self, request: Request, route: Route, _verb: str) -> Response:
        """GET one or all. Raises: StatusError."""
        form = choose_form(request.headers.get("Accept", ""))
        options = parse_list(request.query)
        select = selection(CONFLICTS, options.label_selector, options.field_selector)
        found = [
            shown
            for shown in self._read()
            if route.namespace in ("", shown["metadata"]["namespace"])
            and route.name in ("", shown["metadata"]["name"])
            and select.matches(shown)
        ]
        version = str(self._state.feed.cache.version)
        if route.name and not found:
            raise not_found(CONFLICTS, route.name)
        if form.view == "Table":
            wall_ms = self._state.backend.wall_ms()
            include = request.query.get("includeObject", "")
            answer = table(CONFLICTS, found, wall_ms, include=include, version=form.version)
            return object_response({**answer, "metadata": {"resourceVersion": version}})
        if form.view == "PartialObjectMetadata":
            found = [partial(shown, form.version) for shown in found]
        if route.name:
            return object_response(found[0])
        return object_response(
            {
                "kind": "ConflictList",
                "apiVersion": CONFLICTS.api_version,
                "metadata": {"resourceVersion": version},
                "items": found,
            }
        )

    def _read(self) -> Iterator[dict[str, Any]]:
        """Yield the first conflicts of the store, an object each. Cost: O(conflicts), bounded."""
        with closing(self._state.backend.snapshot()) as snapshot:
            found, _ = list_conflicts(snapshot, b"\x10", None, _SHOWN_MAX)
        grouped: dict[ObjectKey, list[ConflictFound]] = {}
        for conflict in found:
            key = decode_key(conflict.key.encode())
            if key is not None:
                grouped.setdefault(key, []).append(conflict)
        for key in sorted(grouped):
            yield self._shown(key, grouped[key])

    def _shown(self, key: ObjectKey, found: list[ConflictFound]) -> dict[str, Any]:
        group, _, plural = key.stored_as.rpartition("/")
        qualified = f"{plural}.{group}".rstrip(".")
        name = re.sub(r"[^a-z0-9.-]", "-", f"{qualified}.{key.name}".lower())[:253]
        place = ObjectKey("crdtstate.io/conflicts", key.namespace or "default", name)
        newest_ms = max(value.stamp >> 16 for c in found for value in c.values)
        return {
            "apiVersion": CONFLICTS.api_version,
            "kind": CONFLICTS.kind,
            "metadata": {
                "name": name,
                "namespace": place.namespace,
                "uid": uid_text(uid_bytes(self._state.feed.cluster_id, place, 0)),
                "resourceVersion": str(self._state.feed.cache.version),
                "creationTimestamp": format_time(newest_ms),
            },
            "object": {
                "group": group, "resource": qualified, "namespace": key.namespace,
                "name": key.name,
            },
            "fields": [self._field(conflict) for conflict in found],
        }  # fmt: skip

    def _field(self, conflict: ConflictFound) -> dict[str, Any]:
        values = [
            {
                "peer": self._state.backend.peer_name(value.dot[0]) or f"{value.dot[0]:016x}",
                "time": format_time(value.stamp >> 16),
                "value": value.value,
                "shown": value.wins,
            }
            for value in conflict.values
        ]
        return {"path": conflict.path, "kind": conflict.kind, "values": values}
