"""Whole meshes over real sockets on loopback."""

import asyncio
import dataclasses
import os
import socket

import pytest

from gossip.core.ports import Liveness
from gossip.errors import GossipError
from gossip.net.config import MeshConfig, StreamConfig
from gossip.net.frames import PAYLOAD_BYTES_MAX
from gossip.net.keyring import key_id_of
from gossip.net.mesh import Mesh
from tests.gossip.net.mesh_harness import (
    CLUSTER,
    KEY,
    OTHER_KEY,
    Recorder,
    meshes,
    start_mesh,
    until,
)


def test_three_meshes_form_and_payloads_arrive_in_order() -> None:
    async def scenario() -> None:
        async with meshes("a", "b", "c") as (a, b, c):
            payloads = [b"%d" % number for number in range(500)]

            assert all(a.mesh.send("b", payload) for payload in payloads)
            assert c.mesh.send("b", b"from c")
            await until(lambda: len(b.app.payloads) == 501, "501 payloads")

            assert [data for name, data in b.app.payloads if name == "a"] == payloads
            assert ("c", b"from c") in b.app.payloads
            await until(lambda: len(b.mesh.members()) == 3, "all members at b")
            assert [member.name for member in b.mesh.members()] == ["a", "b", "c"]
            assert sorted(b.app.events) == [("up", "a"), ("up", "c")]

    asyncio.run(scenario())


def test_digests_ride_on_probes() -> None:
    async def scenario() -> None:
        async with meshes("a", "b") as (a, b):
            await until(lambda: b.app.digests.get("a") == b"digest", "the digest of a")
            a.app.digest_value = b"another"

            a.mesh.digest_changed()
            a.mesh.digest_changed()

            await until(lambda: b.app.digests.get("a") == b"another", "the new digest of a")
            assert a.app.digest_calls <= 3

    asyncio.run(scenario())


def test_metadata_reaches_the_others() -> None:
    async def scenario() -> None:
        async with meshes("a", "b") as (a, b):
            a.mesh.set_metadata(b"api=8080")

            await until(
                lambda: any(member.metadata == b"api=8080" for member in b.mesh.members()),
                "the metadata of a",
            )

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"keys": (OTHER_KEY,)}, "unknown_key"),
        ({"cluster_id": b"fedcba9876543210"}, "wrong_cluster"),
    ],
)
def test_a_stranger_is_counted_and_disturbs_nobody(change: dict[str, object], reason: str) -> None:
    async def scenario() -> None:
        async with meshes("a", "b") as (a, b):
            stranger = await start_mesh("stranger", [a], **change)
            try:
                await until(lambda: a.count(f"rejected_datagram_{reason}") >= 2, f"two of {reason}")

                assert stranger.mesh.linked() == []
                assert stranger.count("seeds_missing") == 1
                assert [member.name for member in a.mesh.members()] == ["a", "b"]
                assert a.app.downs == b.app.downs == []
            finally:
                await stranger.mesh.stop()

    asyncio.run(scenario())


def test_keys_rotate_live_without_losing_a_link() -> None:
    async def scenario() -> None:
        async with meshes("a", "b") as (a, b):
            for one in (a, b):
                one.mesh.keyring.add(OTHER_KEY)
            for one in (a, b):
                one.mesh.keyring.use(key_id_of(OTHER_KEY))
            for one in (a, b):
                one.mesh.keyring.remove(key_id_of(KEY))
            seen = b.count("datagrams_in")
            await until(lambda: b.count("datagrams_in") >= seen + 2, "datagrams of the new key")
            newcomer = await start_mesh("c", [a], keys=(OTHER_KEY,))
            try:
                await until(lambda: newcomer.mesh.linked() == ["a", "b"], "links of c")
                assert a.mesh.send("b", b"after")
                await until(lambda: ("a", b"after") in b.app.payloads, "a payload")
            finally:
                await newcomer.mesh.stop()

            assert ("down", "a") not in b.app.events
            assert ("down", "b") not in a.app.events
            assert b.count("rejected_datagram_unknown_key") == 0

    asyncio.run(scenario())


def test_a_member_that_stops_leaves_and_is_not_dialled_again() -> None:
    """MSH-1"""

    async def scenario() -> None:
        async with meshes("a", "b") as (a, b):
            await b.mesh.stop()

            await until(lambda: a.mesh.linked() == [], "the end of the link")
            await until(lambda: a.mesh.members()[1].liveness is Liveness.LEFT, "b to have left")
            assert b.mesh.members() == []

    asyncio.run(scenario())


def test_a_killed_peer_loses_its_link_and_gets_it_back_when_it_returns() -> None:
    async def scenario() -> None:
        async with meshes("a", "b") as (a, b):
            port = b.mesh.port
            # What a kill leaves behind: closed sockets, and nobody told.
            b.mesh.set_fault("a", cut="out")
            await b.mesh.stop()
            await until(lambda: a.mesh.linked() == [], "the end of the link")

            again = await start_mesh("b", [a], bind_port=port)
            try:
                await until(lambda: a.mesh.linked() == ["b"], "the link again")
                assert a.mesh.send("b", b"welcome")
                await until(lambda: ("a", b"welcome") in again.app.payloads, "a payload")
            finally:
                await again.mesh.stop()
            assert a.app.events[:3] == [("up", "b"), ("down", "b"), ("up", "b")]

    asyncio.run(scenario())


def test_an_oversized_payload_is_refused_with_limit_and_value() -> None:
    async def scenario() -> None:
        async with meshes("a", "b") as (a, b):
            largest = os.urandom(PAYLOAD_BYTES_MAX)

            with pytest.raises(GossipError, match=f"{PAYLOAD_BYTES_MAX + 1} bytes, over"):
                a.mesh.send("b", largest + b"x")
            assert a.mesh.send("b", largest)

            await until(lambda: b.app.payloads == [("a", largest)], "the largest payload")

    asyncio.run(scenario())


def test_the_buffer_of_a_link_is_bounded_and_wait_writable_waits() -> None:
    """SMX-3"""

    async def scenario() -> None:
        async with meshes("a", "b", stream=StreamConfig(unacked_deadline_ms=5000)) as (a, b):
            payload = os.urandom(60_000)
            sent = 0

            while a.mesh.send("b", payload):
                sent += 1
            bound = 4 * 1024 * 1024

            assert bound - 2 * len(payload) < a.mesh.buffered_bytes("b") <= bound + 65_536
            assert a.count("sends_dropped") == 1
            await a.mesh.wait_writable("b")
            assert a.mesh.buffered_bytes("b") < 256 * 1024
            await until(lambda: len(b.app.payloads) == sent, f"{sent} payloads")

    asyncio.run(scenario())


def test_send_without_a_link_returns_false_and_is_counted() -> None:
    async def scenario() -> None:
        async with meshes("a") as (a,):
            assert not a.mesh.send("nobody", b"x")
            assert a.count("sends_unlinked") == 1
            assert a.mesh.buffered_bytes("nobody") == 0
            await a.mesh.wait_writable("nobody")
            assert not await a.mesh.probe("nobody")

    asyncio.run(scenario())


def test_a_stopped_mesh_leaves_nothing_behind() -> None:
    """MSH-2"""

    async def scenario() -> None:
        async with meshes("a", "b"):
            pass
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario(), debug=True)


def test_a_forgotten_member_loses_its_link_and_cannot_dial_in() -> None:
    async def scenario() -> None:
        async with meshes("b", "a") as (b, a):
            b.mesh.forget("a")

            await until(lambda: a.mesh.linked() == [], "the end of the link")
            await until(lambda: b.count("rejected_stream_not_admitted") >= 1, "a refusal")

            assert b.mesh.linked() == []
            assert b.app.downs == [("a", "member forgotten")]

    asyncio.run(scenario())


def test_a_callback_that_raises_is_reported_and_the_mesh_goes_on() -> None:
    """GDR-1"""

    async def scenario() -> None:
        b = await start_mesh("b")
        a = await start_mesh("a", [b])
        try:
            await until(lambda: b.mesh.linked() == ["a"] and a.mesh.linked() == ["b"], "a link")

            def explode(name: str, payload: bytes) -> None:
                raise RuntimeError(f"cannot take {payload!r}")

            b.app.on_message = explode  # type: ignore[method-assign]
            assert a.mesh.send("b", b"bad")
            async with asyncio.timeout(5):
                error = await b.mesh.failed

            assert str(error) == "cannot take b'bad'"
            assert b.mesh.linked() == ["a"]
            assert await a.mesh.probe("b")
        finally:
            await a.mesh.stop()
            await b.mesh.stop()

    asyncio.run(scenario())


def test_a_seed_that_is_down_or_unresolvable_is_tried_until_it_is_there() -> None:
    async def scenario() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as finder:
            finder.bind(("127.0.0.1", 0))
            port = finder.getsockname()[1]
        a = await start_mesh("a", seeds=(), bind_port=0)
        await a.mesh.stop()
        config = MeshConfig(
            name="a",
            cluster_id=CLUSTER,
            keys=(KEY,),
            seeds=(("127.0.0.1", port), ("no-such-host.invalid", 1)),
        )
        mesh = Mesh(config, Recorder())
        await mesh.start()
        try:
            assert mesh.stats()["seeds_missing"] == 2
            seed = await start_mesh("seed", bind_port=port)
            try:
                await until(lambda: mesh.linked() == ["seed"], "the link with the seed")
                await until(lambda: mesh.stats()["seeds_missing"] == 1, "one seed missing")
            finally:
                await seed.mesh.stop()
        finally:
            await mesh.stop()

    asyncio.run(scenario())


def test_a_taken_port_is_an_error_that_names_host_port_and_reason() -> None:
    async def scenario() -> None:
        async with meshes("a") as (a,):
            config = MeshConfig(name="b", cluster_id=CLUSTER, keys=(KEY,), bind_port=a.mesh.port)
            other = Mesh(config, Recorder())

            with pytest.raises(GossipError, match=f"'127.0.0.1' port {a.mesh.port}: .*in use"):
                await other.start()
            await other.stop()

    asyncio.run(scenario())


def test_faults_need_dev() -> None:
    async def scenario() -> None:
        async with meshes("a", dev=False) as (a,):
            with pytest.raises(GossipError, match="needs --dev"):
                a.mesh.set_fault("b", cut="both")

    asyncio.run(scenario())


def test_an_idle_link_sends_nothing() -> None:
    """LNK-3"""

    async def scenario() -> None:
        async with meshes("a", "b") as (a, b):
            assert a.mesh.send("b", b"x")
            await until(lambda: len(b.app.payloads) == 1, "a payload")
            await asyncio.sleep(0.25)  # Lets the one acknowledgement go out.
            before = [one.count("stream_bytes_out") for one in (a, b)]

            await asyncio.sleep(1.0)

            assert [one.count("stream_bytes_out") for one in (a, b)] == before

    asyncio.run(scenario())


def test_keys_never_show_in_a_configuration() -> None:
    config = MeshConfig(name="a", cluster_id=CLUSTER, keys=(KEY,))

    assert repr(KEY) not in repr(config)
    assert KEY.hex() not in repr(Mesh(config, Recorder()).keyring)
    with pytest.raises(GossipError, match="exactly 16"):
        dataclasses.replace(config, cluster_id=b"short")
    with pytest.raises(GossipError, match=r"\[3\] bytes"):
        dataclasses.replace(config, keys=(b"abc",))
