"""Hostile HTTP against a real peer: refused or closed, each by itself, and the peer serves on."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.crdtstate.api.peer_fixture import http, running_peer

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"


async def say(url: str, *parts: bytes, wait_s: float = 3.0) -> bytes:
    """Send raw bytes; return all that comes until the end, or until nothing comes any more."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = b""
    try:
        async with asyncio.timeout(wait_s):
            for part in parts:
                writer.write(part)
                await writer.drain()
            while data := await reader.read(65_536):
                answer += data
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
    return answer


async def serves(url: str) -> bool:
    async with http() as session, session.get(f"{url}/healthz") as answer:
        return answer.status == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        REQUEST + b"Cookie: " + b"a=b; " * 20_000 + b"\r\n\r\n",
        REQUEST + b"".join(b"X-%d: y\r\n" % n for n in range(50_000)) + b"\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=["cookies", "headers", "line"],
)
async def test_fault_56_heads_without_end(tmp_path: Path, request_bytes: bytes) -> None:
    """Refused at the limit, with the connection closed."""
    async with running_peer(tmp_path) as (_, url):
        answer = await say(url, request_bytes, wait_s=10.0)
        assert answer.split(b" ", 2)[1:2] in ([b"400"], [b"413"], [b"431"], [])
        assert await serves(url)


async def test_fault_56_a_flood_of_chunks(tmp_path: Path) -> None:
    """A body without a length is refused at the same limit as one with it."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(150):
            yield b"x" * 65_536

    async with running_peer(tmp_path) as (_, url), http() as session:
        async with session.put(f"{url}/kv/k", data=chunks()) as answer:
            assert answer.status == 413
        assert await serves(url)


async def test_fault_56_a_compressed_body_is_not_opened(tmp_path: Path) -> None:
    """A bomb of 50 MB is the few bytes that it is: stored as they are."""
    async with running_peer(tmp_path) as (_, url), http() as session:
        bomb = gzip.compress(bytes(50_000_000))
        headers = {"Content-Encoding": "gzip"}
        async with session.put(f"{url}/kv/bomb", data=bomb, headers=headers) as answer:
            assert answer.status in (200, 415)
            stored = answer.status == 200
        async with session.get(f"{url}/kv/bomb") as answer:
            assert (await answer.read() == bomb) == stored


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"PUT /kv/k HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nPUT /kv/smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nv",
        b"PUT /kv/k HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 60\r\n\r\nabcd"
        b"PUT /kv/smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nv",
        "PUT /kv/k HTTP/1.1\r\nHost: a\r\nContent-Length: \u0664\r\n\r\nabcd"
        "PUT /kv/smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nv".encode(),
        b"PUT /kv/k HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd"
        b"PUT /kv/smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nv",
    ],
    ids=["chunked and length", "two lengths", "other digits", "sign"],
)
async def test_fault_58_one_request_hidden_in_another(tmp_path: Path, request_bytes: bytes) -> None:
    """Refused as a whole: what is hidden is not carried out."""
    async with running_peer(tmp_path) as (_, url), http() as session:
        answer = await say(url, request_bytes, wait_s=2.0)
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
        async with session.get(f"{url}/kv/smuggled") as found:
            assert found.status == 404


@pytest.mark.parametrize(
    "path", ["/../../etc/passwd", "/static/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
             "//etc/passwd", "/.git/config", "/identity.json", "/cluster.keys"]
)  # fmt: skip
async def test_fault_59_paths_of_files(tmp_path: Path, path: str) -> None:
    """Nothing is served from files: every such path is no route."""
    async with running_peer(tmp_path) as (_, url):
        target = path.encode()
        answer = await say(
            url, b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        assert b" 404 " in answer.split(b"\r\n")[0]
        assert b"root:" not in answer


async def test_fault_57_a_host_that_names_another_service(tmp_path: Path) -> None:
    """Answered from here, without a redirect: a peer dials nothing that a request names."""
    async with running_peer(tmp_path) as (_, url):
        for line in (b"GET http://169.254.169.254/latest/ HTTP/1.1", b"GET /healthz HTTP/1.1"):
            answer = await say(
                url, line + b"\r\nHost: 169.254.169.254\r\nConnection: close\r\n\r\n"
            )
            assert answer.split(b" ", 2)[1] in (b"200", b"400", b"404")
            assert b"Location" not in answer
        connect = await say(
            url, b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: a\r\n\r\n", wait_s=0.5
        )
        assert b"200" not in connect.split(b"\r\n")[0]
        assert await serves(url)
