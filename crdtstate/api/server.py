"""EDGE: the HTTP port. aiohttp's low-level server, no router of its own, around one dispatcher.

Every limit of the transport is here: body, request line, headers, idle time, graceful stop.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, final

import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from crdtstate.api.dispatch import Dispatcher
from crdtstate.api.exchange import Request, Response, error_response
from crdtstate.api.fast import FastProtocol, Handle, Quick
from crdtstate.errors import CrdtstateError, InvalidError, TooLargeError

__all__ = ["HttpServer"]

_log = structlog.get_logger("crdtstate.api")
LINE_BYTES_MAX = 16 << 10
FAST_BODY_BYTES_MAX = 128 << 10
KEEPALIVE_S = 75.0


class _Protocol(FastProtocol):
    """aiohttp's connection, with this API's error body for requests that cannot be parsed."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what the parser refused."""
        if isinstance(exc, LineTooLong):
            error: CrdtstateError = TooLargeError(
                f"request line or header is over {LINE_BYTES_MAX} bytes (line_bytes_max); "
                "a key has at most key_bytes_max bytes",
                code="key_too_long",
                limit=LINE_BYTES_MAX,
            )
        else:
            error = InvalidError(f"not an HTTP request: {message or exc}", code="invalid_request")
        response = _to_aiohttp(error_response(error))
        response.force_close()
        return response


class _Server(web.Server):
    """aiohttp's low-level server, making connections of our kind."""

    fast_handle: Handle
    fast_quick: Quick
    fast_body_bytes_max: int

    def __call__(self) -> _Protocol:
        protocol = _Protocol(self, loop=self._loop, **self._kwargs)
        protocol.fast_handle = self.fast_handle
        protocol.fast_quick = self.fast_quick
        protocol.fast_body_bytes_max = self.fast_body_bytes_max
        return protocol


@final
class HttpServer:
    """Serves one dispatcher on one address until stopped."""

    def __init__(self, dispatcher: Dispatcher, *, body_bytes_max: int) -> None:
        self._dispatcher = dispatcher
        self._body_bytes_max = body_bytes_max
        self._streams: set[asyncio.Task[Any]] = set()
        self._runner: web.ServerRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port.

        Raises: OSError with the address in use or not available.
        """
        server = _Server(
            self._handle,
            request_factory=self._make_request,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            tcp_keepalive=True,
            auto_decompress=False,
        )
        server.fast_handle = self._answer
        server.fast_quick = self._quick
        server.fast_body_bytes_max = min(self._body_bytes_max, FAST_BODY_BYTES_MAX)
        self._runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, reuse_address=True, backlog=512)
        await site.start()
        address: tuple[Any, ...] = self._runner.addresses[0]
        return int(address[1])

    async def stop(self) -> None:
        """End streams, let requests in flight finish for a second, close."""
        for task in list(self._streams):
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    def _make_request(
        self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, asyncio.get_running_loop(),
            client_max_size=self._body_bytes_max,
        )  # fmt: skip

    async def _handle(self, raw: web.BaseRequest) -> web.StreamResponse:
        request = Request(raw.method, raw.raw_path, raw.headers, self._reader(raw))
        response = await self._answer(request)
        if response.stream is not None:
            return await self._stream(raw, response)
        return _to_aiohttp(response)

    def _quick(self, request: Request, body: bytes, reply: Callable[[Response], None]) -> bool:
        """Answer a request without a task where that can be; a bug is answered, and no further."""
        try:
            return self._dispatcher.quick(request, body, reply)
        except Exception as error:  # noqa: BLE001 - the supervisor of requests.
            reply(_bug(request, error))
            return True

    async def _answer(self, request: Request) -> Response:
        """Answer a request; a bug of ours is logged and answered, and goes no further."""
        try:
            return await self._dispatcher.handle(request)
        except Exception as error:  # noqa: BLE001 - the supervisor of requests.
            return _bug(request, error)

    def _reader(self, raw: web.BaseRequest) -> Any:
        async def read_body() -> bytes:
            try:
                return await raw.read()
            except web.HTTPRequestEntityTooLarge as error:
                length = raw.content_length or self._body_bytes_max + 1
                raise TooLargeError(
                    f"body is {length} bytes, over body_bytes_max={self._body_bytes_max}",
                    code="transaction_too_large",
                    limit=self._body_bytes_max,
                    value=length,
                ) from error

        return read_body

    async def _stream(self, raw: web.BaseRequest, response: Response) -> web.StreamResponse:
        assert response.stream is not None
        out = web.StreamResponse(status=response.status, headers=response.headers)
        out.content_type = response.content_type
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        assert isinstance(raw.protocol, FastProtocol)
        raw.protocol.streaming = task
        try:
            await out.prepare(raw)
            async for chunk in response.stream:
                if chunk:  # An empty one would end the stream.
                    await out.write(chunk)  # Waits while the client does not read.
                await asyncio.sleep(0)  # Others come in between, also when it does read.
            await out.write_eof()
        except ConnectionError:
            return out  # The client left.
        except asyncio.CancelledError:
            # The peer stops, or the client left. Who still reads sees a stream that ended in order,
            # and comes back; a connection that breaks off is an error to many a client.
            if out.prepared:
                with contextlib.suppress(ConnectionError):
                    await out.write_eof()
            return out
        finally:
            self._streams.discard(task)
            raw.protocol.streaming = None
            close = getattr(response.stream, "aclose", None)
            if close is not None:
                await close()
        return out


def _bug(request: Request, error: Exception) -> Response:
    _log.exception("request_failed", method=request.method, error=repr(error))
    return error_response(CrdtstateError(f"internal error: {error!r}"))


def _to_aiohttp(response: Response) -> web.Response:
    headers = response.headers
    headers["Content-Type"] = response.content_type
    return web.Response(status=response.status, body=response.body, headers=headers)
