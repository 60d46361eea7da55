"""EDGE: all Services on one machine: listens for each, and follows their endpoints.

Invariants:
    PXY-1  A connection that is made is not touched when endpoints or Services change.
"""

import asyncio
import errno
from collections.abc import Callable, Iterable
from random import SystemRandom
from typing import final

import structlog

from controllers.agent.balancing import Balancer, endpoints_of
from controllers.agent.relay import Relay
from controllers.agent.services import Listener, listeners_of, missing_fields
from controllers.runtime.actions import Say
from controllers.runtime.cache import Cache, Change
from controllers.runtime.informer import Informer
from controllers.runtime.objects import (
    Object,
    labels_of,
    namespace_of,
    request_of,
    spec_of,
)
from controllers.runtime.request import Request
from controllers.runtime.sharding import owner_of
from crdtstate.client import AsyncClient
from crdtstate.client.kinds import ENDPOINT_SLICES, SERVICES
from crdtstate.errors import CrdtstateError

__all__ = ["ServiceProxy"]

SERVICE_LABEL = "kubernetes.io/service-name"
RETRY_S = 10.0
WAIT_S = 0.5  # How long each member waits for those before it to choose an address.
_log = structlog.get_logger("controllers.agent")


@final
class ServiceProxy:
    """`run` goes on until it is cancelled, and then ends all connections.

    Args:
        say: Says something about a Service in an Event.
    """

    def __init__(
        self,
        client: AsyncClient,
        *,
        name: str,
        address: str,
        now_ms: Callable[[], int],
        say: Callable[[Say], None],
    ) -> None:
        self._client, self._name, self._address = client, name, address
        self._now_ms, self._say = now_ms, say
        self._services, self._slices = Cache(SERVICES), Cache(ENDPOINT_SLICES)
        self._slices.add_index(SERVICE_LABEL, _service_of)
        self._services.add_index("namespace", lambda body: [namespace_of(body)])
        rng = SystemRandom()
        self._informers = [
            Informer(SERVICES, self._services, client.resources, rng),
            Informer(ENDPOINT_SLICES, self._slices, client.resources, rng),
        ]
        for informer in self._informers:
            informer.listen(self._changed)
        self._relays: dict[tuple[Request, str], Relay] = {}
        self._ending: list[Relay] = []
        self._dirty: dict[Request, None] = {}
        self._woken = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None

    def services_in(self, namespace: str) -> Iterable[Object]:
        """Return the Services of a namespace."""
        return self._services.find("namespace", namespace)

    async def run(self) -> None:
        """Serve, for ever."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for informer in self._informers:
                    group.create_task(informer.run())
                await self._work()
        finally:
            for relay in [*self._relays.values(), *self._ending]:
                await relay.close(cut=True)

    def _changed(self, change: Change) -> None:
        body = change.object
        if change.kind == SERVICES:
            self._touch(request_of(body))
        else:
            for known in (change.before, change.after):
                for key in _service_of(known or {}):
                    self._touch(Request(*key.split("/", 1)))

    def _touch(self, request: Request) -> None:
        self._dirty[request] = None
        self._woken.set()

    async def _work(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            dirty, self._dirty = list(self._dirty), {}
            for request in dirty:
                try:
                    await self._settle(request)
                except Exception:  # noqa: BLE001 - one Service's trouble is not the others'.
                    _log.exception("service_failed", service=str(request))

    async def _settle(self, request: Request) -> None:
        """Make what is listened on for one Service what it wants."""
        service = self._services.get(request)
        if service is not None and missing_fields(service) and self._group is not None:
            self._group.create_task(self._choose(request))
        wanted = listeners_of(service, self._address) if service is not None else []
        names = {listener.name for listener in wanted}
        for key, relay in list(self._relays.items()):
            if key[0] == request and key[1] not in names:
                self._ending = [old for old in self._ending if old.open] + [self._relays.pop(key)]
                await relay.close(cut=False)  # PXY-1
        slices = self._slices.find(SERVICE_LABEL, f"{request.namespace}/{request.name}")
        for name in sorted(names):
            relay = self._relay(request, name)
            relay.sticky = spec_of(service or {}).get("sessionAffinity") == "ClientIP"
            relay.balancer.set(endpoints_of(slices, name))
            mine = {(it.host, it.port) for it in wanted if it.name == name}
            for address in relay.addresses():
                if address not in mine:
                    relay.unlisten(*address)
        for listener in wanted:
            self._listen(request, listener)

    def _relay(self, request: Request, name: str) -> Relay:
        if (request, name) not in self._relays:
            balancer = Balancer(self._name)
            self._relays[request, name] = Relay(balancer, self._now_ms, sticky=False)
        return self._relays[request, name]

    def _listen(self, request: Request, listener: Listener) -> None:
        try:
            self._relay(request, listener.name).listen(listener.host, listener.port)
        except OSError as error:
            self._tell(request, listener, error)
            asyncio.get_running_loop().call_later(RETRY_S, self._touch, request)

    def _tell(self, request: Request, listener: Listener, error: OSError) -> None:
        """Say why a Service is not reached on this machine."""
        text = (
            f"{listener.host}:{listener.port} cannot be listened on by the agent of "
            f"{self._name}: {error.strerror}"
        )
        if error.errno in (errno.EACCES, errno.EPERM):
            text += (
                "; ports below 1024 need root, or a lower net.ipv4.ip_unprivileged_port_start: "
                "give the Service a port from 1024 on, and keep its targetPort"
            )
        _log.warning("service_not_served", service=f"{request.namespace}/{request.name}", why=text)
        service = self._services.get(request)
        if service is not None:
            say = Say(
                kind=SERVICES, about=service, reason="PortNotAvailable", message=text, warning=True
            )
            self._say(say)

    async def _choose(self, request: Request) -> None:
        """Write the address that a Service shall have, unless another agent does."""
        try:
            names = [row.name for row in await self._client.members() if row.liveness == "alive"]
            if owner_of(f"{request.namespace}/{request.name}", names or [self._name]) != self._name:
                await asyncio.sleep(WAIT_S)
            service = self._services.get(request)
            change = missing_fields(service) if service is not None else {}
            if change:
                await self._client.resources.patch(
                    SERVICES, request.name, {"spec": change}, request.namespace, manager="agent"
                )
        except CrdtstateError as error:
            _log.info("service_address_not_written", reason=error.message)
            asyncio.get_running_loop().call_later(RETRY_S, self._touch, request)


def _service_of(body: Object) -> list[str]:
    name = labels_of(body).get(SERVICE_LABEL)
    return [f"{namespace_of(body)}/{name}"] if name else []
