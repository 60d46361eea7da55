"""Session guarantees across fail-over, with real peers (law 19)."""

import threading
from pathlib import Path

import pytest

from crdtstate.client import Client
from crdtstate.errors import BehindError
from tests.e2e.fleet import fleet, until

pytestmark = pytest.mark.e2e


def test_own_writes_are_read_from_whichever_peer_answers(tmp_path: Path) -> None:
    with fleet(tmp_path) as peers, Client(peers.all_urls()) as client:
        for n in range(30):
            client.put("k", str(n))
            with Client(peers.url("bc"[n % 2])) as other:
                assert client.token is not None
                other.observe(client.token)
                assert other.get_value("k") == str(n).encode()


def test_a_peer_that_is_behind_says_so_and_the_client_goes_to_one_that_is_not(
    tmp_path: Path,
) -> None:
    with fleet(tmp_path) as peers:
        peers.isolate("a")
        writer = peers.client("b")
        writer.put("k", "new")
        writer.wait(peers=2)
        assert writer.token is not None
        with Client(peers.url("a"), timeout=0.5) as alone:
            alone.observe(writer.token)
            with pytest.raises(BehindError, match="still lacks") as caught:
                alone.get("k")
            assert peers.status("b")["origin"] in str(caught.value)
        with Client([peers.url("a"), peers.url("c")], timeout=4.0) as client:
            client.observe(writer.token)
            assert client.get_value("k") == b"new"
        peers.heal()
        with Client(peers.url("a"), timeout=5.0) as waits:
            waits.observe(writer.token)
            assert waits.get_value("k") == b"new"


def test_reads_never_go_back_while_peers_die_under_the_client(tmp_path: Path) -> None:
    """Monotonic reads: the value only grows, whoever answers."""
    with fleet(tmp_path) as peers:
        ended = threading.Event()

        def write() -> None:
            with Client(peers.url("c")) as client:
                n = 0
                while not ended.is_set():
                    n += 1
                    client.put("n", str(n))

        writer = threading.Thread(target=write)
        writer.start()
        seen: list[int] = []
        try:
            with Client([peers.url("a"), peers.url("b"), peers.url("c")], timeout=10.0) as client:
                until(lambda: client.get("n") is not None, "the first value")
                n = 0
                # A busy machine writes slowly: read until enough was written to go back in.
                while n < 300 or (n < 5_000 and len(set(seen)) <= 50):
                    seen.append(int(client.get_value("n")))
                    n += 1
                    if n == 100:
                        peers.kill("a")
                    if n == 200:
                        peers.kill("b")
        finally:
            ended.set()
            writer.join()
        assert seen == sorted(seen)
        assert len(set(seen)) > 50


def test_w_says_how_many_have_it_and_the_write_stands(tmp_path: Path) -> None:
    with fleet(tmp_path) as peers:
        assert peers.client("a").put("k", "1", w="all").replicas == 3
        assert peers.client("a").put("k", "2", w="majority").replicas >= 2
        peers.isolate("a")
        with Client(peers.url("a"), timeout=1.0) as client:
            with pytest.raises(BehindError) as caught:
                client.put("k", "3", w="majority")
            assert caught.value.code == "not_enough_replicas"
            assert caught.value.data["replicas"] == 1
            assert client.get_value("k") == b"3"
        peers.heal()
        peers.converge()
        assert peers.client("c").get_value("k") == b"3"
