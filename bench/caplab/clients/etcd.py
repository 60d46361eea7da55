"""etcd 3.5 through its gRPC API: keys, transactions, leases and watches.

Where etcd has no operation for a workload (a counter, a field of an object) the client does what
etcd's own recipes do: read, and write under the condition that nobody wrote in between.

Source: etcd 3.5, rpc.proto and kv.proto.
"""

import asyncio
import json
from collections.abc import Callable
from typing import final

from bench.caplab.clients.h2 import OK as GRPC_OK
from bench.caplab.clients.h2 import GrpcConnection
from bench.caplab.clients.interface import FAILED, OK, REFUSED, UNKNOWN, Answer, Done, Modes
from bench.caplab.clients.protobuf import field, integers, strings

_PUT, _RANGE = b"/etcdserverpb.KV/Put", b"/etcdserverpb.KV/Range"
_TXN = b"/etcdserverpb.KV/Txn"
_GRANT, _KEEP = b"/etcdserverpb.Lease/LeaseGrant", b"/etcdserverpb.Lease/LeaseKeepAlive"
_WATCH = b"/etcdserverpb.Watch/Watch"
_TRIES = 20


def put_message(key: bytes, value: bytes, lease: int = 0) -> bytes:
    """Return a PutRequest."""
    return field(1, key) + field(2, value) + (field(3, lease) if lease else b"")


def range_message(key: bytes, *, strong: bool, end: bytes = b"") -> bytes:
    """Return a RangeRequest of one key, or of all from `key` up to `end`."""
    return (
        field(1, key) + (field(2, end) if end else b"") + (b"" if strong else field(7, 1))
    )  # fmt: skip


def prefix_range(prefix: str) -> tuple[bytes, bytes]:
    """Return (first key, end) of all keys that start with `prefix`."""
    start = prefix.encode()
    if not start:
        return b"\0", b"\0"
    return start, start[:-1] + bytes((start[-1] + 1,))


def _puts(pairs: list[tuple[str, bytes]]) -> bytes:
    return b"".join(field(2, field(2, put_message(key.encode(), value))) for key, value in pairs)


async def connect(host: str, port: int) -> GrpcConnection:
    """Return an open connection. Raises: OSError."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        lambda: GrpcConnection(f"{host}:{port}"), host, port
    )
    return connection


@final
class EtcdWire:
    """See `Wire`."""

    def __init__(self, host: str, port: int, _modes: Modes) -> None:
        self._address = (host, port)
        self._connection: GrpcConnection | None = None

    async def open(self) -> None:
        """Connect."""
        self._connection = await connect(*self._address)

    def _call(self, path: bytes, message: bytes, done: Done) -> None:
        assert self._connection is not None
        self._connection.call(path, message, lambda status, _body: done(status == GRPC_OK))

    def put(self, key: str, value: bytes, done: Done) -> None:
        """Put."""
        self._call(_PUT, put_message(key.encode(), value), done)

    def get(self, key: str, done: Done, *, strong: bool) -> None:
        """Range of one key, linearizable or serializable."""
        self._call(_RANGE, range_message(key.encode(), strong=strong), done)

    def many(self, pairs: list[tuple[str, bytes]], done: Done) -> None:
        """Txn of puts."""
        self._call(_TXN, _puts(pairs), done)

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()


@final
class EtcdSession:
    """See `Session`."""

    def __init__(self, host: str, port: int, _modes: Modes, timeout_s: float) -> None:
        self._address, self._timeout_s = (host, port), timeout_s
        self._connection: GrpcConnection | None = None

    async def _opened(self) -> GrpcConnection:
        if self._connection is None or self._connection.closed:
            self._connection = await connect(*self._address)
        return self._connection

    async def _call(self, path: bytes, message: bytes, *, first_message: bool = False) -> Answer:
        """Call and wait; `first_message`: of a stream, take its first message and end it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[int, bytes]] = loop.create_future()

        def done(status: int, body: bytes) -> None:
            if not future.done():
                future.set_result((status, body))

        connection, stream = None, 0
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._opened()
                stream = connection.call(
                    path,
                    message,
                    done,
                    (lambda body: done(GRPC_OK, body)) if first_message else None,
                )
                status, body = await future
        except TimeoutError:
            return Answer(UNKNOWN, reason="time-out")
        except OSError as error:
            return Answer(FAILED, reason=f"not connected: {error}")
        finally:
            if connection is not None and stream:
                connection.cancel(stream)  # When it is not over.
        if status != GRPC_OK:
            return Answer(UNKNOWN, reason=body.decode("utf-8", "replace"))
        return Answer(OK, value=body)

    async def put(self, key: str, value: bytes) -> Answer:
        """Put."""
        return await self._call(_PUT, put_message(key.encode(), value))

    async def get(self, key: str, *, strong: bool = False) -> Answer:
        """Range of one key."""
        answer = await self._call(_RANGE, range_message(key.encode(), strong=strong))
        if answer.status != OK:
            return answer
        found = strings(answer.value or b"", 2)
        if not found:
            return Answer(OK, None)
        (value,) = strings(found[0], 5) or [b""]
        return Answer(OK, value, version=str(integers(found[0]).get(3, 0)))

    async def scan(self, prefix: str) -> Answer:
        """Serializable range of a prefix."""
        start, end = prefix_range(prefix)
        message = range_message(start, strong=False, end=end)
        answer = await self._call(_RANGE, message)
        if answer.status != OK:
            return answer
        values = {}
        for found in strings(answer.value or b"", 2):
            values[strings(found, 1)[0]] = (strings(found, 5) or [b""])[0]
        return Answer(OK, values=values)

    async def compare_and_put(self, key: str, version: str, value: bytes) -> Answer:
        """Txn on the key's modification revision."""
        return await self._compare(key, version, field(2, put_message(key.encode(), value)))

    async def _compare(self, key: str, version: str, operation: bytes) -> Answer:
        compare = (
            field(2, 2) + field(3, key.encode()) + field(6, int(version))
            if version
            else field(2, 1) + field(3, key.encode()) + field(5, 0)
        )
        answer = await self._call(_TXN, field(1, compare) + field(2, operation))
        if answer.status != OK:
            return answer
        body = answer.value or b""
        if not integers(body).get(2):
            return Answer(REFUSED)
        revision = integers(strings(body, 1)[0]).get(3, 0)
        return Answer(OK, version=str(revision))

    async def _modify(self, key: str, change: Callable[[bytes | None], bytes]) -> Answer:
        """Read, change, write if nobody else did; again while somebody did."""
        answer = Answer(REFUSED)
        for _ in range(_TRIES):
            seen = await self.get(key, strong=True)
            if seen.status != OK:
                return Answer(FAILED, reason=seen.reason)  # Nothing was written.
            value = change(seen.value)
            answer = await self.compare_and_put(key, seen.version, value)
            if answer.status != REFUSED:
                return Answer(answer.status, value, reason=answer.reason)
        return answer

    async def increment(self, key: str) -> Answer:
        """Read, add, compare and put."""
        return await self._modify(key, lambda old: str(int(old or 0) + 1).encode())

    async def add_element(self, key: str, element: str) -> Answer:
        """A key for each element."""
        return await self.put(f"{key}/{element}", b"1")

    async def edit_field(self, key: str, name: str, value: str) -> Answer:
        """Read the object, change a field, compare and put the whole."""

        def change(old: bytes | None) -> bytes:
            return json.dumps({**json.loads(old or b"{}"), name: value}).encode()

        return await self._modify(key, change)

    async def acquire(self, key: str, me: str, ttl_s: int) -> Answer:
        """Grant a lease, then create the key under it."""
        granted = await self._call(_GRANT, field(1, ttl_s))
        if granted.status != OK:
            return Answer(FAILED, reason=granted.reason)
        lease = integers(granted.value or b"")[2]
        operation = field(2, put_message(key.encode(), me.encode(), lease))
        answer = await self._compare(key, "", operation)
        return Answer(answer.status, version=str(lease), reason=answer.reason)

    async def keep(self, key: str, me: str, ttl_s: int, version: str) -> Answer:
        """Keep the lease alive."""
        answer = await self._call(_KEEP, field(1, int(version)), first_message=True)
        if answer.status != OK:
            return answer
        left_s = integers(answer.value or b"").get(3, 0)
        if left_s <= 0:
            return Answer(REFUSED)
        return Answer(OK, version=version)

    async def watch(self, prefix: str, on_value: Callable[[str, bytes], None]) -> None:
        """Watch a prefix."""
        connection = await connect(*self._address)
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(_status: int, _body: bytes) -> None:
            if not ended.done():
                ended.set_result(None)

        def on_message(message: bytes) -> None:
            for event in strings(message, 11):
                for pair in strings(event, 2):
                    value = strings(pair, 5)
                    on_value(strings(pair, 1)[0].decode(), value[0] if value else b"")

        start, end = prefix_range(prefix)
        create = field(1, field(1, start) + field(2, end))
        connection.call(_WATCH, create, done, on_message)
        try:
            await ended
        finally:
            connection.abort()

    def carry(self, token: str) -> str:
        """Nothing to carry: a linearizable read needs no token, a serializable one has none."""
        return token

    async def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.abort()
