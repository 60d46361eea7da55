"""EDGE: gRPC over HTTP/2 on one plain connection, as lean as a load generator needs it.

grpcio in Python costs more CPU for a call than etcd's three members together, and would be what is
measured. This speaks the same frames: the request headers are constants, an answer's header block
is decoded once and remembered while HPACK's table does not change.

Source: RFC 9113 (HTTP/2), RFC 7541 (HPACK), "gRPC over HTTP2".

Invariants:
    GRP-1  Every flow-control window is given back before it is used up, or the server would stop.
    GRP-2  A call ends exactly once: with its trailers, a reset, its cancellation, or the
           connection.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import cast, final

from hpack import Decoder

OK, CANCELLED, UNAVAILABLE = 0, 1, 14
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _PADDED, _PRIORITY, _ACK = 1, 4, 8, 32, 1
_WINDOW_MAX = (1 << 31) - 1
_WINDOW_REFILL = 1 << 29
_FRAME_BYTES_MAX = 16_384
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Done = Callable[[int, bytes], None]
"""Takes the gRPC status and the message, or the reason as text."""


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(name: bytes, value: bytes, *, indexed: bool) -> bytes:
    return bytes((0x40 if indexed else 0, len(name))) + name + bytes((len(value),)) + value


@final
class _Call:
    __slots__ = ("data", "done", "on_message", "status")

    def __init__(self, done: Done, on_message: Callable[[bytes], None] | None) -> None:
        self.done, self.on_message = done, on_message
        self.data = b""
        self.status: tuple[int, bytes] | None = None


@final
class GrpcConnection(asyncio.Protocol):
    """One connection; any number of calls at once."""

    def __init__(self, authority: str) -> None:
        self._authority = authority.encode()
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._calls: dict[int, _Call] = {}
        self._next_stream = 1
        self._decoder = Decoder()
        self._remembered: dict[bytes, tuple[int, bytes] | None] = {}
        self._received = 0
        self._window, self._initial_window = 65_535, 65_535
        self._stream_windows: dict[int, int] = {}
        self._unsent: list[tuple[int, bytes, bool]] = []
        self.closed = False

    # -- calling -------------------------------------------------------------------------------

    def call(
        self,
        path: bytes,
        message: bytes,
        done: Done,
        on_message: Callable[[bytes], None] | None = None,
    ) -> int:
        """Start a call and return its stream; with `on_message` the request side stays open."""
        if self.closed or self._transport is None:
            done(UNAVAILABLE, b"the connection is closed")
            return 0
        stream = self._next_stream
        self._next_stream += 2
        self._calls[stream] = _Call(done, on_message)
        head = _frame(_HEADERS, _END_HEADERS, stream, self._headers(path, first=stream == 1))
        self._stream_windows[stream] = self._initial_window
        body = b"\0" + struct.pack(">I", len(message)) + message
        self._send_data(stream, body, end=on_message is None, head=head)
        return stream

    def send_more(self, stream: int, message: bytes) -> None:
        """Send another message of a call whose request side is open."""
        body = b"\0" + struct.pack(">I", len(message)) + message
        self._send_data(stream, body, end=False)

    def cancel(self, stream: int) -> None:
        """End a call from this side; its `done` hears CANCELLED."""
        if stream in self._calls and self._transport is not None:
            self._transport.write(_frame(_RESET, 0, stream, struct.pack(">I", 8)))
            self._end(stream, CANCELLED, b"cancelled")

    def close(self) -> None:
        """Close the connection; open calls end with UNAVAILABLE."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once, without waiting for what is unsent."""
        if self._transport is not None:
            self._transport.abort()

    def _headers(self, path: bytes, *, first: bool) -> bytes:
        # 0x83 is ":method: POST", 0x86 ":scheme: http". The first block enters the others into
        # the table, last one first: 62, 63, 64.
        start = b"\x83\x86" + b"\x04" + bytes((len(path),)) + path
        if not first:
            return start + b"\xc0\xbf\xbe"
        return (
            start
            + b"\x41" + bytes((len(self._authority),)) + self._authority
            + _literal(b"content-type", b"application/grpc", indexed=True)
            + _literal(b"te", b"trailers", indexed=True)
        )  # fmt: skip

    def _send_data(self, stream: int, body: bytes, *, end: bool, head: bytes = b"") -> None:
        assert self._transport is not None
        room = min(self._window, self._stream_windows.get(stream, 0), _FRAME_BYTES_MAX)
        if len(body) <= room and not self._unsent:  # The usual case, in one write.
            self._window -= len(body)
            self._stream_windows[stream] -= len(body)
            flags = _END_STREAM if end else 0
            self._transport.write(head + _frame(_DATA, flags, stream, body))
            return
        self._transport.write(head)
        self._unsent.append((stream, body, end))
        self._flush()

    def _flush(self) -> None:
        """Send what the server's windows allow."""
        assert self._transport is not None
        waiting, self._unsent = self._unsent, []
        for stream, body, end in waiting:
            while body and stream in self._calls:
                room = min(self._window, self._stream_windows[stream], _FRAME_BYTES_MAX)
                piece, rest = body[: max(room, 0)], body[max(room, 0) :]
                if not piece:
                    self._unsent.append((stream, body, end))
                    break
                self._window -= len(piece)
                self._stream_windows[stream] -= len(piece)
                flags = _END_STREAM if end and not rest else 0
                self._transport.write(_frame(_DATA, flags, stream, piece))
                body = rest

    # -- asyncio's side ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello, and give windows that are never used up."""
        self._transport = transport = cast(asyncio.Transport, transport)
        settings = struct.pack(">HIHI", 2, 0, 4, _WINDOW_MAX)  # No push; stream window.
        grow = struct.pack(">I", _WINDOW_MAX - 65_535)
        transport.write(_PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW, 0, 0, grow))

    def data_received(self, data: bytes) -> None:
        """Take bytes: every whole frame of them."""
        buffer = self._buffer + data if self._buffer else data
        at, size = 0, len(buffer)
        while size - at >= 9:
            length = int.from_bytes(buffer[at : at + 3], "big")
            end = at + 9 + length
            if end > size:
                break
            stream = int.from_bytes(buffer[at + 5 : at + 9], "big")
            self._take(buffer[at + 3], buffer[at + 4], stream, buffer[at + 9 : end])
            at = end
        self._buffer = buffer[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        """GRP-2: whatever is open has ended."""
        self.closed = True
        for stream in list(self._calls):
            self._end(stream, UNAVAILABLE, f"connection lost: {exc}".encode())

    # -- frames --------------------------------------------------------------------------------

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            self._take_data(flags, stream, payload)
        elif kind == _HEADERS:
            self._take_headers(flags, stream, payload)
        elif kind == _WINDOW:
            grow = int.from_bytes(payload, "big")
            if stream == 0:
                self._window += grow
            elif stream in self._stream_windows:
                self._stream_windows[stream] += grow
            if self._unsent:
                self._flush()
        elif kind == _RESET:
            self._end(stream, UNAVAILABLE, b"reset by the server")
        elif kind == _SETTINGS and not flags & _ACK:
            self._take_settings(payload)
        elif kind == _PING and not flags & _ACK:
            self._write(_frame(_PING, _ACK, 0, payload))
        elif kind == _GOAWAY:
            self.close()

    def _take_settings(self, payload: bytes) -> None:
        for at in range(0, len(payload), 6):
            name, value = struct.unpack_from(">HI", payload, at)
            if name == 4:
                grow, self._initial_window = value - self._initial_window, value
                for stream in self._stream_windows:
                    self._stream_windows[stream] += grow
            elif name == 1:
                # The server's bound on our table; ours holds three entries.
                assert value >= 256, f"the server allows a header table of {value} bytes"
        self._write(_frame(_SETTINGS, _ACK, 0, b""))

    def _take_data(self, flags: int, stream: int, payload: bytes) -> None:
        self._received += len(payload)
        if self._received >= _WINDOW_REFILL:  # GRP-1
            self._write(_frame(_WINDOW, 0, 0, struct.pack(">I", self._received)))
            self._received = 0
        call = self._calls.get(stream)
        if call is None:
            return
        if flags & _PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        call.data = call.data + payload if call.data else payload
        if call.on_message is not None:
            if len(payload):  # GRP-1, for the stream's own window.
                self._write(_frame(_WINDOW, 0, stream, struct.pack(">I", len(payload))))
            while len(call.data) >= 5:
                end = 5 + int.from_bytes(call.data[1:5], "big")
                if len(call.data) < end:
                    break
                message, call.data = call.data[5:end], call.data[end:]
                call.on_message(message)

    def _take_headers(self, flags: int, stream: int, payload: bytes) -> None:
        assert flags & _END_HEADERS, "header blocks of this server fit one frame"
        if flags & _PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        if flags & _PRIORITY:
            payload = payload[5:]
        status = self._status_of(payload)
        if flags & _END_STREAM:
            call = self._calls.get(stream)
            code, reason = status or (2, b"no status")
            self._end(stream, code, call.data[5:] if call and code == OK else reason)

    def _status_of(self, block: bytes) -> tuple[int, bytes] | None:
        """Return (grpc-status, grpc-message) of a block, None when it has no status."""
        if block in self._remembered:
            return self._remembered[block]
        headers = {bytes(n): bytes(v) for n, v, *_ in self._decoder.decode(block, raw=True)}
        code = headers.get(b"grpc-status")
        found = None if code is None else (int(code), headers.get(b"grpc-message", b""))
        if all(byte & 0x80 for byte in block):
            self._remembered[block] = found  # Indices only: the table is as it was.
        else:
            self._remembered.clear()
        return found

    def _end(self, stream: int, status: int, message: bytes) -> None:
        call = self._calls.pop(stream, None)
        self._stream_windows.pop(stream, None)
        if call is not None:
            call.done(status, message)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
