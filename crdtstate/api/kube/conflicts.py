"""Conflicts as objects: `kubectl get conflicts` shows what was written concurrently and lost.

They are read from the store's index when asked for, some at a time, so that many hold up nobody.
Whoever writes a field again settles its conflict; deleting a Conflict says that what is shown is
what is wanted, for every field of the object. A conflict of an object without a namespace is shown
in `default`.
"""

import re
from collections.abc import AsyncIterator
from contextlib import closing
from itertools import groupby
from typing import Any, final

from crdtstate.api.exchange import Request, Response
from crdtstate.api.kube.answers import object_response, partial
from crdtstate.api.kube.negotiation import Form, choose_form
from crdtstate.api.kube.options import parse_list
from crdtstate.api.kube.pieces import decode_continue, encode_continue
from crdtstate.api.kube.routes import Route
from crdtstate.api.kube.state import KubeState, not_found
from crdtstate.kube.conflicts import ObjectConflict, list_object_conflicts
from crdtstate.kube.crd_schema import structural_schema
from crdtstate.kube.keys import ObjectKey
from crdtstate.kube.objects import Keep, Target
from crdtstate.kube.reading import format_time
from crdtstate.kube.resources import Resource
from crdtstate.kube.selectors import selection
from crdtstate.kube.tables import table
from crdtstate.kube.uids import uid_bytes, uid_text

__all__ = ["CONFLICTS", "ConflictHandlers"]

_SLICE = 8  # Objects that are read before others run.
_TEXT = {"type": "string"}
_VALUE = {
    "type": "object",
    "properties": {
        "peer": {**_TEXT, "description": "The peer that wrote it."},
        "managers": {"type": "array", "items": _TEXT},
        "time": {**_TEXT, "format": "date-time"},
        "value": {"x-kubernetes-preserve-unknown-fields": True},
        "shown": {"type": "boolean", "description": "Whether this is what a reader sees."},
    },
}
_FIELD = {
    "type": "object",
    "properties": {
        "path": _TEXT,
        "kind": {
            **_TEXT, "enum": ["concurrent_values", "update_after_delete", "concurrent_creations"],
        },
        "values": {"type": "array", "items": _VALUE},
    },
}  # fmt: skip
_OBJECT = dict.fromkeys(("group", "resource", "namespace", "name"), _TEXT)
_SCHEMA = structural_schema(
    {
        "type": "object",
        "description": "Values of one object that were written concurrently; one of each is shown.",
        "properties": {
            "apiVersion": _TEXT,
            "kind": _TEXT,
            "metadata": {"type": "object"},
            "object": {"type": "object", "properties": _OBJECT},
            "fields": {"type": "array", "items": _FIELD},
        },
    }
)
CONFLICTS = Resource(
    "crdtstate.io", "v1", "Conflict", "conflicts", "conflict", True, _SCHEMA,
    verbs=("delete", "get", "list"), custom=True,
    columns=(
        {"name": "Resource", "type": "string", "jsonPath": ".object.resource"},
        {"name": "Object", "type": "string", "jsonPath": ".object.name"},
        {"name": "Fields", "type": "string", "jsonPath": ".fields[*].path"},
    ),
)  # fmt: skip
"""Built in, though made like a custom kind: no other program publishes its schema."""


@final
class ConflictHandlers:
    """GET and DELETE of conflicts."""

    def __init__(self, state: KubeState) -> None:
        self._state = state

    async def answer(self, request: Request, route: Route, verb: str) -> Response:
        """GET one or all, or DELETE one. Raises: StatusError."""
        if verb == "delete":
            return await self._settle(request, route)
        form = choose_form(request.headers.get("Accept", ""))
        metadata = {"resourceVersion": str(self._state.feed.cache.version)}
        if route.name:
            shown = await self._require(route)
            return self._respond(request, form, [shown], metadata, alone=True)
        options = parse_list(request.query)
        select = selection(CONFLICTS, options.label_selector, options.field_selector)
        found: list[dict[str, Any]] = []
        last = b""
        async for key, shown in self._read(decode_continue(options.proceed)):
            if not (_is_at(shown, route) and select.matches(shown)):
                continue
            if options.limit and len(found) >= options.limit:
                metadata["continue"] = encode_continue(last)
                break
            found.append(shown)
            last = key.encode()
        return self._respond(request, form, found, metadata, alone=False)

    async def _require(self, route: Route) -> dict[str, Any]:
        """Return the conflict of a name. Raises: StatusError (NotFound)."""
        async for _, shown in self._read():
            if _is_at(shown, route):
                return shown
        raise not_found(CONFLICTS, route.name)

    def _respond(
        self,
        request: Request,
        form: Form,
        found: list[dict[str, Any]],
        metadata: dict[str, Any],
        *,
        alone: bool,
    ) -> Response:
        if form.view == "Table":
            wall_ms = self._state.backend.wall_ms()
            include = request.query.get("includeObject", "")
            answer = table(CONFLICTS, found, wall_ms, include=include, version=form.version)
            return object_response({**answer, "metadata": metadata})
        kind, api_version = "ConflictList", CONFLICTS.api_version
        if form.view == "PartialObjectMetadata":
            found = [partial(shown, form.version) for shown in found]
            kind, api_version = "PartialObjectMetadataList", f"meta.k8s.io/{form.version}"
        if alone:
            return object_response(found[0])
        return object_response(
            {"kind": kind, "apiVersion": api_version, "metadata": metadata, "items": found}
        )

    async def _settle(self, request: Request, route: Route) -> Response:
        """Let go what lost. Raises: StatusError (NotFound)."""
        shown = await self._require(route)
        place = shown["object"]
        group, plural = place["group"], place["resource"].partition(".")[0]
        resource = next(
            (r for r in self._state.registry.all() if (r.group, r.plural) == (group, plural)), None
        )
        if resource is None:
            raise not_found(CONFLICTS, route.name)
        target = Target(resource, place["namespace"], place["name"])
        await self._state.feed.edit(
            target,
            lambda live, _context: None if live is None else Keep(),
            replicas=request.replicas("w"),
            timeout_ms=request.timeout_ms(),
        )
        return object_response(
            {
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                "details": {
                    "name": route.name, "group": CONFLICTS.group, "kind": CONFLICTS.plural,
                    "uid": shown["metadata"]["uid"],
                },
            }
        )  # fmt: skip

    async def _read(
        self, after: bytes | None = None
    ) -> AsyncIterator[tuple[ObjectKey, dict[str, Any]]]:
        """Yield each object that has conflicts, of the keys after `after`. Cost: O(conflicts)."""
        while True:
            with closing(self._state.backend.snapshot()) as snapshot:
                found, after = list_object_conflicts(snapshot, after=after, limit=_SLICE)
            for key, some in groupby(found, key=lambda conflict: conflict.key):
                yield key, self._shown(key, list(some))
            if after is None:
                return
            await self._state.feed.pause()

    def _shown(self, key: ObjectKey, found: list[ObjectConflict]) -> dict[str, Any]:
        group, _, plural = key.stored_as.rpartition("/")
        qualified = f"{plural}.{group}".rstrip(".")
        name = re.sub(r"[^a-z0-9.-]", "-", f"{qualified}.{key.name}".lower())[:253]
        place = ObjectKey("crdtstate.io/conflicts", key.namespace or "default", name)
        newest_ms = max(rival.time_ms for conflict in found for rival in conflict.rivals)
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

    def _field(self, conflict: ObjectConflict) -> dict[str, Any]:
        values = [
            {
                "peer": self._state.backend.peer_name(rival.origin) or f"{rival.origin:016x}",
                "managers": rival.managers,
                "time": format_time(rival.time_ms),
                "value": rival.value,
                "shown": rival.wins,
            }
            for rival in conflict.rivals
        ]
        return {"path": conflict.path, "kind": conflict.kind, "values": values}


def _is_at(shown: dict[str, Any], route: Route) -> bool:
    metadata = shown["metadata"]
    return route.namespace in ("", metadata["namespace"]) and route.name in ("", metadata["name"])
