"""Hostile bytes from somebody who has the cluster's key, through both doors: packets and links.

All of them must be refused and counted, change nothing, cost no link, and hold nobody up.
"""

import cbor2
import pytest

from crdtstate.crdt.codec import dumps
from crdtstate.crdt.dots import encode_flat
from crdtstate.replica.messages import Kind, encode_message
from crdtstate.store.transaction import Change, encode_body, encode_frame
from gossip.core.wire import VERSION
from tests.faults.scene import Scene, play
from tests.faults.sealed import send_sealed

NOBODY = (1 << 63) | 7  # An identity that no peer has.


def tagged(number: int, content: object) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(number, content))


NESTED = {"lists": b"\x81" * 10_000 + b"\x00", "maps": b"\xa1\x00" * 10_000 + b"\x00",
          "tags": b"\xc1" * 10_000 + b"\x00"}  # fmt: skip
LONG = {
    "list of 2**40": b"\x9b" + (1 << 40).to_bytes(8, "big") + b"\x00",
    "bytes of 2**40": b"\x5b" + (1 << 40).to_bytes(8, "big") + b"x",
    "text of 2**63": b"\x7b" + (1 << 63).to_bytes(8, "big") + b"x",
    "map of 2**32": b"\xba\xff\xff\xff\xff\x00\x00",
}
SHARED = {
    "doubling": b"\xd8\x1c\x82\xd8\x1d\x00\xd8\x1d\x00",
    "cycle": b"\xd8\x1c\x81\xd8\x1d\x00",
    "references to strings": b"\xd9\x01\x00\x82\x63abc\xd8\x19\x00",
}
TWO_WAYS = {
    "duplicate keys": b"\xa2\x61a\x01\x61a\x02",
    "unsorted keys": b"\xa2\x61b\x01\x61a\x02",
    "longer than needed": b"\x1b" + b"\x00" * 7 + b"\x01",
    "not a number": b"\xf9\x7e\x00",
    "minus zero": b"\xf9\x80\x00",
    "more behind it": b"\x01\x02",
    "bad text": b"\x62\xff\xfe",
    "half of a character": b"\x63\xed\xa0\x80",
}
TAGS = {
    "pattern": tagged(35, "(a+)+$"),
    "mail": tagged(36, "Content-Type: text/plain"),
    "large number": b"\xc2\x59\x40\x00" + b"\xff" * 16_384,
    "decimal": b"\xc4\x82\x1a\x3b\x9a\xca\x00\x01",
    "date": tagged(0, "2026-01-01T00:00:00Z"),
}


def play_hostile(data: bytes) -> None:
    """Send these bytes as packets and as messages of all kinds; nothing may come of it."""

    async def scenario(scene: Scene) -> None:
        await scene.client("a").put("k", "v", w=3)
        await scene.converge()
        root, vector = scene.replica("b").shown.root, dict(scene.replica("b").shown.vector)
        links = scene.counters("b").get("links_closed", 0)
        mesh = scene.host("a").peer
        assert mesh is not None
        for prefix in (b"", VERSION, VERSION + b"\x86\x01"):
            send_sealed(scene, "b", prefix + data)
        for kind in (0, *range(1, 12), 63):
            mesh.mesh.send("b", bytes((kind,)) + data)
        await scene.sleep(3)
        replica = scene.replica("b")
        assert replica.conversation.rejected == 13
        assert scene.counters("b")["rejected_datagram_by_machine"] == 3
        assert (replica.shown.root, replica.shown.vector) == (root, vector)
        assert scene.counters("b").get("links_closed", 0) == links
        await scene.client("b").put("k", "still here", w=3)
        await scene.converge()

    play(scenario)


@pytest.mark.parametrize("name", NESTED)
def test_fault_48_nested_ten_thousand_deep(name: str) -> None:
    play_hostile(NESTED[name])


@pytest.mark.parametrize("name", LONG)
def test_fault_49_lengths_of_terabytes_in_ten_bytes(name: str) -> None:
    play_hostile(LONG[name])


@pytest.mark.parametrize("name", SHARED)
def test_fault_50_values_that_are_shared_or_hold_themselves(name: str) -> None:
    play_hostile(SHARED[name])


@pytest.mark.parametrize("name", TWO_WAYS)
def test_fault_51_a_second_encoding_of_a_value(name: str) -> None:
    play_hostile(TWO_WAYS[name])


@pytest.mark.parametrize("name", TAGS)
def test_fault_52_tags_that_ask_for_work(name: str) -> None:
    play_hostile(TAGS[name])


def test_fault_39_a_context_ahead_of_everything_anybody_wrote() -> None:
    """A vector that covers what nobody has empties nothing and is believed by no state."""

    async def scenario(scene: Scene) -> None:
        a, b = scene.client("a"), scene.host("b")
        for n in range(20):
            await a.put(f"k/{n}", "v", w=3)
        origin = scene.replica("a").store.origin
        ahead = encode_flat({origin: 1 << 40, NOBODY: 1 << 40})
        peer = scene.host("a").peer
        assert peer is not None
        for session in range(5):
            peer.mesh.send("b", encode_message(Kind.END, session, ahead, None, 0))
            peer.mesh.send("b", encode_message(Kind.END, session, ahead, [0, 1, 2], 0))
            peer.mesh.send("b", encode_message(Kind.PART, session, [], []))
        await scene.sleep(3)
        assert len(scene.state("b")) == 20
        assert scene.replica("b").store.vector.get(NOBODY, 0) == 0
        await scene.client("b").put("k", "still here", w=3)
        b.kill()
        b.boot()
        await scene.converge()
        assert len(scene.state("b")) == 21

    play(scenario)


def test_fault_40_transactions_that_wait_for_what_nobody_has() -> None:
    """Held within a bound, never shown, and nobody else is held up."""

    async def scenario(scene: Scene) -> None:
        peer = scene.host("a").peer
        assert peer is not None
        change = Change(b"ghost\0", (), b"\x01", [])
        for n in range(6_000):
            body = encode_body(1 << 16, {NOBODY + 1: 1 << 30}, [change])
            peer.mesh.send("b", bytes((Kind.PUSH,)) + encode_frame(NOBODY, n + 1, [body]))
            if n % 100 == 0:
                await scene.sleep(0.05)
        assert scene.replica("b").store.held_count <= 4_096
        assert "ghost" not in scene.state("b")
        await scene.client("b").put("k", "v", w=3)
        assert scene.state("c")["k"] == b"v"

    play(scenario)


def test_fault_67_a_transaction_that_cannot_be_applied() -> None:
    """Counted and dropped whole, however often it comes; the peer lives and serves."""

    async def scenario(scene: Scene) -> None:
        peer, lives = scene.host("a").peer, scene.host("b").lives
        assert peer is not None
        for bad in (dumps([1, [], [[b"no zero", [], b"\x01", []]]]), dumps([1, [], 7]),
                    dumps([-1, [], []]), dumps([1, [3], []])):  # fmt: skip
            for _ in range(50):
                frame = encode_frame(NOBODY, 1, [bad])
                peer.mesh.send("b", bytes((Kind.PUSH,)) + frame)
        await scene.sleep(5)
        assert scene.replica("b").conversation.rejected == 200
        assert scene.host("b").lives == lives
        await scene.client("b").put("k", "v", w=3)
        await scene.converge()

    play(scenario)


def test_fault_68_messages_of_a_later_version() -> None:
    """A kind, a packet and a hello that this version does not know cost nothing but a count."""

    async def scenario(scene: Scene) -> None:
        peer = scene.host("a").peer
        assert peer is not None
        peer.mesh.send("b", b"\x2a" + dumps(["from", "tomorrow"]))
        peer.mesh.send("b", encode_message(Kind.VECTOR, [], "one field more"))
        send_sealed(scene, "b", b"\x02" + cbor2.dumps([1, 2, 3]))
        await scene.sleep(2)
        assert scene.replica("b").conversation.rejected == 2
        assert (await scene.client("b").status()).fields["other_versions"] == {}
        assert scene.counters("b")["rejected_datagram_by_machine"] == 1
        assert scene.alive_to("b") == {"a", "b", "c"}
        await scene.client("b").put("k", "v", w=3)

        peer.mesh.send("b", bytes((Kind.HELLO,)) + dumps([2, "all else may differ"]))
        await scene.sleep(2)
        found = (await scene.client("b").status()).fields
        assert (found["protocol"], found["other_versions"]) == (1, {"a": 2})
        assert found["linked"] == ["c"]
        assert found["minority"] is False
        await scene.client("b").put("k", "w", w=2)

    play(scenario)
