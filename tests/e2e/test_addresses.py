"""Where the others are outlives the process (RFC 0006), with real peers."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.fleet import Fleet, fleet, until

pytestmark = pytest.mark.e2e


def leave_one_seed(peers: Fleet, name: str, seed: str) -> None:
    """Change what `name` is configured with, for its next start."""
    plan, port = peers.plans[name], peers.plans[seed].gossip_port
    words = list(plan.arguments)
    while "--seed" in words:
        at = words.index("--seed")
        del words[at : at + 2]
    peers.plans[name] = replace(plan, arguments=(*words, "--seed", f"127.0.0.1:{port}"))


def test_peers_whose_only_seed_is_gone_for_good_find_each_other(tmp_path: Path) -> None:
    with fleet(tmp_path) as peers:
        peers.client("a").put("k", "1", w="all")
        for name in "abc":
            peers.kill(name)
        for name in "bc":
            leave_one_seed(peers, name, "a")
            peers.start(name)
        for name in "bc":
            peers.wait_ready(name)

        until(peers.is_linked, "b and c are linked")

        until(lambda: peers.status("b")["gossip"]["seeds_missing"] == 1, "a is missed")
        peers.client("b").put("k", "2")
        peers.converge()
        assert peers.client("c").get_value("k") == b"2"
        absent = next(m for m in peers.client("b").members() if m.name == "a")
        assert absent.address == f"127.0.0.1:{peers.plans['a'].gossip_port}"
