"""EDGE: kept-alive HTTP connections of the blocking client, for any number of threads.

A thread takes a connection for one exchange and puts it back, so each thread has at most one in
use to each endpoint, and threads that have ended leave none behind.
"""

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator
from threading import Lock
from typing import final
from urllib.parse import urlsplit

from crdtstate.client.answer import Answer
from crdtstate.client.attempt import Try
from crdtstate.client.failures import LinkError
from crdtstate.errors import UnavailableError

__all__ = ["Connections", "now_ms"]

_IDLE_MS_MAX = 30_000  # Under the 75 s after which a peer closes a connection that idles.
_IDLE_CONNECTIONS_MAX = 16  # Of one endpoint.
_READ_BYTES = 1 << 16


def now_ms() -> int:
    """Return a clock that never goes back."""
    return time.monotonic_ns() // 1_000_000


@final
class Connections:
    """A pool. `close` ends also what other threads are waiting for."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._idle: dict[str, list[tuple[http.client.HTTPConnection, int]]] = {}
        self._used: set[http.client.HTTPConnection] = set()
        self.closed = False

    def exchange(self, planned: Try) -> Answer:
        """Send one request and read the whole answer. Raises: LinkError."""
        connection = self._take(planned)
        kept = False
        try:
            response = self._ask(connection, planned)
            body = _read_all(connection, response, now_ms() + planned.total_ms)
            kept = not response.will_close
        except (OSError, http.client.HTTPException) as error:
            raise LinkError(_describe(error), sent=True) from error
        finally:
            self._give_back(connection, planned.endpoint, keep=kept)
        return _answer(response, body)

    @contextlib.contextmanager
    def stream(self, planned: Try, idle_ms: int) -> Iterator[Answer | Iterator[bytes]]:
        """Give the chunks of an answer that does not end, or the whole of a refusal.

        Raises: LinkError, also from the chunks.
        """
        connection = self._take(planned)
        try:
            try:
                response = self._ask(connection, planned)
                if response.status != 200:
                    deadline_ms = now_ms() + planned.total_ms
                    yield _answer(response, _read_all(connection, response, deadline_ms))
                    return
                if connection.sock is not None:
                    connection.sock.settimeout(idle_ms / 1000)
            except (OSError, http.client.HTTPException) as error:
                raise LinkError(_describe(error), sent=True) from error
            yield _chunks(response)
        finally:
            self._give_back(connection, planned.endpoint, keep=False)

    def close(self) -> None:
        """Close what idles, and wake the threads that wait."""
        with self._lock:
            self.closed = True
            idle = [connection for kept in self._idle.values() for connection, _ in kept]
            self._idle.clear()
            used = list(self._used)
        for connection in idle:
            connection.close()
        for connection in used:
            sock = connection.sock
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _ask(
        self, connection: http.client.HTTPConnection, planned: Try
    ) -> http.client.HTTPResponse:
        if connection.sock is not None:
            connection.sock.settimeout(planned.total_ms / 1000)
        connection.request(planned.method, planned.target, planned.body, planned.headers)
        return connection.getresponse()

    def _take(self, planned: Try) -> http.client.HTTPConnection:
        """Return a connected connection.

        Raises: LinkError, with nothing sent; UnavailableError when the client is closed.
        """
        while True:
            with self._lock:
                if self.closed:
                    raise UnavailableError("the client is closed", code="closed")
                idle = self._idle.get(planned.endpoint)
                if not idle:
                    break
                connection, since_ms = idle.pop()
                self._used.add(connection)
            if now_ms() - since_ms < _IDLE_MS_MAX and _is_quiet(connection.sock):
                return connection
            self._give_back(connection, planned.endpoint, keep=False)
        parts = urlsplit(planned.endpoint)
        assert parts.hostname is not None
        connection = http.client.HTTPConnection(
            parts.hostname, parts.port, timeout=planned.connect_ms / 1000
        )
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise LinkError(_describe(error), sent=False) from error
        with self._lock:
            self._used.add(connection)
        return connection

    def _give_back(
        self, connection: http.client.HTTPConnection, endpoint: str, *, keep: bool
    ) -> None:
        with self._lock:
            self._used.discard(connection)
            idle = self._idle.setdefault(endpoint, [])
            keep = keep and not self.closed and len(idle) < _IDLE_CONNECTIONS_MAX
            if keep:
                idle.append((connection, now_ms()))
        if not keep:
            connection.close()


def _is_quiet(sock: socket.socket | None) -> bool:
    """Tell whether an idle connection is open, with nothing said by the other side."""
    if sock is None:
        return False
    try:
        sock.settimeout(0)
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False  # Closed by the peer, or it speaks out of turn.


def _read_all(
    connection: http.client.HTTPConnection, response: http.client.HTTPResponse, deadline_ms: int
) -> bytes:
    """Read to the end. A time-out of a socket is for one read, the deadline for all of them."""
    chunks: list[bytes] = []
    with response:
        while chunk := response.read1(_READ_BYTES):
            chunks.append(chunk)
            left_ms = deadline_ms - now_ms()
            if left_ms <= 0:
                raise TimeoutError("timed out while the answer was read")
            if connection.sock is not None:
                connection.sock.settimeout(left_ms / 1000)
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
    return b"".join(chunks)


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        with response:
            while chunk := response.read1(_READ_BYTES):
                yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise LinkError(_describe(error), sent=True) from error


def _answer(response: http.client.HTTPResponse, body: bytes) -> Answer:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, body)


def _describe(error: Exception) -> str:
    return str(error) or type(error).__name__
