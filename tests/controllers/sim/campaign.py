"""Random stories for controlled worlds: users scale and roll out on any side, hosts die, links are
cut; in the end everything is healed, and must be as wanted, soon, and stay so.
"""

import asyncio
import contextlib
from random import Random
from typing import Any

from controllers.builtin.pods import host_of, is_active
from crdtstate.client.aio import AsyncClient
from crdtstate.client.kinds import DEPLOYMENTS, PODS
from crdtstate.errors import CrdtstateError
from tests.controllers.sim.controlled import Controlled, play
from tests.controllers.virtual import deployment

TROUBLE_S = 90
CONVERGES_S = 45.0
"""After the healing: peers agree within 15 s, a lost host has 8 s, a roll-out takes turns."""


async def _change(controlled: Controlled, host: str, spec: dict[str, Any]) -> None:
    client = controlled.client(controlled.world.host(host), f"user {controlled.world.loop.time()}")
    with contextlib.suppress(CrdtstateError):  # A user beside a dead peer.
        await client.resources.patch(DEPLOYMENTS, "web", {"spec": spec}, "default")


def _template(image: str) -> dict[str, Any]:
    return {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}


async def _trouble(controlled: Controlled, rng: Random) -> None:
    world = controlled.world
    end_s = world.loop.time() + TROUBLE_S
    while world.loop.time() < end_s:
        await asyncio.sleep(rng.uniform(0.5, 12.0))
        controlled.check()
        host = rng.choice(world.hosts)
        match rng.choice(["scale", "scale", "image", "kill", "boot", "boot", "cut", "heal"]):
            case "scale":
                await _change(controlled, host.name, {"replicas": rng.randint(0, 8)})
            case "image":
                await _change(controlled, host.name, _template(f"v{rng.randint(1, 4)}"))
            case "kill" if host.is_up:
                host.kill(power_lost=rng.random() < 0.3)
                controlled.machine_off(host.name)
            case "boot" if not host.is_up:
                host.boot()
            case "cut":
                controlled.heal()
                controlled.cut(*rng.sample([h.name for h in world.hosts], rng.randint(1, 2)))
            case "heal":
                controlled.heal()


async def _state(controlled: Controlled) -> tuple[int, str, set[tuple[str, str, str]]]:
    """Return what is wanted: how many, of which image; and where the pods are bound."""

    async def read(client: AsyncClient) -> Any:
        body = await client.resources.get(DEPLOYMENTS, "web", "default")
        return body, (await client.resources.list(PODS)).items

    body, pods = await controlled.ask(controlled.world.hosts[0].name, read)
    image = body["spec"]["template"]["spec"]["containers"][0]["image"]
    bound = {
        (p["metadata"]["name"], p["metadata"]["uid"], host_of(p))
        for p in pods
        if is_active(p) and p["spec"]["containers"][0]["image"] == image
    }
    return int(body["spec"]["replicas"]), image, bound


async def _converge(controlled: Controlled) -> float:
    loop = controlled.world.loop
    began = loop.time()
    while True:
        controlled.check()
        wanted, image, bound = await _state(controlled)
        running = controlled.running()
        if len(running) == wanted and set(running) == bound:
            return loop.time() - began
        took = loop.time() - began
        assert took < CONVERGES_S, (
            f"{took:.1f} s after the healing {wanted} of {image} are wanted; bound: "
            f"{sorted(bound)}; running: {controlled.describe()}"
        )
        await asyncio.sleep(0.5)


async def story(controlled: Controlled) -> None:
    """Warm up, get into trouble, heal, converge, and stay calm."""
    world = controlled.world
    rng = world.rng("trouble")
    await controlled.warm()
    await controlled.ask(
        "a", lambda client: client.resources.create(DEPLOYMENTS, deployment("web", 4))
    )
    await _trouble(controlled, rng)
    controlled.heal()
    for host in world.hosts:
        if not host.is_up:
            host.boot()
    await _converge(controlled)
    await asyncio.sleep(20)
    await _converge(controlled)
    before, running = controlled.writes(), controlled.running()
    await asyncio.sleep(60)
    assert controlled.writes() == before, "somebody fights"
    assert controlled.running() == running


def run_seed(seed: int) -> None:
    """Run one seed."""
    play(seed, story)
