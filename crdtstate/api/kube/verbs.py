"""The writing verbs: POST, PUT, PATCH, each one edit inside the store's planner.

Source: Kubernetes API concepts; the create, update and patch handlers of the API server.

Invariants:
    KVB-1  A verb decides on the state that the writer sees, together with the write: there is no
           second attempt, and no decision on a state that was overwritten meanwhile.
    KVB-2  An answer, and every later read on this peer, includes the write.
"""

from collections.abc import Callable
from typing import Any, final

from crdtstate.api.exchange import Request, Response
from crdtstate.api.kube.bodies import Body, decode_body, decode_json, decode_yaml, media_type
from crdtstate.api.kube.edits import Editor
from crdtstate.api.kube.options import WriteOptions, parse_write
from crdtstate.api.kube.pipeline import Writing
from crdtstate.api.kube.routes import Route
from crdtstate.api.kube.state import KubeState, not_found, qualified
from crdtstate.api.kube.subresources import scale_of, with_scale
from crdtstate.kube.causes import invalid_error, required
from crdtstate.kube.objects import Context, Live
from crdtstate.kube.patches import json_patch, merge_patch, strategic_merge
from crdtstate.kube.reading import format_time
from crdtstate.kube.resources import Resource
from crdtstate.kube.statuses import StatusError

__all__ = ["WriteHandlers"]

APPLY = ("application/apply-patch+yaml",)
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
_NEED_VERSION = frozenset(
    ("coordination.k8s.io/leases", "apiextensions.k8s.io/customresourcedefinitions")
)
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_CHARS, _BASE_CHARS_MAX = 5, 58

Shown = dict[str, Any]
Patch = Callable[[Resource, Shown], Shown]


@final
class WriteHandlers:
    """POST, PUT and PATCH."""

    def __init__(self, state: KubeState, editor: Editor) -> None:
        self._state, self._editor = state, editor

    async def create(self, request: Request, route: Route, resource: Resource) -> Response:
        """POST to a collection."""
        options = parse_write(request.query, request.headers.get("User-Agent", ""))
        body = await _read_body(request)
        given = body.object()
        metadata = given.get("metadata") or {}
        if not isinstance(metadata, dict):
            raise StatusError("BadRequest", "metadata is not an object")
        name = metadata.get("name") or self._generate(resource, metadata.get("generateName"))
        self._require_room(resource, route.namespace)
        writing = self._writing(route, resource, options, str(name), body)
        wanted = writing.create({**given, "metadata": {**metadata, "name": name}})

        def change(live: Live | None, _context: Context) -> Shown:
            if live is not None:
                ends = "deletionTimestamp" in live.body["metadata"]
                raise StatusError(
                    "AlreadyExists",
                    f"{'object is being deleted: ' if ends else ''}"
                    f'{qualified(resource)} "{name}" already exists',
                    details={"name": name, "group": resource.group, "kind": resource.plural},
                )
            return wanted

        return await self._editor.write(request, writing, change)

    def _require_room(self, resource: Resource, namespace: str) -> None:
        """Check that something may be created. Raises: StatusError."""
        if resource.namespaced:
            self._state.require_namespace(namespace)
        if resource.custom and resource.stored_as in self._state.ending.values():
            raise StatusError(
                "MethodNotAllowed",
                "create not allowed while custom resource definition is terminating",
            )

    def _generate(self, resource: Resource, base: Any) -> str:
        """Return a name: letters drawn here, so that two sides of a cut hardly ever draw one."""
        if not isinstance(base, str) or not base:
            cause = required("metadata.name", "name or generateName is required")
            raise invalid_error(resource, "", [cause])
        suffix = "".join(self._state.rng.choices(_SUFFIX_LETTERS, k=_SUFFIX_CHARS))
        return base[:_BASE_CHARS_MAX] + suffix

    def _writing(
        self, route: Route, resource: Resource, options: WriteOptions, name: str, body: Body
    ) -> Writing:
        return Writing(
            resource=resource,
            namespace=route.namespace,
            name=name,
            subresource=route.subresource,
            options=options,
            now=format_time(self._state.backend.wall_ms()),
            duplicates=body.duplicates,
        )

    async def replace(self, request: Request, route: Route, resource: Resource) -> Response:
        """PUT an object, its /status, /scale or /finalize."""
        options = parse_write(request.query, request.headers.get("User-Agent", ""))
        body = await _read_body(request)
        given = body.object()
        writing = self._writing(route, resource, options, route.name, body)
        needs = resource.custom or resource.stored_as in _NEED_VERSION
        if needs and route.subresource != "scale" and not _names_version(given):
            cause = required("metadata.resourceVersion", "must be specified for an update")
            raise invalid_error(resource, route.name, [cause])
        return await self._patch(request, writing, lambda _resource, _shown: given)

    async def patch(self, request: Request, route: Route, resource: Resource) -> Response:
        """PATCH an object, its /status or /scale, by a patch or an apply."""
        media = media_type(request.headers.get("Content-Type", ""))
        options = parse_write(
            request.query, request.headers.get("User-Agent", ""), apply=media in APPLY
        )
        data = await request.read_body()
        if media in APPLY:
            body = decode_yaml(data)
            writing = self._writing(route, resource, options, route.name, body)
            return await self._apply(request, writing, body.object())
        body = decode_json(data)
        writing = self._writing(route, resource, options, route.name, body)
        return await self._patch(request, writing, _patch_of(media, resource, body))

    async def _patch(self, request: Request, writing: Writing, patch: Patch) -> Response:
        resource, name = writing.resource, writing.name
        version_of = self._editor.versions(writing)

        def change(live: Live | None, _context: Context) -> Shown:
            if live is None:
                raise not_found(resource, name)
            version = version_of(live)
            shown = writing.shown(live.body, version)
            if writing.subresource == "scale":
                after = with_scale(resource, shown, patch(resource, scale_of(resource, shown)))
            else:
                after = patch(resource, shown)
            return writing.update(live.body, version, after)

        return await self._editor.write(request, writing, change)

    async def _apply(self, request: Request, writing: Writing, config: Shown) -> Response:
        resource, name = writing.resource, writing.name
        if writing.subresource == "scale":
            config = with_scale(resource, {"metadata": {}}, config)
        version_of = self._editor.versions(writing)
        if self._state.get(resource, writing.namespace, name) is None:
            self._require_room(resource, writing.namespace)

        def change(live: Live | None, _context: Context) -> Shown:
            if live is not None:
                return writing.apply(live.body, version_of(live), config)
            if writing.subresource:
                raise not_found(resource, name)
            return writing.apply_new(config)

        return await self._editor.write(request, writing, change)


async def _read_body(request: Request) -> Body:
    return decode_body(request.headers.get("Content-Type", ""), await request.read_body())


def _patch_of(media: str, resource: Resource, body: Body) -> Patch:
    """Return what applies a patch. Raises: StatusError (UnsupportedMediaType, BadRequest)."""
    if media == JSON_PATCH:
        return lambda _resource, shown: json_patch(shown, body.value)
    patch = body.object() if media in (MERGE_PATCH, STRATEGIC_PATCH) else {}
    if media == MERGE_PATCH:
        return lambda _resource, shown: merge_patch(shown, patch)
    if media == STRATEGIC_PATCH and not resource.custom:
        return lambda _resource, shown: strategic_merge(resource.schema, shown, patch)
    raise StatusError(
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - {media[:64]!r} is not accepted for "
        f"{qualified(resource)}: {JSON_PATCH}, {MERGE_PATCH} and {APPLY[0]} are"
        + ("" if resource.custom else f", and {STRATEGIC_PATCH}"),
    )


def _names_version(given: Shown) -> bool:
    metadata = given.get("metadata")
    return isinstance(metadata, dict) and bool(metadata.get("resourceVersion"))
