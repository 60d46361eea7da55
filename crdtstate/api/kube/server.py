"""The resource API of one peer: from a request to the handler of its verb, refusals as Status.

Source: Kubernetes API concepts.
"""

import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import final

from crdtstate.api.exchange import Request, Response
from crdtstate.api.kube.answers import object_response, refusal_response
from crdtstate.api.kube.bodies import decode_body
from crdtstate.api.kube.conflicts import CONFLICTS, ConflictHandlers
from crdtstate.api.kube.documents import DocumentHandlers
from crdtstate.api.kube.edits import Editor
from crdtstate.api.kube.elsewhere import Elsewhere, Relay
from crdtstate.api.kube.expiry import EventExpiry
from crdtstate.api.kube.feed import Feed
from crdtstate.api.kube.lists import ListHandlers
from crdtstate.api.kube.negotiation import choose_form
from crdtstate.api.kube.options import flag
from crdtstate.api.kube.podlogs import LogHandlers
from crdtstate.api.kube.podmetrics import METRICS, MetricsHandlers
from crdtstate.api.kube.removal import DeleteHandlers
from crdtstate.api.kube.reviews import REVIEWS, review
from crdtstate.api.kube.routes import Route, not_found, parse_route
from crdtstate.api.kube.state import KubeState
from crdtstate.api.kube.verbs import WriteHandlers
from crdtstate.api.kube.warnings import warning_header
from crdtstate.api.kube.watching import WatchHandlers
from crdtstate.api.ports import Backend
from crdtstate.errors import CrdtstateError
from crdtstate.kube.builtin import builtin_resources
from crdtstate.kube.resources import Registry, Resource
from crdtstate.kube.statuses import StatusError
from crdtstate.podaccess import PodAccess

__all__ = ["KubeApi"]

_REASONS: Mapping[int, str] = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound",
    405: "MethodNotAllowed", 409: "Conflict", 410: "Expired", 412: "Conflict",
    413: "RequestEntityTooLarge", 429: "TooManyRequests", 503: "ServiceUnavailable",
    504: "Timeout",
}  # fmt: skip
_COLLECTION_VERBS = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
_OBJECT_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

Admit = Callable[[Request], None]
Cover = Callable[[Request], Awaitable[None]]
Handler = Callable[[Request, Route, Resource], Awaitable[Response]]


def as_refusal(error: CrdtstateError) -> StatusError:
    """Return any error of this system as a refusal of the resource API."""
    if isinstance(error, StatusError):
        return error
    details = {"retryAfterSeconds": 1} if error.status in (429, 503, 504) else {}
    cause = {"reason": error.code, "message": error.message}
    reason = _REASONS.get(error.status, "InternalError")
    return StatusError(reason, error.message, causes=[cause], details=details)


@final
class KubeApi:
    """Serves the resource API over one peer's feed.

    Args:
        rng: Where generated names come from.
        relay: The way to other peers; None: there is none.
    """

    def __init__(
        self, backend: Backend, feed: Feed, rng: random.Random, relay: Relay | None = None
    ) -> None:
        registry = Registry((*builtin_resources(), CONFLICTS, *METRICS))
        self._state = state = KubeState(backend, feed, registry, rng)
        self.quotas = state.quotas
        self._documents = DocumentHandlers(registry)
        editor = Editor(state)
        writes, deletes, lists = (
            WriteHandlers(state, editor), DeleteHandlers(state, editor), ListHandlers(state),
        )  # fmt: skip
        self._definitions = deletes.definitions
        self.watching = WatchHandlers(state)
        self._conflicts = ConflictHandlers(state)
        elsewhere = Elsewhere(backend, relay)
        self.logs = LogHandlers(state, elsewhere)
        self._metrics = MetricsHandlers(state, elsewhere, self.logs)
        self._expiry = EventExpiry(state)
        self._handlers: dict[str, Handler] = {
            "get": lists.get, "list": lists.list, "watch": self.watching.watch,
            "create": writes.create, "update": writes.replace, "patch": writes.patch,
            "delete": deletes.delete, "deletecollection": deletes.delete_collection,
        }  # fmt: skip

    def offer_pods(self, access: PodAccess) -> None:
        """Take the agent that answers about the pods of this machine."""
        self.logs.access = access

    async def handle(self, request: Request, admit: Admit, cover: Cover) -> Response:
        """Answer one request; refusals become Status objects.

        Args:
            admit: Refuses whoever has no token.
            cover: Waits for the causal token that the request presents, if any.
        """
        try:
            admit(request)
            await cover(request)
            await self._state.feed.caught_up(self._state.backend.revision)
            return await self._handle(request)
        except CrdtstateError as error:
            return refusal_response(as_refusal(error))

    async def _handle(self, request: Request) -> Response:
        route = parse_route(request.path)
        self._state.refresh()
        with contextlib.suppress(CrdtstateError):  # A peer that takes no writes can be read.
            await self._definitions.finish()
        if not route.plural:
            if request.method not in ("GET", "HEAD"):
                raise method_refusal(request)
            return await self._documents.get(request, route)
        if (route.group, route.plural) in REVIEWS:
            return await self._review(request, route)
        resource = self._state.resource(route)
        if (resource.stored_as, route.subresource, request.method) == ("/pods", "log", "GET"):
            return await self.logs.log(request, route, resource)
        verb = _verb(request, route, resource)
        if resource in METRICS:
            return await self._metrics.get(request, route, resource)
        if resource is CONFLICTS:
            return await self._conflicts.answer(request, route, verb)
        if resource.plural == "events":
            with contextlib.suppress(CrdtstateError):
                await self._expiry.sweep(resource)
        response = await self._handlers[verb](request, route, resource)
        if resource.deprecation:
            told = (response.headers.get("Warning"), warning_header([resource.deprecation]))
            response.headers["Warning"] = ", ".join(text for text in told if text)
        return response

    async def _review(self, request: Request, route: Route) -> Response:
        if request.method != "POST" or route.name or route.version != "v1":
            raise method_refusal(request)
        choose_form(request.headers.get("Accept", ""), has_table=False)
        content_type = request.headers.get("Content-Type", "")
        body = decode_body(content_type, await request.read_body()).object()
        return object_response(review(route.group, route.plural, body), 201)


def method_refusal(request: Request) -> StatusError:
    """Return the refusal of a method that the path has not."""
    return StatusError(
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource: "
        f"{request.method[:16]} {request.path[:128].decode('utf-8', 'replace')}",
    )


def _verb(request: Request, route: Route, resource: Resource) -> str:
    """Return the verb of a request. Raises: StatusError (NotFound, MethodNotAllowed)."""
    method = request.method
    if route.subresource:
        if route.subresource not in resource.subresources:
            raise not_found(request.path)
        verb = _OBJECT_VERBS.get(method, "")
        if verb in ("", "delete") or (route.subresource == "finalize" and verb != "update"):
            raise method_refusal(request)
        return verb
    verb = (_OBJECT_VERBS if route.name else _COLLECTION_VERBS).get(method, "")
    if method == "GET" and flag(request.query, "watch"):
        verb = "watch"
    if verb not in resource.verbs:
        raise method_refusal(request)
    if verb == "create" and resource.namespaced and not route.namespace:
        raise StatusError("MethodNotAllowed", f"{resource.plural} are created in a namespace")
    return verb
