"""Both clients do the same, say the same, and raise the same."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crdtstate.client import AuthenticationError
from crdtstate.errors import (
    BehindError,
    InvalidError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
    WrongTypeError,
)
from crdtstate.model import BoundedState, Event, Item
from tests.crdtstate.client.blocking import CLIENTS, open_client
from tests.crdtstate.client.fake_peer import FakePeer, fake_peers


@pytest.fixture
def peer() -> Iterator[FakePeer]:
    with fake_peers("a") as [found]:
        yield found


def registers(client: Any) -> list[Any]:
    first = client.put("k/1", "one", if_absent=True)
    second = client.put("k/1", b"two", if_version=first.version, ttl=1.5)
    item = client.get("k/1")
    return [
        first.version, second.version, second.replicas, item, client.get("none"),
        client.get_value("k/1"), client.get_value("none"),
        client.delete("k/1", if_exists=True), client.delete("k/1"),
    ]  # fmt: skip


def strange_keys(client: Any) -> list[Any]:
    keys = ["a b", "ü/ß", "a//../b", "100%", "q?x=1&y", "#+"]
    for key in keys:
        client.put(key, key)
    return [[item.key for item in client.list()], [client.get_value(key) for key in keys]]


def listings(client: Any) -> list[Any]:
    for n in range(7):
        client.put(f"n/{n}", str(n))
    client.put("other", "x")
    page = client.page("n/", limit=3)
    rest = client.page("n/", limit=10, start=page.next)
    return [
        [item.key for item in page.items], page.next, [item.value for item in rest.items],
        rest.next, [item.key for item in client.list("n/")],
        [item.key for item in client.list(limit=2)], list(client.list(limit=0)),
    ]  # fmt: skip


def maps(client: Any) -> list[Any]:
    handle = client.map("m")
    before = handle.get()
    handle.put({"a": 1, "b": [True, None]})
    handle.merge({"a": None, "c": "x"})
    applied = client.apply("m2", {"x": 1}, manager="me")
    return [before, handle.get(), client.get("m").type, applied.replicas, handle.delete()]


def sets(client: Any) -> list[Any]:
    handle = client.set("s")
    before = handle.get()
    handle.add("a", "b", "c")
    handle.remove("b")
    handle.change(add=["d"], remove=["a"])
    return [before, handle.get()]


def counters_and_flags(client: Any) -> list[Any]:
    counter, flag, stock = client.counter("c"), client.flag("f"), client.bounded("b")
    seen = [counter.get(), counter.add(), counter.add(-3), counter.get(), flag.get()]
    flag.set(True)
    seen += [flag.get(), stock.get(), stock.create(5), stock.take(2), stock.add(1), stock.get()]
    return seen


def transactions(client: Any) -> list[Any]:
    with client.transaction() as txn:
        txn.require("t", absent=True)
        txn.put("t", "1", ttl=2)
        txn.counter_add("tc", 2)
    with client.transaction() as second:
        second.require("t", exists=True)
        second.delete("t")
    try:
        with client.transaction() as third:
            third.put("never", "1")
            raise KeyError
    except KeyError:
        pass
    result = txn.result
    return [result.changed, result.version, client.get("t"), client.get("never"), third.result]


def cluster(client: Any) -> list[Any]:
    return [
        client.status(), client.wait(peers=1, timeout=2), client.backup("/b"),
        client.token is not None,
    ]  # fmt: skip


def watching(client: Any) -> list[Any]:
    client.put("w/1", "a")
    events = client.watch("w/", initial=True)
    seen = [next(events), next(events)]
    client.put("w/2", "b")
    client.put("elsewhere", "c")
    client.delete("w/1")
    seen += [next(events), next(events)]
    events.close()
    return seen


SCENARIOS: list[Callable[[Any], list[Any]]] = [
    registers, strange_keys, listings, maps, sets, counters_and_flags, transactions, cluster,
    watching,
]  # fmt: skip


def _item(key: str, value: bytes, version: str) -> Item:
    return Item(key=key, type="register", value=value, version=version)


EXPECTED: dict[Callable[[Any], list[Any]], list[Any]] = {
    registers: [
        "v1", "v2", 1, _item("k/1", b"two", "v2"), None, b"two", None, True, False,
    ],
    strange_keys: [
        ["#+", "100%", "a b", "a//../b", "q?x=1&y", "ü/ß"],
        [b"a b", "ü/ß".encode(), b"a//../b", b"100%", b"q?x=1&y", b"#+"],
    ],
    listings: [
        ["n/0", "n/1", "n/2"], "n/2", [b"3", b"4", b"5", b"6"], None,
        [f"n/{n}" for n in range(7)], ["n/0", "n/1"], [],
    ],
    maps: [None, {"b": [True, None], "c": "x"}, "map", 1, True],
    sets: [frozenset(), frozenset({"c", "d"})],
    counters_and_flags: [
        0, 1, -2, -2, False, True, None, BoundedState(5, 5), BoundedState(3, 3),
        BoundedState(4, 4), 4,
    ],
    transactions: [2, None, None, None, None],
    watching: [
        Event(type="put", key="w/1", item=_item("w/1", b"a", "v1")),
        Event(type="bookmark", revision="a-1"),
        Event(type="put", key="w/2", item=_item("w/2", b"b", "v2"), revision="a-2"),
        Event(type="delete", key="w/1", revision="a-4"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_both_clients_agree(scenario: Callable[[Any], list[Any]]) -> None:
    outcomes, requests = [], []
    for kind in CLIENTS:
        with fake_peers("a") as [peer], open_client(kind, peer.endpoint) as client:
            outcomes.append(scenario(client))
            requests.append([(method, target) for method, target, _ in peer.requests])

    assert outcomes[0] == EXPECTED.get(scenario, outcomes[1])
    assert outcomes[0] == outcomes[1]
    assert requests[0] == requests[1]


REFUSALS: list[tuple[str, type[Exception], str]] = [
    ("400:invalid_key", InvalidError, "invalid_key"),
    ("401:unauthorized", AuthenticationError, "unauthorized"),
    ("409:wrong_type", WrongTypeError, "wrong_type"),
    ("412:precondition_failed", PreconditionError, "precondition_failed"),
    ("504:not_enough_replicas", BehindError, "not_enough_replicas"),
    ("504:behind", BehindError, "behind"),
]


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize(("fault", "error", "code"), REFUSALS)
def test_an_error_answer_is_raised_as_its_class_and_not_retried(
    peer: FakePeer, kind: str, fault: str, error: type[Exception], code: str
) -> None:
    peer.script = [fault]

    with open_client(kind, peer.endpoint) as client, pytest.raises(error) as caught:
        client.put("k", "v")

    assert caught.value.code == code  # type: ignore[attr-defined]
    assert len(peer.requests) == 1


@pytest.mark.parametrize("kind", CLIENTS)
def test_the_data_of_an_error_is_kept(peer: FakePeer, kind: str) -> None:
    with open_client(kind, peer.endpoint) as client:
        client.bounded("b").create(3)

        with pytest.raises(WrongTypeError) as caught:
            client.bounded("b").take(5)

    assert (caught.value.code, caught.value.data) == ("insufficient_rights", {"available": 3})


@pytest.mark.parametrize("kind", CLIENTS)
def test_an_answer_of_another_service_says_what_it_was(peer: FakePeer, kind: str) -> None:
    with open_client(kind, peer.endpoint) as client, pytest.raises(NotFoundError) as caught:
        client.members()

    assert caught.value.code == "no_such_route"


@pytest.mark.parametrize("kind", CLIENTS)
def test_the_causal_token_is_kept_and_sent(peer: FakePeer, kind: str) -> None:
    with open_client(kind, peer.endpoint) as client:
        client.put("a", "1")
        client.put("b", "2")
        token = client.token
    with open_client(kind, peer.endpoint, causal=False, auth_token="secret") as client:
        client.observe(token)
        client.get("a")

    sent = [headers.get("Crdtstate-Token") for _, _, headers in peer.requests]
    assert sent[0] is None
    assert sent[1] is not None
    assert sent[2] is None
    assert peer.requests[2][2]["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_closed_client_says_so(peer: FakePeer, kind: str) -> None:
    with open_client(kind, peer.endpoint) as client:
        client.put("a", "1")
        client.close()

        with pytest.raises(UnavailableError) as caught:
            client.get("a")

    assert caught.value.code == "closed"
