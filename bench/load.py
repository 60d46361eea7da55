"""The load generator: a process of its own, N connections, each with one request under way.

One generator loads every server that is compared, so its own cost is in every figure alike. It
reads answers only as far as their length, which costs less than any HTTP client library.

    python -m bench.load --urls http://127.0.0.1:7480,… --clients 64 --seconds 3
"""

import argparse
import asyncio
import json
import random
import time
from functools import partial
from typing import final
from urllib.parse import urlsplit

import uvloop

KEYS = 20_000
_BODY = "0123456789abcdef" * 16  # 256 bytes


@final
class Connection(asyncio.Protocol):
    """Sends the next request when the answer of the last is whole."""

    def __init__(self, load: "Load", number: int) -> None:
        self._load, self._number, self._count = load, number, 0
        self._buffer = b""
        self._sent_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._count += 1
        self._sent_s = time.perf_counter()
        self._transport.write(self._load.request(self._number, self._count))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Take a piece of an answer."""
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self._buffer[:head_end].lower()
        at = head.find(b"content-length: ")
        length = int(head[at + 16 : (head.find(b"\r\n", at) + 1 or head_end + 1) - 1])
        if len(self._buffer) < head_end + 4 + length:
            return
        self._buffer = b""
        load = self._load
        if head[9:12] == b"200":
            load.latencies_s.append(time.perf_counter() - self._sent_s)
        else:
            load.errors += 1
        if load.going and (load.count is None or load.started < load.count):
            load.started += 1
            self._send()
        else:
            load.closed(self._transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """The other side has closed: say so, do not hang."""
        self._load.lost(self._transport)


@final
class Load:
    """What all connections share."""

    def __init__(self, clients: int, operations: int, count: int | None, prefix: str) -> None:
        self.operations, self.count, self._prefix = operations, count, prefix
        self.latencies_s: list[float] = []
        self.errors, self.started, self.going = 0, clients, True
        self._open: set[object] = set()
        self.ended = asyncio.Event()
        # Without it a second run would write what is there, which is no write at all.
        self._run = f"{random.randrange(10**6):06d}"

    def request(self, number: int, count: int) -> bytes:
        """Return the bytes of one request; every value is new, or a put would change nothing."""
        if self.operations == 1:
            key = f"{self._prefix}{number}/{count % max(1, KEYS // 64)}"
            body = f"{self._run}{count:010d}" + _BODY[16:]
            target = f"PUT /kv/{key}"
        else:
            fields = [
                {
                    "op": "put",
                    "key": f"{self._prefix}{number}/{count % 64}/{n}",
                    "value": f"{self._run}{count:010d}" + _BODY[16:],
                }
                for n in range(self.operations)
            ]
            body, target = json.dumps({"operations": fields}), "POST /txn"
        return (
            f"{target} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def opened(self, transport: object) -> None:
        """Count one in."""
        self._open.add(transport)

    def closed(self, transport: asyncio.BaseTransport) -> None:
        """One connection has done its part."""
        self._open.discard(transport)
        transport.close()
        if not self._open:
            self.ended.set()

    def lost(self, transport: object) -> None:
        """One connection was closed by the server, or by us."""
        if transport in self._open:
            self.errors += 1
            self._open.discard(transport)
            if not self._open:
                self.ended.set()


async def run(
    urls: list[str], *, clients: int, seconds: float, operations: int, count: int | None,
    prefix: str,
) -> dict[str, float]:  # fmt: skip
    """Load the servers; return counts and latencies in milliseconds."""
    loop = asyncio.get_running_loop()
    load = Load(clients, operations, count, prefix)
    began = time.perf_counter()
    for number in range(clients):
        parts = urlsplit(urls[number % len(urls)])
        transport, _ = await loop.create_connection(
            partial(Connection, load, number), parts.hostname or "", parts.port or 80
        )
        load.opened(transport)
    if count is None:
        await asyncio.sleep(seconds)
        load.going = False
    await load.ended.wait()
    took_s = time.perf_counter() - began
    found = sorted(load.latencies_s) or [0.0]
    return {
        "requests": len(load.latencies_s),
        "errors": load.errors,
        "seconds": took_s,
        "per_s": len(load.latencies_s) * operations / took_s,
        "p50_ms": found[len(found) // 2] * 1000,
        "p99_ms": found[int(len(found) * 0.99)] * 1000,
    }


def main() -> None:
    """Run once and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--urls", required=True)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--operations", type=int, default=1)
    parser.add_argument("--count", type=int)
    parser.add_argument("--prefix", default="bench/")
    given = parser.parse_args()
    found = uvloop.run(
        run(
            given.urls.split(","), clients=given.clients, seconds=given.seconds,
            operations=given.operations, count=given.count, prefix=given.prefix,
        )
    )  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
