"""CNV-4: a linked peer of another protocol version is named, and nothing waits for it."""

import pytest

from crdtstate.crdt.codec import dumps
from crdtstate.errors import RemoteProtocolError
from crdtstate.replica import events as ev
from crdtstate.replica.messages import PROTOCOL_VERSION, Kind, decode_message, vector_message
from tests.models.mesh import Mesh, put, three

TOMORROW = PROTOCOL_VERSION + 1
HELLO = bytes((Kind.HELLO,)) + dumps([TOMORROW, "a field", {"nobody": "knows yet"}])


def upgraded(mesh: Mesh) -> None:
    """b comes back as a later release: a new link to a, and its hello."""
    for event in (ev.LinkDown("b"), ev.LinkUp("b"), ev.PeerMessage("b", HELLO)):
        mesh["a"].step(event)


def test_a_hello_of_any_version_begins_with_its_version() -> None:
    with pytest.raises(RemoteProtocolError, match=f"speaks version {TOMORROW} ") as raised:
        decode_message(HELLO)
    assert raised.value.data == {"version": TOMORROW}


@pytest.mark.parametrize("fields", [[], ["1"], [True, 2], {}, 7])
def test_what_has_no_version_is_just_malformed(fields: object) -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        decode_message(bytes((Kind.HELLO,)) + dumps(fields))
    assert "version" not in raised.value.data


def test_it_is_told_once_and_nothing_of_it_is_interpreted() -> None:
    mesh = three()
    a = mesh["a"].replica

    upgraded(mesh)

    assert mesh["a"].told == [ev.OtherVersion("b", TOMORROW)]
    assert a.peers.other_versions() == {"b": TOMORROW}
    assert [view.name for view in a.peers.linked()] == ["c"]
    before, known = a.conversation.rejected, dict(a.peers.view("b").vector)
    for payload in (HELLO, vector_message(Kind.VECTOR, {(1 << 63) | 5: 9})):
        mesh["a"].step(ev.PeerMessage("b", payload))
    assert len(mesh["a"].told) == 1
    assert a.conversation.rejected == before + 2
    assert a.peers.view("b").vector == known


def test_a_pull_from_it_is_given_up() -> None:
    mesh = three()
    antientropy = mesh["a"].replica.antientropy
    view = mesh["a"].replica.peers.view("b")
    view.learn({(1 << 63) | 5: 9})
    view.pull_after(mesh.now_ms, None)
    assert antientropy.consider(mesh.now_ms)
    assert antientropy.busy

    mesh["a"].step(ev.PeerMessage("b", HELLO))

    assert not antientropy.busy


def test_a_link_of_the_same_version_makes_it_good_again() -> None:
    mesh = three()
    upgraded(mesh)

    mesh.isolate("b")
    mesh["b"].submit(put("k", "v"))
    mesh.link_all()
    mesh.run(2_000)

    assert mesh["a"].replica.peers.other_versions() == {}
    assert mesh["a"].value("k") == b"v"
    mesh.assert_converged()


def test_who_is_linked_to_nobody_else_is_ready_and_writes() -> None:
    mesh = Mesh("a", "b")
    mesh["a"].step(ev.LinkUp("b"))
    mesh["a"].step(ev.PeerMessage("b", HELLO))

    mesh.run(5_000)
    request = mesh["a"].submit(put("k", "v"))
    mesh.settle()

    assert mesh["a"].replica.standing.ready
    assert request.committed
