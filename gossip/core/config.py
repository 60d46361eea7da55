"""The knobs of membership: purpose, formula, what raising one costs."""

from dataclasses import dataclass
from typing import final

from gossip.errors import GossipError

__all__ = ["Config"]

PACKET_BYTES_LEAST = 1_000  # One record with the longest texts, beside the longest names.
PACKET_BYTES_MOST = 60_000


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Defaults after memberlist's LAN profile, with a shorter probe timeout.

    Raises:
        GossipError: A knob is out of its bounds.
    """

    probe_interval_ms: int = 1_000
    """One member is probed in each. Raising it costs time to detect, lowering it traffic."""
    probe_timeout_ms: int = 400
    """Without an ack for so long, helpers and the stream are asked. Above a LAN's worst RTT, and
    at most half of probe_interval_ms, so that a helper's answer is still in time."""
    helpers: int = 3
    """Members asked for an indirect probe."""
    suspicion_mult: int = 4
    """Least suspicion = this * max(1, log10 n) * probe_interval_ms; the most is 6 times it."""
    retransmit_mult: int = 4
    """An update rides on this * ceil(log10(n + 1)) packets."""
    gossip_interval_ms: int = 200
    """While updates are queued, so often they are also sent to `gossip_fanout` members."""
    gossip_fanout: int = 3
    packet_bytes_max: int = 1_200
    """Plaintext of one datagram; with the envelope it fits an Ethernet frame. 1 000 to 60 000."""
    dead_probe_interval_ms: int = 2_000
    """One dead member is contacted in each, so that a cut heals by itself."""
    list_interval_ms: int = 1_000
    """A member gets at most one full list in this * (1 + n // 32), and only when tables differ."""
    join_retry_ms: int = 500
    """An unanswered join is sent again after this, then after twice as long each time,"""
    join_retry_max_ms: int = 2_000
    """up to this."""
    members_max: int = 1_024
    """Records in the table, this member's included. When it is full, a living newcomer takes the
    place of a dead or left one; with none of those, newcomers are refused."""
    forgotten_max: int = 4_096
    """Names that may not come back; over it, the one forgotten first may."""
    health_max: int = 8
    """Greatest local health score; intervals stretch by score + 1."""

    def __post_init__(self) -> None:
        for name in ("probe_timeout_ms", "suspicion_mult", "retransmit_mult", "members_max"):
            if getattr(self, name) < 1:
                raise GossipError(f"{name}={getattr(self, name)} is below 1")
        if 2 * self.probe_timeout_ms > self.probe_interval_ms:
            raise GossipError(
                f"probe_timeout_ms={self.probe_timeout_ms} is over half of "
                f"probe_interval_ms={self.probe_interval_ms}"
            )
        if not PACKET_BYTES_LEAST <= self.packet_bytes_max <= PACKET_BYTES_MOST:
            raise GossipError(
                f"packet_bytes_max={self.packet_bytes_max} is not within "
                f"{PACKET_BYTES_LEAST} to {PACKET_BYTES_MOST}"
            )
