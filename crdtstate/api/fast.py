"""EDGE: a short way for the commonest requests: plain `PUT /kv/…`, `GET /kv/…`, `POST /txn`.

aiohttp's parser, request and response objects are four fifths of the cost of a small request, and a
task for each is most of the rest. A connection whose heads arrive whole in one read, without
transfer encodings or upgrades, is served here: the same dispatcher, the same answers, and a task
only for a request that has to wait for more than its own write. The first request that is anything
else hands the connection over to aiohttp for good, with every byte that it sent.

Invariants:
    FST-1  One request of a connection is answered at a time, in order.
    FST-2  A connection that aiohttp has been given bytes of is never served here again.
    FST-3  A body that is not whole is waited for here; nothing of it has gone anywhere.
    FST-4  A stream ends with its connection, also one that has nothing to say.
    FST-5  A connection is closed for idleness only when it was idle for the whole time-out.
"""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp.helpers import rfc822_formatted_time
from aiohttp.web_protocol import RequestHandler

from crdtstate.api.exchange import Request, Response

__all__ = ["FastProtocol"]

HEAD_BYTES_MAX = 4096
_STARTS = (b"PUT /kv/", b"GET /kv/", b"POST /txn")
_END = b"\r\n\r\n"
_ORDINARY = frozenset(
    (
        "host", "accept", "accept-encoding", "user-agent", "content-length", "content-type",
        "authorization", "crdtstate-token",
    )
)  # fmt: skip
_NAMES = {"authorization": "Authorization", "crdtstate-token": "Crdtstate-Token"}
_STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n" for s in HTTPStatus}

Handle = Callable[[Request], Awaitable[Response]]
Quick = Callable[[Request, bytes, Callable[[Response], None]], bool]


class FastProtocol(RequestHandler):
    """aiohttp's connection with the short way in front of it."""

    fast_handle: Handle
    fast_quick: Quick
    fast_body_bytes_max: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._slow = False
        self._busy = False  # A request is being answered.
        self._task: asyncio.Task[None] | None = None  # That one, when it had to wait.
        self._waiting = b""
        self._done: asyncio.Future[None] | None = None
        self.streaming: asyncio.Task[Any] | None = None
        """What sends a stream here, while one is sent."""

    def data_received(self, data: bytes) -> None:
        """Take bytes from the socket."""
        if self._slow:
            super().data_received(data)
        elif self._busy:
            self._waiting += data  # FST-1; aiohttp's own read limit bounds it below.
            if len(self._waiting) > self.fast_body_bytes_max and self.transport is not None:
                self.transport.pause_reading()
        elif self._waiting:
            waiting, self._waiting = self._waiting, b""
            self._start(waiting + data)
        else:
            self._start(data)

    def _start(self, data: bytes) -> None:
        parsed = self._parse(data) if data.startswith(_STARTS) else None
        if parsed is None:
            self._slow = True
            super().data_received(data)
            return
        request, body = parsed
        if body is None:
            self._waiting = data  # FST-3
            return
        self._busy = True
        if not self.fast_quick(request, body, self._reply):
            self._task = asyncio.get_running_loop().create_task(self._answer(request))

    def _parse(self, data: bytes) -> tuple[Request, bytes | None] | None:
        """Return the request and its body, None as long as that is not whole.

        None: it is not one for here.
        """
        end = data.find(_END, 0, HEAD_BYTES_MAX)
        if end < 0:
            return None
        try:
            first, *lines = data[:end].decode("ascii").split("\r\n")
            method, target, version = first.split(" ")
        except (UnicodeDecodeError, ValueError):
            return None
        headers: dict[str, str] = {}
        length = 0
        for line in lines:
            name, colon, value = line.partition(":")
            name = name.lower()
            if not colon or name not in _ORDINARY:
                return None
            if name == "content-length":
                value = value.strip()
                if not value.isdigit() or len(value) > 9:
                    return None
                length = int(value)
            elif name in _NAMES:
                headers[_NAMES[name]] = value.strip()
        body = data[end + 4 :]
        if version != "HTTP/1.1" or len(body) > length or length > self.fast_body_bytes_max:
            return None

        async def read_body() -> bytes:
            return body

        request = Request(method, target, headers, read_body)
        if method == "POST" and request.path != b"/txn":
            return None
        return request, body if len(body) == length else None

    async def _answer(self, request: Request) -> None:
        response = await self.fast_handle(request)
        self._task = None
        self._reply(response)

    def _process_keepalive(self) -> None:
        """Close the connection if it is idle: aiohttp's timer, which sees only its own requests."""
        if self._busy:
            self._not_idle()
        super()._process_keepalive()

    def _not_idle(self) -> None:
        """Begin the time-out anew (FST-5)."""
        self._next_keepalive_close_time = self._loop.time() + self.keepalive_timeout

    def _reply(self, response: Response) -> None:
        """Send the answer, then take the next request."""
        self._busy = False
        self._not_idle()
        if self._done is not None:
            self._done.set_result(None)
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        transport.write(_encode(response))
        if self._waiting:
            waiting, self._waiting = self._waiting, b""
            transport.resume_reading()
            # Not from here: this may be in the middle of a step that settles many requests.
            asyncio.get_running_loop().call_soon(self.data_received, waiting)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client has gone; what it asked for is finished all the same, but for a stream."""
        self._waiting = b""
        if self.streaming is not None:
            self.streaming.cancel()  # FST-4
        super().connection_lost(exc)

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Let the request in flight be answered, then close."""
        if self._busy:
            self._done = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._done], timeout=timeout)
        await super().shutdown(timeout)


def _encode(response: Response) -> bytes:
    head = [
        _STATUS_LINES[response.status],
        f"Content-Type: {response.content_type}\r\nContent-Length: {len(response.body)}\r\n",
    ]
    for name, value in response.headers.items():
        head.append(f"{name}: {value}\r\n")
    head.append(f"Date: {rfc822_formatted_time()}\r\n\r\n")
    return "".join(head).encode("latin-1") + response.body
