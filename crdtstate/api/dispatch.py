"""Request in, response out: authorisation, routing, causal tokens, errors as JSON.

Every byte that leaves goes through `Dispatcher.handle`, so that authorisation and tokens stand in
front of the data, not beside each route.

Invariants:
    API-1  A request with a token is served only from a state that includes it, or answered 504.
    API-2  Every answer but a stream carries the token, the revision and the name of the peer.
    API-3  The token of an answer covers all that the answer shows: a batch that is on the disk and
           not yet announced is waited for.
"""

import hmac
from collections.abc import Awaitable, Callable
from typing import final

from crdtstate.api.cluster import ClusterHandlers
from crdtstate.api.exchange import Request, Response, error_response
from crdtstate.api.keys import KeyHandlers
from crdtstate.api.kube.routes import is_kube_path
from crdtstate.api.kube.server import KubeApi
from crdtstate.api.ports import Backend
from crdtstate.api.watching import WatchHandler
from crdtstate.errors import CrdtstateError, NotFoundError
from crdtstate.replica.events import Outcome
from crdtstate.store.watch import format_revision

__all__ = ["Dispatcher"]

Handler = Callable[[Request], Awaitable[Response]]


@final
class UnauthorizedError(CrdtstateError):
    """No token, or not one of the token file's."""

    status = 401
    default_code = "unauthorized"


@final
class MethodError(CrdtstateError):
    """The route exists, for other methods."""

    status = 405
    default_code = "method_not_allowed"


@final
class _Settled:
    """Takes the outcome of a write and answers it; to a backend it is a future of nobody's."""

    __slots__ = ("_answer", "_reply")

    def __init__(
        self, answer: Callable[[Outcome], Response], reply: Callable[[Response], None]
    ) -> None:
        self._answer, self._reply = answer, reply

    def done(self) -> bool:
        """Nobody gives up waiting: a client that has gone is not answered."""
        return False

    def set_result(self, outcome: Outcome) -> None:
        """The write is durable where it was asked for."""
        try:
            response = self._answer(outcome)
        except CrdtstateError as error:
            response = error_response(error)
        self._reply(response)

    def set_exception(self, error: CrdtstateError) -> None:
        """The write was refused, or not enough replicas have it in time."""
        self._reply(error_response(error))


@final
class Dispatcher:
    """Routes of one peer.

    Args:
        auth_tokens: Empty: no authorisation (loopback only).
        kube: Serves the resource API; None: there is none.
    """

    def __init__(
        self, backend: Backend, auth_tokens: tuple[str, ...] = (), kube: KubeApi | None = None
    ) -> None:
        self._backend, self._kube = backend, kube
        self._auth_tokens = tuple(token.encode() for token in auth_tokens)
        keys, cluster = KeyHandlers(backend), ClusterHandlers(backend)
        self._keys = keys
        self.watching = WatchHandler(backend)
        self._keyed: dict[bytes, dict[str, Handler]] = {
            b"kv": {"PUT": keys.put, "GET": keys.get, "HEAD": keys.get, "DELETE": keys.delete},
            b"map": {"PUT": keys.map_put, "PATCH": keys.map_merge, "GET": keys.get},
            b"apply": {"POST": keys.apply},
            b"set": {"POST": keys.change_set},
            b"counter": {"POST": keys.change_counter},
            b"flag": {"PUT": keys.put_flag},
            b"bounded": {"POST": keys.change_bounded},
            b"members": {"DELETE": cluster.forget},
        }
        self._reading = frozenset({keys.get, keys.list, cluster.conflicts})
        self._plain: dict[bytes, dict[str, Handler]] = {
            b"/kv/": {"GET": keys.list},
            b"/kv": {"GET": keys.list},
            b"/txn": {"POST": keys.transaction},
            b"/watch": {"GET": self.watching.watch},
            b"/status": {"GET": cluster.status},
            b"/members": {"GET": cluster.members},
            b"/conflicts": {"GET": cluster.conflicts},
            b"/wait": {"POST": cluster.wait},
            b"/backup": {"POST": cluster.backup},
            b"/keys": {"GET": cluster.keys, "POST": cluster.change_keys},
            b"/dev/cut": {"POST": cluster.dev_cut},
            b"/dev/fault": {"POST": cluster.dev_fault},
            b"/dev/heal": {"POST": cluster.dev_heal},
        }
        # Open to probes and scrapers of this machine; they show no key and no value.
        self._open: dict[bytes, dict[str, Handler]] = {
            b"/healthz": {"GET": cluster.healthz},
            b"/livez": {"GET": cluster.healthz},
            b"/readyz": {"GET": cluster.readyz},
            b"/metrics": {"GET": cluster.metrics},
        }

    async def handle(self, request: Request) -> Response:
        """Answer one request; errors become responses, cancellation and bugs pass through."""
        try:
            if self._kube is not None and is_kube_path(request.path):
                response = await self._kube.handle(request, self._authorize, self._covered)
            else:
                response = await self._handle(request)
        except CrdtstateError as error:
            response = error_response(error)
        return self._signed(response)

    def quick(self, request: Request, body: bytes, reply: Callable[[Response], None]) -> bool:
        """Answer a common request without a task: at once, or when its write is durable.

        False: nothing was done, and `handle` has to, since the request must wait for something.
        """
        try:
            self._authorize(request)
            backend, token = self._backend, request.headers.get("Crdtstate-Token")
            if token and token != backend.token and not backend.covers(token):
                return False
            if request.method == "GET":
                if len(request.path) <= len(b"/kv/") or not backend.is_announced:
                    return False  # A listing; or API-3.
                reply(self._signed(self._keys.read(request)))
                return True
            read = self._keys.put_write if request.method == "PUT" else self._keys.transaction_write
            write = read(request, body)
            settled = _Settled(write.answer, lambda response: reply(self._signed(response)))
            backend.begin(
                settled, write.operations, write.conditions, write.replicas, write.timeout_ms
            )  # fmt: skip
        except CrdtstateError as error:
            reply(self._signed(error_response(error)))
        return True

    def _signed(self, response: Response) -> Response:
        """Add what every answer carries (API-2)."""
        backend, headers = self._backend, response.headers
        headers["Crdtstate-Peer"] = backend.name
        headers["Crdtstate-Token"] = backend.token
        headers["Crdtstate-Revision"] = format_revision(backend.origin, backend.revision)
        return response

    async def _handle(self, request: Request) -> Response:
        methods = self._open.get(request.path)
        if methods is None:
            self._authorize(request)
            methods = self._plain.get(request.path) or self._route(request.path)
        handler = methods.get(request.method)
        if handler is None:
            allowed = ", ".join(sorted(methods))
            raise MethodError(f"{request.method} is not one of {allowed}", allowed=allowed)
        if handler is not self._plain[b"/wait"]["POST"]:
            await self._covered(request)
        if handler not in self._reading:
            return await handler(request)
        try:
            return await handler(request)
        finally:  # That there is no such key is also something that the state says.
            await self._backend.announced()  # API-3

    async def _covered(self, request: Request) -> None:
        token = request.headers.get("Crdtstate-Token")
        if token and token != self._backend.token:
            await self._backend.wait_covered(token, request.timeout_ms())  # API-1

    def _route(self, path: bytes) -> dict[str, Handler]:
        _, _, rest = path.partition(b"/")
        kind, slash, key = rest.partition(b"/")
        methods = self._keyed.get(kind) if slash and key else None
        if methods is None:
            shown = path[:64].decode("utf-8", "replace")
            raise NotFoundError(f"there is no route {shown!r}", code="no_such_route")
        return methods

    def _authorize(self, request: Request) -> None:
        if not self._auth_tokens:
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        secret = given.strip().encode()
        # Every token is compared, in constant time, so that nothing is told by the clock.
        matches = [hmac.compare_digest(secret, token) for token in self._auth_tokens]
        if scheme.lower() != "bearer" or not any(matches):
            raise UnauthorizedError("Authorization: Bearer TOKEN is missing or not known here")
