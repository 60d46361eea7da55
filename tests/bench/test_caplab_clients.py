"""The laboratory's own protocol code: protocol buffers, HTTP/2 frames, HTTP/1.1 answers."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.caplab.clients.etcd import prefix_range, put_message, range_message
from bench.caplab.clients.h2 import CANCELLED, UNAVAILABLE, GrpcConnection
from bench.caplab.clients.http1 import HttpConnection, header
from bench.caplab.clients.protobuf import field, fields, integers, strings, varint


@given(st.integers(0, (1 << 64) - 1))
def test_a_varint_is_read_as_it_was_written(value: int) -> None:
    assert integers(field(3, value)) == {3: value}


@given(st.lists(st.tuples(st.integers(1, 500), st.binary(max_size=300)), max_size=5))
def test_fields_are_read_in_order(found: list[tuple[int, bytes]]) -> None:
    message = b"".join(field(number, value) for number, value in found)

    assert list(fields(message)) == found


@pytest.mark.parametrize("data", [b"\x80", b"\x0a\x05ab", b"\x0b", b"\x0d\x00"])
def test_what_is_cut_off_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut off|wire type"):
        list(fields(data))


def test_etcd_s_messages_are_the_documented_bytes() -> None:
    assert put_message(b"k", b"v") == b"\x0a\x01k\x12\x01v"
    assert put_message(b"k", b"v", lease=5) == b"\x0a\x01k\x12\x01v\x18\x05"
    assert range_message(b"k", strong=True) == b"\x0a\x01k"
    assert range_message(b"k", strong=False) == b"\x0a\x01k\x38\x01"
    assert prefix_range("ab") == (b"ab", b"ac")
    assert prefix_range("") == (b"\0", b"\0")
    assert varint(300) == b"\xac\x02"
    assert strings(b"\x12\x01v", 2) == [b"v"]


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.is_open = True

    def write(self, data: Any) -> None:
        self.sent += bytes(data)

    def is_closing(self) -> bool:
        return not self.is_open

    def close(self) -> None:
        self.is_open = False

    def abort(self) -> None:
        self.is_open = False


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def frames(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of all that was sent after the preface."""
    found, at = [], data.index(b"SM\r\n\r\n") + 6 if data.startswith(b"PRI") else 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 3], "big")
        kind, flags, stream = struct.unpack_from(">BBI", data, at + 3)
        found.append((kind, flags, stream, data[at + 9 : at + 9 + size]))
        at += 9 + size
    return found


def literal(name: bytes, value: bytes) -> bytes:
    return bytes((0, len(name))) + name + bytes((len(value),)) + value


STATUS_OK = literal(b"grpc-status", b"0")
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS = 1, 4


def connection() -> tuple[GrpcConnection, Wire, list[tuple[int, bytes]], Callable[..., int]]:
    made, wire, ended = GrpcConnection("host:1"), Wire(), list[tuple[int, bytes]]()
    made.connection_made(wire)

    def call(message: bytes = b"ask", **more: Any) -> int:
        return made.call(
            b"/x/Y", message, lambda status, body: ended.append((status, body)), **more
        )

    return made, wire, ended, call


def test_a_call_ends_with_its_message_when_the_trailers_say_ok() -> None:
    made, wire, ended, call = connection()
    stream = call()

    answer = frame(HEADERS, END_HEADERS, stream, literal(b":status", b"200"))
    answer += frame(DATA, 0, stream, b"\0\0\0\0\3abc")
    answer += frame(HEADERS, END_HEADERS | END_STREAM, stream, STATUS_OK)
    for at in range(0, len(answer), 5):  # However the bytes arrive.
        made.data_received(answer[at : at + 5])

    assert ended == [(0, b"abc")]
    (body,) = [payload for kind, _, s, payload in frames(wire.sent) if (kind, s) == (DATA, stream)]
    assert body == b"\0\0\0\0\3ask"


def test_an_error_carries_its_reason() -> None:
    made, _, ended, call = connection()
    trailers = literal(b"grpc-status", b"14") + literal(b"grpc-message", b"no leader")

    made.data_received(frame(HEADERS, END_HEADERS | END_STREAM, call(), trailers))

    assert ended == [(14, b"no leader")]


def test_a_call_ends_exactly_once() -> None:
    """GRP-2."""
    made, _, ended, call = connection()
    cancelled, reset, lost = call(), call(), call()

    made.cancel(cancelled)
    made.data_received(frame(RESET, 0, reset, b"\0\0\0\2"))
    made.data_received(frame(HEADERS, END_HEADERS | END_STREAM, cancelled, STATUS_OK))
    made.connection_lost(None)
    made.cancel(lost)
    call()

    assert [status for status, _ in ended] == [CANCELLED, UNAVAILABLE, UNAVAILABLE, UNAVAILABLE]


def test_windows_are_given_back_before_they_are_used_up() -> None:
    """GRP-1, for a stream of messages: what is taken is given back at once."""
    made, wire, _, call = connection()
    messages: list[bytes] = []
    stream = call(on_message=messages.append)
    before = len(wire.sent)

    made.data_received(frame(DATA, 0, stream, b"\0\0\0\0\2ab\0\0\0\0\1c"))

    assert messages == [b"ab", b"c"]
    given = [p for kind, _, s, p in frames(wire.sent[before:]) if (kind, s) == (WINDOW, stream)]
    assert [int.from_bytes(p, "big") for p in given] == [13]


def test_a_body_larger_than_the_server_s_window_goes_as_it_is_opened() -> None:
    made, wire, _, call = connection()
    stream = call(b"x" * 100_000)

    def sent() -> int:
        return sum(len(p) for kind, _, s, p in frames(wire.sent) if (kind, s) == (DATA, stream))

    assert sent() == 65_535
    grow = struct.pack(">I", 50_000)
    made.data_received(frame(WINDOW, 0, 0, grow))
    assert sent() == 65_535  # The stream's own window is still closed.
    made.data_received(frame(WINDOW, 0, stream, grow))
    assert sent() == 100_005
    assert frames(wire.sent)[-1][1] == END_STREAM


def test_settings_and_pings_are_acknowledged() -> None:
    made, wire, _, _ = connection()

    made.data_received(frame(SETTINGS, 0, 0) + frame(PING, 0, 0, b"12345678"))

    assert frames(wire.sent)[-2:] == [(SETTINGS, 1, 0, b""), (PING, 1, 0, b"12345678")]


def http() -> tuple[HttpConnection, Wire, list[tuple[int, bytes]]]:
    made, wire, ended = HttpConnection("host:1", "secret"), Wire(), list[tuple[int, bytes]]()
    made.connection_made(wire)
    return made, wire, ended


def test_an_answer_is_taken_whole_however_it_arrives() -> None:
    made, wire, ended = http()
    made.send("PUT", "/kv/a", b"v", lambda status, head, body: ended.append((status, head + body)))

    answer = b"HTTP/1.1 200 OK\r\nCrdtstate-Token: AbC\r\nContent-Length: 2\r\n\r\nhi"
    for at in range(0, len(answer), 7):
        made.data_received(answer[at : at + 7])

    assert b"Authorization: Bearer secret\r\n" in wire.sent
    ((status, found),) = ended
    assert status == 200
    assert found.endswith(b"hi")
    assert header(found, b"Crdtstate-Token") == "AbC"
    assert header(found, b"Crdtstate-Revision") is None


def test_a_stream_gives_lines_across_chunks() -> None:
    made, _, ended = http()
    lines: list[bytes] = []
    made.stream("/watch", lines.append, lambda status, _h, _b: ended.append((status, b"")))

    made.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
    made.data_received(b"5\r\n\ntwo\n\r\n4\r\nthre\r\n")
    made.connection_lost(None)

    assert lines == [b"one", b"two"]
    assert ended == [(0, b"")]


def test_a_lost_connection_ends_the_request_and_refuses_the_next() -> None:
    made, _, ended = http()
    made.send("GET", "/kv/a", b"", lambda status, _h, _b: ended.append((status, b"1")))

    made.connection_lost(OSError("gone"))
    made.send("GET", "/kv/a", b"", lambda status, _h, _b: ended.append((status, b"2")))

    assert ended == [(0, b"1"), (0, b"2")]
