"""Meshes on loopback with an application that writes down what it is told."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gossip.core.ports import Member
from gossip.net.config import MeshConfig, StreamConfig
from gossip.net.mesh import Mesh

CLUSTER = b"0123456789abcdef"
KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
DEADLINE_S = 8.0


class Recorder:
    """An Application that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.payloads: list[tuple[str, bytes]] = []
        self.members: list[Member] = []
        self.digests: dict[str, bytes] = {}
        self.digest_value = b"digest"
        self.digest_calls = 0
        self.downs: list[tuple[str, str]] = []

    def digest(self) -> bytes:
        self.digest_calls += 1
        return self.digest_value

    def on_digest(self, name: str, digest: bytes) -> None:
        self.digests[name] = digest

    def on_member(self, member: Member) -> None:
        self.members.append(member)

    def on_link_up(self, name: str) -> None:
        self.events.append(("up", name))

    def on_link_down(self, name: str, reason: str) -> None:
        self.events.append(("down", name))
        self.downs.append((name, reason))

    def on_message(self, name: str, payload: bytes) -> None:
        self.payloads.append((name, payload))


class Running:
    """A started mesh and its application."""

    def __init__(self, mesh: Mesh, app: Recorder) -> None:
        self.mesh = mesh
        self.app = app

    def count(self, counter: str) -> int:
        return self.mesh.stats().get(counter, 0)


_incarnations = itertools.count(1)


async def start_mesh(name: str, seeds: Sequence[Running] = (), **changes: Any) -> Running:
    settings: dict[str, Any] = {
        "cluster_id": CLUSTER,
        "keys": (KEY,),
        "dev": True,
        "seeds": tuple(("127.0.0.1", seed.mesh.port) for seed in seeds),
    }
    stream = changes.pop("stream", StreamConfig())
    contacts = changes.pop("contacts", tuple)
    app = Recorder()
    mesh = Mesh(
        MeshConfig(name=name, stream=stream, **(settings | changes)),
        app,
        contacts=contacts,
        incarnation=next(_incarnations),
    )
    await mesh.start()
    return Running(mesh, app)


@asynccontextmanager
async def meshes(*names: str, **changes: Any) -> AsyncIterator[list[Running]]:
    """Start meshes that know the first one, and wait until all are linked."""
    running: list[Running] = []
    try:
        for name in names:
            running.append(await start_mesh(name, running[:1], **changes))
        await until(
            lambda: all(len(one.mesh.linked()) == len(names) - 1 for one in running),
            f"links among {names}",
        )
        yield running
        for one in running:
            assert one.count("failures") == 0
    finally:
        for one in running:
            await one.mesh.stop()


async def until(
    condition: Callable[[], bool], what: str, *, deadline_s: float = DEADLINE_S
) -> float:
    """Poll until `condition` holds, and return the seconds it took."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    while not condition():
        assert loop.time() - start < deadline_s, f"not within {deadline_s} s: {what}"
        await asyncio.sleep(0.01)
    return loop.time() - start
