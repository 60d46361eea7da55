"""Simulated datagrams and pipes behave as UDP and TCP do, faults included."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from crdtstate.sim.loop import Life, SimLoop
from crdtstate.sim.network import HostNetwork, Wire
from gossip import Address, Connection

Scene = Callable[[Wire, HostNetwork, HostNetwork], Awaitable[None]]


def play(scene: Scene, *, seed: int = 1) -> Wire:
    """Run a scene with two hosts."""
    loop = SimLoop(Random(seed))
    wire = Wire(loop, Random(seed))
    a, b = (HostNetwork(wire, f"10.0.0.{n}", Life(f"h{n}", 1)) for n in (1, 2))
    loop.run_until_complete(loop.start(None, scene(wire, a, b)))  # type: ignore[arg-type]
    loop.close()
    return wire


async def connected(a: HostNetwork, b: HostNetwork) -> tuple[Connection, Connection]:
    """Return both ends of a new pipe."""
    accepted: list[Connection] = []
    await b.listen("10.0.0.2", 7, accepted.append)
    near = await a.dial("10.0.0.2", 7)
    while not accepted:  # noqa: ASYNC110 - in virtual time.
        await asyncio.sleep(0.001)
    return near, accepted[0]


async def read_all(pipe: Connection) -> bytes:
    """Read to the end."""
    parts = []
    while data := await pipe.read():
        parts.append(data)
    return b"".join(parts)


def test_datagrams_are_lost_and_doubled_as_often_as_asked() -> None:
    async def scene(wire: Wire, a: HostNetwork, b: HostNetwork) -> None:
        heard: list[tuple[Address, bytes]] = []
        await b.open_datagram("", 7, lambda source, data: heard.append((source, data)))
        port = await a.open_datagram("", 9, lambda *_: None)
        wire.weather.loss, wire.weather.duplicate = 0.4, 0.5
        for _ in range(1_000):
            port.send("10.0.0.2", 7, b"x")
        await asyncio.sleep(1)
        assert 800 < len(heard) < 1_000  # 1,500 copies, of which 60 % arrive.
        assert heard[0] == (("10.0.0.1", 9), b"x")

    play(scene)


def test_a_pipe_keeps_its_bytes_in_order_through_cuts_loss_and_pieces() -> None:
    async def scene(wire: Wire, a: HostNetwork, b: HostNetwork) -> None:
        near, far = await connected(a, b)
        wire.weather.loss, wire.weather.fragment = 0.3, 0.8
        sent = bytes(range(256)) * 4_000
        reading = asyncio.ensure_future(read_all(far))
        for start in range(0, len(sent), 10_000):
            near.write(sent[start : start + 10_000])
            if start == 500_000:
                wire.cut.add(("10.0.0.1", "10.0.0.2"))
                await asyncio.sleep(5)
                wire.cut.clear()
        near.close()
        assert await reading == sent

    play(scene)


def test_a_process_that_dies_resets_its_pipes_and_a_host_without_power_says_nothing() -> None:
    async def scene(_wire: Wire, a: HostNetwork, b: HostNetwork) -> None:
        near, _ = await connected(a, b)
        b.end(power_lost=False)
        assert await asyncio.wait_for(near.read(), 1) == b""

    async def dark(wire: Wire, a: HostNetwork, b: HostNetwork) -> None:
        near, _ = await connected(a, b)
        b.end(power_lost=True)
        near.write(b"anybody there?")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(near.read(), 60)
        HostNetwork(wire, "10.0.0.2", Life("h2", 2))  # The host is back, and knows no such pipe.
        near.write(b"and now?")
        assert await asyncio.wait_for(near.read(), 1) == b""

    play(scene)
    play(dark)


def test_a_writer_is_held_up_by_a_reader_that_does_not_read() -> None:
    async def scene(_wire: Wire, a: HostNetwork, b: HostNetwork) -> None:
        near, far = await connected(a, b)
        near.write(bytes(1 << 20))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(near.drain(), 60)
        assert near.buffered_bytes() == (1 << 20) - (256 << 10)
        reading = asyncio.ensure_future(read_all(far))
        await asyncio.wait_for(near.drain(), 5)
        near.abort()
        reading.cancel()

    play(scene)


def test_a_dial_over_a_cut_path_waits_and_one_to_nobody_is_refused() -> None:
    async def scene(wire: Wire, a: HostNetwork, b: HostNetwork) -> None:
        with pytest.raises(ConnectionRefusedError):
            await a.dial("10.0.0.2", 8)
        await b.listen("", 8, lambda _pipe: None)
        wire.cut.add(("10.0.0.2", "10.0.0.1"))  # What comes back is lost.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(a.dial("10.0.0.2", 8), 10)
        wire.heal()
        await asyncio.wait_for(a.dial("10.0.0.2", 8), 2)

    play(scene)


def test_a_clogged_path_lets_go_everything_at_once() -> None:
    async def scene(wire: Wire, a: HostNetwork, b: HostNetwork) -> None:
        heard: list[float] = []
        await b.open_datagram("", 7, lambda *_: heard.append(wire.loop.time()))
        port = await a.open_datagram("", 9, lambda *_: None)
        wire.clogged["10.0.0.1", "10.0.0.2"] = []
        for _ in range(5):
            port.send("10.0.0.2", 7, b"x")
            await asyncio.sleep(1)
        assert heard == []
        wire.unclog(("10.0.0.1", "10.0.0.2"))
        await asyncio.sleep(0.01)
        assert len(heard) == 5
        assert len(set(heard)) == 1

    play(scene)
