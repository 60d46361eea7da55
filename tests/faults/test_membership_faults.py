"""Faults of membership: who is forgotten, who does not belong, who speaks nonsense about others."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import cbor2
import pytest

from crdtstate.sim.loop import Life
from crdtstate.sim.network import HostNetwork
from crdtstate.sim.stranger import stranger
from crdtstate.sim.world import GOSSIP_PORT
from gossip.core.wire import VERSION, Kind
from tests.faults.scene import Scene, play
from tests.faults.sealed import OUTSIDE, send_sealed


def outside(scene: Scene, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return scene.world.loop.start(None, work)


def outside_network(scene: Scene) -> HostNetwork:
    life = Life("outsider", 1)
    scene.world.graveyard.append(life)
    return HostNetwork(scene.wire, OUTSIDE, life)


def whole(scene: Scene) -> bool:
    names = {h.name for h in scene.world.hosts}
    return all(scene.alive_to(name) == names for name in names)


def test_fault_29_a_peer_was_forgotten_while_it_was_away() -> None:
    """It is not let in again: what only it had is not merged, and it still shows it."""

    async def scenario(scene: Scene) -> None:
        await scene.client("c").put("known", "1", w=3)
        scene.wire.cut |= scene.paths("c", "a", "b")
        await scene.client("c").put("only here", "1")
        await scene.client("a").forget("c")
        await scene.sleep(60)
        scene.wire.heal()
        scene.host("c").gone = True
        await scene.sleep(30)
        assert scene.are_equal()
        for name in "ab":
            assert scene.state(name).keys() == {"known"}
            assert scene.alive_to(name) == {"a", "b"}
        assert await scene.client("c").get_value("only here") == b"1"

    play(scenario)


def test_fault_43_a_forgotten_peer_that_still_has_the_key() -> None:
    """Refused by all within seconds; what it wrote before is kept, what it writes after is not."""

    async def scenario(scene: Scene) -> None:
        await scene.client("d").put("before", "1", w=4)
        await scene.client("a").forget("d")
        scene.host("d").gone = True
        await scene.until(
            lambda: all("d" not in scene.alive_to(n) for n in "abc"), 5, "d is forgotten"
        )
        await scene.client("d").put("after", "1")
        await scene.sleep(30)
        for name in "abc":
            peer = scene.host(name).peer
            assert peer is not None
            assert "d" not in peer.mesh.linked()
            assert scene.state(name).keys() == {"before"}
        await scene.client("b").put("all of the others", "1", w="all")

    play(scenario, "abcd")


@pytest.mark.parametrize("incarnation", [(1 << 64) - 1, (1 << 48) + 1, -1])
def test_fault_42_an_incarnation_that_leaves_no_room(incarnation: int) -> None:
    """Refused as a whole, also from somebody with the key: nobody is declared dead by it."""

    async def scenario(scene: Scene) -> None:
        for liveness in range(4):
            record = ["b", scene.host("b").address, GOSSIP_PORT, incarnation, liveness, b""]
            for fields in ([Kind.LIST, "c", [record]], [Kind.JOIN, record]):
                send_sealed(scene, "a", VERSION + cbor2.dumps(fields))
        before = scene.counters("a").get("rejected_datagram_by_machine", 0)
        await scene.sleep(20)
        assert scene.counters("a")["rejected_datagram_by_machine"] == before + 8
        assert whole(scene)
        await scene.client("a").put("k", "v", w=3)

    play(scenario)


def test_fault_45_somebody_with_another_key_knocks_on_every_door() -> None:
    """Told nothing, linked to nobody, believed by nobody; the members do not notice."""

    async def scenario(scene: Scene) -> None:
        outside(scene, stranger(scene.world))
        for n in range(30):
            await scene.client("a").put(f"k/{n}", "v", w=3)
            await scene.sleep(1)
        await scene.converge()
        assert whole(scene)
        counted = [what for what in scene.counters("a") if what.startswith("rejected")]
        assert counted

    play(scenario)


def test_fault_46_two_thousand_handshakes_that_are_never_finished() -> None:
    """Only so many are under way at once, each has a deadline, and members keep their links."""

    async def scenario(scene: Scene) -> None:
        network, address = outside_network(scene), scene.host("a").address
        for _ in range(20):
            for _ in range(100):
                pipe = await network.dial(address, GOSSIP_PORT)
                pipe.write(b"\x01")
            await scene.client("b").put("k", "v", w=3)
        host = scene.host("a")
        assert host.network is not None
        strange = [p for p in host.network.pipes.values() if p.remote[0] == OUTSIDE]
        assert len(strange) <= 300, len(strange)
        assert scene.counters("a")["rejected_stream_too_many_handshakes"] > 0
        host.kill()
        host.boot()  # A member that dials in the middle of it is let in.
        await scene.sleep(20)
        assert whole(scene)
        await scene.converge()

    play(scenario)


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\x00" * 70_000]
)
def test_fault_47_plain_text_or_http_on_the_port_of_peers(said: bytes) -> None:
    """Closed without an answer that says anything, within the handshake's deadline."""

    async def scenario(scene: Scene) -> None:
        network = outside_network(scene)
        pipe = await network.dial(scene.host("a").address, GOSSIP_PORT)
        pipe.write(said)
        began, answer = scene.world.loop.time(), b""
        try:
            while data := await pipe.read():
                answer += data
        except OSError:
            pass
        assert scene.world.loop.time() - began < 10
        assert len(answer) < 200
        assert b"HTTP" not in answer
        assert whole(scene)

    play(scenario)
