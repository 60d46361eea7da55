"""Races that only the simulator can bring about as often as it likes."""

import asyncio

from crdtstate.sim.campaign import quiet_logs
from crdtstate.sim.world import Host, World


def dial_now(host: Host) -> None:
    """Let a host dial all whom it is not linked with, in this very moment."""
    assert host.peer is not None
    assert host.life is not None
    links = host.peer.mesh._links
    for attempts in links._dialling.values():
        for task in attempts:
            task.cancel()
    links._dialling.clear()
    links._dialled_ms.clear()
    host.life.context.run(links._wake)


def opened_in_a_race(seed: int) -> list[int]:
    """Heal a cut between two hosts that dial each other at once; return the links each opened."""
    world = World(f"{seed}", ["a", "b"])
    a, b = world.hosts

    def count(host: Host) -> int:
        assert host.peer is not None
        return host.peer.mesh._counters["links_opened"]

    async def scene() -> list[int]:
        for host in world.hosts:
            host.boot()
        await asyncio.sleep(6)
        world.wire.cut |= {(a.address, b.address), (b.address, a.address)}
        await asyncio.sleep(3)
        before = [count(host) for host in world.hosts]
        world.wire.heal()
        for host in world.hosts:
            dial_now(host)
        await asyncio.sleep(3)
        assert a.peer is not None
        assert b.peer is not None
        assert a.peer.mesh.linked() == ["b"]
        assert b.peer.mesh.linked() == ["a"]
        return [count(host) - earlier for host, earlier in zip(world.hosts, before, strict=True)]

    try:
        asyncio.set_event_loop(world.loop)
        return world.loop.run_until_complete(world.loop.start(None, scene()))
    finally:
        asyncio.set_event_loop(None)
        for life in world.graveyard:
            life.alive = False
        world.loop.close()


def test_two_that_dial_each_other_at_once_agree_on_one_link() -> None:
    """LNK-1: the link that one may have opened too many is replaced once, and never lost."""
    quiet_logs()

    for seed in range(8):
        assert max(opened_in_a_race(seed)) <= 2
