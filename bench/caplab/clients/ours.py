"""Our native HTTP API (docs/protocol/native-api.md), spoken by the same lean machinery."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, final
from urllib.parse import quote

import msgspec

from bench.caplab.clients.http1 import HttpConnection, header
from bench.caplab.clients.interface import FAILED, OK, REFUSED, UNKNOWN, Answer, Done, Modes

API_TOKEN = "laboratory-of-the-other-side"
"""The bearer token of the laboratory's peers, which listen off loopback."""

_encode_json = msgspec.json.Encoder().encode


async def connect(host: str, port: int) -> HttpConnection:
    """Return an open connection. Raises: OSError."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        lambda: HttpConnection(f"{host}:{port}", API_TOKEN), host, port
    )
    return connection


@final
class OursWire:
    """See `Wire`."""

    def __init__(self, host: str, port: int, modes: Modes) -> None:
        self._address = (host, port)
        self._query = "" if modes.replicas == "1" else f"?w={modes.replicas}"
        self._connection: HttpConnection | None = None

    async def open(self) -> None:
        """Connect."""
        self._connection = await connect(*self._address)

    def _send(self, method: str, target: str, body: bytes, done: Done) -> None:
        assert self._connection is not None
        self._connection.send(method, target, body, lambda status, _h, _b: done(status == 200))

    def put(self, key: str, value: bytes, done: Done) -> None:
        """PUT /kv/{key}."""
        self._send("PUT", f"/kv/{key}{self._query}", value, done)

    def get(self, key: str, done: Done, *, strong: bool) -> None:
        """GET /kv/{key}, always local."""
        self._send("GET", f"/kv/{key}", b"", done)

    def many(self, pairs: list[tuple[str, bytes]], done: Done) -> None:
        """POST /txn."""
        operations = [{"op": "put", "key": key, "value": v.decode()} for key, v in pairs]
        body = _encode_json({"operations": operations})
        self._send("POST", f"/txn{self._query}", body, done)

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()


@final
class OursSession:
    """See `Session`."""

    def __init__(self, host: str, port: int, modes: Modes, timeout_s: float) -> None:
        self._address, self._modes, self._timeout_s = (host, port), modes, timeout_s
        self._connection: HttpConnection | None = None
        self._token = ""
        self._write = "" if modes.replicas == "1" else f"w={modes.replicas}&"
        # The peer gives up a little before this side does, so that its reason is heard.
        self._write += f"timeout_ms={max(50, int(timeout_s * 900))}"

    async def _ask(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes, bytes]:
        """Return (status, head, body); status -1 when it is not known what became of it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[int, bytes, bytes]] = loop.create_future()

        def done(status: int, head: bytes, found: bytes) -> None:
            if not future.done():
                future.set_result((status, head, found))

        try:
            async with asyncio.timeout(self._timeout_s):
                if self._connection is None or self._connection.closed:
                    self._connection = await connect(*self._address)
                token = self._token and f"Crdtstate-Token: {self._token}\r\n"
                self._connection.send(method, target, body, done, token)
                status, head, found = await future
        except TimeoutError:
            await self.close()  # Its answer may still come, and would be taken for the next one's.
            return -1, b"", b"time-out"
        except OSError as error:
            return 0, b"", f"not connected: {error}".encode()
        if status == 0:
            return -1, b"", found
        if self._modes.token:
            self._token = header(head, b"Crdtstate-Token") or self._token
        return status, head, found

    async def _written(self, method: str, target: str, body: bytes) -> Answer:
        mark = "&" if "?" in target else "?"
        status, head, found = await self._ask(method, f"{target}{mark}{self._write}", body)
        if status == 200:
            return Answer(OK, found, version=header(head, b"Crdtstate-Version") or "")
        if status == 412:
            return Answer(REFUSED)
        reason = found.decode("utf-8", "replace")
        # 504 says that too few replicas have it in time: the write stands.
        return Answer(UNKNOWN if status in (-1, 504) else FAILED, reason=f"{status} {reason}")

    async def put(self, key: str, value: bytes) -> Answer:
        """PUT /kv/{key}."""
        return await self._written("PUT", f"/kv/{key}", value)

    async def get(self, key: str, *, strong: bool = False) -> Answer:
        """GET /kv/{key}: local; there is no stronger read."""
        status, head, found = await self._ask("GET", f"/kv/{key}")
        if status == 404:
            return Answer(OK, None)
        if status != 200:
            return Answer(UNKNOWN if status == -1 else FAILED, reason=f"{status} {found!r}")
        told = int(header(head, b"Crdtstate-Conflicts") or 0)
        return Answer(OK, found, header(head, b"Crdtstate-Version") or "", told)

    async def scan(self, prefix: str) -> Answer:
        """GET /kv/?prefix=, page by page."""
        values: dict[bytes, bytes] = {}
        told, after = 0, ""
        while True:
            target = f"/kv/?limit=1000&prefix={quote(prefix)}" + (
                f"&continue={quote(after)}" if after else ""
            )
            status, _, found = await self._ask("GET", target)
            if status != 200:
                return Answer(UNKNOWN if status == -1 else FAILED, reason=f"{status} {found!r}")
            page: dict[str, Any] = msgspec.json.decode(found)
            for item in page["items"]:
                values[item["key"].encode()] = _text(item["value"])
                told += bool(item["conflicts"])
            after = page["continue"] or ""
            if not after:
                return Answer(OK, told=told, values=values)

    async def compare_and_put(self, key: str, version: str, value: bytes) -> Answer:
        """PUT under a precondition that this peer checks."""
        condition = f"if_version={quote(version)}" if version else "if_absent=1"
        return await self._written("PUT", f"/kv/{key}?{condition}", value)

    async def increment(self, key: str) -> Answer:
        """POST /counter/{key}."""
        answer = await self._written("POST", f"/counter/{key}", b'{"add": 1}')
        if answer.status != OK or answer.value is None:
            return answer
        return Answer(OK, str(json.loads(answer.value)["value"]).encode())

    async def add_element(self, key: str, element: str) -> Answer:
        """POST /set/{key}."""
        return await self._written("POST", f"/set/{key}", _encode_json({"add": [element]}))

    async def edit_field(self, key: str, name: str, value: str) -> Answer:
        """PATCH /map/{key}."""
        return await self._written("PATCH", f"/map/{key}", _encode_json({name: value}))

    async def acquire(self, key: str, me: str, ttl_s: int) -> Answer:
        """Create the key with a time to live: a precondition, not a lock."""
        target = f"/kv/{key}?if_absent=1&ttl_ms={ttl_s * 1000}"
        return await self._written("PUT", target, me.encode())

    async def keep(self, key: str, me: str, ttl_s: int, version: str) -> Answer:
        """Write it again, if it is still at the version that was written."""
        target = f"/kv/{key}?if_version={quote(version)}&ttl_ms={ttl_s * 1000}"
        return await self._written("PUT", target, me.encode())

    async def watch(self, prefix: str, on_value: Callable[[str, bytes], None]) -> None:
        """GET /watch."""
        connection = await connect(*self._address)
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(_status: int, _head: bytes, _body: bytes) -> None:
            if not ended.done():
                ended.set_result(None)

        def on_line(line: bytes) -> None:
            event = msgspec.json.decode(line)
            if event["type"] == "put":
                on_value(event["key"], _text(event["item"].get("value")))

        connection.stream(f"/watch?prefix={quote(prefix)}", on_line, done)
        try:
            await ended
        finally:
            connection.abort()

    async def ask(self, target: str) -> Any:
        """GET anything as JSON. Raises: OSError when it is not answered with 200."""
        status, _, found = await self._ask("GET", target)
        if status != 200:
            raise OSError(f"GET {target}: {status} {found!r}")
        return msgspec.json.decode(found)

    def carry(self, token: str) -> str:
        """Present this token from now on; every answer of a peer brings one that covers it."""
        self._token = token or self._token
        return self._token

    async def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = None


def _text(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else _encode_json(value)
