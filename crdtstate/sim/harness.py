"""The shipping client in a simulated world: requests go to simulated peers' API handlers.

A client lives beside one host (`home`), and reaches the others over the same paths as peers do. Its
requests run in the life of the peer that serves them: when that dies, the client sees its
connection reset and cannot know what became of the request.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, final

from aiohttp import hdrs
from multidict import CIMultiDict

from crdtstate.api.exchange import Request, Response
from crdtstate.client.answer import Answer
from crdtstate.client.attempt import Try
from crdtstate.client.failures import LinkError
from crdtstate.sim.loop import Life, settle
from crdtstate.sim.world import Host, World

__all__ = ["SimLink"]

_STREAM_CHUNKS = 4  # As much as a socket's buffers hold of a watch that nobody reads.
Observer = Callable[[Host, Try, Answer], None]
Tap = Callable[[Host, bytes], None]


@final
class SimLink:
    """Carries the requests of one client.

    Args:
        observe: Called with each whole answer.
        tap: Called with the first line of each stream's request, and returns what is called with
            each chunk of it.
    """

    def __init__(
        self,
        world: World,
        home: Host,
        *,
        observe: Observer | None = None,
        tap: Callable[[Host, str], Callable[[bytes], None]] | None = None,
    ) -> None:
        self._world, self._home = world, home
        self._observe, self._tap = observe, tap
        world.stats["clients"] += 1
        self._rng = world.rng(f"resets {world.stats['clients']}")
        self.closed = False

    async def close(self) -> None:
        """Nothing is kept open."""
        self.closed = True

    async def exchange(self, planned: Try) -> Answer:
        """Send one request and read the whole answer. Raises: LinkError."""
        host = self._find(planned)
        try:
            async with asyncio.timeout(planned.total_ms / 1000):
                life = await self._reach(host)
                response = await self._in_life(host, life, planned, whole=True)
                await self._travel(host.address, self._home.address)
        except TimeoutError as error:
            raise LinkError("timed out", sent=True) from error
        answer = _answer(response)
        if self._observe is not None:
            self._observe(host, planned, answer)
        return answer

    @asynccontextmanager
    async def stream(
        self, planned: Try, idle_ms: int
    ) -> AsyncGenerator[Answer | AsyncIterator[bytes]]:
        """Give the chunks of an answer that does not end. Raises: LinkError."""
        host = self._find(planned)
        try:
            async with asyncio.timeout(planned.total_ms / 1000):
                life = await self._reach(host)
                response = await self._in_life(host, life, planned)
        except TimeoutError as error:
            raise LinkError("timed out", sent=True) from error
        if response.stream is None:
            yield _answer(response)
            return
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_STREAM_CHUNKS)
        pump = self._world.loop.start(life, _pump(response.stream, queue))
        ended: asyncio.Future[None] = self._world.loop.create_future()
        host.endings.append(lambda: settle(ended))
        tap = self._tap(host, planned.target) if self._tap is not None else None
        try:
            yield self._chunks(host, queue, ended, idle_ms / 1000, tap)
        finally:
            if life.alive:
                self._world.loop.at(0.0, life, pump.cancel)

    async def _chunks(
        self,
        host: Host,
        queue: "asyncio.Queue[bytes | None]",
        ended: "asyncio.Future[None]",
        idle_s: float,
        tap: Callable[[bytes], None] | None,
    ) -> AsyncIterator[bytes]:
        loop = self._world.loop
        while True:
            getting = loop.create_task(queue.get())
            waiting: list[asyncio.Future[Any]] = [getting, ended]
            await asyncio.wait(waiting, timeout=idle_s, return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                getting.cancel()
                raise LinkError("reset" if ended.done() else "idle", sent=True)
            chunk = getting.result()
            if chunk is None:
                return
            while not self._world.wire.is_open(host.address, self._home.address):
                await asyncio.sleep(0.5)
                if ended.done():
                    raise LinkError("reset", sent=True)
            if self._rng.random() < self._world.wire.weather.reset:
                raise LinkError("reset", sent=True)
            if tap is not None:
                tap(chunk)
            yield chunk

    # -- one request ---------------------------------------------------------------------------

    def _find(self, planned: Try) -> Host:
        if self.closed:
            raise LinkError("closed", sent=False)
        where = planned.endpoint.partition("//")[2]
        return next(h for h in self._world.hosts if h.api == where)

    async def _reach(self, host: Host) -> Life:
        """Bring the request to a host that listens. Raises: LinkError."""
        await self._travel(self._home.address, host.address)
        if host.life is None or host.serving is None:
            raise LinkError("refused", sent=False)
        return host.life

    async def _travel(self, source: str, target: str) -> None:
        wire = self._world.wire
        await asyncio.sleep(0.0001 if source == target else wire.latency())
        while source != target and not wire.is_open(source, target):  # noqa: ASYNC110
            await asyncio.sleep(0.5)  # A cut path is asked again, as TCP does.

    async def _handle(self, host: Host, planned: Try) -> Response:
        serving = host.serving
        assert serving is not None

        async def read_body() -> bytes:
            return planned.body or b""

        headers = CIMultiDict(planned.headers)
        headers.setdefault(hdrs.CONTENT_LENGTH, str(len(planned.body or b"")))
        return await serving.dispatcher.handle(
            Request(planned.method, planned.target, headers, read_body)
        )

    async def _in_life(
        self, host: Host, life: Life, planned: Try, *, whole: bool = False
    ) -> Response:
        """Run a handler in the life of its peer; the caller learns when that ends.

        Args:
            whole: Its body is wanted, also where it is made in pieces.
        """
        loop = self._world.loop
        reply: asyncio.Future[Response] = loop.create_future()

        async def serve() -> None:
            try:
                response = await self._handle(host, planned)
                if whole and response.stream is not None:
                    response.body = b"".join([chunk async for chunk in response.stream])
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if not reply.done():
                    reply.set_exception(error)
                raise
            if not reply.done():
                reply.set_result(response)

        def reset() -> None:
            if not reply.done():
                reply.set_exception(LinkError("reset by peer", sent=True))

        host.endings.append(reset)
        task = loop.start(life, serve())
        try:
            return await reply
        finally:
            if reset in host.endings:
                host.endings.remove(reset)
            if not task.done() and life.alive:
                loop.at(0.0, life, task.cancel)  # The client has gone.


async def _pump(stream: AsyncIterator[bytes], queue: "asyncio.Queue[bytes | None]") -> None:
    async with aclosing(stream) as chunks:  # type: ignore[type-var]
        async for chunk in chunks:
            await queue.put(chunk)
    await queue.put(None)


def _answer(response: Response) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status, headers, response.body)
