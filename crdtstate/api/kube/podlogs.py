"""GET /log of a pod, on any peer: from the agent beside this one, or from the peer that has it.

Source: Kubernetes' PodLogOptions.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import final

from crdtstate.api.exchange import Request, Response
from crdtstate.api.kube.elsewhere import Elsewhere
from crdtstate.api.kube.options import flag, invalid_option
from crdtstate.api.kube.routes import Route
from crdtstate.api.kube.state import KubeState
from crdtstate.kube.reading import format_time
from crdtstate.kube.resources import Resource
from crdtstate.kube.statuses import StatusError
from crdtstate.podaccess import LogQuery, PodAccess

__all__ = ["LogHandlers"]

RELAY_MS = 10_000
STREAMS_MAX = 256


@final
class LogHandlers:
    """Serves logs. `access` is the agent of this machine, once it has offered itself."""

    def __init__(self, state: KubeState, elsewhere: Elsewhere) -> None:
        self._state, self._elsewhere = state, elsewhere
        self.access: PodAccess | None = None
        self._open = 0

    async def log(self, request: Request, route: Route, pods: Resource) -> Response:
        """Return the output of one container. Raises: StatusError, NotFoundError, InvalidError."""
        body = self._state.require(pods, route.namespace, route.name).body
        spec = body.get("spec") or {}
        every = [
            container["name"]
            for field in ("containers", "initContainers", "ephemeralContainers")
            for container in spec.get(field) or ()
        ]
        container = request.query.get("container", "") or (every[0] if len(every) == 1 else "")
        if not container:
            raise StatusError(
                "BadRequest",
                f"a container name must be specified for pod {route.name}, choose one of: "
                f"[{' '.join(every)}]",
            )
        if container not in every:
            raise StatusError(
                "BadRequest", f"container {container} is not valid for pod {route.name}"
            )
        query = log_query(request.query, self._state.backend.wall_ms())
        machine = spec.get("nodeName")
        if not machine:
            raise StatusError("BadRequest", f"pod {route.name} does not have a host assigned")
        if machine != self._state.backend.name:
            return await self._elsewhere.get(machine, request, RELAY_MS)
        if self.access is None:
            raise StatusError(
                "ServiceUnavailable", f"no agent runs beside peer {machine!r}, which has the pod"
            )
        if self._open >= STREAMS_MAX:
            raise StatusError(
                "TooManyRequests",
                f"{self._open} logs are being read here, the most is {STREAMS_MAX}",
                details={"retryAfterSeconds": 1},
            )
        chunks = self.access.logs(route.namespace, route.name, container, query)
        return Response(200, b"", "text/plain", stream=self._counted(chunks))

    async def _counted(self, chunks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        self._open += 1
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk
        finally:
            self._open -= 1


def log_query(query: Mapping[str, str], wall_ms: int) -> LogQuery:
    """Return which lines are wanted. Raises: StatusError (Invalid)."""
    since = query.get("sinceTime", "")
    seconds = _number(query, "sinceSeconds")
    if seconds is not None:
        since = format_time(max(0, wall_ms - seconds * 1000))
    return LogQuery(
        previous=bool(flag(query, "previous")),
        tail=_number(query, "tailLines"),
        since=since.removesuffix("Z"),
        stamped=bool(flag(query, "timestamps")),
        bytes_max=_number(query, "limitBytes"),
        follow=bool(flag(query, "follow")),
    )


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise invalid_option(name, f"{text[:32]!r} is not a number from 0")
    return int(text)
