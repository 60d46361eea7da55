"""One stream over a pipe in memory: order, deadlines, and what hostile members get."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gossip.net.asyncio_network import SystemClock
from gossip.net.config import StreamConfig
from gossip.net.frames import Ack, Opener, Sealer
from gossip.net.handshake import Session
from gossip.net.stream import Stream
from tests.gossip.net.memory_pipe import MemoryConnection, memory_pipe
from tests.gossip.net.mesh_harness import until

A_TO_B, B_TO_A = bytes(32), bytes(range(32))


class End:
    """One stream, its connection, and what it delivered."""

    def __init__(self, connection: MemoryConnection, *, dialled: bool) -> None:
        out, back = (A_TO_B, B_TO_A) if dialled else (B_TO_A, A_TO_B)
        self.connection = connection
        self.payloads: list[bytes] = []
        self.counters: Counter[str] = Counter()
        self.sealer = Sealer(out)
        self.stream = Stream(
            Session(
                connection=connection,
                name="b" if dialled else "a",
                dialled=dialled,
                sealer=self.sealer,
                opener=Opener(back),
                opened=[],
                received_bytes=0,
            ),
            config=StreamConfig(),
            clock=SystemClock(),
            counters=self.counters,
            on_payload=lambda _, payload: self.payloads.append(payload),
            on_heard=lambda _: None,
        )
        self.reader = asyncio.create_task(self.stream.run_reader())
        self.writer = asyncio.create_task(self.stream.run_writer())


@asynccontextmanager
async def streams() -> AsyncIterator[tuple[End, End]]:
    left, right = memory_pipe()
    a, b = End(left, dialled=True), End(right, dialled=False)
    try:
        yield a, b
    finally:
        for end in (a, b):
            end.stream.close("test is over")
            end.connection.frozen = False
            end.connection.close()
            await asyncio.gather(end.reader, end.writer)


def test_payloads_of_one_turn_share_frames() -> None:
    """SMX-1"""

    async def scenario() -> None:
        async with streams() as (a, b):
            payloads = [b"%d" % number for number in range(1000)]
            before = a.counters["frames_out"]

            assert all(a.stream.send(payload) for payload in payloads)
            await until(lambda: b.payloads == payloads, "1000 payloads")

            assert a.counters["frames_out"] - before == 1

    asyncio.run(scenario())


def test_a_frozen_receiver_costs_the_link_after_the_deadline() -> None:
    async def scenario() -> None:
        async with streams() as (a, b):
            b.connection.frozen = True
            assert a.stream.send(b"x")

            seconds = await until(a.reader.done, "the end of the stream")

            assert 0.5 <= seconds < 1.2
            assert "unacked_deadline_ms=600" in a.reader.result()
            assert not a.stream.send(b"more")

    asyncio.run(scenario())


def test_an_own_freeze_is_not_blamed_on_the_peer() -> None:
    """GDR-2"""

    async def scenario() -> None:
        async with streams() as (a, b):
            assert a.stream.send(b"x")
            await until(lambda: b.payloads == [b"x"], "the payload")

            time.sleep(0.9)  # noqa: ASYNC251 the freeze is the point
            await asyncio.sleep(0.5)

            assert not a.reader.done()
            assert await a.stream.probe()

    asyncio.run(scenario())


def test_progress_keeps_a_slow_link_alive() -> None:
    async def scenario() -> None:
        async with streams() as (a, b):
            for _ in range(12):
                assert a.stream.send(b"x" * 1000)
                await asyncio.sleep(0.1)

            assert not a.reader.done()
            assert len(b.payloads) == 12
            # At most one acknowledgement in 100 ms.
            assert b.counters["frames_out"] <= 13

    asyncio.run(scenario())


def test_a_probe_of_a_frozen_peer_fails_at_its_deadline_and_then_costs_the_link() -> None:
    async def scenario() -> None:
        async with streams() as (a, b):
            assert await a.stream.probe()
            b.connection.frozen = True

            assert not await a.stream.probe()

            await until(a.reader.done, "the end of the stream", deadline_s=1)

    asyncio.run(scenario())


def test_an_acknowledgement_of_what_was_never_sent_ends_the_stream() -> None:
    async def scenario() -> None:
        async with streams() as (a, b):
            a.connection.inject(b.sealer.seal([Ack(10**6).encode()]))

            await until(a.reader.done, "the end of the stream")
            assert a.reader.result() == "refused: bad_ack"

    asyncio.run(scenario())


def test_garbage_and_a_torn_end_are_counted_by_reason() -> None:
    async def scenario() -> None:
        async with streams() as (a, b):
            a.connection.inject(b"\x00\x00\x00\x20" + bytes(32))
            b.connection.inject(b"\x00\x00\x00\x20")
            await until(lambda: a.reader.done() and b.reader.done(), "both ends")

            assert a.counters["rejected_stream_bad_seal"] == 1
            assert b.counters["rejected_stream_truncated"] == 1

    asyncio.run(scenario())


def test_nothing_is_delivered_after_close() -> None:
    """SMX-2"""

    async def scenario() -> None:
        async with streams() as (a, b):
            assert a.stream.send(b"last words")
            a.stream.close("done", flush=True)
            b.stream.close("not interested")

            await asyncio.gather(a.reader, b.reader)

            assert b.payloads == []
            assert a.stream.reason == "done"

    asyncio.run(scenario())
