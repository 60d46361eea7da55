"""The knobs of membership: purpose, formula, what raising one costs."""

from dataclasses import dataclass
from typing import final

__all__ = ["Config"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Defaults after memberlist's LAN profile, with a shorter probe timeout."""

    probe_interval_ms: int = 1_000
    """One member is probed in each. Raising it costs time to detect, lowering it traffic."""
    probe_timeout_ms: int = 400
    """Without an ack for so long, helpers and the stream are asked. Above a LAN's worst RTT."""
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
    """Plaintext of one datagram; with the envelope it fits an Ethernet frame."""
    dead_probe_interval_ms: int = 2_000
    """One dead member is contacted in each, so that a cut heals by itself."""
    list_interval_ms: int = 1_000
    """At most one full list goes to one member in each, and only when tables differ."""
    members_max: int = 1_024
    """More names are refused."""
    health_max: int = 8
    """Greatest local health score; intervals stretch by score + 1."""
