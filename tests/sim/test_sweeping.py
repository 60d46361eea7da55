"""Records of gone objects go once everyone has their deletion, and not before: SWP-1, STB-1."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from crdtstate.kube.objects import Change, Target
from crdtstate.sim.world import Host, World
from crdtstate.storage.memory import MemoryStorage
from tests.models.objects import X, altering, body, removing, resource, setting

Scenario = Callable[[World], Awaitable[None]]


def play(scenario: Scenario, hosts: str = "abc") -> None:
    world = World("sweeping", list(hosts))

    async def whole() -> None:
        for host in world.hosts:
            host.boot()
        await until(lambda: all(len(linked(h)) == len(hosts) - 1 for h in world.hosts))
        await scenario(world)
        assert world.checkers.violation is None

    asyncio.set_event_loop(world.loop)
    try:
        world.loop.run_until_complete(world.loop.start(None, whole()))
        assert world.problems() == []
    finally:
        asyncio.set_event_loop(None)
        for life in world.graveyard:
            life.alive = False
        world.loop.close()


async def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    for _ in range(int(seconds * 4)):
        if holds():
            return
        await asyncio.sleep(0.25)
    raise AssertionError("it never came to hold")


def linked(host: Host) -> list[str]:
    return host.serving.mesh.linked() if host.serving is not None else []


async def edit(world: World, host: Host, change: Change, target: Target = X) -> Any:
    """Run an edit in the life of a host's peer."""
    assert host.life is not None
    assert host.serving is not None
    feed = host.serving.feed
    return (await world.loop.start(host.life, feed.edit(target, change))).result


def records(host: Host, target: Target = X) -> int:
    prefix = b"r" + target.key.encode() + b"\0"
    return len(list(MemoryStorage(host.disk.database).scan(prefix, prefix + b"\xff")))


def shown(host: Host, target: Target = X) -> dict[str, Any] | None:
    assert host.serving is not None
    found = host.serving.feed.cache.get(*target.key)
    return found.body if found is not None else None


def split(world: World, one: Host) -> None:
    for other in world.hosts:
        if other is not one:
            world.wire.cut |= {(one.address, other.address), (other.address, one.address)}


def test_a_deleted_object_s_record_goes_from_every_disk() -> None:
    async def scenario(world: World) -> None:
        a, b, _ = world.hosts
        created = await edit(world, a, setting(body(replicas=1)))
        await until(lambda: shown(b) is not None)
        assert (await edit(world, b, removing())).outcome == "gone"
        await until(lambda: not any(records(host) for host in world.hosts))
        for host in world.hosts:
            assert host.serving is not None
            assert host.serving.feed.was_deleted(X.key, created.body["metadata"]["uid"])
            assert not host.serving.feed.was_deleted(X.key, "another")
        again = await edit(world, a, setting(body(replicas=2)))
        assert again.body["metadata"]["uid"] != created.body["metadata"]["uid"]

    play(scenario)


def test_it_stays_while_somebody_has_not_heard_and_a_late_finalizer_shows_it_again() -> None:
    async def scenario(world: World) -> None:
        a, _, c = world.hosts
        await edit(world, a, setting(body(replicas=1)))
        await until(lambda: shown(c) is not None)
        split(world, c)
        await edit(world, a, removing())
        await asyncio.sleep(120.0)
        assert all(records(host) for host in world.hosts)
        finalizers = ["c/clean"]
        await edit(world, c, altering(lambda o: o["metadata"].update(finalizers=finalizers)))
        world.wire.heal()
        await until(lambda: all(shown(host) is not None for host in world.hosts))
        found = shown(a)
        assert found is not None
        assert found["metadata"]["finalizers"] == finalizers
        assert "deletionTimestamp" in found["metadata"]
        await edit(world, c, altering(lambda o: o["metadata"].pop("finalizers")))
        await until(lambda: not any(records(host) for host in world.hosts))

    play(scenario)


def test_what_a_deletion_overlooked_is_kept_for_a_day() -> None:
    async def scenario(world: World) -> None:
        a, _, c = world.hosts
        await edit(world, a, setting(body(replicas=1)))
        await until(lambda: shown(c) is not None)
        split(world, c)
        await edit(world, a, removing())
        await edit(world, c, altering(lambda o: o["spec"].update(replicas=2)))
        world.wire.heal()
        await until(lambda: all(shown(host) is None for host in world.hosts))
        await asyncio.sleep(300.0)
        assert all(records(host) for host in world.hosts)
        for host in world.hosts:
            host.clock.offset_ms += 25 * 3_600_000
        await until(lambda: not any(records(host) for host in world.hosts), 200.0)

    play(scenario)


def test_events_go_at_once() -> None:
    events = Target(resource("events", group=""), "default", "e")

    async def scenario(world: World) -> None:
        a, _, c = world.hosts
        await edit(world, a, setting(body(replicas=1)), events)
        split(world, c)
        await edit(world, a, removing(), events)
        await until(lambda: not records(a, events))

    play(scenario)
