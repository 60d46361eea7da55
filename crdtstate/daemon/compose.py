"""One peer put together: replica, driver, gossip, API handlers. The same for a process and a world.

What differs between the two is given: where bytes are kept, what a clock says, what a network does
and where chance comes from (`Surroundings`).
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

from crdtstate.api.dispatch import Dispatcher
from crdtstate.api.kube.elsewhere import Relay
from crdtstate.api.kube.feed import Feed
from crdtstate.api.kube.nodes import MemberBeliefs
from crdtstate.api.kube.server import KubeApi
from crdtstate.api.kube.sweeping import Sweeper
from crdtstate.daemon.cluster import PeerCluster
from crdtstate.daemon.committer import Committer, Done, ThreadCommitter
from crdtstate.daemon.config import PeerConfig, parse_address
from crdtstate.daemon.driver import Driver, system_wall_ms
from crdtstate.errors import InvalidError
from crdtstate.replica.machine import Replica, ReplicaConfig
from crdtstate.store.limits import Limits
from crdtstate.store.ports import Storage
from crdtstate.store.store import StoreConfig
from gossip import Clock, GossipError, Mesh, MeshConfig, Network

__all__ = ["Assembled", "Keeper", "Surroundings", "assemble"]


@final
@dataclass(frozen=True)
class Surroundings:
    """The world that a peer runs in; the defaults are this machine."""

    committer: Callable[[Storage, Done], Committer] = ThreadCommitter
    wall_ms: Callable[[], int] = system_wall_ms
    network: Network | None = None
    clock: Clock | None = None
    rng: random.Random | None = None
    relay: Relay | None = None


@final
@dataclass(frozen=True, kw_only=True)
class Keeper:
    """What is durable beside the store, and who keeps it so.

    Args:
        clean: The last life ended in order.
        new_identity: `origin` was taken for this life.
        keys: The cluster's keys; the first seals.
    """

    cluster_id: bytes
    origin: int
    clean: bool
    new_identity: bool
    keys: Sequence[bytes]
    take_origin: Callable[[str], Awaitable[int]]
    save_keys: Callable[[Sequence[bytes]], Awaitable[None]]
    backup: Callable[[str], Awaitable[dict[str, Any]]]


@final
@dataclass(frozen=True)
class Assembled:
    """One peer, not yet started. `start` and `stop` are for the part without the HTTP server."""

    replica: Replica
    driver: Driver
    mesh: Mesh
    dispatcher: Dispatcher
    cluster: PeerCluster
    feed: Feed
    kube: KubeApi
    beliefs: MemberBeliefs
    sweeper: Sweeper

    async def start(self) -> None:
        """Open the sockets of gossip and begin. Raises: InvalidError when an address is taken."""
        try:
            await self.mesh.start()
        except GossipError as error:
            raise InvalidError(f"gossip: {error}", code="address_in_use") from error
        host, port = self.mesh.address
        self.replica.gossip = f"{host}:{port}"
        for name in self.replica.members.retired:
            self.mesh.forget(name)
        self.driver.start(self.mesh)
        self.feed.start()
        self.beliefs.start()
        self.sweeper.start()
        self.kube.quotas.start()

    async def stop(self) -> None:
        """Say farewell, then finish the batch in flight."""
        await self.mesh.stop()
        await self.beliefs.stop()
        await self.sweeper.stop()
        await self.kube.quotas.stop()
        await self.feed.stop()
        await self.driver.stop()


def assemble(
    config: PeerConfig,
    storage: Storage,
    keeper: Keeper,
    auth_tokens: tuple[str, ...] = (),
    around: Surroundings | None = None,
) -> Assembled:
    """Put one peer together. Raises: StorageError, InvalidError."""
    around = around or Surroundings()
    replica = Replica(storage, keeper.origin, _replica_config(config, keeper))
    driver = Driver(
        replica, storage, keeper.take_origin, watches_max=config.watches_max,
        committer=around.committer, wall_ms=around.wall_ms,
    )  # fmt: skip
    mesh = Mesh(
        _mesh_config(config, keeper), driver, contacts=replica.members.contacts,
        network=around.network, clock=around.clock, rng=around.rng,
    )  # fmt: skip
    feed = Feed(driver, keeper.cluster_id)
    kube = KubeApi(driver, feed, around.rng or random.Random(), around.relay)
    dispatcher = Dispatcher(driver, auth_tokens, kube)
    driver.cluster = cluster = PeerCluster(
        driver, mesh, cluster_id=keeper.cluster_id, dev=config.dev, backup=keeper.backup,
        keys=keeper.keys, save_keys=keeper.save_keys,
        watches_open=lambda: dispatcher.watching.open + kube.watching.open,
    )  # fmt: skip
    followers = MemberBeliefs(feed), Sweeper(feed)
    return Assembled(replica, driver, mesh, dispatcher, cluster, feed, kube, *followers)


def _replica_config(config: PeerConfig, keeper: Keeper) -> ReplicaConfig:
    limits = Limits(
        key_bytes_max=config.key_bytes_max,
        value_bytes_max=config.value_bytes_max,
        transaction_bytes_max=config.transaction_bytes_max,
        operations_max=config.operations_max,
        path_depth_max=config.path_depth_max,
    )
    store = StoreConfig(
        limits=limits,
        event_entries_max=config.event_entries_max,
        event_age_ms_max=config.event_age_s * 1000,
    )
    return ReplicaConfig(
        name=config.name,
        api=config.api,
        clean=keeper.clean,
        new_identity=keeper.new_identity,
        store=store,
    )


def _mesh_config(config: PeerConfig, keeper: Keeper) -> MeshConfig:
    host, port = parse_address(config.gossip, "gossip")
    advertise = parse_address(config.advertise, "advertise") if config.advertise else None
    return MeshConfig(
        name=config.name,
        cluster_id=keeper.cluster_id,
        keys=tuple(keeper.keys),
        bind_host=host,
        bind_port=port,
        advertise_host=advertise[0] if advertise else None,
        advertise_port=advertise[1] if advertise else None,
        seeds=tuple(parse_address(seed, "seed") for seed in config.seeds),
        dev=config.dev,
        mdns=config.mdns,
    )
