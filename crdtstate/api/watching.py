"""GET /watch: the log as lines of JSON, from a cursor, for as long as the client stays.

Invariants:
    WAT-3  A watcher holds a cursor and at most one chunk, however slow its client reads.
    WAT-4  With since=R the lines hold every key that changed after R, or the answer is 410.
    WAT-5  A watch that has told all waits for the replica to announce more; storage may show a
           batch a moment before it does.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any, final

import msgspec

from crdtstate.api.exchange import Request, Response
from crdtstate.api.keys import item_of, parse_prefix
from crdtstate.api.ports import Backend
from crdtstate.errors import CompactedError, UnavailableError
from crdtstate.store.reading import list_views
from crdtstate.store.watch import Change, format_revision, parse_revision, read_changes

__all__ = ["WatchHandler"]

BOOKMARK_MS_DEFAULT, BOOKMARK_MS_MAX = 5_000, 600_000
_CHUNK = 256
_LINES, _LINES_BYTES = 128, 256 << 10
_encode = msgspec.json.Encoder().encode


@final
class WatchHandler:
    """Serves watches; at most `backend.watches_max` at once."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.open = 0

    async def watch(self, request: Request) -> Response:
        """GET /watch. Raises: CompactedError, InvalidError, UnavailableError."""
        backend = self._backend
        prefix = parse_prefix(request)
        bookmark_ms = request.integer("bookmark_ms", BOOKMARK_MS_DEFAULT, 100, BOOKMARK_MS_MAX)
        initial = request.flag("initial")
        since = request.query.get("since")
        cursor = backend.revision
        if since:
            cursor = parse_revision(since, backend.origin)
            with closing(backend.snapshot()) as snapshot:  # Refused now, not in the stream.
                read_changes(snapshot, cursor, prefix, 1, backend.wall_ms())
        if self.open >= backend.watches_max:
            raise UnavailableError(
                f"{self.open} watches are open, over watches_max={backend.watches_max}",
                code="too_many_watches",
                limit=backend.watches_max,
            )
        lines = self._lines(cursor, prefix, bookmark_ms, initial=initial and not since)
        return Response(200, b"", "application/x-ndjson", stream=lines)

    def _encode_some(self, changes: Iterator[Change]) -> bytes:
        """Return the lines of the next changes, few enough not to hold up anybody else."""
        lines: list[bytes] = []
        size = 0
        for change in changes:
            line: dict[str, Any] = {
                "type": "put" if change.entry else "delete",
                "key": change.key,
                "rev": format_revision(self._backend.origin, change.revision),
            }
            if change.entry:
                line["item"] = item_of(change.entry)
            lines.append(_encode(line) + b"\n")
            size += len(lines[-1])
            if size > _LINES_BYTES or len(lines) >= _LINES:
                break
        return b"".join(lines)

    def _bookmark(self, cursor: int) -> bytes:
        backend = self._backend
        rev = format_revision(backend.origin, cursor)
        return _encode({"type": "bookmark", "rev": rev, "token": backend.token}) + b"\n"

    async def _lines(
        self, cursor: int, prefix: bytes, bookmark_ms: int, *, initial: bool
    ) -> AsyncIterator[bytes]:
        backend, origin = self._backend, self._backend.origin
        self.open += 1
        try:
            if initial:
                async for line in self._initial(prefix, cursor):
                    yield line
            yield self._bookmark(cursor)
            while True:
                if backend.revision <= cursor:  # WAT-5
                    if not await backend.wait_revision(cursor, bookmark_ms):
                        yield self._bookmark(cursor)
                    continue
                if backend.origin != origin:
                    raise CompactedError(
                        "this peer took a new identity: list again", code="foreign_revision"
                    )
                with closing(backend.snapshot()) as snapshot:
                    chunk = read_changes(snapshot, cursor, prefix, _CHUNK, backend.wall_ms())
                    told = False
                    while lines := self._encode_some(chunk.changes):
                        await backend.announced()  # API-3
                        yield lines
                        told = True
                cursor = chunk.revision
                if not told:
                    yield b""  # A turn for others, as after lines.
        except (CompactedError, UnavailableError) as error:
            rev = format_revision(origin, cursor)
            body = {"code": error.code, "message": error.message}
            yield _encode({"type": "error", "rev": rev, "error": body}) + b"\n"
        finally:
            self.open -= 1

    async def _initial(self, prefix: bytes, cursor: int) -> AsyncIterator[bytes]:
        """The state at `cursor` or later, page by page; what changes meanwhile follows after."""
        backend = self._backend
        rev = format_revision(backend.origin, cursor)
        after: bytes | None = None
        while True:
            with closing(backend.snapshot()) as snapshot:
                entries, after = list_views(snapshot, prefix, after, _CHUNK, backend.wall_ms())
            lines = [
                _encode({"type": "put", "key": e.key, "rev": rev, "item": item_of(e)}) + b"\n"
                for e in entries
            ]
            if lines:
                await backend.announced()  # API-3
                yield b"".join(lines)
            if after is None:
                return
