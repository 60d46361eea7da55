"""EDGE: one HTTP exchange or stream on aiohttp."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, final

import aiohttp
from yarl import URL

from crdtstate.client.answer import Answer
from crdtstate.client.attempt import Try
from crdtstate.client.failures import LinkError
from crdtstate.errors import UnavailableError

__all__ = ["AsyncLink", "Link"]

_IDLE_S_MAX = 30.0  # Under the 75 s after which a peer closes a connection that idles.
_CONNECTIONS_MAX = 128


class Link(Protocol):
    """What carries one client's requests."""

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""

    async def close(self) -> None:
        """Close all connections."""

    async def exchange(self, planned: Try) -> Answer:
        """Send one request and read the whole answer. Raises: LinkError."""

    def stream(
        self, planned: Try, idle_ms: int
    ) -> AbstractAsyncContextManager[Answer | AsyncIterator[bytes]]:
        """Give the chunks of an answer that does not end, or the whole of a refusal.

        Raises: LinkError, also from the chunks.
        """


@final
class AsyncLink:
    """Connections of one event loop, made when they are first needed."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self.closed = False

    async def close(self) -> None:
        """Close all connections."""
        self.closed = True
        if self._session is not None:
            await self._session.close()

    async def exchange(self, planned: Try) -> Answer:
        """Send one request and read the whole answer. Raises: LinkError."""
        timeout = aiohttp.ClientTimeout(
            total=planned.total_ms / 1000, sock_connect=planned.connect_ms / 1000
        )
        try:
            async with self._request(planned, timeout) as response:
                return await _read_all(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._failure(error) from error

    @asynccontextmanager
    async def stream(
        self, planned: Try, idle_ms: int
    ) -> AsyncIterator[Answer | AsyncIterator[bytes]]:
        """Give the chunks of an answer that does not end, or the whole of a refusal.

        Raises: LinkError, also from the chunks.
        """
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=planned.connect_ms / 1000, sock_read=idle_ms / 1000
        )
        request = self._request(planned, timeout)
        try:
            async with asyncio.timeout(planned.total_ms / 1000):
                response = await request
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._failure(error) from error
        try:
            yield self._chunks(response) if response.status == 200 else await self._rest(response)
        finally:
            response.close()

    async def _rest(self, response: aiohttp.ClientResponse) -> Answer:
        try:
            return await _read_all(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._failure(error) from error

    def _request(
        self, planned: Try, timeout: aiohttp.ClientTimeout
    ) -> "aiohttp.client._RequestContextManager":
        if self.closed:
            raise UnavailableError("the client is closed", code="closed")
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=_CONNECTIONS_MAX, keepalive_timeout=_IDLE_S_MAX)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
            # A second try that the library makes unseen could break a precondition that the
            # first one met, and the caller would be told that nothing was written.
            self._session._retry_connection = False
        return self._session.request(
            planned.method,
            URL(planned.endpoint + planned.target, encoded=True),
            data=planned.body,
            headers=planned.headers,
            timeout=timeout,
            allow_redirects=False,
        )

    def _failure(self, error: Exception) -> LinkError:
        unsent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
        return LinkError(str(error) or type(error).__name__, sent=not unsent)

    async def _chunks(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            async for chunk in response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._failure(error) from error


async def _read_all(response: aiohttp.ClientResponse) -> Answer:
    body = await response.read()
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status, headers, body)
