"""A small cluster in the simulator, in which one fault is made and its outcome looked at.

Every step of every replica is checked as in a campaign (`crdtstate.sim.checkers`): a scene that
ends without an error has also shown that no promise was broken on the way.
"""

import asyncio
import contextlib
import gc
import sys
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

from crdtstate.client.aio import AsyncClient
from crdtstate.errors import CrdtstateError
from crdtstate.sim.run import bound_s
from crdtstate.sim.violation import Violation
from crdtstate.sim.workloads import make_client
from crdtstate.sim.world import Host, World
from crdtstate.storage.memory import MemoryStorage
from crdtstate.store.reading import list_views
from gossip import Liveness

START_S = 8.0  # Until peers that start together know and trust each other.


class Scene:
    """What a scenario uses: hosts by name, clients beside them, and looks at what they hold."""

    def __init__(self, world: World) -> None:
        self.world, self.wire = world, world.wire
        self._clients: dict[str, AsyncClient] = {}

    def host(self, name: str) -> Host:
        return self.world.host(name)

    def counters(self, name: str) -> dict[str, int]:
        """Return what a host's gossip counts."""
        peer = self.host(name).peer
        assert peer is not None
        return dict(peer.mesh.stats())

    def boot(self, *names: str) -> None:
        for name in names:
            self.host(name).boot()

    def client(self, name: str) -> AsyncClient:
        """Return the client that lives beside a host and knows no other."""
        if name not in self._clients:
            rng = self.world.rng(f"client of {name}")
            self._clients[name] = make_client(
                self.world, self.host(name), f"client of {name}", alone=True, rng=rng
            )[0]
        return self._clients[name]

    def paths(self, one: str, *others: str, both: bool = True) -> set[tuple[str, str]]:
        """Return the paths from one host to others, and back if `both`."""
        source, targets = self.host(one).address, [self.host(o).address for o in others]
        return {(source, t) for t in targets} | {(t, source) for t in targets if both}

    # -- what they hold ------------------------------------------------------------------------

    def state(self, name: str) -> dict[str, Any]:
        """Return what a host's disk holds, key -> value."""
        host = self.host(name)
        reader = MemoryStorage(host.disk.database)
        found, after = dict[str, Any](), None
        while True:
            entries, after = list_views(reader, b"", after, 500, host.clock.wall_ms())
            found.update({entry.key: entry.value for entry in entries})
            if after is None:
                return found

    def replica(self, name: str) -> Any:
        peer = self.host(name).peer
        assert peer is not None
        return peer.replica

    def alive_to(self, name: str) -> set[str]:
        """Return the names of whom a host takes for alive, itself included."""
        peer = self.host(name).peer
        assert peer is not None
        return {name} | {m.name for m in peer.mesh.members() if m.liveness is Liveness.ALIVE}

    def are_equal(self) -> bool:
        up = [h for h in self.world.hosts if not h.gone]
        if not all(h.serving is not None for h in up):
            return False
        shown = [self.replica(h.name).shown for h in up]
        return all(s.root == shown[0].root and s.vector == shown[0].vector for s in shown)

    # -- waiting -------------------------------------------------------------------------------

    def look(self) -> None:
        """Raise what the checkers found, and what nobody awaited. Raises: Violation."""
        if self.world.checkers.violation is not None:
            raise self.world.checkers.violation
        for problem in self.world.problems():
            raise Violation("EXC", problem)

    async def sleep(self, seconds: float) -> None:
        end_s = self.world.loop.time() + seconds
        while (left := end_s - self.world.loop.time()) > 0:
            await asyncio.sleep(min(left, 0.5))
            self.look()

    async def until(self, holds: Callable[[], bool], within_s: float, what: str = "it") -> float:
        """Wait until something holds; return how long it took."""
        began = self.world.loop.time()
        while not holds():
            assert self.world.loop.time() - began <= within_s, f"{what}: not in {within_s} s"
            await asyncio.sleep(0.1)
            self.look()
        return self.world.loop.time() - began

    async def converge(self, within_s: float | None = None) -> float:
        """Wait until all have equal vectors and fingerprints, then compare every record."""
        bound = bound_s(len(self.world.hosts)) if within_s is None else within_s
        took = await self.until(self.are_equal, bound, "convergence")
        for host in self.world.hosts:
            if not host.gone:
                self.world.checkers.check_all(host)
        return took

    async def refusal(self, work: Coroutine[Any, Any, Any]) -> CrdtstateError:
        """Await what must be refused, and return the refusal."""
        try:
            await work
        except CrdtstateError as error:
            return error
        raise AssertionError("it was not refused")


def play(
    scenario: Callable[[Scene], Coroutine[Any, Any, None]],
    names: str = "abc",
    *,
    seed: str = "scene",
    prepare: Callable[[World], None] = lambda _world: None,
    settle_s: float = START_S,
) -> World:
    """Boot peers of one letter each, wait, run a scenario; raise whatever went wrong."""
    world = World(seed, list(names))
    prepare(world)
    scene = Scene(world)

    async def run() -> None:
        scene.boot(*names)
        await scene.sleep(settle_s)
        await scenario(scene)
        scene.look()

    was_on, hook = gc.isenabled(), sys.unraisablehook
    gc.disable()  # A collection would close coroutines of dead lives at random moments.
    try:
        asyncio.set_event_loop(world.loop)
        world.loop.run_until_complete(world.loop.start(None, run()))
    finally:
        _dispose(world)
        sys.unraisablehook = hook
        if was_on:
            gc.enable()
    return world


def _dispose(world: World) -> None:
    asyncio.set_event_loop(None)
    for life in world.graveyard:
        life.alive = False
    with contextlib.suppress(Exception):
        world.loop.close()
    sys.unraisablehook = lambda _: None  # What is left of the run may not act any more.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        gc.collect()
