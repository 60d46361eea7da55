"""kill -9 in the middle of writes, again and again, linked and cut off. Acceptance 3 of issue 2."""

import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crdtstate.client import Client
from crdtstate.errors import CrdtstateError
from crdtstate.tokens import decode_token
from tests.e2e.fleet import Fleet, fleet, until

pytestmark = pytest.mark.e2e

KILLS, KILLS_DEEP = 8, 200


class Writer(threading.Thread):
    """Writes to one peer, one after the other, and notes what was acknowledged."""

    def __init__(self, url: str, label: str) -> None:
        super().__init__(name=f"writer-{label}", daemon=True)
        self.url, self.label = url, label
        self.acknowledged: dict[str, str] = {}
        self.seqs: dict[int, int] = {}
        self.reused: list[str] = []
        self.refused = 0
        self.ended = threading.Event()

    def run(self) -> None:
        n = 0
        while not self.ended.is_set():
            with Client(self.url, timeout=1.0) as client:
                while not self.ended.is_set():
                    n += 1
                    try:
                        self._write(client, f"{self.label}/{n}", str(n))
                    except CrdtstateError:
                        self.refused += 1
                        time.sleep(0.01)
                        break  # A client of a new life starts without the old one's token.

    def _write(self, client: Client, key: str, value: str) -> None:
        result = client.put(key, value)
        self.acknowledged[key] = value
        origin = int(client.status().origin, 16)
        seq = decode_token(result.token or "").get(origin)
        if seq is None:
            return  # It took a new identity between the two requests.
        if seq <= self.seqs.get(origin, 0):
            self.reused.append(f"{key}: dot ({origin:016x}, {seq}) after {self.seqs[origin]}")
        self.seqs[origin] = seq


def kill_in_a_loop(peers: Fleet, kills: int, seed: int) -> list[Writer]:
    """Kill b `kills` times while two writers write to b and one to a."""
    rng = random.Random(seed)
    writers = [Writer(peers.url("b"), "b1"), Writer(peers.url("b"), "b2"),
               Writer(peers.url("a"), "a")]  # fmt: skip
    for writer in writers:
        writer.start()
    for n in range(kills):
        # The others cut it off, so that it stays cut off in its next life.
        for other in "ac":
            peers.client(other).heal()
        if n % 5 == 3:
            peers.cut(rng.choice("ac"), "b")
        if n % 7 == 5:  # Nobody is there to confirm its identity: it takes a new one.
            for other in "ac":
                peers.cut(other, "b")
        before = sum(len(w.acknowledged) for w in writers[:2])
        until(lambda: sum(len(w.acknowledged) for w in writers[:2]) > before, "writes to b")  # noqa: B023
        time.sleep(rng.random() * 0.1)
        peers.kill("b")
        peers.start("b")
        peers.wait_ready("b")
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{n + 1}/{kills} kills")
    for writer in writers:
        writer.ended.set()
    for writer in writers:
        writer.join()
    return writers


def check_nothing_lost(peers: Fleet, writers: list[Writer]) -> None:
    peers.heal()
    until(peers.is_linked, "all linked")
    peers.converge()
    assert [w.reused for w in writers] == [[], [], []]
    for name in peers.plans:
        records = peers.records(name)
        for writer in writers:
            for key, value in writer.acknowledged.items():
                assert records.get(key) == value.encode(), f"{key} is lost on {name}"
        assert peers.status(name)["anti_entropy"]["repair_alarms"] == 0
        assert peers.status(name)["conflicts"] == 0


@pytest.mark.parametrize(
    "kills", [KILLS, pytest.param(KILLS_DEEP, marks=pytest.mark.deep)], ids=["few", "many"]
)
def test_kills_during_writes_lose_nothing_acknowledged(
    tmp_path: Path, kills: int, figure: Callable[[str], None]
) -> None:
    with fleet(tmp_path) as peers:
        writers = kill_in_a_loop(peers, kills, seed=kills)
        check_nothing_lost(peers, writers)
        total = sum(len(w.acknowledged) for w in writers)
        identities = len({origin for w in writers[:2] for origin in w.seqs})
        figure(f"{kills} kills of b: {total} acknowledged writes, {identities} identities")
        assert 1 < identities <= kills + 1  # One that nobody confirms in time costs nothing.
        assert total > 20 * kills / 8
