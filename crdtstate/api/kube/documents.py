"""Documents: /version, discovery in both forms, OpenAPI. Made once for each state of the registry.

Source: Kubernetes API concepts, "Discovery API".
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, final

from crdtstate.api.exchange import Request, Response
from crdtstate.api.kube.answers import encode, object_response
from crdtstate.api.kube.negotiation import choose_form, media_types
from crdtstate.api.kube.routes import Route, not_found
from crdtstate.kube import discovery, openapi
from crdtstate.kube.resources import Registry
from crdtstate.kube.statuses import StatusError

__all__ = ["DocumentHandlers"]

OPENAPI_V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_ASKED_FOR_AS = (OPENAPI_V2_PROTOBUF, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
"""The second name is what clients ask for and, with its @, no media type that they could read."""
_FOR_EVER = "public, max-age=31536000, immutable"
_PIECE_BYTES = 16 * 1024


@final
class DocumentHandlers:
    """GET of what is not a resource."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._kept: dict[object, bytes] = {}
        self._kept_at = -1

    async def get(self, request: Request, route: Route) -> Response:
        """Answer with a document. Raises: StatusError (NotFound, NotAcceptable)."""
        match route.document:
            case ("version",):
                return object_response(discovery.version_document())
            case ("api",):
                return self._versions(request, core=True)
            case ("apis",):
                return self._versions(request, core=False)
            case ("api", "v1"):
                return self._resources("", "v1", request)
            case ("apis", group):
                return self._found(("group", group), discovery.group_of, request, group)
            case ("apis", group, version):
                return self._resources(group, version, request)
            case ("openapi", "v3"):
                return self._found("index", openapi.index_v3, request)
            case ("openapi", "v3", "api", version):
                return self._openapi(request, "", version)
            case ("openapi", "v3", "apis", group, version):
                return self._openapi(request, group, version)
            case ("openapi", "v2"):
                return self._openapi_v2(request)
            case _:
                raise not_found(request.path)

    def _found(
        self, key: object, make: Callable[..., Any], request: Request, *arguments: str
    ) -> Response:
        """Return the document under `key`, made when the registry is another than before."""
        if self._kept_at != self._registry.generation:
            self._kept.clear()
            self._kept_at = self._registry.generation
        data = self._kept.get(key)
        if data is None:
            value = make(self._registry, *arguments)
            if value is None:
                raise not_found(request.path)
            data = self._kept[key] = encode(value)
        return object_response(data)

    def _versions(self, request: Request, *, core: bool) -> Response:
        if _wants_aggregated(request.headers.get("Accept", "")):
            response = self._found(
                ("aggregated", core), lambda r: discovery.aggregated(r, core=core), request
            )
            response.content_type = discovery.AGGREGATED_TYPE
        elif core:
            response = object_response(discovery.api_versions(request.headers.get("Host", "")))
        else:
            response = self._found("groups", discovery.group_list, request)
        response.headers["Vary"] = "Accept"
        return response

    def _resources(self, group: str, version: str, request: Request) -> Response:
        choose_form(request.headers.get("Accept", ""))
        return self._found(
            ("resources", group, version), discovery.resource_list, request, group, version
        )

    def _openapi(self, request: Request, group: str, version: str) -> Response:
        found = openapi.v3_hash(self._registry, group, version)
        if found is None:
            raise not_found(request.path)
        asked = request.query.get("hash", found)
        if asked != found:  # An index of before: what it names for ever must not be this.
            return Response(301, b"", headers={"Location": f"{request.path.decode()}?hash={found}"})
        headers = {"ETag": f'"{found}"', "Vary": "Accept"}
        if "hash" in request.query:
            headers["Cache-Control"] = _FOR_EVER
        chunks = openapi.v3(self._registry, group, version)
        return Response(200, b"", headers=headers, stream=_stream(chunks))

    def _openapi_v2(self, request: Request) -> Response:
        accept = request.headers.get("Accept", "")
        for media, _ in media_types(accept or "*/*"):
            if media in _ASKED_FOR_AS:
                chunks = openapi.v2_protobuf(self._registry)
                return Response(200, b"", OPENAPI_V2_PROTOBUF, stream=_stream(chunks))
            if media in ("application/json", "application/*", "*/*"):
                return Response(200, b"", stream=_stream(openapi.v2_json(self._registry)))
        raise StatusError("NotAcceptable", f"no form of this document is {accept[:200]!r}")


async def _stream(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the document in pieces, between which others have their turn."""
    piece = bytearray()
    for chunk in chunks:
        piece += chunk
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def _wants_aggregated(accept: str) -> bool:
    for media, parameters in media_types(accept):
        if media in ("application/json", "application/*", "*/*"):
            if "as" not in parameters:
                return False
            kind = (parameters.get("g"), parameters.get("v"), parameters["as"])
            if kind == ("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList"):
                return True
    return False
