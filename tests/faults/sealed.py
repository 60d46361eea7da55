"""Datagrams as somebody seals them who has the cluster's key, and belongs to nobody."""

from crdtstate.sim.world import GOSSIP_PORT
from gossip.net.envelope import SALT_BYTES, Envelope
from gossip.net.keyring import Keyring
from tests.faults.scene import Scene

__all__ = ["OUTSIDE", "send_sealed"]

OUTSIDE = "10.0.9.9"
_KEY = bytes(range(32))  # Of every simulated world.


def send_sealed(scene: Scene, name: str, plaintext: bytes) -> None:
    """Send one datagram that opens with the cluster's key."""
    ring = Keyring([_KEY])
    salt = scene.world.rng(f"salt {scene.wire.stats['datagrams']}").randbytes(SALT_BYTES)
    data = Envelope(scene.world.cluster_id, ring, salt=salt).seal(plaintext)
    scene.wire.send_datagram((OUTSIDE, 7), (scene.host(name).address, GOSSIP_PORT), data)
