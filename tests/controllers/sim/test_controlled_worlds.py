"""The shipping controllers in simulated clusters: what they promise under cuts and kills."""

import asyncio

from crdtstate.client.kinds import DEPLOYMENTS
from tests.controllers.sim.controlled import Controlled, play
from tests.controllers.virtual import deployment


async def deploy(controlled: Controlled, host: str, replicas: int) -> None:
    body = deployment("web", replicas)
    await controlled.ask(host, lambda client: client.resources.create(DEPLOYMENTS, body))


def test_a_deployment_runs_on_every_peer_and_then_nothing_is_written() -> None:
    async def story(controlled: Controlled) -> None:
        await controlled.warm()
        await deploy(controlled, "b", 6)
        await controlled.until(lambda: len(controlled.running()) == 6, "6 run")
        assert sorted(host for _, _, host in controlled.running()) == [*"aabbcc"]
        await asyncio.sleep(10)
        before = controlled.writes()
        await asyncio.sleep(60)
        assert controlled.writes() == before

    play(1, story)


async def scale(controlled: Controlled, host: str, replicas: int) -> None:
    change = {"spec": {"replicas": replicas}}
    await controlled.ask(
        host, lambda client: client.resources.patch(DEPLOYMENTS, "web", change, "default")
    )


async def wanted(controlled: Controlled, host: str) -> int:
    body = await controlled.ask(
        host, lambda client: client.resources.get(DEPLOYMENTS, "web", "default")
    )
    return int(body["spec"]["replicas"])


def on(controlled: Controlled, *hosts: str) -> int:
    return sum(host in hosts for _, _, host in controlled.running())


async def calm(controlled: Controlled) -> None:
    """Nothing is written once everything is as wanted."""
    await asyncio.sleep(15)
    before = controlled.writes()
    await asyncio.sleep(60)
    assert controlled.writes() == before


def test_each_side_of_a_cut_keeps_its_own_count_and_the_heal_restarts_nothing_healthy() -> None:
    async def story(controlled: Controlled) -> None:
        await controlled.warm()
        await deploy(controlled, "b", 3)
        await controlled.until(lambda: len(controlled.running()) == 3, "3 run")
        old = {(name, uid, host) for name, uid, host in controlled.running()}
        controlled.cut("a")
        await asyncio.sleep(1)
        await scale(controlled, "a", 5)
        await asyncio.sleep(2)
        await scale(controlled, "b", 4)
        await controlled.until(lambda: on(controlled, "a") == 5, "a alone runs 5")
        await controlled.until(lambda: on(controlled, "b", "c") == 4, "b and c run 4")
        assert old <= set(controlled.running())
        await asyncio.sleep(60)
        assert (on(controlled, "a"), on(controlled, "b", "c")) == (5, 4)
        assert len({name for name, _, _ in controlled.running()}) == 3 + 4, "RS-1: the same names"
        during = {(p.uid, p.started_s) for s in controlled.sites.values()
                  for p in s.processes.values()}  # fmt: skip

        controlled.heal()
        took = await controlled.until(lambda: len(controlled.running()) == 4, "4 in all", 20)

        assert await wanted(controlled, "a") == await wanted(controlled, "c") == 4
        assert took < 10
        assert old <= set(controlled.running())
        after = {(p.uid, p.started_s) for s in controlled.sites.values()
                 for p in s.processes.values()}  # fmt: skip
        assert after <= during, "something was started by the heal"
        await calm(controlled)
        assert after == {(p.uid, p.started_s) for s in controlled.sites.values()
                         for p in s.processes.values()}  # fmt: skip

    play(2, story)


def test_what_ran_on_a_dead_peer_runs_elsewhere_and_its_return_leaves_exactly_what_is_wanted() -> (
    None
):
    async def story(controlled: Controlled) -> None:
        await controlled.warm()
        await deploy(controlled, "a", 6)
        await controlled.until(lambda: len(controlled.running()) == 6, "6 run")
        controlled.world.host("c").kill()
        controlled.sites["c"].processes.clear()
        took = await controlled.until(lambda: on(controlled, "a", "b") == 6, "6 on a and b", 15)
        assert took > 8
        controlled.world.host("c").boot()
        await controlled.until(lambda: len(controlled.running()) > 6, "c is back")
        await controlled.until(lambda: len(controlled.running()) == 6, "6 in all", 20)
        await calm(controlled)
        assert len(controlled.running()) == 6
        assert len({name for name, _, _ in controlled.running()}) == 6

    play(3, story)
