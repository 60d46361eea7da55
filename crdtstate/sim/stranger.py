"""Somebody who does not belong: the shipping gossip, with a cluster key of its own.

It dials every host of the world, sends its own datagrams and opens streams that never prove
themselves. Nothing of it may be believed, and nobody may be held up by it.
"""

import asyncio
from random import Random
from typing import final

from crdtstate.sim.loop import Life
from crdtstate.sim.network import HostNetwork
from crdtstate.sim.violation import Violation
from crdtstate.sim.world import GOSSIP_PORT, HostClock, World
from gossip import Member, Mesh, MeshConfig

__all__ = ["stranger"]

_ADDRESS = "10.0.9.9"


@final
class _Listener:
    """Hears what the world tells a stranger: nothing."""

    def __init__(self, world: World) -> None:
        self._world = world

    def _believed(self, what: str) -> None:
        self._world.checkers.fail(Violation("KEY", f"a stranger with another key was {what}"))

    def digest(self) -> bytes:
        """Return nonsense of the right size."""
        return bytes(24)

    def on_digest(self, name: str, digest: bytes) -> None:
        """A probe was answered."""
        self._believed(f"given the digest {digest.hex()} of {name}")

    def on_member(self, member: Member) -> None:
        """A member was told."""
        self._believed(f"told of {member.name}")

    def on_link_up(self, name: str) -> None:
        """A link was opened."""
        self._believed(f"linked to {name}")

    def on_link_down(self, name: str, reason: str) -> None:
        """Nothing to lose."""

    def on_message(self, name: str, payload: bytes) -> None:
        """A message came."""
        self._believed(f"sent {len(payload)} bytes by {name}")


async def stranger(world: World) -> None:
    """Knock on every door for the whole run."""
    life = Life("stranger", 1)
    world.graveyard.append(life)
    await world.loop.start(life, _knock(world, life, world.rng("stranger")))


async def _knock(world: World, life: Life, rng: Random) -> None:
    network = HostNetwork(world.wire, _ADDRESS, life)
    mesh = Mesh(
        MeshConfig(
            name="stranger", cluster_id=world.cluster_id, keys=(bytes(32),), bind_host=_ADDRESS,
            bind_port=GOSSIP_PORT, seeds=tuple((h.address, GOSSIP_PORT) for h in world.hosts),
        ),
        _Listener(world), network=network, clock=HostClock(world.loop), rng=rng,
    )  # fmt: skip
    await mesh.start()
    while True:
        await asyncio.sleep(rng.uniform(1, 5))
        try:
            async with asyncio.timeout(2):
                pipe = await network.dial(rng.choice(world.hosts).address, GOSSIP_PORT)
        except (TimeoutError, OSError):
            continue
        pipe.write(rng.randbytes(rng.choice((1, 80, 4_000))))
        if rng.random() < 0.5:
            pipe.abort()  # Else it stays open, and says nothing more.
