"""What three converged peers exchange, as their own counters and the kernel tell it (law 23)."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.fleet import Fleet, fleet

pytestmark = pytest.mark.e2e

BYTES_PER_S_MAX = 1000
HEADERS_BYTES = 28  # IP and UDP, for each datagram.


def traffic(peers: Fleet) -> int:
    """Return the bytes that all peers have sent to each other, headers of datagrams included."""
    total = 0
    for name in peers.plans:
        gossip = peers.status(name)["gossip"]
        total += gossip["bytes_out"] + HEADERS_BYTES * gossip["datagrams_out"]
    return total


def test_converged_and_idle_three_peers_exchange_under_a_kilobyte_a_second(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    with fleet(tmp_path) as peers:
        for n in range(500):
            peers.client("a").put(f"k{n}", "v" * 100)
        peers.converge()
        time.sleep(2.0)
        sent = [peers.status(n)["anti_entropy"] for n in peers.plans]
        before, began = traffic(peers), time.monotonic()
        time.sleep(6.0)
        rate = (traffic(peers) - before) / (time.monotonic() - began)
        figure(f"idle: {rate:.0f} B/s between three idle peers")
        assert rate < BYTES_PER_S_MAX
        assert [peers.status(n)["anti_entropy"] for n in peers.plans] == sent
