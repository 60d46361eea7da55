"""What of a Pod's body decides how its processes live; Kubernetes' defaults are filled in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

from controllers.runtime.quantity import to_millicores, to_units

__all__ = ["ContainerSpec", "Handler", "PodSpec", "Probe", "Restart", "parse_pod"]

Restart = Literal["Always", "OnFailure", "Never"]
GRACE_MS_DEFAULT = 30_000


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """Something to ask of a container: run a command in it, call it, connect to it, wait."""

    kind: Literal["exec", "http", "tcp", "grpc", "sleep"]
    command: tuple[str, ...] = ()
    host: str = ""
    """Empty: the pod's address."""
    port: int = 0
    path: str = "/"
    scheme: str = "http"
    headers: tuple[tuple[str, str], ...] = ()
    sleep_ms: int = 0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A handler asked again and again, and how many answers make a verdict."""

    handler: Handler
    initial_delay_ms: int
    period_ms: int
    timeout_ms: int
    successes: int
    failures: int
    grace_ms: int | None
    """Of the kill that follows a failure; None: the pod's."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """One container. `body` is the whole of it, for what only the start needs."""

    name: str
    image: str
    init: bool
    sidecar: bool
    """An init container that goes on running beside the others."""
    restart: Restart
    startup: Probe | None
    liveness: Probe | None
    readiness: Probe | None
    post_start: Handler | None
    pre_stop: Handler | None
    body: Mapping[str, Any]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PodSpec:
    """One pod."""

    uid: str
    namespace: str
    name: str
    restart: Restart
    grace_ms: int
    deadline_ms: int | None
    """activeDeadlineSeconds: how long it may run at all."""
    init: tuple[ContainerSpec, ...]
    main: tuple[ContainerSpec, ...]
    millicores: int
    """Requested, as the scheduler counts: the most of init containers or the sum of the rest."""
    memory_bytes: int
    body: Mapping[str, Any]

    @property
    def containers(self) -> tuple[ContainerSpec, ...]:
        """All, those that initialise first."""
        return self.init + self.main


def parse_pod(body: Mapping[str, Any]) -> PodSpec:
    """Return the spec of a Pod's body. Raises: ValueError naming the field that makes no sense."""
    meta, spec = body["metadata"], body.get("spec") or {}
    restart: Restart = spec.get("restartPolicy") or "Always"
    init = tuple(_container(c, restart, init=True) for c in spec.get("initContainers") or ())
    main = tuple(_container(c, restart, init=False) for c in spec.get("containers") or ())
    grace_s = spec.get("terminationGracePeriodSeconds")
    deadline_s = spec.get("activeDeadlineSeconds")
    return PodSpec(
        uid=meta["uid"],
        namespace=meta.get("namespace", "default"),
        name=meta["name"],
        restart=restart,
        grace_ms=GRACE_MS_DEFAULT if grace_s is None else int(grace_s) * 1000,
        deadline_ms=None if deadline_s is None else int(deadline_s) * 1000,
        init=init,
        main=main,
        millicores=_requested(init, main, "cpu"),
        memory_bytes=_requested(init, main, "memory"),
        body=body,
    )


def _container(body: Mapping[str, Any], policy: Restart, *, init: bool) -> ContainerSpec:
    sidecar = init and body.get("restartPolicy") == "Always"
    restart: Restart = policy
    if sidecar:
        restart = "Always"
    elif init and policy == "Always":
        restart = "OnFailure"  # An init container that has succeeded is done.
    hooks = body.get("lifecycle") or {}
    ports = body.get("ports") or ()
    return ContainerSpec(
        name=body["name"],
        image=body.get("image", ""),
        init=init,
        sidecar=sidecar,
        restart=restart,
        startup=_probe(body.get("startupProbe"), ports),
        liveness=_probe(body.get("livenessProbe"), ports),
        readiness=_probe(body.get("readinessProbe"), ports),
        post_start=_handler(hooks.get("postStart"), ports),
        pre_stop=_handler(hooks.get("preStop"), ports),
        body=body,
    )


def _probe(body: Mapping[str, Any] | None, ports: Sequence[Mapping[str, Any]]) -> Probe | None:
    handler = _handler(body, ports)
    if body is None or handler is None:
        return None
    grace_s = body.get("terminationGracePeriodSeconds")
    return Probe(
        handler=handler,
        initial_delay_ms=int(body.get("initialDelaySeconds") or 0) * 1000,
        period_ms=int(body.get("periodSeconds") or 10) * 1000,
        timeout_ms=int(body.get("timeoutSeconds") or 1) * 1000,
        successes=int(body.get("successThreshold") or 1),
        failures=int(body.get("failureThreshold") or 3),
        grace_ms=None if grace_s is None else int(grace_s) * 1000,
    )


def _handler(body: Mapping[str, Any] | None, ports: Sequence[Mapping[str, Any]]) -> Handler | None:
    if not body:
        return None
    if (run := body.get("exec")) is not None:
        return Handler(kind="exec", command=tuple(run.get("command") or ()))
    if (http := body.get("httpGet")) is not None:
        return Handler(
            kind="http", host=http.get("host") or "", port=_port(http.get("port"), ports),
            path=http.get("path") or "/", scheme=str(http.get("scheme") or "HTTP").lower(),
            headers=tuple((h["name"], h.get("value", "")) for h in http.get("httpHeaders") or ()),
        )  # fmt: skip
    if (tcp := body.get("tcpSocket")) is not None:
        return Handler(kind="tcp", host=tcp.get("host") or "", port=_port(tcp.get("port"), ports))
    if (grpc := body.get("grpc")) is not None:
        return Handler(kind="grpc", port=_port(grpc.get("port"), ports))
    if (sleep := body.get("sleep")) is not None:
        return Handler(kind="sleep", sleep_ms=int(sleep.get("seconds") or 0) * 1000)
    return None


def _port(port: int | str | None, ports: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of a port that may be named; 0 when nothing has that name."""
    if isinstance(port, int):
        return port
    for known in ports:
        if port is not None and known.get("name") == port:
            return int(known["containerPort"])
    return int(port) if port is not None and port.isascii() and port.isdigit() else 0


def _requested(init: Sequence[ContainerSpec], main: Sequence[ContainerSpec], resource: str) -> int:
    together = [c for c in init if c.sidecar] + list(main)
    alone = [_request(c, resource) for c in init if not c.sidecar]
    return max([sum(_request(c, resource) for c in together), *alone])


def _request(container: ContainerSpec, resource: str) -> int:
    """Return the request, which is the limit where only that is given."""
    resources = container.body.get("resources") or {}
    for kind in ("requests", "limits"):
        given = (resources.get(kind) or {}).get(resource)
        if given is not None:
            return to_millicores(given) if resource == "cpu" else to_units(given)
    return 0
