"""A ResourceQuota in a simulated cluster: what the API of each peer admits under a cut."""

import asyncio
from typing import Any

from crdtstate.client.aio import AsyncClient
from crdtstate.client.kinds import PODS, RESOURCE_QUOTAS
from crdtstate.errors import CrdtstateError
from tests.controllers.sim.controlled import Controlled, play

QUOTA = {"metadata": {"name": "few", "namespace": "default"}, "spec": {"hard": {"pods": "10"}}}


def pod(name: str) -> dict[str, Any]:
    containers = [{"name": "main", "image": "x"}]
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": containers, "schedulerName": "nobody"},
    }


async def create(controlled: Controlled, host: str, name: str) -> str:
    """Return an empty text, or why it was refused."""
    client = controlled.client(controlled.world.host(host), f"user {name}")
    try:
        await client.resources.create(PODS, pod(name))
    except CrdtstateError as error:
        return error.message
    return ""


async def fill(controlled: Controlled, host: str) -> int:
    """Create until it is refused for a while; return how many there were."""
    made = refused = 0
    while refused < 8:
        why = await create(controlled, host, f"{host}-{made}-{controlled.world.loop.time():.0f}")
        if why:
            assert "exceeded quota: few, requested: pods=1" in why
            refused += 1
            await asyncio.sleep(1)
        else:
            made += 1
    return made


async def fill_all(controlled: Controlled) -> None:
    """Create everywhere until all of the limit is used; it may have to move about."""
    for turn in range(90):
        for host in "abc":
            await create(controlled, host, f"{host}-{turn}-{controlled.world.loop.time():.0f}")
        if await pods(controlled, "a") >= 10:
            break
        await asyncio.sleep(1)
    await asyncio.sleep(5)


async def pods(controlled: Controlled, host: str) -> int:
    async def count(client: AsyncClient) -> int:
        return len((await client.resources.list(PODS)).items)

    found: int = await controlled.ask(host, count)
    return found


async def used(controlled: Controlled, host: str) -> Any:
    quota = await controlled.ask(
        host, lambda client: client.resources.get(RESOURCE_QUOTAS, "few", "default")
    )
    return quota.get("status", {}).get("used")


def test_two_sides_of_a_cut_together_never_admit_more_than_the_limit() -> None:
    """QTA-1, against the real store."""

    async def story(controlled: Controlled) -> None:
        await controlled.warm()
        await controlled.ask("b", lambda client: client.resources.create(RESOURCE_QUOTAS, QUOTA))
        await asyncio.sleep(10)  # Shares are granted and spread.
        controlled.cut("a")
        alone, together = await fill(controlled, "a"), await fill(controlled, "b")
        together += await fill(controlled, "c")
        assert alone >= 2
        assert together >= 5
        assert alone + together <= 10
        controlled.heal()
        await asyncio.sleep(15)
        await fill_all(controlled)
        assert await pods(controlled, "a") == await pods(controlled, "c") == 10
        assert await used(controlled, "b") == {"pods": "10"}

        async def remove(client: AsyncClient) -> None:
            for body in (await client.resources.list(PODS)).items[:4]:
                await client.resources.delete(PODS, body["metadata"]["name"], "default")

        await controlled.ask("c", remove)
        await asyncio.sleep(10)
        await fill_all(controlled)
        assert await pods(controlled, "b") == 10
        before = controlled.writes()
        await asyncio.sleep(60)
        assert controlled.writes() <= before + 3  # Wants that expire are removed.

    play(5, story, classes=())


def test_concurrent_creations_on_one_peer_do_not_count_on_the_same_share() -> None:
    async def story(controlled: Controlled) -> None:
        await controlled.warm()
        await controlled.ask("b", lambda client: client.resources.create(RESOURCE_QUOTAS, QUOTA))
        await asyncio.sleep(10)
        found = await asyncio.gather(
            *(create(controlled, host, f"{host}-{n}") for n in range(10) for host in "abc")
        )
        assert 0 < sum(not why for why in found) <= 10

    play(6, story, classes=())
