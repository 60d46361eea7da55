"""Fail-over of both clients over real sockets."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from crdtstate.client import Client, UnknownOutcomeError
from crdtstate.errors import UnavailableError
from tests.crdtstate.client.blocking import CLIENTS, open_client
from tests.crdtstate.client.fake_peer import FakePeer, fake_peers


@pytest.fixture
def peers() -> Iterator[list[FakePeer]]:
    with fake_peers("a", "b") as found:
        yield found


def endpoints(peers: list[FakePeer]) -> list[str]:
    return [peer.endpoint for peer in peers]


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_peer_that_is_down_is_left_and_not_asked_again(kind: str, peers: list[FakePeer]) -> None:
    first, second = peers
    with open_client(kind, endpoints(peers)) as client:
        client.put("a", "1")
        first.stop()

        values = [client.get_value("a") for _ in range(5)]
        first.start()
        client.get_value("a")

    assert values == [b"1"] * 5
    assert (first.targets(), second.targets()) == (["PUT /kv/a"], ["GET /kv/a"] * 6)


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("fault", ["lose before", "lose after", "503:stopping", "cut body"])
def test_a_repeatable_write_survives_a_lost_answer(
    kind: str, fault: str, peers: list[FakePeer]
) -> None:
    peers[0].script = [fault]

    with open_client(kind, endpoints(peers), timeout=2) as client:
        client.set("s").add("x")
        found = client.set("s").get()

    assert found == {"x"}
    assert peers[0].targets() == ["POST /set/s"]
    assert peers[1].targets() == ["POST /set/s", "GET /kv/s"]


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize(("fault", "value"), [("lose before", 1), ("lose after", 2)])
def test_a_counter_is_added_to_at_most_once(
    kind: str, fault: str, value: int, peers: list[FakePeer]
) -> None:
    """CAL-1"""
    with open_client(kind, endpoints(peers)) as client:
        client.counter("n").add()
        peers[0].script = [fault]

        with pytest.raises(UnknownOutcomeError):
            client.counter("n").add()
        found = client.counter("n").get()

    if fault == "lose after":
        assert found == value
    assert [target for peer in peers for target in peer.targets()].count("POST /counter/n") == 2


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_lost_transaction_with_a_counter_is_not_repeated(
    kind: str, peers: list[FakePeer]
) -> None:
    peers[0].script = ["lose after"]

    with (
        open_client(kind, endpoints(peers)) as client,
        pytest.raises(UnknownOutcomeError),
        client.transaction() as txn,
    ):
        txn.counter_add("n")

    assert peers[1].requests == []


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_conditional_write_whose_first_try_was_lost_is_not_called_refused(
    kind: str, peers: list[FakePeer]
) -> None:
    peers[0].script = ["lose after"]

    with open_client(kind, endpoints(peers)) as client, pytest.raises(UnknownOutcomeError):
        client.put("k", "v", if_absent=True)


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_peer_that_hangs_is_left_in_time(kind: str, peers: list[FakePeer]) -> None:
    peers[0].script = ["hang"]
    started = time.monotonic()

    with open_client(kind, endpoints(peers), timeout=0.5) as client:
        assert client.get("k") is None

    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("kind", CLIENTS)
def test_no_peer_at_all_is_unavailable_in_time(kind: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Bound and not listening: connections are refused.
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()

        with (
            open_client(kind, address, timeout=0.5) as client,
            pytest.raises(UnavailableError) as caught,
        ):
            client.put("k", "v")

    assert caught.value.code == "unreachable"
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_connection_that_the_peer_closed_while_idle_costs_nothing(
    kind: str, peers: list[FakePeer]
) -> None:
    """A counter is the proof: had the write gone into the dead connection, it would raise."""
    first = peers[0]
    with open_client(kind, first.endpoint) as client:
        client.counter("n").add()
        first.stop()
        first.start()

        assert client.counter("n").add() == 2


def test_threads_share_a_blocking_client_and_its_connections(peers: list[FakePeer]) -> None:
    with Client(endpoints(peers)) as client, ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: client.put(f"k/{n}", str(n)), range(200)))
        found = [int(item.value) for item in client.list("k/")]

    assert sorted(found) == list(range(200))


def test_a_token_file_is_read_past_its_comments(
    peers: list[FakePeer], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("tokens") / "tokens"
    path.write_text("# ours\n\nsecret-1\nsecret-2\n")

    with Client(endpoints(peers), token_file=path) as client:
        client.get("k")

    assert peers[0].requests[0][2]["Authorization"] == "Bearer secret-1"
