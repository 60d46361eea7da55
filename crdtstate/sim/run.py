"""One seed from its plan to its verdict: faults for a while, then healing, then convergence.

Invariants:
    LIV-1  Healed, all peers have equal vectors and fingerprints within `bound_s`.
    LIV-2  Then nothing acknowledged is missing, nobody is held up, and traffic falls to idling.
"""

import asyncio
import contextlib
import gc
import math
import sys
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, final

from crdtstate.sim.ending import check_end, check_idle, links_opened, wait_for_agreement
from crdtstate.sim.faults import Nemesis
from crdtstate.sim.loop import START_S, Deadlock, OutOfSteps
from crdtstate.sim.plan import Plan
from crdtstate.sim.story import Story
from crdtstate.sim.tight import small_steps, tighten
from crdtstate.sim.violation import Violation, require
from crdtstate.sim.workloads import Workload, mixed, run_client, run_watcher
from crdtstate.sim.world import World
from crdtstate.storage.memory import MemoryStorage
from crdtstate.store.reading import list_views

__all__ = ["Verdict", "bound_s", "run_seed"]

_TURN_S = 0.25
_SETTLE_S = 3.0
_AGREED_S = 10.0
_IDLE_BYTES_S_MAX = 2_000  # per peer, of gossip with nothing to say


@final
@dataclass
class Verdict:
    """What became of one run."""

    seed: int
    plan: Plan
    violation: str | None
    digest: str
    virtual_s: float
    cpu_s: float
    converged_s: float  # after the healing
    steps: int
    counts: Counter[str]
    stats: Counter[str]
    story: Story
    hosts: list[str] = field(default_factory=list)


def bound_s(peers: int) -> float:
    """Return within how many seconds of the healing all must be equal.

    A peer that was long dead is redialled every 2 s, one that starts settles its identity in 1.5 s
    and a repair takes rounds of requests; each of log n rounds of gossip adds a probe period.
    """
    return 12.0 + 2.0 * math.log2(max(2, peers))


def run_seed(seed: int, plan: Plan, workload: Workload | None = None) -> Verdict:
    """Run one seed to its end. Raises nothing: what goes wrong is in the verdict."""
    was_on = gc.isenabled()
    gc.disable()  # A collection would close coroutines of dead lives at random moments.
    hook = sys.unraisablehook
    try:
        with small_steps() if plan.tight else contextlib.nullcontext():
            verdict = _execute(seed, plan, workload or Workload(mixed(plan)))
        sys.unraisablehook = lambda _: None  # What is left of the run may not act any more.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            gc.collect()
    finally:
        sys.unraisablehook = hook
        if was_on:
            gc.enable()
    return verdict


def _execute(seed: int, plan: Plan, workload: Workload) -> Verdict:
    started = time.process_time()
    world = World(f"{seed}", _names(plan.peers), shuffle=plan.shuffle)
    run = _Run(world, plan, workload)
    failure: str | None = None
    try:
        asyncio.set_event_loop(world.loop)
        world.loop.run_until_complete(world.loop.start(None, run.scenario()))
    except (Violation, Deadlock, OutOfSteps) as error:
        failure = f"{type(error).__name__}: {error}"
        world.story.tell("world", "violation", failure)
    finally:
        asyncio.set_event_loop(None)
        for life in world.graveyard:
            life.alive = False
        with contextlib.suppress(Exception):
            world.loop.close()
    world.story.clock = float
    return Verdict(
        seed, plan, failure, world.checkers.digest.hexdigest(), world.loop.time() - START_S,
        time.process_time() - started, run.converged_s, world.loop.steps, world.checkers.counts,
        world.stats, world.story, [h.name for h in world.hosts],
    )  # fmt: skip


def _names(peers: int) -> list[str]:
    return [chr(ord("a") + n) for n in range(peers)]


@final
class _Run:
    """The course of one run."""

    def __init__(self, world: World, plan: Plan, workload: Workload) -> None:
        self.world, self.plan, self.workload = world, plan, workload
        self.nemesis = Nemesis(world, plan)
        self.converged_s = math.nan
        world.configure = self._configure
        if plan.tight:
            world.gave_life = tighten

    def _configure(self, _host: Any, fields: dict[str, Any]) -> None:
        fields["event_entries_max"] = self.plan.event_entries_max

    async def scenario(self) -> None:
        """All of it. Raises: Violation."""
        world, plan = self.world, self.plan
        for host in world.hosts:
            world.story.tell(host.name, "up")
            host.boot()
        faults = self.nemesis.start()
        users = [
            world.loop.start(None, run_client(world, self.workload.client, n, plan.rate))
            for n in range(plan.clients)
        ] + [world.loop.start(None, run_watcher(world, n)) for n in range(plan.watchers)]
        end_s = world.loop.time() + plan.seconds
        turn = 0
        while world.loop.time() < end_s:
            await asyncio.sleep(_TURN_S)
            turn += 1
            self._look(users + faults, full=turn % 80 == 0)
        for task in [*faults, *users[: plan.clients]]:
            task.cancel()
        await asyncio.sleep(0)
        await self._converge(users[plan.clients :])

    def _look(self, tasks: list[asyncio.Task[Any]], *, full: bool = False) -> None:
        """Raise what went wrong since the last look. Raises: Violation."""
        world = self.world
        if world.checkers.violation is not None:
            raise world.checkers.violation
        for problem in world.problems():
            raise Violation("EXC", problem)
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise Violation("EXC", f"{task.get_name()}: {error!r}") from error
        if full and self.workload.always is not None:
            for host in world.hosts:
                if host.serving is not None:
                    self._call(self.workload.always, host)

    def _call(self, invariant: Any, host: Any) -> None:
        try:
            invariant(self._state(host))
        except AssertionError as error:
            raise Violation("USER", f"{host.name}: {error!r}") from error

    def _state(self, host: Any) -> dict[str, Any]:
        reader, after, state = MemoryStorage(host.disk.database), None, dict[str, Any]()
        while True:
            entries, after = list_views(reader, b"", after, 500, host.clock.wall_ms())
            state.update({entry.key: entry.value for entry in entries})
            if after is None:
                return state

    # -- after the healing ---------------------------------------------------------------------

    async def _converge(self, watchers: list[asyncio.Task[Any]]) -> None:
        world = self.world
        self.nemesis.heal()
        healed_s = world.loop.time()
        bound = bound_s(len(world.hosts))
        while not await self._is_settled(watchers):
            self.nemesis.revive()  # An error of before the healing may end a life after it.
            require(
                world.loop.time() - healed_s <= bound, "LIV-1",
                f"{bound:.1f} s after the healing: {self._differences()}",
            )  # fmt: skip
        self.converged_s = world.loop.time() - healed_s - _SETTLE_S
        world.story.tell("world", "converged", f"{self.converged_s:.2f} s after the healing")
        await self._check_end(watchers)

    async def _is_settled(self, watchers: list[asyncio.Task[Any]]) -> bool:
        """Return whether all are equal, and stay so for a while."""
        if not self._equal():
            await asyncio.sleep(_TURN_S)
            self._look(watchers)
            return False
        await asyncio.sleep(_SETTLE_S)
        self._look(watchers)
        return self._equal()

    def _staying(self) -> list[Any]:
        return [h for h in self.world.hosts if not h.gone]

    def _equal(self) -> bool:
        hosts = self._staying()
        if not all(h.serving is not None for h in hosts):
            return False
        if not all(h.peer.replica.store.is_quiet for h in hosts):
            return False  # Somebody has a write open, which was waiting for an identity (PUT-1).
        shown = [h.peer.replica.shown for h in hosts]
        first = shown[0]
        return all(s.root == first.root and s.vector == first.vector for s in shown)

    def _differences(self) -> str:
        parts = []
        for h in self._staying():
            shown = h.peer.replica.shown if h.serving is not None else None
            state = (
                "down" if shown is None else f"{shown.root % 10**6} {sorted(shown.vector.values())}"
            )
            parts.append(f"{h.name} {state}")
        return "; ".join(parts)

    async def _check_end(self, watchers: list[asyncio.Task[Any]]) -> None:
        """LIV-2, then what `ending` tells of the idle."""
        world = self.world
        hosts = self._staying()
        check_end(world, hosts)
        if self.workload.at_the_end is not None:
            for host in hosts:
                self._call(self.workload.at_the_end, host)
        await wait_for_agreement(world, hosts, world.loop.time() + _AGREED_S)
        before, began = world.wire.bytes_sent, world.loop.time()
        links = links_opened(hosts)
        await asyncio.sleep(5.0)
        self._look(watchers)
        require(links == links_opened(hosts), "LNK-1", "links are replaced with nothing to say")
        rate = (world.wire.bytes_sent - before) / (world.loop.time() - began) / len(hosts)
        require(rate < _IDLE_BYTES_S_MAX, "LIV-2", f"{rate:.0f} B/s a peer with nothing to say")
        world.stats["idle_bytes_s"] = int(rate)
        check_idle(world, hosts, len(watchers))
