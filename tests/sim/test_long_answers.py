"""A simulated client reads long lists as a real one does: they are made in pieces."""

from crdtstate.client.kinds import CONFIG_MAPS
from tests.faults.scene import Scene, play

COUNT = 150


def test_a_list_that_is_sent_in_pieces_arrives_whole() -> None:
    async def scenario(scene: Scene) -> None:
        resources = scene.client("a").resources
        for n in range(COUNT):
            body = {"metadata": {"name": f"m{n:03}", "namespace": "default"}, "data": {"n": str(n)}}
            await resources.create(CONFIG_MAPS, body)

        listed = await resources.list(CONFIG_MAPS, "default")

        assert [item["data"]["n"] for item in listed.items] == [str(n) for n in range(COUNT)]

    play(scenario)
