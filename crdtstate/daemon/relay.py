"""EDGE: asks other peers' APIs over HTTP, for what only they can answer."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import final

import aiohttp
from yarl import URL

from crdtstate.api.exchange import Response
from crdtstate.errors import UnavailableError

__all__ = ["HttpRelay"]

_TOGETHER_MAX = 256  # Of which followed logs hold one each.


@final
class HttpRelay:
    """Connections to other peers, made when they are first needed."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=_TOGETHER_MAX, keepalive_timeout=30.0)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def get(self, url: str, headers: Mapping[str, str], timeout_ms: int) -> Response:
        """GET; return the answer, a stream if it is a success. Raises: UnavailableError."""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                answer = await self._open().get(
                    URL(url, encoded=True), headers=headers, allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None),
                )  # fmt: skip
            if answer.status == 200:
                return Response(200, b"", answer.content_type, stream=_chunks(answer))
            async with answer:
                return Response(answer.status, await answer.read(), answer.content_type)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise UnavailableError(f"no answer from {url}: {reason}") from error

    async def get_all(
        self, urls: Sequence[str], headers: Mapping[str, str], timeout_ms: int
    ) -> list[bytes]:
        """GET all at the same time; return the bodies of those that succeed in time."""
        found = await asyncio.gather(*(self._read(url, headers, timeout_ms) for url in urls))
        return [body for body in found if body is not None]

    async def _read(self, url: str, headers: Mapping[str, str], timeout_ms: int) -> bytes | None:
        timeout = aiohttp.ClientTimeout(total=timeout_ms / 1000)
        try:
            async with self._open().get(
                URL(url, encoded=True), headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                return await answer.read() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield what comes; a connection that breaks ends it, as it would for a direct client."""
    try:
        async for chunk in answer.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, OSError):
        return
    finally:
        answer.close()
