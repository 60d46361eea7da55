"""A scenario in the simulator: shipping peers and handlers, virtual time, links cut on the wire."""

import asyncio
import contextlib
import gc
import json
import sys
import warnings
from collections.abc import Sequence
from typing import final

from controllers.runtime.manager import Manager
from controllers.runtime.registry import spec_of_class
from crdtstate.client.aio import AsyncClient
from crdtstate.client.attempt import Try
from crdtstate.sim.harness import SimLink
from crdtstate.sim.world import Host, World
from tests.kube.partition.cases import CUT, HEAL, Case, Scenario, finish
from tests.kube.partition.sides import ALL, Answer, cut, heal, linked, settle

_TIMEOUT_MS = 10_000


@final
class SimulatedSides:
    """Three hosts of a world.

    Args:
        controllers: Run inside each peer.
    """

    def __init__(self, seed: str, controllers: Sequence[type] = ()) -> None:
        self._controllers = controllers
        self.world = World(seed, list(ALL), gave_life=self._gave_life)

    def _gave_life(self, host: Host) -> None:
        if self._controllers:
            self.world.loop.start(host.life, self._control(host))

    async def _control(self, host: Host) -> None:
        while host.serving is None:  # noqa: ASYNC110 - as a daemon starts its extensions.
            await asyncio.sleep(0.05)
        rng = self.world.rng(f"controllers of {host.name}")
        client = AsyncClient(host.api, link=SimLink(self.world, host), rng=rng, causal=False)
        specs = [spec_of_class(cls) for cls in self._controllers]
        await Manager(client, specs, member=host.name, clock=host.clock, rng=rng).run()

    async def ask(
        self, side: str, method: str, path: str, body: bytes | None, media: str
    ) -> Answer:
        """Ask one peer, from beside it."""
        host = self.world.host(side)
        headers = {} if body is None else {"Content-Type": media}
        answer = await SimLink(self.world, host).exchange(
            Try(
                endpoint=f"http://{host.api}", method=method, target=path, headers=headers,
                body=body, pause_ms=0, connect_ms=_TIMEOUT_MS, total_ms=_TIMEOUT_MS,
            )
        )  # fmt: skip
        return Answer(answer.status, json.loads(answer.body), answer.headers.get("warning", ""))

    def cut_links(self) -> None:
        """Cut a from b and c."""
        a, *others = (host.address for host in self.world.hosts)
        self.world.wire.cut |= {pair for b in others for pair in ((a, b), (b, a))}

    def heal_links(self) -> None:
        """Open all paths again."""
        self.world.wire.heal()


def play(name: str, scenario: Scenario, controllers: Sequence[type] = ()) -> None:
    """Run one scenario from its beginning to its end."""
    was_on = gc.isenabled()
    gc.disable()  # A collection would close coroutines of dead lives at random moments.
    hook = sys.unraisablehook
    try:
        _play(SimulatedSides(name, controllers), name, scenario)
    finally:
        sys.unraisablehook = lambda _: None  # What is left of the run may not act any more.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            gc.collect()
        sys.unraisablehook = hook
        if was_on:
            gc.enable()


def _play(sides: SimulatedSides, name: str, scenario: Scenario) -> None:
    world = sides.world

    async def main() -> None:
        for host in world.hosts:
            host.boot()
        while any(host.serving is None for host in world.hosts):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        await linked(sides)
        case = Case(sides, name)
        await case.begin()
        await settle(sides)
        story = scenario(case)
        assert await anext(story) == CUT
        await settle(sides)
        await cut(sides)
        assert await anext(story) == HEAL
        await heal(sides)
        await finish(story)
        if world.checkers.violation is not None:
            raise world.checkers.violation
        assert world.problems() == []

    try:
        asyncio.set_event_loop(world.loop)
        world.loop.run_until_complete(world.loop.start(None, main()))
    finally:
        asyncio.set_event_loop(None)
        for life in world.graveyard:
            life.alive = False
        with contextlib.suppress(Exception):
            world.loop.close()
