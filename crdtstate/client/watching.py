"""A watch that outlives its connections and its peer, as decisions. No I/O, no clock.

It first learns which keys there are, and keeps key → version from then on. After a cut it asks to
resume where it was; a peer that cannot (another peer, or history that is gone) is asked for its
state instead, and what differs from the kept versions becomes put and delete events.

Invariants:
    CWA-1  A key whose version differs between two bookmarks has an event between them.
    CWA-2  An event has a revision only when all events up to that revision were given.
"""

from collections.abc import Iterator
from typing import Any, final

import msgspec

from crdtstate.client.answer import Answer, decode_body
from crdtstate.client.attempt import CONNECT_MS_MAX, SLACK_MS, Session, Try, jitter_ms
from crdtstate.client.calls import ItemShape, encode_query, to_item
from crdtstate.client.failures import error_of, unreachable
from crdtstate.errors import BehindError, CompactedError, CrdtstateError, UnavailableError
from crdtstate.model import Event

__all__ = ["IDLE_MS_MAX", "Lines", "WatchMachine"]

IDLE_MS_MAX = 15_000  # Three times the peer's interval of bookmarks: silence means a dead link.
_BACKOFF_MS, _BACKOFF_MS_MAX = 100, 2_000
_LINE_BYTES_MAX = 64 << 20
_AGAIN = frozenset({429, 502, 503})


class _Line(msgspec.Struct):
    type: str
    key: str = ""
    rev: str = ""
    token: str | None = None
    item: ItemShape | None = None
    error: dict[str, Any] | None = None


@final
class Lines:
    """Chunks in, whole lines out. Cost: O(bytes), however a long line is cut."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that `chunk` completes. Raises: UnavailableError over the limit."""
        head, newline, rest = chunk.rpartition(b"\n")
        if not newline:
            self._parts.append(chunk)
            self._bytes += len(chunk)
            if self._bytes > _LINE_BYTES_MAX:
                raise UnavailableError(
                    f"line of a watch is {self._bytes} bytes, over {_LINE_BYTES_MAX}",
                    code="bad_answer",
                )
            return []
        whole = b"".join([*self._parts, head])
        self._parts, self._bytes = [rest], len(rest)
        return [line for line in whole.split(b"\n") if line]


@final
class WatchMachine:
    """One watch. Memory: a version for each key under the prefix, none when `since` was given."""

    def __init__(
        self, session: Session, prefix: str, *, since: str | None, initial: bool, now_ms: int
    ) -> None:
        self._session, self._prefix, self._since = session, prefix, since
        self._compares = since is None
        self._mute = not initial and since is None  # The first state is learned, not told.
        self._deadline_ms = now_ms + session.timeout_ms  # For the first answer only.
        self._versions: dict[str, str] = {}
        self._listed: set[str] | None = None  # Keys of the listing under way.
        self._endpoint = session.endpoints.current
        self._opened = False
        self._failures = 0
        self._with_token = True
        self._lines = Lines()
        self._error: CrdtstateError | None = None  # What the peer said before it ended.
        self.ended = False
        """The connection has nothing more to say: close it, tell `interrupted`, plan again."""

    def plan(self) -> Try:
        """Return how to connect next."""
        query: list[tuple[str, str]] = [("prefix", self._prefix)] if self._prefix else []
        if self._since is None:
            query.append(("initial", "1"))
            self._listed = set()
            if self._mute:
                self._versions.clear()
        else:
            query.append(("since", self._since))
            self._listed = None
        timeout_ms = self._session.timeout_ms
        if len(self._session.endpoints.all) > 1 and not self._opened:
            timeout_ms = max(1, timeout_ms // 2)  # A peer that hangs leaves time for the next.
        query.append(("timeout_ms", str(timeout_ms)))
        self._lines, self.ended, self._error = Lines(), False, None
        pause_ms = 0
        if self._failures:
            rng = self._session.rng
            pause_ms = jitter_ms(rng, self._failures - 1, _BACKOFF_MS, _BACKOFF_MS_MAX)
        return Try(
            endpoint=self._endpoint,
            method="GET",
            target="/watch?" + encode_query(query),
            headers=self._session.headers(token=self._with_token),
            body=None,
            pause_ms=pause_ms,
            connect_ms=min(CONNECT_MS_MAX, timeout_ms),
            total_ms=timeout_ms + SLACK_MS,
        )

    def interrupted(self, reason: str, now_ms: int) -> None:
        """Note a connection that failed or ended.

        Raises: UnavailableError when none worked in time, CompactedError when the caller must list.
        """
        if isinstance(self._error, CompactedError):
            self._relist(self._error)
        else:
            self._leave(self._error or unreachable(self._endpoint, reason), now_ms)

    def opened(self) -> None:
        """Note an answer with status 200; its body goes to `feed`."""
        self._session.endpoints.answered(self._endpoint)

    def refused(self, answer: Answer, now_ms: int) -> None:
        """Note any other answer. Raises: CrdtstateError when no other peer can help."""
        error = error_of(answer)
        if isinstance(error, CompactedError):
            self._relist(error)
        elif isinstance(error, BehindError):
            # Going on with an older state is better than not going on; see `watch` of the clients.
            self._with_token = self._with_token and not self._opened
            self._leave(error, now_ms)
        elif answer.status in _AGAIN:
            self._leave(error, now_ms)
        else:
            raise error

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that `chunk` completes."""
        for data in self._lines.feed(chunk):
            line = decode_body(data, _Line)
            match line.type:
                case "put" if line.item is not None:
                    yield from self._put(line, line.item)
                case "delete":
                    yield from self._delete(line)
                case "bookmark":
                    yield from self._bookmark(line)
                case "error":
                    self._end(line.error or {})
                    return
                case _:
                    continue  # A kind of line from a later version of the API.

    def _put(self, line: _Line, shape: ItemShape) -> Iterator[Event]:
        key, listing = line.key, self._listed is not None
        if self._listed is not None:
            self._listed.add(key)
        else:
            self._since = line.rev
        if self._compares:
            if self._versions.get(key) == shape.version:
                return
            self._versions[key] = shape.version
        if not self._mute:
            revision = None if listing else line.rev
            yield Event(type="put", key=key, item=to_item(shape), revision=revision)

    def _delete(self, line: _Line) -> Iterator[Event]:
        if self._listed is not None:
            self._listed.discard(line.key)
            return  # The bookmark at the end of the listing tells it.
        self._since = line.rev
        if not self._compares or self._versions.pop(line.key, None) is not None:
            yield Event(type="delete", key=line.key, revision=line.rev)

    def _bookmark(self, line: _Line) -> Iterator[Event]:
        if self._listed is not None:
            gone = [key for key in self._versions if key not in self._listed]
            for key in gone:
                # Dropped once the reader has it: one that stops here has not seen the rest.
                yield Event(type="delete", key=key)
                del self._versions[key]
            self._listed = None
        self._since, self._mute = line.rev, False
        self._opened, self._failures, self._with_token = True, 0, True
        if line.token:
            self._session.kept.observe(line.token)
        yield Event(type="bookmark", revision=line.rev)

    def _end(self, error: dict[str, Any]) -> None:
        self.ended = True
        code, message = str(error.get("code", "")), str(error.get("message", ""))
        compacted = code in ("revision_compacted", "foreign_revision")
        self._error = (CompactedError if compacted else UnavailableError)(message, code=code)

    def _relist(self, error: CrdtstateError) -> None:
        if not self._compares:
            raise error  # Only the caller knows what it had at `since`.
        self._since = None

    def _leave(self, error: CrdtstateError, now_ms: int) -> None:
        if not self._opened and now_ms >= self._deadline_ms:
            raise error
        self._failures += 1
        endpoints = self._session.endpoints
        endpoints.failed(self._endpoint)
        self._endpoint = endpoints.current
