"""EDGE: HTTP/1.1 on one kept connection: a request at a time, or one endless stream of lines."""

import asyncio
from collections.abc import Callable
from typing import cast, final

Done = Callable[[int, bytes, bytes], None]
"""Takes status, head, body; status 0 when the connection was lost."""


@final
class HttpConnection(asyncio.Protocol):
    """One connection, one request under way."""

    def __init__(self, host: str, token: str) -> None:
        self._fixed = f"Host: {host}\r\nAuthorization: Bearer {token}\r\n"
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._done: Done | None = None
        self._on_line: Callable[[bytes], None] | None = None
        self._line = b""
        self._streaming = False
        self.closed = False

    def send(
        self, method: str, target: str, body: bytes, done: Done, headers: str = "",
    ) -> None:  # fmt: skip
        """Send a request. At most one may be under way."""
        assert self._done is None, "one request at a time"
        if self.closed or self._transport is None:
            done(0, b"", b"the connection is closed")
            return
        self._done = done
        head = (
            f"{method} {target} HTTP/1.1\r\n{self._fixed}{headers}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)

    def stream(self, target: str, on_line: Callable[[bytes], None], done: Done) -> None:
        """Send a GET whose answer is chunked lines; `done` is called at the end or on an error."""
        self._on_line = on_line
        self.send("GET", target, b"", done)

    def close(self) -> None:
        """Close; a request under way ends with status 0."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take a piece of an answer."""
        self._buffer = self._buffer + data if self._buffer else data
        if self._streaming:
            self._take_chunks()
            return
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self._buffer[:head_end]
        if b"\r\nTransfer-Encoding: chunked" in head:
            assert self._on_line is not None, "only streams come in chunks"
            self._buffer = self._buffer[head_end + 4 :]
            self._streaming = True
            self._take_chunks()
            return
        at = head.find(b"Content-Length: ")
        length = int(head[at + 16 : (head.find(b"\r\n", at) + 1 or head_end + 1) - 1])
        end = head_end + 4 + length
        if len(self._buffer) < end:
            return
        body, self._buffer = self._buffer[head_end + 4 : end], self._buffer[end:]
        done, self._done = self._done, None
        if done is not None:
            done(int(head[9:12]), head, body)

    def _take_chunks(self) -> None:
        """Take the whole chunks that have come, and of them the whole lines."""
        while (size_end := self._buffer.find(b"\r\n")) >= 0:
            size = int(self._buffer[:size_end], 16)
            end = size_end + 2 + size + 2
            if len(self._buffer) < end:
                return
            chunk, self._buffer = self._buffer[size_end + 2 : end - 2], self._buffer[end:]
            if not size:
                self.close()
                return
            *lines, self._line = (self._line + chunk).split(b"\n")
            assert self._on_line is not None
            for line in lines:
                self._on_line(line)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has gone, or this side closed."""
        self.closed = True
        done, self._done = self._done, None
        if done is not None:
            done(0, b"", f"connection lost: {exc}".encode())


def header(head: bytes, name: bytes) -> str | None:
    """Return a header, named as the server spells it."""
    at = head.find(b"\r\n" + name + b": ")
    if at < 0:
        return None
    start = at + len(name) + 4
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else len(head)].decode("latin-1")
