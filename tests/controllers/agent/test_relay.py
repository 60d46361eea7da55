"""Connections of Services on real sockets: carried, held, moved to who answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from controllers.agent.balancing import Balancer, Endpoint
from controllers.agent.relay import Relay

ECHOES: set[asyncio.Task[None]] = set()


def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    ECHOES.add(asyncio.get_running_loop().create_task(repeat(reader, writer)))


async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say who it is, then repeat all until the end."""
    writer.write(writer.get_extra_info("sockname")[0].encode() + b"\n")
    while block := await reader.read(65536):
        writer.write(block)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def endpoint(host: str) -> AsyncIterator[tuple[Endpoint, asyncio.Server]]:
    server = await asyncio.start_server(echo, host, 0)
    try:
        yield Endpoint(host, server.sockets[0].getsockname()[1], "a"), server
    finally:
        server.close()
        await asyncio.gather(*ECHOES)
        ECHOES.clear()


@asynccontextmanager
async def relay(*endpoints: Endpoint) -> AsyncIterator[tuple[Relay, tuple[str, int]]]:
    balancer = Balancer("a")
    balancer.set(endpoints)
    made = Relay(balancer, lambda: 0, sticky=False)
    port = made.listen("127.0.0.1", 0)
    try:
        yield made, ("127.0.0.1", port)
    finally:
        await made.close(cut=True)


async def test_a_connection_is_carried_both_ways_whole_and_to_its_end() -> None:
    async with endpoint("127.0.0.2") as (one, _), relay(one) as (_, address):
        reader, writer = await asyncio.open_connection(*address)
        assert await reader.readline() == b"127.0.0.2\n"
        sent = bytes(range(256)) * 8_000
        writer.write(sent)
        writer.write_eof()
        assert await reader.read() == sent  # Its end is carried, and all that was before it.
        writer.close()


async def test_who_does_not_answer_is_passed_over() -> None:
    async with endpoint("127.0.0.2") as (one, _), endpoint("127.0.0.3") as (two, closed):
        closed.close()
        async with relay(two, one) as (made, address):
            for _ in range(4):
                reader, writer = await asyncio.open_connection(*address)
                assert await reader.readline() == b"127.0.0.2\n"
                writer.close()
            assert made.balancer.order(1)[-1] == two


async def test_a_connection_that_is_made_stays_when_endpoints_change() -> None:
    """PXY-1."""
    async with endpoint("127.0.0.2") as (one, _), relay(one) as (made, address):
        reader, writer = await asyncio.open_connection(*address)
        await reader.readline()
        made.balancer.set([Endpoint("127.0.0.3", 1)])
        await made.close(cut=False)
        writer.write(b"still there\n")
        assert await reader.readline() == b"still there\n"
        assert made.open == 1
        writer.close()


async def test_without_any_endpoint_the_client_sees_its_connection_end() -> None:
    async with relay() as (_, address):
        reader, writer = await asyncio.open_connection(*address)
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
