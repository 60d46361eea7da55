"""Finding peers on the local network by multicast DNS. Off unless asked for.

What is found is only an address to try: whoever answers there must still hold a key.
"""

import asyncio
from collections.abc import Callable
from typing import Any, final

import structlog
from zeroconf import Error, InterfaceChoice, IPVersion, ServiceStateChange
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from gossip.net.envelope import cluster_prefix
from gossip.net.ports import Address
from gossip.net.tasks import Tasks

log = structlog.get_logger(__name__)

SERVICE_TYPE = "_crdtstate._udp.local."
RESOLVE_MS = 3_000


@final
class Discovery:
    """Announces one member and browses for others of its cluster.

    Args:
        interface: The address of the interface to use; None is all of them.
        on_found: Called with the address of each peer found, perhaps repeatedly.
    """

    def __init__(
        self,
        *,
        name: str,
        cluster_id: bytes,
        interface: str | None,
        tasks: Tasks,
        on_found: Callable[[str, int], None],
    ) -> None:
        self._name = name
        self._cluster = cluster_prefix(cluster_id).hex().encode()
        self._interfaces = InterfaceChoice.All if interface is None else [interface]
        self._tasks = tasks
        self._on_found = on_found
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None

    async def start(self, advertised: Address) -> None:
        """Announce and browse; a network that cannot do it costs a warning, nothing more."""
        try:
            self._zeroconf = AsyncZeroconf(interfaces=self._interfaces, ip_version=IPVersion.V4Only)
            info = AsyncServiceInfo(
                SERVICE_TYPE,
                f"{self._name}.{SERVICE_TYPE}",
                parsed_addresses=[advertised[0]],
                port=advertised[1],
                properties={b"cluster": self._cluster},
            )
            await self._zeroconf.async_register_service(info, allow_name_change=True)
            self._browser = AsyncServiceBrowser(
                self._zeroconf.zeroconf, SERVICE_TYPE, handlers=[self._on_change]
            )
        except (OSError, RuntimeError, Error) as error:
            # Peers can be given as seeds as well: this is no reason not to serve.
            log.warning("discovery_failed", reason=repr(error))
            await self.stop()

    def _on_change(
        self, *, service_type: str, name: str, state_change: ServiceStateChange, **_: Any
    ) -> None:
        if state_change is not ServiceStateChange.Removed:
            self._tasks.spawn(self._resolve(service_type, name), name=f"resolve {name}")

    async def _resolve(self, service_type: str, name: str) -> None:
        if self._zeroconf is None:
            return
        info = AsyncServiceInfo(service_type, name)
        found = await info.async_request(self._zeroconf.zeroconf, RESOLVE_MS)
        if not found or info.port is None or info.properties.get(b"cluster") != self._cluster:
            return
        for host in info.parsed_addresses():
            self._on_found(host, info.port)

    async def stop(self) -> None:
        """Withdraw the announcement."""
        browser, self._browser = self._browser, None
        zeroconf, self._zeroconf = self._zeroconf, None
        if browser is not None:
            await browser.async_cancel()
        if zeroconf is not None:
            async with asyncio.timeout(RESOLVE_MS / 1000):
                await zeroconf.async_close()
