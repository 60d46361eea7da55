"""EDGE: the blocking client, on the standard library. Threads may share one."""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, Unpack, final

import structlog

from crdtstate.client import calls, cluster_calls
from crdtstate.client.answer import Answer
from crdtstate.client.blocking_resources import BlockingResources
from crdtstate.client.calls import Call, WriteOptions
from crdtstate.client.connections import Connections, now_ms
from crdtstate.client.failures import LinkError
from crdtstate.client.handles import Bounded, Counter, Flag, Map, Set
from crdtstate.client.options import build_session, to_ms
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

__all__ = ["Client"]

T = TypeVar("T")
_log = structlog.get_logger("crdtstate.client")


@final
class Client:
    """A client of any number of peers: it stays with one that answers, and goes on to the next.

    Every call raises a CrdtstateError: UnavailableError when no peer answered in time,
    UnknownOutcomeError when a write may or may not have happened, else what the peer said.

    >>> client.put("greeting", "hello").replicas
    1
    >>> client.get_value("greeting")
    b'hello'
    >>> client.get("nothing") is None
    True
    >>> client.delete("greeting"), client.delete("greeting")
    (True, False)
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
    ) -> None:
        """Nothing is sent yet.

        Args:
            endpoints: "host:port", several with commas, or a sequence; tried in this order.
            token_file: File with the bearer token of the peers' API, if they want one.
            auth_token: The token itself; it wins over the file.
            timeout: Seconds that one call may take, with all its retries.
            causal: Whether every request asks for a state that includes all answers so far.
            w: How many replicas must have a write durable: a number, "majority" or "all".
        """
        self._session = build_session(
            endpoints, token_file=token_file, auth_token=auth_token,
            timeout=timeout, causal=causal, w=w,
        )  # fmt: skip
        self._connections = Connections()
        self._resources = BlockingResources(self._session, self._connections, self._call)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; calls and watches under way end."""
        self._connections.close()

    def _call(self, call: Call[T], timeout_ms: int | None = None) -> T:
        now = now_ms()
        attempt = self._session.begin(call, now, timeout_ms)
        while True:
            planned = attempt.plan(now)
            if planned.pause_ms:
                time.sleep(planned.pause_ms / 1000)
            try:
                answer = self._connections.exchange(planned)
            except LinkError as failure:
                now = now_ms()
                attempt.failed(failure, now)
                continue
            now = now_ms()
            if attempt.is_settled_by(answer, now):
                return call.parse(answer)

    # -- keys ------------------------------------------------------------------------------------

    def put(
        self,
        key: str,
        value: bytes | str,
        *,
        ttl: float | None = None,
        **options: Unpack[WriteOptions],
    ) -> WriteResult:
        """Create or replace a register.

        Args:
            ttl: Seconds after which it goes by itself.
            options: `w`, and `if_version`, `if_absent`, `if_exists`: preconditions on the state
                of the peer that answers, never a lock.

        Raises: PreconditionError, TooLargeError, WrongTypeError.

        >>> first = client.put("leader", "a", if_absent=True)
        >>> client.put("leader", "b", if_version=first.version).changed is None
        True
        """
        return self._call(calls.put(key, value, ttl, options))

    def get(self, key: str) -> Item | None:
        """Return a key of any type, None when there is none."""
        return self._call(calls.get(key))

    def get_value(self, key: str) -> Any:
        """Return the bytes of a register or the JSON value of another type, None for no key."""
        item = self.get(key)
        return None if item is None else item.value

    def siblings(self, key: str) -> tuple[ConflictValue, ...]:
        """Return all concurrent values of a key. Raises: NotFoundError."""
        return self._call(calls.siblings(key))

    def delete(self, key: str, **options: Unpack[WriteOptions]) -> bool:
        """Delete a key; False when it was not there, or an earlier, lost try has deleted it."""
        return self._call(calls.delete(key, options))

    def page(
        self,
        prefix: str = "",
        *,
        limit: int | None = None,
        start: str | None = None,
        keys_only: bool = False,
    ) -> Page:
        """Return one page of a listing, a consistent state. `start` is the `next` of another."""
        return self._call(calls.page(prefix, limit, start, keys_only=keys_only))

    def list(self, prefix: str = "", limit: int | None = None) -> Iterator[Item]:
        """Yield the keys under a prefix in byte order, at most `limit`; each page is consistent.

        >>> for name in ("b", "a", "c"):
        ...     _ = client.put("list/" + name, name)
        >>> [item.key for item in client.list("list/", limit=2)]
        ['list/a', 'list/b']
        """
        left, start = limit, None
        while left is None or left > 0:
            size = calls.PAGE_LIMIT if left is None else min(left, calls.PAGE_LIMIT)
            page = self.page(prefix, limit=size, start=start)
            yield from page.items
            left, start = None if left is None else left - len(page.items), page.next
            if start is None:
                return

    def watch(
        self, prefix: str = "", *, since: str | None = None, initial: bool = False
    ) -> Generator[Event]:
        """Yield what changes under a prefix, for ever; cuts and failing peers are survived.

        Between two bookmarks every key that changed has an event, with its newest state. After a
        fail-over the new peer may know less than the old one did: events then may step back, until
        the two peers have met; and a key that has not changed may be put again. With `initial` the
        current keys come first, as puts. With `since` (a revision of the peer that is asked) the
        watch resumes there, but only the caller knows the state before it: where a plain watch
        would compare, this one raises CompactedError, and the caller lists again.

        Memory: a version for each key under the prefix; none with `since`.

        >>> _ = client.put("jobs/1", "queued")
        >>> events = client.watch("jobs/", initial=True)
        >>> event = next(events)
        >>> event.type, event.key, event.item.value
        ('put', 'jobs/1', b'queued')
        >>> next(events).type
        'bookmark'
        >>> events.close()
        """
        machine = WatchMachine(self._session, prefix, since=since, initial=initial, now_ms=now_ms())
        while not self._connections.closed:
            planned = machine.plan()
            time.sleep(planned.pause_ms / 1000)
            reason = "the stream ended"
            try:
                with self._connections.stream(planned, IDLE_MS_MAX) as stream:
                    if isinstance(stream, Answer):
                        machine.refused(stream, now_ms())
                        continue
                    machine.opened()
                    for chunk in stream:
                        yield from machine.feed(chunk)
                        if machine.ended:
                            break
            except LinkError as failure:
                reason = failure.reason
            if self._connections.closed:
                return
            _log.info("watch_interrupted", endpoint=planned.endpoint, reason=reason)
            machine.interrupted(reason, now_ms())

    @contextmanager
    def transaction(self, *, w: int | str | None = None) -> Iterator[Transaction]:
        """Collect operations; they are committed together when the block ends without an error.

        >>> with client.transaction() as txn:
        ...     txn.require("account", absent=True)
        ...     txn.put("account", "open")
        ...     txn.set_add("accounts", "account")
        >>> client.get_value("account"), client.get_value("accounts")
        (b'open', ['account'])
        """
        transaction = Transaction()
        yield transaction
        call = calls.transact(transaction.operations, transaction.preconditions, w)
        transaction.result = self._call(call)

    def map(self, key: str) -> Map:
        """Return the map at `key`, which need not exist."""
        return Map(self._call, key)

    def set(self, key: str) -> Set:
        """Return the set at `key`, which need not exist."""
        return Set(self._call, key)

    def counter(self, key: str) -> Counter:
        """Return the counter at `key`, which need not exist."""
        return Counter(self._call, key)

    def flag(self, key: str) -> Flag:
        """Return the flag at `key`, which need not exist."""
        return Flag(self._call, key)

    def bounded(self, key: str) -> Bounded:
        """Return the bounded counter at `key`, which need not exist."""
        return Bounded(self._call, key)

    def apply(
        self,
        key: str,
        document: Mapping[str, Any],
        *,
        manager: str = "default",
        **options: Unpack[WriteOptions],
    ) -> WriteResult:
        """Set what is given, remove what this manager gave before and no longer gives.

        >>> _ = client.apply("app", {"image": "web:1", "replicas": 2}, manager="me")
        >>> _ = client.apply("app", {"image": "web:2"}, manager="me")
        >>> client.get_value("app")
        {'image': 'web:2'}
        """
        return self._call(calls.apply(key, document, manager, options))

    @property
    def resources(self) -> BlockingResources:
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

    def wait(
        self,
        token: str | None = None,
        peers: int | str = "all",
        *,
        timeout: float | None = None,
    ) -> Reach:
        """Return once so many peers have all of `token`, or of this client's, durable.

        Args:
            timeout: Seconds, at most 60.

        Raises: BehindError (code not_enough_replicas).

        >>> _ = client.put("a", "1")
        >>> client.wait(peers=1).missing
        ()
        """
        call = cluster_calls.wait(token or self.token, peers)
        return self._call(call, None if timeout is None else to_ms(timeout))

    def status(self) -> Status:
        """Return how the peer that answers is."""
        return self._call(cluster_calls.status())

    def members(self) -> tuple[MemberInfo, ...]:
        """Return the members as the peer that answers sees them."""
        return self._call(cluster_calls.members())

    def conflicts(self, prefix: str = "") -> Iterator[Conflict]:
        """Yield the places where concurrent writes met.

        >>> list(client.conflicts())
        []
        """
        start: str | None = None
        while True:
            found, start = self._call(cluster_calls.conflict_page(prefix, start))
            yield from found
            if start is None:
                return

    def forget(self, name: str) -> None:
        """Remove a member for good. Raises: NotFoundError (code no_such_member)."""
        self._call(cluster_calls.forget(name))

    # The rest means one certain peer, the one this client is at: there is no fail-over.

    def backup(self, path: str | Path, *, timeout: float = 60.0) -> BackupInfo:
        """Write a checkpoint to a new directory on the peer's disk."""
        return self._call(cluster_calls.backup(str(path)), to_ms(timeout))

    def keys(self) -> tuple[KeyInfo, ...]:
        """Return the ids of the cluster's keys."""
        return self._call(cluster_calls.keys())

    def add_key(self, key: str) -> tuple[KeyInfo, ...]:
        """Let the peer accept a key, given in base64: the first step of a rotation."""
        return self._call(cluster_calls.change_keys("add", key))

    def use_key(self, key_id: str) -> tuple[KeyInfo, ...]:
        """Let the peer send with a key: the second step, when all peers have it."""
        return self._call(cluster_calls.change_keys("use", key_id))

    def remove_key(self, key_id: str) -> tuple[KeyInfo, ...]:
        """Let the peer forget a key: the last step, when all peers use the new one."""
        return self._call(cluster_calls.change_keys("remove", key_id))

    def cut(self, peer: str, direction: Literal["both", "in", "out"] = "both") -> None:
        """Cut the link to a member. Raises: InvalidError (code not_dev)."""
        self._call(cluster_calls.dev("cut", {"peer": peer, "direction": direction}))

    def fault(self, peer: str, *, drop: float = 0.0, delay_ms: int = 0) -> None:
        """Lose a part of the datagrams to a member, and delay the rest."""
        self._call(cluster_calls.dev("fault", {"peer": peer, "drop": drop, "delay_ms": delay_ms}))

    def heal(self, peer: str | None = None) -> None:
        """End the faults to one member, or all."""
        self._call(cluster_calls.dev("heal", {"peer": peer}))
