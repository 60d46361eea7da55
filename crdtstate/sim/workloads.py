"""Clients that use a simulated cluster as users do, and what they do when it fails them.

A workload of one's own is a Python file with any of

    async def client(client: crdtstate.AsyncClient, rng: random.Random, number: int) -> None
    def always(state: dict[str, object]) -> None
    def at_the_end(state: dict[str, object]) -> None

`client` is called again and again, at the plan's rate, by each client; `always` is given what a
peer holds (key -> value) now and then, `at_the_end` what all hold once they have converged. Both
raise AssertionError when what they see must not be.

Invariants:
    AVL-1  A live peer answers every write and read of a client beside it, within its deadline, in
           any partition.
"""

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, final

from crdtstate.client.aio import AsyncClient
from crdtstate.errors import CrdtstateError, InvalidError
from crdtstate.sim.harness import SimLink
from crdtstate.sim.plan import Plan
from crdtstate.sim.sessions import TIMED_PREFIX, SessionChecker, make_tap
from crdtstate.sim.violation import Violation
from crdtstate.sim.world import Host, World

__all__ = ["Workload", "load_workload", "mixed", "run_client", "run_watcher"]

ClientStep = Callable[[AsyncClient, Random, int], Awaitable[None]]
Invariant = Callable[[dict[str, Any]], None]
_SETTLED_S = 4.0  # A peer that was disturbed so recently may still refuse.
# Refusals that are promised in so many words: they are answers, not failures.
_PROMISED = frozenset({
    "wrong_type", "key_not_found", "precondition_failed", "insufficient_rights",
    "not_enough_replicas", "revision_compacted", "foreign_revision",
})  # fmt: skip


@final
@dataclass(frozen=True)
class Workload:
    """What clients do, and what must hold of what they leave behind."""

    client: ClientStep
    always: Invariant | None = None
    at_the_end: Invariant | None = None


def load_workload(path: str, plan: Plan) -> Workload:
    """Read a workload from a Python file. Raises: InvalidError."""
    place = Path(path)
    spec = importlib.util.spec_from_file_location("crdtstate_workload", place)
    if spec is None or spec.loader is None or not place.is_file():
        raise InvalidError(f"workload {path} is not a Python file", code="invalid_parameter")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InvalidError(f"workload {path}: {error!r}", code="invalid_parameter") from error
    names = ("client", "always", "at_the_end")
    client, always, at_the_end = (getattr(module, name, None) for name in names)
    if client is None and always is None and at_the_end is None:
        raise InvalidError(
            f"workload {path} has none of {', '.join(names)}", code="invalid_parameter"
        )
    return Workload(client or mixed(plan), always, at_the_end)


def mixed(plan: Plan) -> ClientStep:
    """Return a step that does one of everything that the API has, over few keys."""

    async def step(client: AsyncClient, rng: Random, number: int) -> None:
        n = rng.randrange(plan.keys)
        value = f"{number}.{rng.getrandbits(32)}"
        if plan.value_bytes and rng.random() < 0.3:
            value += "x" * rng.randrange(plan.value_bytes)
        await rng.choice(_ACTIONS)(client, rng, n, value)

    return step


async def _put(client: AsyncClient, rng: Random, n: int, value: str) -> None:
    await client.put(f"r/{n}", value, w=2 if rng.random() < 0.1 else 1)


async def _get(client: AsyncClient, rng: Random, n: int, _value: str) -> None:
    await client.get(f"{rng.choice('rmscf')}/{n}")


async def _delete(client: AsyncClient, rng: Random, n: int, _value: str) -> None:
    await client.delete(f"{rng.choice('rmscf')}/{n}")


async def _put_expiring(client: AsyncClient, rng: Random, n: int, value: str) -> None:
    await client.put(f"{TIMED_PREFIX}{n}", value, ttl=rng.choice((1.0, 10.0, 60.0)))


async def _merge(client: AsyncClient, rng: Random, n: int, value: str) -> None:
    fields = {f"f{i}": rng.choice((value, None, {"deep": value})) for i in range(rng.randint(1, 3))}
    await client.map(f"m/{n}").merge(fields)


async def _put_map(client: AsyncClient, _rng: Random, n: int, value: str) -> None:
    await client.map(f"m/{n}").put({"f0": value, "f1": {"deep": 1}})


async def _set(client: AsyncClient, rng: Random, n: int, value: str) -> None:
    element = rng.choice(("x", "y", value[:40]))
    members = client.set(f"s/{n}")
    await (members.add(element) if rng.random() < 0.6 else members.remove(element))


async def _count(client: AsyncClient, rng: Random, n: int, _value: str) -> None:
    await client.counter(f"c/{n}").add(rng.choice((1, 5, -2)))


async def _flag(client: AsyncClient, rng: Random, n: int, _value: str) -> None:
    await client.flag(f"f/{n}").set(rng.random() < 0.5)


async def _bounded(client: AsyncClient, rng: Random, n: int, _value: str) -> None:
    stock = client.bounded(f"b/{n}")
    if await stock.get() is None:
        await stock.create(rng.choice((1, 2, 10)))
    elif rng.random() < 0.7:
        await stock.take(rng.choice((1, 2)))
    else:
        await stock.add(1)


async def _transact(client: AsyncClient, rng: Random, n: int, value: str) -> None:
    async with client.transaction() as txn:
        txn.put(f"r/{n}", value)
        txn.put(f"r/{n + 1}", value)
        txn.counter_add(f"c/{n}", 1)
        if rng.random() < 0.3:
            txn.delete(f"s/{n}")


async def _wait(client: AsyncClient, _rng: Random, _n: int, _value: str) -> None:
    if client.token is not None:
        await client.wait(peers=2, timeout=1.0)


async def _list(client: AsyncClient, rng: Random, _n: int, _value: str) -> None:
    async for _item in client.list(rng.choice(("", "r/", "m/")), limit=3):
        pass


_ACTIONS = (
    _put, _put, _put, _get, _get, _get, _delete, _put_expiring, _merge, _merge, _put_map, _set,
    _set, _count, _flag, _bounded, _transact, _transact, _list, _wait,
)  # fmt: skip


def make_client(
    world: World, home: Host, name: str, *, alone: bool, rng: Random, timeout: float = 5.0
) -> tuple[AsyncClient, SessionChecker]:
    """Return a client beside a host; `alone`: it knows no other peer."""
    checker = SessionChecker(world, name)
    link = SimLink(world, home, observe=checker.observe, tap=make_tap(world))
    others = [] if alone else [h.api for h in world.hosts if h is not home and not h.gone]
    return AsyncClient([home.api, *others], link=link, rng=rng, timeout=timeout), checker


async def run_client(world: World, step: ClientStep, number: int, rate: float) -> None:
    """One client for the whole run; it starts anew, without a token, when a disk was lost."""
    rng = world.rng(f"client {number}")
    home = world.hosts[number % len(world.hosts)]
    alone = number % 2 == 0
    client, era = None, -1
    while True:
        await asyncio.sleep(rng.expovariate(rate))
        if home.gone:
            return
        if client is None or era != world.stats["disks_lost"]:
            era = world.stats["disks_lost"]
            client, _ = make_client(world, home, f"client {number}", alone=alone, rng=rng)
        began = world.loop.time()
        world.stats["operations"] += 1
        try:
            await step(client, rng, number)
        except CrdtstateError as error:
            world.stats["refused"] += 1
            _judge(world, home, began, error, alone=alone)
        except AssertionError as error:
            world.checkers.fail(Violation("USER", f"client {number}: {error!r}"))


def _judge(world: World, home: Host, began: float, error: CrdtstateError, *, alone: bool) -> None:
    """AVL-1: tell a promised refusal from a peer that has failed its client."""
    world.stats[f"refused:{error.code}"] += 1
    if error.code in _PROMISED or not alone:
        return
    clocks = [host.clock for host in world.hosts]
    wrong = any(c.offset_ms or c.drift or c.quantum_ms > 1 for c in clocks)
    if error.code == "clock_skew" and (wrong or world.stats["fault:jump"]):
        return
    up = home.up_since_s and home.up_since_s + _SETTLED_S < began
    busy = home.committer is not None and home.committer.stalled_until_s > began
    if up and home.trouble_s + _SETTLED_S < began and not busy:
        world.checkers.fail(
            Violation("AVL-1", f"{home.name} is up and has refused: {error.code}: {error.message}")
        )


async def run_watcher(world: World, number: int) -> None:
    """Watch for ever, at times slowly or not at all."""
    rng = world.rng(f"watcher {number}")
    home = world.hosts[number % len(world.hosts)]
    prefix = rng.choice(("", "r/", "m/"))
    while True:
        client, _ = make_client(world, home, f"watcher {number}", alone=False, rng=rng)
        try:
            async for _event in client.watch(prefix, initial=True):
                if rng.random() < 0.02:
                    await asyncio.sleep(rng.choice((1.0, 20.0, 60.0)))
        except CrdtstateError as error:
            world.stats[f"watch:{error.code}"] += 1
        await asyncio.sleep(1.0)
