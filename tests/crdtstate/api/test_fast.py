"""The short way in front of aiohttp: raw bytes over a socket, whole, in pieces, and pipelined."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from crdtstate.api import server
from crdtstate.api.dispatch import Dispatcher
from crdtstate.tokens import encode_token
from tests.crdtstate.api.peer_fixture import running_peer


class Wire:
    """One connection, as a client without a library sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *pieces: bytes) -> None:
        """Send pieces, each a packet of its own."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.02)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer."""
        async with asyncio.timeout(20):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            body = await self.reader.readexactly(int(headers["Content-Length"]))
        return int(head[0].split(" ")[1]), headers, body


@asynccontextmanager
async def wire(path: Path) -> AsyncIterator[tuple[Any, Wire]]:
    async with running_peer(path) as (peer, url):
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            yield peer, Wire(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()


def request(method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_the_commonest_requests_need_no_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick: list[bool] = []
    real = Dispatcher.quick

    def noted(self: Dispatcher, *given: Any) -> bool:
        quick.append(real(self, *given))
        return quick[-1]

    monkeypatch.setattr(Dispatcher, "quick", noted)
    async with wire(tmp_path) as (_, client):
        await client.send(request("PUT", "/kv/a", b"1"))
        status, headers, body = await client.answer()
        assert (status, headers["Crdtstate-Replicas"]) == (200, "1")
        assert json.loads(body)["version"] == headers["Crdtstate-Version"]
        token = headers["Crdtstate-Token"]
        await client.send(request("GET", "/kv/a", Crdtstate_Token=token))
        status, headers, body = await client.answer()
        assert (status, body, headers["Crdtstate-Type"]) == (200, b"1", "register")
        operations = {"operations": [{"op": "put", "key": "b", "value": "2"}]}
        await client.send(request("POST", "/txn", json.dumps(operations).encode()))
        status, _, body = await client.answer()
        assert (status, json.loads(body)["changed"]) == (200, 1)
    assert quick == [True, True, True]


async def test_what_is_refused_is_refused_with_its_reason(tmp_path: Path) -> None:
    async with wire(tmp_path) as (_, client):
        for sent, status, code in (
            (request("GET", "/kv/none"), 404, "key_not_found"),
            (request("PUT", "/kv/" + "k" * 2000, b"1"), 413, "key_too_long"),
            (request("PUT", "/kv/a?w=many", b"1"), 400, "invalid_parameter"),
            (request("PUT", "/kv/a?if_exists=1", b"1"), 412, "precondition_failed"),
            (request("PUT", "/kv/a?w=2&timeout_ms=50", b"1"), 504, "not_enough_replicas"),
            (request("POST", "/txn", b'{"operations": [{"op": "no"}]}'), 400, "invalid_json"),
            (request("GET", "/kv/a", Crdtstate_Token="nonsense"), 400, "invalid_token"),
        ):
            await client.send(sent)
            found, headers, body = await client.answer()
            assert (found, json.loads(body)["error"]["code"]) == (status, code)
            assert headers["Crdtstate-Peer"] == "a"


async def test_a_token_of_the_future_is_waited_for(tmp_path: Path) -> None:
    """API-1 holds on the short way, too."""
    async with wire(tmp_path) as (peer, client):
        future = encode_token({peer.driver.origin: 1 << 40})
        await client.send(request("GET", "/kv/a?timeout_ms=50", Crdtstate_Token=future))
        status, _, body = await client.answer()
        assert (status, json.loads(body)["error"]["code"]) == (504, "behind")


async def test_a_body_may_come_in_pieces(tmp_path: Path) -> None:
    """FST-3"""
    async with wire(tmp_path) as (_, client):
        whole = request("PUT", "/kv/a", b"x" * 50_000)
        await client.send(whole[:100], whole[100:20_000], whole[20_000:])
        assert (await client.answer())[0] == 200
        await client.send(request("GET", "/kv/a"))
        assert len((await client.answer())[2]) == 50_000


async def test_a_body_over_the_bound_goes_to_aiohttp_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FST-2"""
    monkeypatch.setattr(server, "FAST_BODY_BYTES_MAX", 1_000)
    async with wire(tmp_path) as (_, client):
        whole = request("PUT", "/kv/a", b"x" * 5_000)
        await client.send(whole[:2_000], whole[2_000:])
        assert (await client.answer())[0] == 200
        await client.send(request("GET", "/kv/a"))
        assert len((await client.answer())[2]) == 5_000


async def test_requests_sent_ahead_are_answered_in_order(tmp_path: Path) -> None:
    """FST-1"""
    async with wire(tmp_path) as (_, client):
        await client.send(request("PUT", "/kv/a", b"0"))
        await client.answer()
        for n in range(1, 6):
            client.writer.write(request("PUT", "/kv/a", str(n).encode()))
            await asyncio.sleep(0)
            client.writer.write(request("GET", "/kv/a"))
            await asyncio.sleep(0)
        seen = [await client.answer() for _ in range(10)]
        assert [status for status, _, _ in seen] == [200] * 10
        assert [body for _, _, body in seen[1::2]] == [b"1", b"2", b"3", b"4", b"5"]


async def test_anything_else_hands_the_connection_over(tmp_path: Path) -> None:
    """FST-2"""
    async with wire(tmp_path) as (_, client):
        await client.send(request("PUT", "/kv/a", b"1"))
        await client.answer()
        await client.send(request("GET", "/status"))
        assert (await client.answer())[0] == 200
        await client.send(request("GET", "/kv/a"))
        assert (await client.answer())[2] == b"1"


async def test_a_peer_that_stops_answers_what_it_has_taken(tmp_path: Path) -> None:
    async with running_peer(tmp_path) as (_, url):
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        client = Wire(reader, writer)
        writer.write(request("PUT", "/kv/a?w=2&timeout_ms=300", b"1"))
        await writer.drain()
        await asyncio.sleep(0.05)
    status, _, _ = await client.answer()
    assert status in (503, 504)
    writer.close()


async def test_a_bug_is_answered_and_goes_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wire(tmp_path) as (_, client):
        with monkeypatch.context() as patch:
            patch.setattr(Dispatcher, "_authorize", lambda *_: 1 // 0)
            await client.send(request("PUT", "/kv/a", b"1"))
            assert (await client.answer())[0] == 500
        await client.send(request("PUT", "/kv/a", b"1"))
        assert (await client.answer())[0] == 200


async def test_a_connection_in_use_is_not_closed_for_idleness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FST-5: aiohttp begins to count when a connection opens, and sees nothing of this way."""
    monkeypatch.setattr(server, "KEEPALIVE_S", 0.5)
    async with wire(tmp_path) as (_, client):
        for n in range(15):
            await client.send(request("PUT", "/kv/a", str(n).encode()))
            assert (await client.answer())[0] == 200
            await asyncio.sleep(0.1)
        await client.send(request("PUT", "/kv/a?w=2&timeout_ms=1500", b"1"))
        assert (await client.answer())[0] == 504


async def test_an_idle_connection_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FST-5"""
    monkeypatch.setattr(server, "KEEPALIVE_S", 0.3)
    async with wire(tmp_path) as (_, client):
        await client.send(request("PUT", "/kv/a", b"1"))
        assert (await client.answer())[0] == 200

        async with asyncio.timeout(20):
            assert await client.reader.read() == b""
