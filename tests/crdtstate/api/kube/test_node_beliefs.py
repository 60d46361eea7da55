"""Nodes of silent members: what one peer shows, while nothing is written (NOD-1, NOD-2)."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from tests.crdtstate.api.peer_fixture import http, running_peer

NODE = {
    "metadata": {"name": "b"},
    "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Fine"}]},
}


async def until(condition: Callable[[], Any]) -> Any:
    for _ in range(600):
        if found := await condition():
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("not within 30 s")


async def test_a_silent_member_s_node_is_not_ready_and_nothing_is_written(tmp_path: Path) -> None:
    async with running_peer(tmp_path) as (peer, url), http() as session:
        nodes = f"{url}/api/v1/nodes"
        cluster = peer.driver.cluster
        rows = cluster.members()
        liveness = {"b": "alive"}
        cluster.members = lambda: [  # type: ignore[method-assign]
            *rows, {**rows[0], "name": "b", "self": False, "liveness": liveness["b"]}
        ]  # fmt: skip
        async with session.post(nodes, json={**NODE, "kind": "Node"}) as response:
            assert response.status == 201, await response.text()
        async with session.put(
            f"{nodes}/b/status", json={**NODE, "kind": "Node", "apiVersion": "v1"}
        ) as response:
            assert response.status == 200, await response.text()
            version = (await response.json())["metadata"]["resourceVersion"]
        written = peer.driver.revision

        async def ready() -> str:
            async with session.get(f"{nodes}/b") as response:
                return str((await response.json())["status"]["conditions"][0]["status"])

        liveness["b"] = "dead"
        await until(lambda: equals(ready, "Unknown"))
        liveness["b"] = "alive"
        await until(lambda: equals(ready, "True"))

        told = await events(session, f"{nodes}?watch=1&resourceVersion={version}", 2)
        shown = [e["object"]["status"]["conditions"][0]["status"] for e in told]
        assert [e["type"] for e in told] == ["MODIFIED", "MODIFIED"]
        assert shown == ["Unknown", "True"]
        assert peer.driver.revision == written


async def equals(ask: Callable[[], Any], wanted: str) -> bool:
    return bool(await ask() == wanted)


async def events(session: aiohttp.ClientSession, url: str, count: int) -> list[dict[str, Any]]:
    found = []
    async with session.get(url) as response:
        async for line in response.content:
            found.append(json.loads(line))
            if len(found) == count:
                break
    return found


async def test_a_write_to_a_silent_node_is_no_conflict_and_keeps_what_its_peer_said(
    tmp_path: Path,
) -> None:
    async with running_peer(tmp_path) as (peer, url), http() as session:
        nodes = f"{url}/api/v1/nodes"
        cluster = peer.driver.cluster
        rows = cluster.members()
        liveness = {"b": "dead"}
        cluster.members = lambda: [  # type: ignore[method-assign]
            *rows, {**rows[0], "name": "b", "self": False, "liveness": liveness["b"]}
        ]  # fmt: skip
        await session.post(nodes, json={**NODE, "kind": "Node"})
        await session.put(f"{nodes}/b/status", json={**NODE, "kind": "Node"})

        async def unknown() -> dict[str, Any] | None:
            async with session.get(f"{nodes}/b") as response:
                body: dict[str, Any] = await response.json()
            return body if body["status"]["conditions"][0]["status"] == "Unknown" else None

        body = await until(unknown)
        body["metadata"]["labels"] = {"rack": "7"}
        async with session.put(f"{nodes}/b", json=body) as response:
            assert response.status == 200, await response.text()
        await until(unknown)

        liveness["b"] = "alive"

        async def alive() -> bool:
            async with session.get(f"{nodes}/b") as response:
                after = await response.json()
            condition = after["status"]["conditions"][0]
            fine = (condition["status"], condition["reason"]) == ("True", "Fine")
            return fine and bool(after["metadata"]["labels"] == {"rack": "7"})

        await until(alive)
