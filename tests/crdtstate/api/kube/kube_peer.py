"""A real peer in the test's own process, asked as clients of the resource API ask."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from crdtstate.daemon.main import Peer
from tests.crdtstate.api.peer_fixture import http, running_peer

CORE = "/api/v1/namespaces/default"
JSON, MERGE = "application/json", "application/merge-patch+json"
JSON_PATCH, STRATEGIC = "application/json-patch+json", "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


class Api:
    """Requests against one peer."""

    def __init__(self, peer: Peer, url: str, session: aiohttp.ClientSession) -> None:
        self.peer, self.url, self.session = peer, url, session
        self.warnings: list[str] = []

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        status: int = 200,
        media: str = JSON,
        **headers: str,
    ) -> dict[str, Any]:
        """Ask; the answer must have the status."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(
            method, self.url + path, data=data, headers={"Content-Type": media, **headers}
        ) as answer:
            text = await answer.text()
            assert answer.status == status, f"{method} {path}: {answer.status} {text}"
            self.warnings = answer.headers.getall("Warning", [])
            found: dict[str, Any] = json.loads(text)
            return found

    async def refused(
        self, method: str, path: str, body: Any = None, *, reason: str, **more: Any
    ) -> dict[str, Any]:
        """Ask for what is refused, for the reason."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        async with self.session.request(
            method, self.url + path, data=data,
            headers={"Content-Type": more.get("media", JSON), **more.get("headers", {})},
        ) as answer:  # fmt: skip
            found: dict[str, Any] = await answer.json()
        assert found["kind"] == "Status", found
        assert found["reason"] == reason, found
        assert found["code"] == answer.status
        return found

    async def create(self, plural: str, body: dict[str, Any], **more: Any) -> dict[str, Any]:
        """POST to the default namespace."""
        return await self.ask("POST", f"{CORE}/{plural}", body, status=201, **more)

    @asynccontextmanager
    async def watch(self, path: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Give the frames of a watch."""
        async with self.session.get(self.url + path) as answer:
            assert answer.status == 200, await answer.text()

            async def frames() -> AsyncIterator[dict[str, Any]]:
                async for line in answer.content:
                    yield json.loads(line)

            yield frames()


@asynccontextmanager
async def kube_peer(path: Path, **flags: Any) -> AsyncIterator[Api]:
    """Give a running peer's API."""
    async with running_peer(path, **flags) as (peer, url), http() as session:
        yield Api(peer, url, session)


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    """Return a ConfigMap with one value."""
    return {"metadata": {"name": name, **metadata}, "data": {"k": "v"}}


def version_of(body: dict[str, Any]) -> int:
    """Return the resourceVersion."""
    return int(body["metadata"]["resourceVersion"])
