"""EDGE: the asynchronous client, on aiohttp. One belongs to one event loop."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Literal, Self, TypeVar, Unpack, final

import structlog

from crdtstate.client import calls, cluster_calls
from crdtstate.client.aio_handles import (
    AsyncBounded,
    AsyncCounter,
    AsyncFlag,
    AsyncMap,
    AsyncSet,
)
from crdtstate.client.aio_link import AsyncLink, Link
from crdtstate.client.answer import Answer
from crdtstate.client.calls import Call, WriteOptions
from crdtstate.client.failures import LinkError
from crdtstate.client.options import build_session, to_ms
from crdtstate.client.resources import Resources
from crdtstate.client.txn import Transaction
from crdtstate.client.watching import IDLE_MS_MAX, WatchMachine
from crdtstate.model import (
    BackupInfo,
    Conflict,
    ConflictValue,
    Event,
    Item,
    KeyInfo,
    MemberInfo,
    Page,
    Reach,
    Status,
    WriteResult,
)

__all__ = ["AsyncClient"]

T = TypeVar("T")
_log = structlog.get_logger("crdtstate.client")


def _now_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000)


@final
class AsyncClient:
    """The asynchronous twin of `Client`: the same calls, errors and guarantees.

    async with AsyncClient("127.0.0.1:7480") as client:
        await client.put("greeting", "hello")
        async with aclosing(client.watch("greet", initial=True)) as events:
            async for event in events:
                ...
    """

    def __init__(
        self,
        endpoints: str | Sequence[str],
        *,
        token_file: str | Path | None = None,
        auth_token: str | None = None,
        timeout: float = 5.0,
        causal: bool = True,
        w: int | str = 1,
        link: Link | None = None,
        rng: Random | None = None,
    ) -> None:
        """Nothing is sent yet; the arguments are those of `Client`.

        `link` and `rng` are for a simulated world: what carries requests, and chance.
        """
        self._session = build_session(
            endpoints, token_file=token_file, auth_token=auth_token,
            timeout=timeout, causal=causal, w=w, rng=rng,
        )  # fmt: skip
        self._link: Link = link or AsyncLink()
        self._resources = Resources(self._session, self._link, self._call)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; calls and watches under way end."""
        await self._link.close()

    async def _call(self, call: Call[T], timeout_ms: int | None = None) -> T:
        now = _now_ms()
        attempt = self._session.begin(call, now, timeout_ms)
        while True:
            planned = attempt.plan(now)
            if planned.pause_ms:
                await asyncio.sleep(planned.pause_ms / 1000)
            try:
                answer = await self._link.exchange(planned)
            except LinkError as failure:
                now = _now_ms()
                attempt.failed(failure, now)
                continue
            now = _now_ms()
            if attempt.is_settled_by(answer, now):
                return call.parse(answer)

    # -- keys ------------------------------------------------------------------------------------

    async def put(
        self,
        key: str,
        value: bytes | str,
        *,
        ttl: float | None = None,
        **options: Unpack[WriteOptions],
    ) -> WriteResult:
        """Create or replace a register; see `Client.put`."""
        return await self._call(calls.put(key, value, ttl, options))

    async def get(self, key: str) -> Item | None:
        """Return a key of any type, None when there is none."""
        return await self._call(calls.get(key))

    async def get_value(self, key: str) -> Any:
        """Return the bytes of a register or the JSON value of another type, None for no key."""
        item = await self.get(key)
        return None if item is None else item.value

    async def siblings(self, key: str) -> tuple[ConflictValue, ...]:
        """Return all concurrent values of a key. Raises: NotFoundError."""
        return await self._call(calls.siblings(key))

    async def delete(self, key: str, **options: Unpack[WriteOptions]) -> bool:
        """Delete a key; False when it was not there, or an earlier, lost try has deleted it."""
        return await self._call(calls.delete(key, options))

    async def page(
        self,
        prefix: str = "",
        *,
        limit: int | None = None,
        start: str | None = None,
        keys_only: bool = False,
    ) -> Page:
        """Return one page of a listing, a consistent state. `start` is the `next` of another."""
        return await self._call(calls.page(prefix, limit, start, keys_only=keys_only))

    async def list(self, prefix: str = "", limit: int | None = None) -> AsyncGenerator[Item]:
        """Yield the keys under a prefix in byte order, at most `limit`; each page is consistent."""
        left, start = limit, None
        while left is None or left > 0:
            size = calls.PAGE_LIMIT if left is None else min(left, calls.PAGE_LIMIT)
            page = await self.page(prefix, limit=size, start=start)
            for item in page.items:
                yield item
            left, start = None if left is None else left - len(page.items), page.next
            if start is None:
                return

    async def watch(
        self, prefix: str = "", *, since: str | None = None, initial: bool = False
    ) -> AsyncGenerator[Event]:
        """Yield what changes under a prefix, for ever; `Client.watch` tells what is promised.

        Leave it with `contextlib.aclosing`, so that its connection closes at once.
        """
        machine = WatchMachine(
            self._session, prefix, since=since, initial=initial, now_ms=_now_ms()
        )
        while not self._link.closed:
            planned = machine.plan()
            if planned.pause_ms:
                await asyncio.sleep(planned.pause_ms / 1000)
            reason = "the stream ended"
            try:
                async with self._link.stream(planned, IDLE_MS_MAX) as stream:
                    if isinstance(stream, Answer):
                        machine.refused(stream, _now_ms())
                        continue
                    machine.opened()
                    async for chunk in stream:
                        for event in machine.feed(chunk):
                            yield event
                        if machine.ended:
                            break
            except LinkError as failure:
                reason = failure.reason
            if self._link.closed:
                return
            _log.info("watch_interrupted", endpoint=planned.endpoint, reason=reason)
            machine.interrupted(reason, _now_ms())

    @asynccontextmanager
    async def transaction(self, *, w: int | str | None = None) -> AsyncIterator[Transaction]:
        """Collect operations; they are committed together when the block ends without an error."""
        transaction = Transaction()
        yield transaction
        call = calls.transact(transaction.operations, transaction.preconditions, w)
        transaction.result = await self._call(call)

    def map(self, key: str) -> AsyncMap:
        """Return the map at `key`, which need not exist."""
        return AsyncMap(self._call, key)

    def set(self, key: str) -> AsyncSet:
        """Return the set at `key`, which need not exist."""
        return AsyncSet(self._call, key)

    def counter(self, key: str) -> AsyncCounter:
        """Return the counter at `key`, which need not exist."""
        return AsyncCounter(self._call, key)

    def flag(self, key: str) -> AsyncFlag:
        """Return the flag at `key`, which need not exist."""
        return AsyncFlag(self._call, key)

    def bounded(self, key: str) -> AsyncBounded:
        """Return the bounded counter at `key`, which need not exist."""
        return AsyncBounded(self._call, key)

    async def apply(
        self,
        key: str,
        document: Mapping[str, Any],
        *,
        manager: str = "default",
        **options: Unpack[WriteOptions],
    ) -> WriteResult:
        """Set what is given, remove what this manager gave before and no longer gives."""
        return await self._call(calls.apply(key, document, manager, options))

    @property
    def resources(self) -> Resources:
        """The resource API: objects of Kubernetes' kinds and of your own."""
        return self._resources

    # -- cluster ---------------------------------------------------------------------------------

    @property
    def token(self) -> str | None:
        """Causal token of everything this client has seen, None before the first answer."""
        return self._session.kept.text

    def observe(self, token: str) -> None:
        """Include the token of another client in this one's. Raises: InvalidError."""
        self._session.kept.observe(token)

    async def wait(
        self,
        token: str | None = None,
        peers: int | str = "all",
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the peer is told it, too.
    ) -> Reach:
        """Return once so many peers have all of `token`, or of this client's, durable.

        Args:
            timeout: Seconds, at most 60.

        Raises: BehindError (code not_enough_replicas).
        """
        call = cluster_calls.wait(token or self.token, peers)
        return await self._call(call, None if timeout is None else to_ms(timeout))

    async def status(self) -> Status:
        """Return how the peer that answers is."""
        return await self._call(cluster_calls.status())

    async def members(self) -> tuple[MemberInfo, ...]:
        """Return the members as the peer that answers sees them."""
        return await self._call(cluster_calls.members())

    async def conflicts(self, prefix: str = "") -> AsyncGenerator[Conflict]:
        """Yield the places where concurrent writes met."""
        start: str | None = None
        while True:
            found, start = await self._call(cluster_calls.conflict_page(prefix, start))
            for conflict in found:
                yield conflict
            if start is None:
                return

    async def forget(self, name: str) -> None:
        """Remove a member for good. Raises: NotFoundError (code no_such_member)."""
        await self._call(cluster_calls.forget(name))

    # The rest means one certain peer, the one this client is at: there is no fail-over.

    async def backup(
        self,
        path: str | Path,
        *,
        timeout: float = 60.0,  # noqa: ASYNC109 - the peer is told it, too.
    ) -> BackupInfo:
        """Write a checkpoint to a new directory on the peer's disk."""
        return await self._call(cluster_calls.backup(str(path)), to_ms(timeout))

    async def keys(self) -> tuple[KeyInfo, ...]:
        """Return the ids of the cluster's keys."""
        return await self._call(cluster_calls.keys())

    async def add_key(self, key: str) -> tuple[KeyInfo, ...]:
        """Let the peer accept a key, given in base64: the first step of a rotation."""
        return await self._call(cluster_calls.change_keys("add", key))

    async def use_key(self, key_id: str) -> tuple[KeyInfo, ...]:
        """Let the peer send with a key: the second step, when all peers have it."""
        return await self._call(cluster_calls.change_keys("use", key_id))

    async def remove_key(self, key_id: str) -> tuple[KeyInfo, ...]:
        """Let the peer forget a key: the last step, when all peers use the new one."""
        return await self._call(cluster_calls.change_keys("remove", key_id))

    async def cut(self, peer: str, direction: Literal["both", "in", "out"] = "both") -> None:
        """Cut the link to a member. Raises: InvalidError (code not_dev)."""
        await self._call(cluster_calls.dev("cut", {"peer": peer, "direction": direction}))

    async def fault(self, peer: str, *, drop: float = 0.0, delay_ms: int = 0) -> None:
        """Lose a part of the datagrams to a member, and delay the rest."""
        body = {"peer": peer, "drop": drop, "delay_ms": delay_ms}
        await self._call(cluster_calls.dev("fault", body))

    async def heal(self, peer: str | None = None) -> None:
        """End the faults to one member, or all."""
        await self._call(cluster_calls.dev("heal", {"peer": peer}))
