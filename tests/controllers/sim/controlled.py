"""Simulated peers with the shipping controllers inside, and stand-ins for their node agents.

Everything runs in the life of its host: what kills the peer kills its controllers, and what ran on
the machine. A stand-in starts and stops processes as an agent would: it keeps what is bound to
its host and not doomed, and says so in the status.
"""

import asyncio
import contextlib
import gc
import sys
import warnings
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from controllers.builtin.deployments import Deployments
from controllers.builtin.pods import is_active, lost_in_ms
from controllers.builtin.replicasets import ReplicaSets
from controllers.builtin.scheduler import Scheduler
from controllers.runtime.manager import Manager
from controllers.runtime.objects import from_ms
from controllers.runtime.registry import spec_of_class
from crdtstate.client.aio import AsyncClient
from crdtstate.client.answer import Answer
from crdtstate.client.attempt import Try
from crdtstate.client.kinds import NODES, PODS
from crdtstate.errors import AlreadyExistsError, CrdtstateError
from crdtstate.model import ResourceList
from crdtstate.sim.harness import SimLink
from crdtstate.sim.world import Host, World

_LATE_S = 3.0
BASIC: tuple[type, ...] = (Deployments, ReplicaSets, Scheduler)


@dataclass
class Process:
    """What an agent has started for one pod."""

    name: str
    uid: str
    started_s: float


@dataclass
class Site:
    """What runs on one host beside the peer, in its present life, and what its machine does."""

    host: Host
    manager: Manager | None = None
    processes: dict[str, Process] = field(default_factory=dict)
    stopped: list[Process] = field(default_factory=list)

    def lost(self) -> frozenset[str]:
        """Return the members that its controllers believe to be lost."""
        if self.manager is None:
            return frozenset()
        return self.manager.view().lost


class Controlled:
    """A world whose hosts run controllers."""

    def __init__(self, seed: int, names: str = "abc", classes: tuple[type, ...] = BASIC) -> None:
        self.world = World(f"controlled {seed}", list(names), gave_life=self._gave_life)
        self.rng = self.world.rng("story")
        self.sites = {host.name: Site(host) for host in self.world.hosts}
        self._classes = classes
        self.removals = 0
        self.mistakes: list[str] = []
        self.looks: dict[str, deque[tuple[float, dict[str, int]]]] = {
            name: deque() for name in self.sites
        }

    # -- lives ---------------------------------------------------------------------------------

    def _gave_life(self, host: Host) -> None:
        site, life = self.sites[host.name], host.life
        assert life is not None
        self.machine_off(host.name)
        self.world.loop.start(life, self._control(site), f"controllers of {life}")
        self.world.loop.start(life, self._act(site), f"agent of {life}")

    def client(self, host: Host, use: str) -> AsyncClient:
        """Return a client of one host's peer, beside it."""
        rng = self.world.rng(f"{use} {host.name}.{host.lives}")
        observe = self._observe if use == "manager" else None
        link = SimLink(self.world, host, observe=observe)
        return AsyncClient(host.api, link=link, rng=rng, causal=False)

    def _look(self, host: Host) -> None:
        """Note how many pods each ReplicaSet is asked for, as a peer shows it now."""
        assert host.peer is not None
        asked = {
            found.key.name: int(found.body["spec"]["replicas"])
            for found in host.peer.feed.cache.list("apps/replicasets", "default")
        }
        looks = self.looks[host.name]
        looks.append((self.world.loop.time(), asked))
        while looks[0][0] < self.world.loop.time() - _LATE_S:
            looks.popleft()

    def _observe(self, host: Host, planned: Try, answer: Answer) -> None:
        """Judge each removal of a pod: is enough left, as the peer that was asked shows it?

        What was asked for in the last seconds counts: informers are a little late. A pod that was
        made on a host after that fell silent is there until it has had its time, as for planners.
        """
        if host.peer is None:
            return
        self._look(host)
        if planned.method != "DELETE" or "/pods/" not in planned.target or answer.status != 200:
            return
        self.removals += 1
        name = planned.target.rpartition("/")[2].partition("?")[0]
        owner = name.rpartition("-")[0]
        lost = self.sites[host.name].lost()
        left = sum(
            pod.key.name.startswith(f"{owner}-")
            and is_active(pod.body)
            and lost_in_ms(pod.body, lost, host.clock.wall_ms()) != 0
            for pod in host.peer.feed.cache.list("/pods", "default")
        )
        fewest = min(asked.get(owner, 0) for _, asked in self.looks[host.name])
        if left < fewest:
            self.mistakes.append(f"{name}: {left} are left of {fewest}, as {host.name} shows it")

    async def _serving(self, host: Host) -> None:
        while host.serving is None:  # noqa: ASYNC110 - as a daemon starts its extensions.
            await asyncio.sleep(0.05)

    async def _control(self, site: Site) -> None:
        host = site.host
        await self._serving(host)
        rng = self.world.rng(f"manager {host.name}.{host.lives}")
        site.manager = Manager(
            self.client(host, "manager"), [spec_of_class(cls) for cls in self._classes],
            member=host.name, clock=host.clock, rng=rng,
        )  # fmt: skip
        await site.manager.run()

    async def _act(self, site: Site) -> None:
        host = site.host
        await self._serving(host)
        client = self.client(host, "agent")
        registered = False
        while True:
            with contextlib.suppress(CrdtstateError):
                if not registered:
                    await _register(client, host.name)
                    registered = True
                pods = await client.resources.list(PODS)
                await self._turn(site, client, pods)
            await asyncio.sleep(0.25)

    async def _turn(self, site: Site, client: AsyncClient, pods: ResourceList) -> None:
        mine = {
            pod["metadata"]["uid"]: pod
            for pod in pods.items
            if pod["spec"].get("nodeName") == site.host.name
            and "deletionTimestamp" not in pod["metadata"]
        }
        for uid in [uid for uid in site.processes if uid not in mine]:
            site.stopped.append(site.processes.pop(uid))
        for uid, pod in mine.items():
            if uid not in site.processes:
                name = pod["metadata"]["name"]
                site.processes[uid] = Process(name, uid, self.world.loop.time())
            await self._publish(site, client, pod)

    async def _publish(self, site: Site, client: AsyncClient, pod: dict[str, Any]) -> None:
        process = site.processes[pod["metadata"]["uid"]]
        host = site.host
        since = from_ms(
            host.clock.wall_ms() - int((self.world.loop.time() - process.started_s) * 1000)
        )
        status = pod.get("status") or {}
        if status.get("hostIP") == host.address and status.get("phase") == "Running":
            return
        row = {
            "name": "main", "ready": True, "restartCount": 0, "image": "x", "imageID": "",
            "state": {"running": {"startedAt": since}},
        }  # fmt: skip
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": since}
        body = {
            "phase": "Running", "hostIP": host.address, "podIP": host.address,
            "startTime": since, "conditions": [ready], "containerStatuses": [row],
        }  # fmt: skip
        metadata = pod["metadata"]
        await client.resources.patch(
            PODS, metadata["name"], {"status": body}, metadata["namespace"], subresource="status"
        )

    def machine_off(self, name: str) -> None:
        """End what ran on a host whose power went."""
        site = self.sites[name]
        site.stopped += site.processes.values()
        site.processes.clear()

    # -- what a story does ---------------------------------------------------------------------

    def cut(self, *left: str) -> None:
        """Cut the hosts named from the rest."""
        for one in self.world.hosts:
            for other in self.world.hosts:
                if (one.name in left) != (other.name in left):
                    self.world.wire.cut.add((one.address, other.address))

    def heal(self) -> None:
        """End all cuts."""
        self.world.wire.heal()

    async def warm(self) -> None:
        """Wait until every peer knows every Node, and controllers share the work."""
        for host in self.world.hosts:
            while len((await self.ask(host.name, _nodes)).items) < len(self.world.hosts):  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        await asyncio.sleep(5)

    async def until(
        self, condition: Callable[[], bool], what: str, deadline_s: float = 60.0
    ) -> float:
        """Wait for something; return the virtual seconds it took."""
        began = self.world.loop.time()
        while not condition():
            took = self.world.loop.time() - began
            assert took < deadline_s, f"not within {deadline_s} s: {what}: {self.describe()}"
            self.check()
            await asyncio.sleep(0.1)
        return self.world.loop.time() - began

    def running(self) -> list[tuple[str, str, str]]:
        """Return (pod, uid, host) of every process there is."""
        return sorted(
            (p.name, p.uid, s.host.name) for s in self.sites.values() for p in s.processes.values()
        )

    def describe(self) -> str:
        """Say what runs where."""
        return " ".join(f"{name}@{host}" for name, _, host in self.running())

    def check(self) -> None:
        """Raise what went wrong where nobody waits for it."""
        assert not self.mistakes, self.mistakes
        problems = self.world.problems()
        assert not problems, problems
        if self.world.checkers.violation is not None:
            raise self.world.checkers.violation

    def writes(self) -> int:
        """Return how many transactions there are, of all peers."""
        vectors = [h.peer.replica.shown.vector for h in self.world.hosts if h.peer is not None]
        return max((sum(vector.values()) for vector in vectors), default=0)

    async def ask(self, host: str, call: Callable[[AsyncClient], Coroutine[Any, Any, Any]]) -> Any:
        """Ask one peer something, as a user beside it does; again while it cannot answer."""
        where = self.world.host(host)
        while True:
            client = self.client(where, f"user {self.world.loop.time()}")
            try:
                return await call(client)
            except AlreadyExistsError:
                return None
            except CrdtstateError:
                await asyncio.sleep(0.5)


async def _nodes(client: AsyncClient) -> ResourceList:
    return await client.resources.list(NODES)


async def _register(client: AsyncClient, name: str) -> None:
    if await client.resources.get(NODES, name) is None:
        with contextlib.suppress(AlreadyExistsError):
            await client.resources.create(
                NODES, {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}}
            )
    status = {
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "AgentReady",
             "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
             "lastHeartbeatTime": "2026-01-01T00:00:00Z"},
        ],
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "500"},
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "500"},
    }  # fmt: skip
    await client.resources.patch(NODES, name, {"status": status}, subresource="status")


def play(
    seed: int,
    story: Callable[[Controlled], Coroutine[Any, Any, None]],
    names: str = "abc",
    classes: tuple[type, ...] = BASIC,
) -> None:
    """Run a story to its end."""
    was_on = gc.isenabled()
    gc.disable()  # A collection would close coroutines of dead lives at random moments.
    hook = sys.unraisablehook
    failure: Exception | None = None
    try:
        _play(Controlled(seed, names, classes), story)
    except Exception as error:  # noqa: BLE001 - raised again, below.
        # Its frames hold the world, which has to go before the hook is back.
        failure = error.with_traceback(None)
        failure.__cause__ = failure.__context__ = None
    finally:
        sys.unraisablehook = lambda _: None  # What is left of the run may not act any more.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            gc.collect()
        sys.unraisablehook = hook
        if was_on:
            gc.enable()
    if failure is not None:
        raise failure


def _play(controlled: Controlled, story: Callable[[Controlled], Coroutine[Any, Any, None]]) -> None:
    world = controlled.world

    async def main() -> None:
        for host in world.hosts:
            host.boot()
        await story(controlled)
        controlled.check()

    try:
        asyncio.set_event_loop(world.loop)
        world.loop.run_until_complete(world.loop.start(None, main()))
    finally:
        asyncio.set_event_loop(None)
        for life in world.graveyard:
            life.alive = False
        with contextlib.suppress(Exception):
            world.loop.close()
