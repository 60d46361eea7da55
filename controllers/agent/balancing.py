"""Which endpoint of a Service gets a connection. No I/O.

Invariants:
    BAL-1  Endpoints of this machine come first, each in turn; then the others, each in turn.
    BAL-2  One that has just failed comes last, until its penalty is over; none is left out.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

__all__ = ["Balancer", "Endpoint", "endpoints_of"]

PENALTY_MS = 5_000


@final
@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """Where a pod listens."""

    host: str
    port: int
    machine: str = ""
    """The Node's name."""


def endpoints_of(slices: Iterable[Mapping[str, Any]], port_name: str) -> tuple[Endpoint, ...]:
    """Return the endpoints of one port of a Service, from its EndpointSlices.

    Those that are ready; where none is, those that still serve while they end.
    """
    ready, ending = set(), set()
    for body in slices:
        ports = [p for p in body.get("ports") or () if (p.get("name") or "") == port_name]
        for endpoint in body.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            found = {
                Endpoint(address, int(port["port"]), endpoint.get("nodeName") or "")
                for address in endpoint.get("addresses") or ()
                for port in ports
                if port.get("port") and (port.get("protocol") or "TCP") == "TCP"
            }
            if conditions.get("ready", True) is not False:
                ready |= found
            elif conditions.get("serving") and conditions.get("terminating"):
                ending |= found
    return tuple(sorted(ready or ending))


@final
class Balancer:
    """One port of one Service on one machine."""

    def __init__(self, machine: str) -> None:
        self._machine = machine
        self.endpoints: tuple[Endpoint, ...] = ()
        self._turn = 0
        self._failed_ms: dict[Endpoint, int] = {}

    def set(self, endpoints: Sequence[Endpoint]) -> None:
        """Take the endpoints that there are now."""
        self.endpoints = tuple(endpoints)
        self._failed_ms = {e: ms for e, ms in self._failed_ms.items() if e in set(endpoints)}

    def order(self, now_ms: int, client: str = "") -> list[Endpoint]:
        """Return all endpoints in the order in which to try them (BAL-1, BAL-2).

        Args:
            client: With an address, the same client gets the same endpoint while it is there.
        """
        self._turn += 1
        local = [e for e in self.endpoints if e.machine == self._machine]
        remote = [e for e in self.endpoints if e.machine != self._machine]
        if client:
            ranked = sorted(self.endpoints, key=lambda e: _score(e, client))
        else:
            ranked = self._rotated(local) + self._rotated(remote)
        return sorted(ranked, key=lambda e: self._is_penalised(e, now_ms))

    def _rotated(self, endpoints: list[Endpoint]) -> list[Endpoint]:
        if not endpoints:
            return []
        start = self._turn % len(endpoints)
        return endpoints[start:] + endpoints[:start]

    def _is_penalised(self, endpoint: Endpoint, now_ms: int) -> bool:
        failed_ms = self._failed_ms.get(endpoint)
        return failed_ms is not None and now_ms - failed_ms < PENALTY_MS

    def failed(self, endpoint: Endpoint, now_ms: int) -> None:
        """Note that a connection was refused, or not answered."""
        self._failed_ms[endpoint] = now_ms

    def succeeded(self, endpoint: Endpoint) -> None:
        """Note that a connection was made."""
        self._failed_ms.pop(endpoint, None)


def _score(endpoint: Endpoint, client: str) -> bytes:
    text = f"{endpoint.host}:{endpoint.port} {client}"
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
