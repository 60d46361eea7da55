"""What is done to a world: every kind of fault of a plan, at times drawn from the seed.

Each kind has its own task and its own generator, so that to switch one off changes nothing of the
others; that is what makes shrinking work.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from random import Random
from typing import final

from crdtstate.errors import CrdtstateError
from crdtstate.sim.plan import Plan
from crdtstate.sim.stranger import stranger
from crdtstate.sim.world import GOSSIP_PORT, Host, World

__all__ = ["Nemesis"]

_JOINED_MAX = 3


@final
class Nemesis:
    """Does what the plan says, until stopped; then `heal` undoes all that can be undone."""

    def __init__(self, world: World, plan: Plan) -> None:
        self._world, self._plan = world, plan
        self._images: list[tuple[Host, object]] = []
        self._joined = 0
        self._stopped = False

    def start(self) -> list[asyncio.Task[None]]:
        """Set the weather, and start a task for each kind of fault that is on."""
        plan, world = self._plan, self._world
        weather = world.wire.weather
        weather.loss, weather.duplicate, weather.corrupt = plan.loss, plan.duplicate, plan.corrupt
        weather.tail, weather.fragment, weather.reset = plan.tail, plan.fragment, plan.reset
        rng = world.rng("clocks")
        for host in world.hosts:
            self._set_up(host, rng)
        kinds: dict[str, Callable[[Random], Awaitable[None]]] = {
            "cut": self._cut, "clog": self._clog, "kill": self._kill, "power": self._power,
            "site": self._site, "stop": self._stop, "pause": self._pause, "wipe": self._wipe,
            "restore": self._restore, "clone": self._clone, "forget": self._forget,
            "join": self._join, "poison": self._poison, "jump": self._jump,
            "disk_full": self._fill,
        }  # fmt: skip
        every = {kind: getattr(plan, f"{kind}_every_s") for kind in kinds}
        tasks = [self._often(kind, kinds[kind], mean) for kind, mean in every.items() if mean]
        if plan.stranger:
            tasks.append(stranger(world))
        return [world.loop.start(None, work) for work in [*tasks, self._reboot()]]

    def _set_up(self, host: Host, rng: Random) -> None:
        plan = self._plan
        host.clock.offset_ms = rng.randint(-plan.offset_ms, plan.offset_ms)
        host.clock.drift = rng.uniform(-plan.drift, plan.drift)
        host.clock.quantum_ms = plan.quantum_ms or 1
        faults = host.disk_faults
        faults.cut, faults.stall = plan.cut_at_write, plan.disk_stall
        faults.error, faults.full = plan.disk_error / 2, plan.disk_error / 2
        faults.lag_s = plan.disk_lag_s

    async def _often(
        self, kind: str, act: Callable[[Random], Awaitable[None]], mean_s: float
    ) -> None:
        rng = self._world.rng(f"fault {kind}")
        while True:
            await asyncio.sleep(rng.expovariate(1 / mean_s))
            self._world.stats[f"fault:{kind}"] += 1
            await act(rng)

    async def _reboot(self) -> None:
        """What is down comes back after a while."""
        rng = self._world.rng("reboots")
        while True:
            await asyncio.sleep(0.5)
            for host in self._world.hosts:
                if not host.is_up and not host.gone and rng.random() < 0.15:
                    self._boot(host)

    def _boot(self, host: Host) -> None:
        self._world.story.tell(host.name, "up")
        host.boot()

    def _some(self, rng: Random) -> Host | None:
        up = [h for h in self._world.hosts if h.is_up]
        return rng.choice(up) if up else None

    # -- the network ---------------------------------------------------------------------------

    async def _cut(self, rng: Random) -> None:
        """Draw a new shape: whole, one-way holes, two sides, or one host alone."""
        wire, hosts = self._world.wire, [h.address for h in self._world.hosts]
        wire.cut.clear()
        pairs = [(a, b) for a in hosts for b in hosts if a != b]
        shape = rng.choice(("none", "holes", "sides", "sides", "alone", "deaf"))
        if shape == "holes":
            wire.cut |= {pair for pair in pairs if rng.random() < 0.3}
        elif shape == "sides":
            side = {h for h in hosts if rng.random() < 0.5}
            wire.cut |= {(a, b) for a, b in pairs if (a in side) != (b in side)}
        elif shape in ("alone", "deaf"):
            one = rng.choice(hosts)
            wire.cut |= {(a, b) for a, b in pairs if b == one or (a == one and shape == "alone")}
        self._world.story.tell("world", "heal" if shape == "none" else "cut", shape)
        if self._plan.slow_bytes_s and rng.random() < 0.5:
            wire.rate = {rng.choice(pairs): self._plan.slow_bytes_s}

    async def _clog(self, rng: Random) -> None:
        """Swizzle: clog some paths one after the other, then let them go in another order."""
        wire, hosts = self._world.wire, [h.address for h in self._world.hosts]
        pairs = [(a, b) for a in hosts for b in hosts if a != b]
        chosen = [pair for pair in pairs if rng.random() < 0.4]
        for path in chosen:
            wire.clogged.setdefault(path, [])
            await asyncio.sleep(rng.uniform(0, 1))
        rng.shuffle(chosen)
        for path in chosen:
            await asyncio.sleep(rng.uniform(0, 2))
            wire.unclog(path)

    async def _poison(self, rng: Random) -> None:
        """Bytes from somebody with no key, to a random port of a random host."""
        target = rng.choice(self._world.hosts)
        data = rng.randbytes(rng.choice((0, 1, 60, 1400)))
        self._world.wire.send_datagram(("10.0.9.9", 7), (target.address, GOSSIP_PORT), data)

    # -- processes -----------------------------------------------------------------------------

    async def _kill(self, rng: Random) -> None:
        if host := self._some(rng):
            host.kill()

    async def _power(self, rng: Random) -> None:
        if host := self._some(rng):
            host.kill(power_lost=True, why="power cut")

    async def _site(self, _rng: Random) -> None:
        for host in self._world.hosts:
            host.kill(power_lost=True, why="power cut of the site")

    async def _stop(self, rng: Random) -> None:
        host = self._some(rng)
        if host is not None and host.serving and host.life and not host.life.paused:
            await asyncio.wait([self._world.loop.start(None, host.stop())], timeout=10)

    async def _pause(self, rng: Random) -> None:
        host = self._some(rng)
        if host is None or host.life is None or host.life.paused:
            return
        life, for_s = host.life, rng.choice((0.5, 3.0, 60.0))
        self._world.story.tell(host.name, "pause", f"for {for_s:g} s")
        host.pause()
        await asyncio.sleep(for_s)
        if host.life is life:
            host.resume()

    # -- clocks --------------------------------------------------------------------------------

    async def _jump(self, rng: Random) -> None:
        host = rng.choice(self._world.hosts)
        step = rng.choice((-1, 1)) * rng.choice((1_000, 60_000, 3_600_000))
        host.clock.offset_ms += step
        self._world.story.tell(host.name, "clock", f"jumps by {step} ms")

    # -- disks ---------------------------------------------------------------------------------

    def _lose_disk(self, host: Host, why: str) -> None:
        host.kill(power_lost=True, why=why)
        self._world.checkers.disk_lost(host)
        self._world.stats["disks_lost"] += 1

    async def _wipe(self, rng: Random) -> None:
        host = rng.choice(self._world.hosts)
        if host.gone:
            return
        self._lose_disk(host, "disk wiped")
        host.disk = type(host.disk)(previous=host.disk.previous)

    async def _restore(self, rng: Random) -> None:
        """An image is taken, and much later the host starts from it again."""
        host = rng.choice(self._world.hosts)
        image = host.disk.image("restored from a backup")
        await asyncio.sleep(rng.uniform(5, 60))
        if host.gone:
            return
        self._lose_disk(host, "disk restored from an image")
        host.disk = image

    async def _clone(self, rng: Random) -> None:
        """A copy of a disk is started beside the original, under a name of its own."""
        if self._joined >= _JOINED_MAX:
            return
        self._joined += 1
        source = rng.choice(self._world.hosts)
        host = self._world.add_host(f"clone{self._joined}")
        host.disk = source.disk.image("the directory was copied")
        self._set_up(host, rng)
        self._boot(host)

    async def _fill(self, rng: Random) -> None:
        disk = rng.choice(self._world.hosts).disk
        disk.full = True
        await asyncio.sleep(rng.uniform(1, 20))
        disk.full = False

    # -- membership ----------------------------------------------------------------------------

    async def _join(self, rng: Random) -> None:
        if self._joined >= _JOINED_MAX:
            return
        self._joined += 1
        host = self._world.add_host(f"new{self._joined}")
        self._set_up(host, rng)
        self._boot(host)

    async def _forget(self, rng: Random) -> None:
        """A host goes for good, and a member that is left is told to forget it."""
        staying = [h for h in self._world.hosts if not h.gone]
        if len(staying) < 3:
            return
        lost = rng.choice(staying)
        lost.kill(power_lost=True, why="gone for good")
        lost.gone = True
        self._world.checkers.disk_lost(lost)
        self._world.stats["disks_lost"] += 1
        await asyncio.sleep(rng.uniform(1, 10))
        await self._tell_to_forget(lost.name, rng)

    async def _tell_to_forget(self, name: str, rng: Random) -> None:
        up = [h for h in self._world.hosts if h.serving is not None]
        if not up:
            return
        host = rng.choice(up)
        assert host.serving is not None
        driver = host.serving.driver

        async def forget() -> None:
            with contextlib.suppress(CrdtstateError):
                await driver.forget(name)
                self._world.forgotten.add(name)

        self._world.loop.start(host.life, forget())

    # -- the end -------------------------------------------------------------------------------

    def heal(self) -> None:
        """Undo all faults, and bring back what is down."""
        world = self._world
        world.story.tell("world", "heal", "everything")
        world.wire.heal()
        for host in world.hosts:
            if host.gone:
                continue
            host.disk_faults.quiet()
            host.disk.full = host.disk.read_only = False
            host.clock.offset_ms, host.clock.drift, host.clock.quantum_ms = 0, 0.0, 1
            if host.life is not None and host.life.paused:
                host.resume()
        self.revive()

    def revive(self) -> None:
        """Start what is down and not gone for good, as an init system does."""
        for host in self._world.hosts:
            if not host.is_up and not host.gone:
                self._boot(host)
