"""What only the peer of another machine can answer, asked there on behalf of a client."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, final

import msgspec

from crdtstate.api.exchange import Request, Response
from crdtstate.api.ports import Backend
from crdtstate.kube.statuses import StatusError

__all__ = ["RELAYED", "Elsewhere", "Relay"]

RELAYED = "Crdtstate-Relayed"
"""On a request that a peer has passed on: it is answered here, or not at all."""


class Relay(Protocol):
    """Asks other peers over HTTP."""

    async def get(self, url: str, headers: Mapping[str, str], timeout_ms: int) -> Response:
        """GET; return the answer, a stream if it is a success.

        Args:
            timeout_ms: Until the answer begins.

        Raises: UnavailableError.
        """

    async def get_all(
        self, urls: Sequence[str], headers: Mapping[str, str], timeout_ms: int
    ) -> list[bytes]:
        """GET all at the same time; return the bodies of those that succeed in time."""


@final
class Elsewhere:
    """The other peers' APIs.

    Args:
        relay: None where there is no way to them, as in a simulated world.
    """

    def __init__(self, backend: Backend, relay: Relay | None) -> None:
        self._backend, self._relay = backend, relay

    def peers(self) -> dict[str, str]:
        """Return the URL of each other peer's API that is heard from and can be asked, by name."""
        rows = self._backend.cluster.members()
        found = {
            str(row["name"]): _url_of(row)
            for row in rows
            if not row.get("self") and row.get("api") and row.get("liveness") == "alive"
        }
        return {name: url for name, url in found.items() if url is not None}

    async def get(self, peer: str, request: Request, timeout_ms: int) -> Response:
        """Pass a GET on to a peer. Raises: StatusError (ServiceUnavailable), UnavailableError."""
        url = self.peers().get(peer)
        if url is None or self._relay is None or request.headers.get(RELAYED):
            raise StatusError(
                "ServiceUnavailable",
                f"the answer is on the machine of peer {peer!r}, which is not heard from here, or "
                "has its API on loopback: ask that peer itself",
                details={"retryAfterSeconds": 1},
            )
        return await self._relay.get(url + request.target, self._headers(request), timeout_ms)

    async def gather(self, path: str, request: Request, timeout_ms: int) -> list[dict[str, Any]]:
        """GET a path from all other peers; return the objects that come in time."""
        if self._relay is None:
            return []
        urls = [url + path for url in self.peers().values()]
        bodies = await self._relay.get_all(urls, self._headers(request), timeout_ms)
        return [msgspec.json.decode(body, type=dict[str, Any]) for body in bodies]

    def _headers(self, request: Request) -> dict[str, str]:
        """The client's own token goes with it: the other peer decides by it, as this one has."""
        headers = {RELAYED: self._backend.name, "Accept": "*/*"}
        if request.headers.get("Authorization"):
            headers["Authorization"] = request.headers["Authorization"]
        return headers


def _url_of(row: Mapping[str, Any]) -> str | None:
    """Return where a member's API is; None when only its own machine reaches it.

    An API on any address is on the one that gossip uses.
    """
    api_host, _, port = str(row["api"]).rpartition(":")
    gossip_host = str(row.get("address") or "").rpartition(":")[0]
    api, gossip = _address(api_host), _address(gossip_host)
    if api is not None and api.is_unspecified and gossip is not None:
        api_host = gossip_host
    elif api is not None and api.is_loopback and gossip is not None and not gossip.is_loopback:
        return None
    return f"http://{api_host}:{port}"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
