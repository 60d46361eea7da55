"""What a client may expect of its session, checked from the client's side.

Invariants:
    SES-1  A session never reads an older state than it has seen: every answer's token covers all
           tokens before it (read your writes, monotonic reads, writes follow reads).
    SES-2  What is read is the specification at the token that comes with it (causal consistency).

Of watches it checks what the API promises (WAT-1: at each bookmark the events add up to the
specified state of that revision; WAT-3: revisions never go back).
"""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, final
from urllib.parse import parse_qsl, unquote

from crdtstate.client.answer import Answer
from crdtstate.client.attempt import Try
from crdtstate.client.watching import Lines
from crdtstate.crdt.codec import encode_record
from crdtstate.crdt.dots import Vector, covers_all
from crdtstate.sim.violation import Violation, require
from crdtstate.store.reading import find_view
from crdtstate.tokens import decode_token

if TYPE_CHECKING:
    from crdtstate.sim.world import Host, World

__all__ = ["SessionChecker", "WatchChecker"]

TIMED_PREFIX = "t/"  # Keys that expire: what is visible depends on a host's clock.


@final
class _Specified:
    """The records that the specification gives at a vector, as something to read from."""

    def __init__(self, world: "World", vector: Vector) -> None:
        self._oracle, self._vector = world.checkers.oracle, vector

    def get(self, key: bytes) -> bytes | None:
        """Return a record; there are no graves here, so that every life is looked at."""
        if key[:1] != b"r":
            return b"" if key[:1] == b"g" else None
        record = self._oracle.record(key[1:], self._vector)
        return encode_record(record) if record else None

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield all lives of one key."""
        del reverse
        key = start[1:].partition(b"\0")[0]
        for record_id in sorted(self._oracle.lives_of.get(key, ())):
            data = self.get(b"r" + record_id)
            if data is not None and start <= b"r" + record_id < stop:
                yield b"r" + record_id, data


@final
class SessionChecker:
    """Sees every answer of one client, in order."""

    def __init__(self, world: "World", name: str) -> None:
        self._world, self._name = world, name
        self.seen: Vector = {}

    def observe(self, host: "Host", planned: Try, answer: Answer) -> None:
        """Take one answer."""
        try:
            self._observe(host, planned, answer)
        except Violation as violation:
            self._world.checkers.fail(violation)

    def _observe(self, host: "Host", planned: Try, answer: Answer) -> None:
        checkers = self._world.checkers
        checkers.counts["answers"] += 1
        checkers.digest.update(repr((host.name, answer.status, answer.body)).encode())
        token = answer.headers.get("crdtstate-token")
        if answer.status >= 400 and answer.status != 404:
            alone = "w=" not in planned.target and "peers=" not in planned.target
            require(
                not (alone and b'"not_enough_replicas"' in answer.body), "AVL-1",
                f"{host.name} waits for others to answer {planned.method} {planned.target}",
            )  # fmt: skip
            return
        require(token is not None, "API-2", f"{host.name} answered without a token")
        vector = decode_token(token or "")
        if "Crdtstate-Token" in planned.headers and not planned.target.startswith("/wait"):
            require(
                covers_all(vector, self.seen), "SES-1",
                f"{self._name} has seen {self.seen}, {host.name} answers from {vector}",
            )  # fmt: skip
        self.seen = {o: max(vector.get(o, 0), self.seen.get(o, 0)) for o in {**vector, **self.seen}}
        path, _, query = planned.target.partition("?")
        key = unquote(path.removeprefix("/kv/"))
        plain = planned.method == "GET" and path.startswith("/kv/") and key and "sib" not in query
        if plain and not key.startswith(TIMED_PREFIX):
            self._check_read(host, key, vector, answer)

    def _check_read(self, host: "Host", key: str, vector: Vector, answer: Answer) -> None:
        found = find_view(_Specified(self._world, vector), key.encode(), host.clock.wall_ms())
        self._world.checkers.counts["reads"] += 1
        if found is None:
            require(answer.status == 404, "SES-2", f"{host.name} shows {key}, which is not there")
            return
        view, _ = found
        where = f"{host.name}: {key} at {vector}"
        require(answer.status == 200, "SES-2", f"{where} is there, and the answer is 404")
        version = answer.headers.get("crdtstate-version")
        require(version == view.version, "SES-2", f"{where} is {version}, not {view.version}")
        shown = answer.body if view.type_name == "register" else json.loads(answer.body)
        require(shown == view.value, "SES-2", f"{where} reads {shown!r}, not {view.value!r}")


@final
class WatchChecker:
    """Sees every line of one stream of a watch; one that resumes goes on from what was told."""

    def __init__(
        self, world: "World", host: "Host", target: str, before: "WatchChecker | None"
    ) -> None:
        self._world, self._host = world, host
        query = dict(parse_qsl(target.partition("?")[2]))
        self._prefix = query.get("prefix", "")
        self._lines = Lines()
        self._view: dict[str, str | None] | None = {} if "initial" in query else None
        self._last = ("", -1)
        self._bookmarks = self._chunks = 0
        if "since" in query and before is not None:  # It goes on where the last one was cut.
            self._view, self._bookmarks = before._view, before._bookmarks
            origin, _, number = query["since"].rpartition("-")
            self._last = (origin, int(number))

    def feed(self, chunk: bytes) -> None:
        """Take a chunk."""
        try:
            for line in self._lines.feed(chunk):
                self._take(json.loads(line))
            self._chunks += 1
            if self._chunks % 4 == 0 and self._bookmarks and self._view is not None:
                self._check_told()
        except Violation as violation:
            self._world.checkers.fail(violation)

    def _take(self, line: dict[str, Any]) -> None:
        self._world.checkers.counts["watch_lines"] += 1
        self._world.checkers.digest.update(repr(sorted(line.items())).encode())
        origin, _, number = line["rev"].rpartition("-")
        revision = int(number)
        if origin == self._last[0]:
            require(revision >= self._last[1], "WAT-3", f"{revision} after {self._last[1]}")
        self._last = (origin, revision)
        if line["type"] in ("put", "delete"):
            if self._view is not None:
                item = line.get("item")
                self._view[line["key"]] = item["version"] if item else None
        elif line["type"] == "bookmark" and self._view is not None:
            self._bookmarks += 1
            if self._bookmarks == 1:  # The first state is that of its revision, or later.
                return
            self._check(decode_token(line["token"]), int(origin, 16), revision)

    def _check_told(self) -> None:
        """Who was told the newest revision has the state that the host shows."""
        origin, revision = int(self._last[0], 16), self._last[1]
        if (peer := self._host.peer) is not None and self._host.is_up:
            store, shown = peer.replica.store, peer.replica.shown
            if store.origin == origin and shown.revision == revision:
                self._check(shown.vector, origin, revision)

    def _check(self, vector: Vector, origin: int, revision: int) -> None:
        """The bookmark's token belongs to its revision when nothing has come in between."""
        checkers, view = self._world.checkers, self._view
        assert view is not None
        if checkers.vector_at(origin, revision) != {o: s for o, s in vector.items() if s}:
            return
        reader, wall_ms = _Specified(self._world, vector), self._host.clock.wall_ms()
        checkers.counts["bookmarks"] += 1
        for key in list(checkers.oracle.lives_of):
            text = key.decode("utf-8", "replace")
            if not text.startswith(self._prefix) or text.startswith(TIMED_PREFIX) or key < b"\x20":
                continue
            found = find_view(reader, key, wall_ms)
            wanted = found[0].version if found else None
            require(
                view.get(text) == wanted, "WAT-1",
                f"watch of {self._prefix!r} on {self._host.name} at revision {revision} shows "
                f"{text} as {view.get(text)}, specified is {wanted}",
            )  # fmt: skip


def make_tap(world: "World") -> "Callable[[Host, str], Callable[[bytes], None]]":
    """Return what looks at the streams of a client, one after the other."""
    before: WatchChecker | None = None

    def tap(host: "Host", target: str) -> Callable[[bytes], None]:
        nonlocal before
        if not target.startswith("/watch"):  # One of the resource API; its client looks itself.
            return lambda _chunk: None
        before = WatchChecker(world, host, target, before)
        return before.feed

    return tap
