"""Cuts, delays and hostile bytes, over real sockets on loopback."""

import asyncio
import os
import socket

import pytest
import structlog

from gossip.net.faults import Cut
from tests.gossip.net.mesh_harness import Running, meshes, until

log = structlog.get_logger(__name__)

HEAL_S_MAX = 2.0  # The aim is under 1 s; the rest is for a busy machine.


async def _payload_flows(sender: Running, receiver: Running, name: str) -> None:
    payload = os.urandom(8)

    def arrived() -> bool:
        sender.mesh.send(name, payload)
        return any(data == payload for _, data in receiver.app.payloads)

    await until(arrived, f"a payload to {name}")


async def _heal(a: Running, b: Running, label: str) -> None:
    seconds = await until(
        lambda: a.mesh.linked() == ["b"] and b.mesh.linked() == ["a"], "the link again"
    )
    log.info("link_healed", case=label, after_ms=round(seconds * 1000))
    assert seconds < HEAL_S_MAX
    await _payload_flows(a, b, "b")
    await _payload_flows(b, a, "a")


@pytest.mark.parametrize("both_sides", [True, False])
def test_a_cut_ends_the_link_at_both_ends_and_a_heal_brings_it_back(both_sides: bool) -> None:
    async def scenario() -> None:
        async with meshes("a", "b") as (a, b):
            a.mesh.set_fault("b", cut="both")
            if both_sides:
                b.mesh.set_fault("a", cut="both")
            assert a.mesh.send("b", b"into the void")
            assert b.mesh.send("a", b"into the void")

            seconds = await until(lambda: not a.mesh.linked() + b.mesh.linked(), "both down")
            assert seconds < 1.5
            await asyncio.sleep(0.7)  # More than one whole attempt to dial within the cut.
            assert not a.mesh.linked() + b.mesh.linked()
            a.mesh.heal()
            b.mesh.heal("a")

            await _heal(a, b, f"cut of {'both sides' if both_sides else 'one side'}")
            assert (b"into the void") not in {data for _, data in b.app.payloads}

    asyncio.run(scenario())


@pytest.mark.parametrize("cut", ["in", "out"])
@pytest.mark.parametrize("cutter", ["a", "b"])
def test_a_cut_of_one_direction_ends_the_link_and_heals(cut: Cut, cutter: str) -> None:
    async def scenario() -> None:
        async with meshes("a", "b") as (a, b):
            sides = {"a": (a, "b"), "b": (b, "a")}
            one, other = sides[cutter]
            one.mesh.set_fault(other, cut=cut)
            assert a.mesh.send("b", b"x")
            assert b.mesh.send("a", b"x")

            await until(lambda: one.mesh.linked() == [], "the end at the cutter")
            await until(lambda: not a.mesh.linked() + b.mesh.linked(), "the end at both")
            one.mesh.heal()

            await _heal(a, b, f"{cutter} cut {cut}")

    asyncio.run(scenario())


def test_a_loss_that_only_one_end_noticed_is_healed_by_either() -> None:
    """The end that dials first may believe in its dead stream: then the other one dials."""

    async def scenario() -> None:
        for loser, victim in (("a", "b"), ("b", "a")):
            async with meshes("a", "b") as (a, b):
                sides = {"a": a, "b": b}
                sides[loser].mesh.set_fault(victim, cut="both")
                assert sides[loser].mesh.send(victim, b"unheard")
                await until(lambda one=sides[loser]: one.mesh.linked() == [], "the loss")
                sides[loser].mesh.heal()

                await _heal(a, b, f"only {loser} noticed")

    asyncio.run(scenario())


def test_a_short_cut_of_an_idle_link_costs_nothing() -> None:
    async def scenario() -> None:
        async with meshes("a", "b") as (a, b):
            a.mesh.set_fault("b", cut="both")
            a.mesh.heal("b")

            await _payload_flows(a, b, "b")
            assert a.app.downs == b.app.downs == []

    asyncio.run(scenario())


def test_a_delay_keeps_the_order_and_a_loss_on_a_stream_is_a_pause() -> None:
    async def scenario() -> None:
        async with meshes("a", "b") as (a, b):
            loop = asyncio.get_running_loop()
            b.mesh.set_fault("a", delay_ms=60, drop=0.2)
            payloads = [b"%d" % number for number in range(30)]
            start = loop.time()

            for payload in payloads:
                assert a.mesh.send("b", payload)
                await asyncio.sleep(0.002)
            await until(lambda: bool(b.app.payloads), "the first payload")
            first_s = loop.time() - start
            await until(lambda: len(b.app.payloads) == 30, "all payloads")

            assert first_s >= 0.055
            assert [data for _, data in b.app.payloads] == payloads
            assert a.app.downs == b.app.downs == []

    asyncio.run(scenario())


HOSTILE = {
    "http": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not_our_protocol"),
    "nothing": (b"", "truncated"),
    "half_a_header": (b"CS\x01", "truncated"),
    "wrong_version": (b"CS\x09" + bytes(40), "wrong_version"),
    "wrong_cluster": (b"CS\x01" + bytes(40), "wrong_cluster"),
    "garbage": (bytes(range(255, 0, -1)) * 300, "not_our_protocol"),
}


@pytest.mark.parametrize("case", sorted(HOSTILE))
def test_hostile_bytes_on_the_stream_port_close_that_connection_only(case: str) -> None:
    data, reason = HOSTILE[case]

    async def scenario() -> None:
        async with meshes("a", "b") as (a, b):
            reader, writer = await asyncio.open_connection("127.0.0.1", a.mesh.port)
            writer.write(data)
            if reason == "truncated":
                writer.write_eof()
            try:
                async with asyncio.timeout(3):
                    assert await reader.read() == b""
            except ConnectionError:
                pass  # A reset is as good an end.
            writer.close()

            await until(lambda: a.count(f"rejected_stream_{reason}") == 1, reason)
            assert a.mesh.linked() == ["b"]
            assert await b.mesh.probe("a")

    asyncio.run(scenario())


def test_a_connection_that_says_nothing_is_closed_at_the_deadline() -> None:
    async def scenario() -> None:
        async with meshes("a") as (a,):
            reader, writer = await asyncio.open_connection("127.0.0.1", a.mesh.port)
            try:
                async with asyncio.timeout(3):
                    assert await reader.read() == b""
            except ConnectionError:
                pass  # A reset is as good an end.
            writer.close()

            assert a.count("rejected_stream_timeout") == 1

    asyncio.run(scenario())


def test_hostile_datagrams_are_counted_by_reason_and_nobody_is_disturbed() -> None:
    async def scenario() -> None:
        async with meshes("a", "b") as (a, b):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                for data in (b"", b"x", bytes(60), b"\xd1" + bytes(60), os.urandom(9000)):
                    stranger.sendto(data, ("127.0.0.1", a.mesh.port))

            await until(lambda: a.count("rejected_datagram_too_short") >= 2, "short ones")
            await until(lambda: a.count("rejected_datagram_wrong_version") >= 1, "old ones")
            await until(lambda: a.count("rejected_datagram_wrong_cluster") >= 1, "foreign ones")
            assert a.mesh.linked() == ["b"]
            assert await b.mesh.probe("a")

    asyncio.run(scenario())
