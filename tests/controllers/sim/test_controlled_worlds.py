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
        await deploy(controlled, "b", 6)
        await controlled.until(lambda: len(controlled.running()) == 6, "6 run")
        assert sorted(host for _, _, host in controlled.running()) == [*"aabbcc"]
        await asyncio.sleep(10)
        before = controlled.writes()
        await asyncio.sleep(60)
        assert controlled.writes() == before

    play(1, story)
