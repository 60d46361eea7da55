"""The public face of gossip: one member among others, over real sockets.

Composes the membership machine, the links, discovery and faults, and performs the machine's
effects in order. Everything runs in the thread of one event loop.

Invariants:
    MSH-1  A stopped mesh has said that it leaves, and says nothing more.
    MSH-2  After `stop`, no task, timer or socket of the mesh is left.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Collection
from typing import Final, final

import structlog

from gossip.core import messages as msg
from gossip.core.peer import Peer
from gossip.core.ports import Application, Liveness, Member
from gossip.errors import GossipError
from gossip.net.asyncio_network import AsyncioNetwork, SystemClock, local_host
from gossip.net.config import MeshConfig
from gossip.net.discovery import Discovery
from gossip.net.driver import Driver
from gossip.net.envelope import SALT_BYTES, Envelope
from gossip.net.faults import Cut, Fault, Faults
from gossip.net.guard import Guard
from gossip.net.handshake import Identity
from gossip.net.keyring import Keyring
from gossip.net.links import Links
from gossip.net.ports import Address, Clock, DatagramPort, Listener, Network
from gossip.net.seeds import Seeds
from gossip.net.tasks import Tasks

log = structlog.get_logger(__name__)

BIND_TRIES = 16  # For a port number that is free for both UDP and TCP.
WILDCARDS = ("", "0.0.0.0", "::")


@final
class Mesh:
    """One member. Start it inside a running event loop, and stop it there.

    Args:
        application: Called back from the loop's thread; its exceptions end up in `failed`.
        contacts: Where members once were, as far as the application remembers: tried beside the
            seeds. Numeric addresses.
        rng: Chance, nonces included; the system's source by default. Only a simulator may give
            one that can be predicted.
        incarnation: By default seconds since 1970, so that a restart comes back higher.
    """

    def __init__(
        self,
        config: MeshConfig,
        application: Application,
        *,
        contacts: Callable[[], Collection[Address]] = tuple,
        network: Network | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        incarnation: int | None = None,
    ) -> None:
        self.keyring: Final = Keyring(config.keys)
        self._config = config
        self._network: Network = network or AsyncioNetwork()
        self._clock: Clock = clock or SystemClock()
        self._rng = rng or random.SystemRandom()
        self._incarnation = incarnation
        self._counters: Counter[str] = Counter()
        self._tasks = Tasks(self._fail)
        self._application = Guard(application, self._fail)
        self._failure: BaseException | None = None
        self._failed: asyncio.Future[BaseException] | None = None
        self._faults = Faults(
            enabled=config.dev, rng=self._rng, tasks=self._tasks, counters=self._counters
        )
        self._links = Links(
            identity=Identity(config.name, config.cluster_id, self.keyring, self._rng.randbytes),
            config=config.stream,
            network=self._network,
            clock=self._clock,
            faults=self._faults,
            tasks=self._tasks,
            counters=self._counters,
            application=self._application,
            on_heard=lambda name: self._driver.step(msg.LinkObserved(name)),
        )
        self._seeds = Seeds(
            config.seeds,
            contacts=contacts,
            rng=self._rng,
            network=self._network,
            reached=self._reached,
            join=self._join_address,
        )
        self._driver = Driver(
            envelope=Envelope(
                config.cluster_id, self.keyring, salt=self._rng.randbytes(SALT_BYTES)
            ),
            clock=self._clock,
            faults=self._faults,
            links=self._links,
            tasks=self._tasks,
            counters=self._counters,
            application=self._application,
            on_failure=self._fail,
        )
        self._discovery: Discovery | None = None
        self._datagrams: DatagramPort | None = None
        self._listener: Listener | None = None
        self._advertised: Address = ("", 0)

    # Life.

    async def start(self) -> None:
        """Bind, join the seeds and run.

        Raises:
            GossipError: The port is taken, or the advertised host has no address.
        """
        config = self._config
        await self._bind()
        try:
            self._advertised = await self._choose_address()
        except OSError as error:
            self._close_sockets()
            raise GossipError(
                f"advertise_host {config.advertise_host!r} does not resolve: {error}"
            ) from error
        incarnation = self._incarnation
        if incarnation is None:
            incarnation = self._clock.wall_ms() // 1000
        peer = Peer(
            config.swim,
            self._rng,
            name=config.name,
            host=self._advertised[0],
            port=self._advertised[1],
            metadata=config.metadata,
            incarnation=incarnation,
        )
        assert self._datagrams is not None
        self._driver.start(config.name, peer, self._datagrams)
        self._tasks.spawn(self._seeds.run(), name="seeds")
        if config.mdns:
            self._discovery = Discovery(
                name=config.name,
                cluster_id=config.cluster_id,
                interface=None if config.bind_host in WILDCARDS else config.bind_host,
                tasks=self._tasks,
                on_found=self._on_found,
            )
            # It takes a second or two to announce oneself: nobody should wait for it.
            self._tasks.spawn(self._discovery.start(self._advertised), name="discovery")
        host, port = self._advertised
        log.info("mesh_started", name=config.name, host=host, port=port)

    async def stop(self) -> None:
        """Tell the others that we leave, and end everything; twice is harmless."""
        self._driver.stop()
        await self._links.close()
        self._close_sockets()
        await self._tasks.close()
        if self._discovery is not None:
            await self._discovery.stop()
            self._discovery = None
        self._faults.close()
        # Transports close themselves in the loop's next turns.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def _bind(self) -> None:
        host, port = self._config.bind_host or "0.0.0.0", self._config.bind_port
        for tries_left in reversed(range(BIND_TRIES if port == 0 else 1)):
            try:
                if host not in WILDCARDS:
                    # A name of two families would be bound twice, to two port numbers.
                    host, _ = await self._network.resolve(host, port)
                self._listener = await self._network.listen(host, port, self._links.accept)
                self._datagrams = await self._network.open_datagram(
                    host, self._listener.port, self._driver.on_datagram
                )
                return
            except OSError as error:
                self._close_sockets()
                if not tries_left:
                    raise GossipError(f"cannot bind {host!r} port {port}: {error}") from error

    async def _choose_address(self) -> Address:
        config = self._config
        port = config.advertise_port or self.port
        if config.advertise_host is not None:
            return await self._network.resolve(config.advertise_host, port)
        if config.bind_host not in WILDCARDS:
            return await self._network.resolve(config.bind_host, port)
        towards = config.seeds[0][0] if config.seeds else "192.0.2.1"
        try:
            towards, _ = await self._network.resolve(towards, 0)
        except OSError:
            towards = "192.0.2.1"  # Reserved for documentation: routed by default, never sent to.
        return local_host(towards), port

    def _close_sockets(self) -> None:
        for socket in (self._listener, self._datagrams):
            if socket is not None:
                socket.close()
        self._listener = self._datagrams = None

    # What others may ask.

    @property
    def port(self) -> int:
        """The bound port number, of UDP and TCP."""
        if self._listener is None:
            raise GossipError(f"mesh {self._config.name!r} is not started: it has no port")
        return self._listener.port

    @property
    def address(self) -> Address:
        """Where the others reach this member, once it is started."""
        return self._advertised

    @property
    def failed(self) -> asyncio.Future[BaseException]:
        """Resolves to the first exception of a callback or a task; the mesh runs on."""
        if self._failed is None:
            self._failed = asyncio.get_running_loop().create_future()
            if self._failure is not None:
                self._failed.set_result(self._failure)
        return self._failed

    def members(self) -> list[Member]:
        """Return the membership table, sorted by name, this member included."""
        return self._driver.members()

    def linked(self) -> list[str]:
        """Return the names with an open stream, sorted."""
        return self._links.linked()

    def send(self, name: str, payload: bytes) -> bool:
        """Queue a payload for a member.

        Returns:
            False when there is no link, or its buffer is full; the payload is dropped.

        Raises:
            GossipError: The payload is over PAYLOAD_BYTES_MAX.
        """
        stream = self._links.stream(name)
        if stream is None:
            self._counters["sends_unlinked"] += 1
            self._links.ask(name)
            return False
        return stream.send(payload)

    def buffered_bytes(self, name: str) -> int:
        """Return what is queued for a member; 0 without a link."""
        stream = self._links.stream(name)
        return stream.buffered_bytes() if stream is not None else 0

    async def wait_writable(self, name: str) -> None:
        """Wait until little is queued for a member; returns as well when there is no link."""
        stream = self._links.stream(name)
        if stream is not None:
            await stream.wait_writable()

    async def probe(self, name: str) -> bool:
        """Ask a member over its stream whether it lives."""
        stream = self._links.stream(name)
        return stream is not None and await stream.probe()

    def set_metadata(self, metadata: bytes) -> None:
        """Change what the others know of this member."""
        self._driver.step(msg.MetadataChanged(metadata))

    def digest_changed(self) -> None:
        """Ask the application for its digest before the next packet that carries one."""
        self._driver.digest_changed()

    def join(self, host: str, port: int) -> None:
        """Contact an address once more than the seeds; a name is resolved first."""
        self._tasks.spawn(self._resolve_and_join(host, port), name=f"join {host}")

    def forget(self, name: str) -> None:
        """Remove a member for good: its name is never accepted again."""
        self._driver.forget(name)
        self._links.forget(name)

    def set_fault(
        self, name: str, *, cut: Cut | None = None, drop: float = 0.0, delay_ms: int = 0
    ) -> None:
        """Replace what is wrong with the way to and from a member.

        Raises:
            GossipError: MeshConfig.dev is off, or an argument is out of range.
        """
        self._faults.set_fault(name, Fault(cut=cut, drop=drop, delay_ms=delay_ms))
        log.warning("fault_set", peer=name, cut=cut, drop=drop, delay_ms=delay_ms)

    def heal(self, name: str | None = None) -> None:
        """End the fault of one member, or all faults."""
        self._faults.heal(name)
        log.warning("fault_healed", peer=name)

    def stats(self) -> dict[str, int]:
        """Return counters since the start, and the gauges `links` and `seeds_missing`."""
        stats = dict(sorted(self._counters.items()))
        for way in ("in", "out"):
            stats[f"bytes_{way}"] = (
                self._counters[f"datagram_bytes_{way}"] + self._counters[f"stream_bytes_{way}"]
            )
        stats["links"] = len(self.linked())
        stats["seeds_missing"] = self._seeds.missing()
        return stats

    # What the parts call.

    def _fail(self, error: BaseException) -> None:
        self._counters["failures"] += 1
        if self._failure is None:
            self._failure = error
            if self._failed is not None and not self._failed.done():
                self._failed.set_result(error)

    def _reached(self) -> set[Address]:
        alive = (m for m in self.members() if m.liveness is Liveness.ALIVE)
        return {self._advertised, *((m.host, m.port) for m in alive)}

    def _join_address(self, address: Address) -> None:
        self._driver.step(msg.Join(*address))

    def _on_found(self, host: str, port: int) -> None:
        if (host, port) not in self._reached():
            self._join_address((host, port))

    async def _resolve_and_join(self, host: str, port: int) -> None:
        try:
            self._join_address(await self._network.resolve(host, port))
        except OSError as error:
            log.warning("join_failed", host=host, port=port, reason=str(error))
