"""Keys with a time to live: whoever holds one removes it in the end, however it came to be seen."""

from random import Random

import pytest

from crdtstate.replica.expiry import GRACE_MS, Expiry
from crdtstate.store import operations as ops
from crdtstate.store.transaction import decode_frame
from tests.models.world import Peer, World

TTL_MS = 500


@pytest.fixture
def world() -> World:
    """Three peers that have never met."""
    return World(Random(1), repair=False)


def submit(world: World, peer: Peer, operation: ops.Operation) -> list[bytes]:
    """Write, make it durable, and return what would be pushed."""
    world.submit(peer, operation)
    return peer.make_durable()


def receive(world: World, peer: Peer, frames: list[bytes]) -> None:
    """Take what was pushed."""
    for frame in frames:
        peer.store.receive(decode_frame(frame), world.wall_ms(peer))
    peer.make_durable()


def tick(world: World, peer: Peer) -> int:
    """Let a peer remove what is due; return what its durable queue still holds."""
    Expiry(peer.store).tick(world.wall_ms(peer))
    peer.make_durable()
    world.check(peer)
    return sum(1 for _ in peer.storage.scan(b"x", b"y"))


def write_unseen(world: World) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """`a` writes a key that expires; `b`, which has not seen it, writes it and removes it."""
    a, b, _ = world.peers
    expiring = submit(world, a, ops.Put("k", value="short", ttl_ms=TTL_MS))
    world.now_ms += 1
    lasting = submit(world, b, ops.Put("k", value="long"))
    removal = submit(world, b, ops.Delete("k"))
    return expiring, lasting, removal


def test_what_was_due_while_another_hid_it_is_removed_when_it_comes_to_light(world: World) -> None:
    """STR-4: its entry in the queue was taken when the key seemed to last."""
    c = world.peers[2]
    expiring, lasting, removal = write_unseen(world)
    receive(world, c, expiring + lasting)
    world.now_ms += TTL_MS + GRACE_MS
    assert tick(world, c) == 0
    assert c.records() != {}

    receive(world, c, removal)
    assert tick(world, c) == 0

    assert c.records() == {}


def test_what_a_pull_brought_hidden_is_removed_when_it_comes_to_light(world: World) -> None:
    """STR-4: only what is seen is queued when a pull is joined."""
    a, _, c = world.peers
    _, lasting, removal = write_unseen(world)
    receive(world, a, lasting)
    world.catch_up(c, a, repair=False, cut=False)
    c.make_durable()
    receive(world, c, removal)
    world.now_ms += TTL_MS + GRACE_MS

    assert tick(world, c) == 0

    assert c.records() == {}
