"""Membership, links and links' keys: carries bytes that it does not understand.

`Mesh` is one member over real sockets; `gossip.core` is the same without any I/O.
"""

from gossip.core.config import Config
from gossip.core.ports import Application, Liveness, Member
from gossip.errors import GossipError, RemoteProtocolError
from gossip.net.config import MeshConfig, StreamConfig
from gossip.net.frames import PAYLOAD_BYTES_MAX
from gossip.net.keyring import Keyring, key_id_of
from gossip.net.mesh import Mesh
from gossip.net.ports import Address, Clock, Connection, DatagramPort, Listener, Network

__all__ = [
    "PAYLOAD_BYTES_MAX",
    "Address",
    "Application",
    "Clock",
    "Config",
    "Connection",
    "DatagramPort",
    "GossipError",
    "Keyring",
    "Listener",
    "Liveness",
    "Member",
    "Mesh",
    "MeshConfig",
    "Network",
    "RemoteProtocolError",
    "StreamConfig",
    "key_id_of",
]
