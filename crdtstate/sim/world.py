"""Simulated hosts that run the shipping peer, and what can be done to them.

A host has a disk, a clock and an address; a `Life` on it runs one peer, put together by the same
function as in production. All chance comes from generators named after the seed and the use, so
that another use of chance in one place does not move the others.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, final

from crdtstate.daemon.compose import Assembled, Keeper, Surroundings, assemble
from crdtstate.daemon.config import PeerConfig
from crdtstate.errors import CrdtstateError, InvalidError, StorageError
from crdtstate.sim.checkers import Checkers
from crdtstate.sim.loop import START_S, Life, SimLoop
from crdtstate.sim.network import HostNetwork, Wire
from crdtstate.sim.storage import Disk, DiskFaults, SimCommitter
from crdtstate.sim.story import Story
from crdtstate.storage.memory import MemoryStorage
from crdtstate.store.ports import Storage

__all__ = ["Host", "World"]

API_PORT, GOSSIP_PORT = 7480, 7481
_EPOCH_S = 1_700_000_000
_KEY = bytes(range(32))


@final
@dataclass
class HostClock:
    """A wall clock that is wrong: offset and drift, read in steps of `quantum_ms`."""

    loop: SimLoop
    offset_ms: int = 0
    drift: float = 0.0
    quantum_ms: int = 1

    def now_ms(self) -> int:
        """Monotonic."""
        return int(self.loop.time() * 1000)

    def wall_ms(self) -> int:
        """Since 1970, as this host believes."""
        true_ms = (_EPOCH_S + (self.loop.time() - START_S) * (1 + self.drift)) * 1000
        return int(true_ms + self.offset_ms) // self.quantum_ms * self.quantum_ms


@final
class Host:
    """One machine: its disk, its clock, and the life that is on it now."""

    def __init__(self, world: "World", number: int, name: str) -> None:
        self.world, self.number, self.name = world, number, name
        self.address = f"10.0.0.{number + 1}"
        self.disk = Disk()
        self.disk_faults = DiskFaults()
        self.clock = HostClock(world.loop)
        self.lives = 0
        self.life: Life | None = None
        self.peer: Assembled | None = None
        self.network: HostNetwork | None = None
        self.committer: SimCommitter | None = None
        self.up_since_s = 0.0
        self.trouble_s = 0.0  # When something was last done to it that may fail its clients.
        self.gone = False  # Forgotten, and never to come back.
        self.endings: list[Callable[[], None]] = []

    @property
    def api(self) -> str:
        """Where clients reach it."""
        return f"{self.address}:{API_PORT}"

    @property
    def is_up(self) -> bool:
        """Whether a life is on it."""
        return self.life is not None

    @property
    def serving(self) -> Assembled | None:
        """The peer, when it takes requests."""
        return self.peer if self.up_since_s else None

    # -- life ----------------------------------------------------------------------------------

    def boot(self) -> None:
        """Start a life on what the disk holds."""
        assert self.life is None
        assert not self.gone
        self.lives += 1
        world = self.world
        self.life = life = Life(self.name, self.lives)
        world.graveyard.append(life)
        self.network = HostNetwork(world.wire, self.address, life)
        life.context.run(self._assemble, life)
        world.loop.start(life, self._run(life), f"main of {life}")

    def _assemble(self, life: Life) -> None:
        """As the data directory and the daemon do it."""
        world, disk = self.world, self.disk
        rng = world.rng(f"{self.name}.{self.lives}")
        new_identity = not disk.origin or bool(disk.moved)
        clean = disk.clean or not disk.origin
        if new_identity:
            self._take_origin(disk.moved or "empty directory")
        disk.clean, disk.moved = False, ""
        storage = MemoryStorage(disk.database)

        async def take_origin(reason: str) -> int:
            return self._take_origin(reason)

        async def nothing(*_: Any) -> Any:
            raise InvalidError("not in a simulation")

        keeper = Keeper(
            cluster_id=world.cluster_id, origin=disk.origin,
            clean=clean, new_identity=new_identity, keys=[_KEY], take_origin=take_origin,
            save_keys=nothing, backup=nothing,
        )  # fmt: skip
        around = Surroundings(
            committer=lambda s, done: self._make_committer(s, done, life, rng),
            wall_ms=self.clock.wall_ms, network=self.network, clock=self.clock, rng=rng,
        )  # fmt: skip
        self.peer = assemble(world.config_of(self), storage, keeper, around=around)
        world.gave_life(self)
        world.checkers.booted(self, self.peer.replica, fresh=new_identity)

    def _make_committer(
        self, storage: Storage, done: Callable[[StorageError | None], None], life: Life, rng: Random
    ) -> SimCommitter:
        self.committer = SimCommitter(
            storage, done, loop=self.world.loop, life=life, disk=self.disk,
            faults=self.disk_faults, rng=rng, on_trouble=self._note_trouble,
            on_cut=lambda: self.kill(power_lost=True, why="power cut at a write"),
            on_durable=lambda: self.world.checkers.durable(self),
        )  # fmt: skip
        return self.committer

    def _note_trouble(self) -> None:
        self.trouble_s = self.world.loop.time()

    def _take_origin(self, reason: str) -> int:
        disk = self.disk
        if disk.origin:
            disk.previous.append(disk.origin)
        disk.origin = (1 << 63) | self.world.rng(
            f"origin {len(self.world.identities)}"
        ).getrandbits(63)
        self.world.identities.append(disk.origin)
        self.world.checkers.identity_taken(self, disk.origin)
        self.world.story.tell(self.name, "identity", reason)
        return disk.origin

    async def _run(self, life: Life) -> None:
        peer = self.peer
        assert peer is not None
        await peer.start()
        self.up_since_s = self.world.loop.time()
        await peer.driver.failed.wait()
        failure = peer.driver.failure
        assert failure is not None
        self.trouble_s = self.world.loop.time()
        self.world.story.tell(self.name, "failed", failure.message)
        self.world.loop.at(self.world.loop.time() + 0.2, life, self.kill)

    async def stop(self) -> None:
        """End in order, as SIGTERM does."""
        life, peer = self.life, self.peer
        assert life is not None
        assert peer is not None
        self.trouble_s = self.world.loop.time()
        self.up_since_s = 0.0
        await self.world.loop.start(life, peer.stop())
        if self.life is life:
            self.disk.clean = peer.driver.failure is None
            self.kill(why="stopped")

    def kill(self, *, power_lost: bool = False, why: str = "kill -9") -> None:
        """End the life now, in the middle of whatever it does."""
        if self.life is None:
            return
        self.world.story.tell(self.name, "down", why)
        self.world.stats["deaths"] += 1
        self.trouble_s = self.world.loop.time()
        life, self.life, self.up_since_s = self.life, None, 0.0
        life.alive = False
        assert self.network is not None
        self.network.end(power_lost=power_lost)
        self.world.checkers.died(self)
        endings, self.endings = self.endings, []
        for ended in endings:
            ended()

    def pause(self) -> None:
        """Stop it where it is, as SIGSTOP or a closed lid does; the network goes on."""
        assert self.life is not None
        self.life.paused = True
        self.trouble_s = float("inf")

    def resume(self) -> None:
        """End a pause."""
        self.trouble_s = self.world.loop.time()
        if self.life is not None and self.life.paused:
            self.world.loop.resume(self.life)


@final
@dataclass
class World:
    """All hosts, one loop, one seed.

    Args:
        configure: Changes the configuration of a host before each of its lives.
        gave_life: Called with each host whose peer is put together and not yet started.
    """

    seed: str
    names: Sequence[str]
    shuffle: bool = False
    steps_max: int = 50_000_000
    story: Story = field(default_factory=Story)
    configure: Callable[[Host, dict[str, Any]], None] = lambda _host, _config: None
    gave_life: Callable[[Host], None] = lambda _host: None

    def __post_init__(self) -> None:
        self.loop = SimLoop(self.rng("order"), shuffle=self.shuffle, steps_max=self.steps_max)
        self.wire = Wire(self.loop, self.rng("wire"))
        self.story.clock = self.loop.time
        self.cluster_id = hashlib.blake2b(_KEY, digest_size=16).digest()
        self.stats: Counter[str] = Counter()
        self.identities: list[int] = []
        self.forgotten: set[str] = set()  # Names; only asked for membership.
        self.graveyard: list[Life] = []  # Nothing of a dead life may be collected in a run.
        self.checkers = Checkers(self)
        self.hosts = [Host(self, number, name) for number, name in enumerate(self.names)]

    def rng(self, use: str) -> Random:
        """Return the generator for one use."""
        return Random(f"{self.seed}/{use}")

    def host(self, name: str) -> Host:
        """Return a host by name."""
        return next(h for h in self.hosts if h.name == name)

    def add_host(self, name: str) -> Host:
        """Return a new host, not yet booted."""
        host = Host(self, len(self.hosts), name)
        self.hosts.append(host)
        return host

    def config_of(self, host: Host) -> PeerConfig:
        """Return the configuration that a host starts with."""
        fields: dict[str, Any] = {
            "name": host.name,
            "data": "",
            "api": host.api,
            "gossip": f"{host.address}:{GOSSIP_PORT}",
            "seeds": [f"{h.address}:{GOSSIP_PORT}" for h in self.hosts if h is not host][:3],
        }
        self.configure(host, fields)
        return PeerConfig(**fields)

    def problems(self) -> list[str]:
        """Return what coroutines raised and nobody awaited."""
        found = []
        for context in self.loop.problems:
            error = context.get("exception")
            if not isinstance(error, CrdtstateError):
                found.append(f"{context.get('message')}: {error!r}")
        return found
