"""The configuration of a mesh: who it is, whom it calls, and every bound of its edge."""

from dataclasses import dataclass, field
from typing import final

from gossip.core.config import Config
from gossip.errors import GossipError
from gossip.net.frames import PAYLOAD_BYTES_MAX
from gossip.net.keyring import KEY_BYTES

CLUSTER_ID_BYTES = 16
NAME_BYTES_MAX = 64


@final
@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """Bounds and deadlines of the streams.

    Raising a deadline costs time until a lost peer is noticed; lowering one costs links that are
    dropped while a peer is merely busy.
    """

    connect_deadline_ms: int = 500
    """For one attempt, connection and handshake together."""
    handshake_deadline_ms: int = 1_000
    """For one accepted connection to prove itself."""
    handshakes_max: int = 64
    """Accepted connections that have not proved themselves yet; more are refused."""
    handshakes_per_source_max: int = 4
    """The same for one address; loopback, where all peers look alike, is exempt."""
    redial_interval_ms: int = 250
    """A heal is noticed within this and a round trip; costs a SYN per unlinked member."""
    dead_redial_interval_ms: int = 2_000
    """The same for members that have been dead for `dead_slow_after_ms`."""
    dead_slow_after_ms: int = 60_000
    links_max: int = 16
    """Up to so many other members, all are linked; above, half as many are chosen."""
    ack_interval_ms: int = 100
    """A receiver of data acknowledges at most once in this time."""
    unacked_deadline_ms: int = 600
    """A link without progress for so long is dropped; at least 4 ack intervals."""
    probe_deadline_ms: int = 400
    out_buffer_bytes_max: int = 4 * 1024 * 1024
    """Per link; above it `send` returns False, and the application repairs by pull."""
    writable_bytes: int = 256 * 1024
    """`wait_writable` returns below this."""

    def __post_init__(self) -> None:
        if self.unacked_deadline_ms < 4 * self.ack_interval_ms:
            raise GossipError(
                f"unacked_deadline_ms={self.unacked_deadline_ms} is under "
                f"4 * ack_interval_ms={4 * self.ack_interval_ms}"
            )
        if self.out_buffer_bytes_max < PAYLOAD_BYTES_MAX:
            raise GossipError(
                f"out_buffer_bytes_max={self.out_buffer_bytes_max} is under "
                f"one payload of {PAYLOAD_BYTES_MAX} bytes"
            )
        if self.links_max < 2:
            raise GossipError(f"links_max={self.links_max} is under 2")


@final
@dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """One member's identity and addresses.

    Args:
        cluster_id: 16 bytes; packets of another cluster are counted and dropped.
        bind_port: UDP and TCP share the number; 0 picks one that is free for both.
        advertise_host: What others are told; by default `bind_host`, or the address that leads
            to the first seed when that is a wildcard.
        advertise_port: What others are told; by default the bound port.
        keys: 32 bytes each; the first seals.
        dev: Allow `Mesh.set_fault`.
        mdns: Announce and browse by multicast DNS.
    """

    name: str
    cluster_id: bytes
    keys: tuple[bytes, ...] = field(repr=False)
    bind_host: str = "127.0.0.1"
    bind_port: int = 0
    advertise_host: str | None = None
    advertise_port: int | None = None
    seeds: tuple[tuple[str, int], ...] = ()
    metadata: bytes = b""
    dev: bool = False
    mdns: bool = False
    swim: Config = field(default_factory=Config)
    stream: StreamConfig = field(default_factory=StreamConfig)

    def __post_init__(self) -> None:
        size = len(self.name.encode())
        if not 1 <= size <= NAME_BYTES_MAX:
            raise GossipError(
                f"name has {size} bytes: 1 to NAME_BYTES_MAX={NAME_BYTES_MAX} are allowed"
            )
        if len(self.cluster_id) != CLUSTER_ID_BYTES:
            raise GossipError(
                f"cluster_id has {len(self.cluster_id)} bytes: exactly {CLUSTER_ID_BYTES}"
            )
        if not self.keys or any(len(key) != KEY_BYTES for key in self.keys):
            sizes = [len(key) for key in self.keys]
            raise GossipError(f"keys have {sizes} bytes: one or more of {KEY_BYTES} each")
