"""Which links exist in a group that is too large for all of them."""

import asyncio

from gossip.net.config import StreamConfig
from tests.gossip.net.mesh_harness import Running, start_mesh, until


def test_a_large_group_keeps_few_links_and_dials_on_demand() -> None:
    """LNK-2"""

    async def scenario() -> None:
        running: list[Running] = []
        try:
            for number in range(8):
                stream = StreamConfig(links_max=4)
                running.append(await start_mesh(f"m{number}", running[:1], stream=stream))
            await until(lambda: all(len(one.mesh.members()) == 8 for one in running), "all members")
            await until(lambda: all(len(one.mesh.linked()) >= 2 for one in running), "links")
            for one in running:
                assert len(one.mesh.linked()) <= 8
            one = running[0]
            others = [f"m{number}" for number in range(1, 8)]

            def sent_to_all() -> bool:
                others[:] = [name for name in others if not one.mesh.send(name, b"hello")]
                return not others

            await until(sent_to_all, "a link with everybody, on demand")
        finally:
            for one in running:
                await one.mesh.stop()

    asyncio.run(scenario())


def test_simultaneous_dials_leave_one_link_of_which_both_agree() -> None:
    """LNK-1"""

    async def scenario() -> None:
        for _ in range(5):
            first = await start_mesh("a")
            second = await start_mesh("b", [first])
            # Both learn of each other at nearly the same moment.
            first.mesh.join("127.0.0.1", second.mesh.port)
            try:
                await until(
                    lambda a=first, b=second: a.mesh.linked() == ["b"] and b.mesh.linked() == ["a"],
                    "the link",
                )
                assert await first.mesh.probe("b")
                assert await second.mesh.probe("a")
            finally:
                await second.mesh.stop()
                await first.mesh.stop()

    asyncio.run(scenario())
