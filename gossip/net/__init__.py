"""The edge of gossip: sockets, keys, links, and `Mesh`, which puts them together."""

from gossip.net.config import MeshConfig, StreamConfig
from gossip.net.faults import Cut
from gossip.net.frames import PAYLOAD_BYTES_MAX
from gossip.net.keyring import Keyring
from gossip.net.mesh import Mesh
from gossip.net.ports import Address, Clock, Connection, DatagramPort, Listener, Network

__all__ = [
    "PAYLOAD_BYTES_MAX",
    "Address",
    "Clock",
    "Connection",
    "Cut",
    "DatagramPort",
    "Keyring",
    "Listener",
    "Mesh",
    "MeshConfig",
    "Network",
    "StreamConfig",
]
