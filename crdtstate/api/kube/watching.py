"""Watches: what there is, then everything that happens, in this peer's order, a line each.

Source: Kubernetes API concepts, "Efficient detection of changes"; KEP-956 (bookmarks), KEP-3157
(sendInitialEvents).

Invariants:
    KWA-1  With `sendInitialEvents` no bookmark goes before the one that ends the initial events.
    KWA-2  An object that stops to match the selectors is DELETED for the client, one that starts
           is ADDED; nothing is left out or put together while the client keeps pace.
    KWA-3  A version that this peer did not give, or no longer remembers, is told to be expired: a
           client that went on from it would keep objects that no longer exist. It is told in the
           stream, as upstream does: kopf ends at an answer of 410, and lists again at an event.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, final

from crdtstate.api.exchange import Request, Response
from crdtstate.api.kube.answers import encode, partial
from crdtstate.api.kube.lists import parse_version
from crdtstate.api.kube.negotiation import Form, choose_form
from crdtstate.api.kube.options import ListOptions, parse_list
from crdtstate.api.kube.pieces import in_pieces
from crdtstate.api.kube.routes import Route
from crdtstate.api.kube.showing import Showing
from crdtstate.api.kube.state import KubeState
from crdtstate.errors import UnavailableError
from crdtstate.kube.cache import CachedObject, Event
from crdtstate.kube.resources import Resource
from crdtstate.kube.selectors import Selection, selection
from crdtstate.kube.statuses import StatusError, status_body
from crdtstate.kube.tables import table

__all__ = ["WatchHandlers"]

BOOKMARK_MS = 60_000
TIMEOUT_S_DEFAULT, TIMEOUT_S_MAX = 3_600.0, 86_400.0
_LINES, _LINES_BYTES = 64, 256 << 10
_END = "k8s.io/initial-events-end"


@final
@dataclass(frozen=True, slots=True)
class _Watch:
    """What one client watches, and how it wants to be told."""

    resource: Resource
    namespace: str
    select: Selection
    form: Form
    include: str
    options: ListOptions
    showing: Showing

    def has(self, cached: CachedObject | None) -> bool:
        if cached is None or (self.namespace and cached.key.namespace != self.namespace):
            return False
        return any(True for _ in self.showing.select(self.resource, (cached,), self.select))


@final
class WatchHandlers:
    """GET with watch=true. At most `backend.watches_max` at once."""

    def __init__(self, state: KubeState) -> None:
        self._state = state
        self.open = 0

    async def watch(self, request: Request, route: Route, resource: Resource) -> Response:
        """Answer with a stream of frames. Raises: StatusError (TooManyRequests)."""
        state, options = self._state, parse_list(request.query)
        select = selection(resource, options.label_selector, options.field_selector)
        if route.name:  # The older form: one object's path with watch=true.
            fields = f"metadata.name={route.name}"
            select = selection(resource, options.label_selector, fields)
        watch = _Watch(
            resource, route.namespace, select, choose_form(request.headers.get("Accept", "")),
            request.query.get("includeObject", ""), options, state.showing,
        )  # fmt: skip
        version = parse_version(options.version)
        if self.open >= state.backend.watches_max:
            raise StatusError(
                "TooManyRequests",
                f"{self.open} watches are open, over watches_max={state.backend.watches_max}",
                details={"retryAfterSeconds": 1},
            )
        return Response(200, b"", stream=self._frames(watch, version))

    async def _frames(self, watch: _Watch, version: int | None) -> AsyncIterator[bytes]:
        self.open += 1
        cursor = self._state.feed.cache.version if version is None else version
        try:
            if version is None or watch.options.initial_events:
                cursor = self._state.feed.cache.version
                for lines in self._initial(watch):
                    yield lines
            async for lines in self._live(watch, cursor):
                yield lines
        except StatusError as error:
            yield encode({"type": "ERROR", "object": status_body(error)}) + b"\n"
        except UnavailableError:
            return  # The peer stops: the stream ends as any watch does, and clients come back.
        finally:
            self.open -= 1

    def _initial(self, watch: _Watch) -> Iterator[bytes]:
        """Yield the lines of some objects at a time, nothing where none of them is chosen."""
        found = self._state.objects(watch.resource, watch.namespace)
        at = self._state.feed.cache.version
        for some in in_pieces(found):
            chosen = watch.showing.select(watch.resource, some, watch.select)
            yield b"".join([self._line(watch, "ADDED", cached) for cached in chosen])
        if watch.options.initial_events:
            yield self._bookmark(watch, at, {_END: "true"})  # KWA-1

    async def _live(self, watch: _Watch, cursor: int) -> AsyncIterator[bytes]:
        state, options = self._state, watch.options
        seconds = min(options.timeout_s or TIMEOUT_S_DEFAULT, TIMEOUT_S_MAX)
        end_ms = state.backend.now_ms() + int(seconds * 1000)
        bookmark_ms = state.backend.now_ms() + BOOKMARK_MS
        stored_as, own = watch.resource.stored_as, False
        while True:
            events, own = state.events_after(watch.resource, cursor, own=own), True
            told = (line for event in events if (line := self._event(watch, event)))
            for lines in _chunked(told):
                yield lines
            if events:
                cursor = events[-1].version
                continue
            now_ms = state.backend.now_ms()
            if now_ms >= end_ms:
                return
            if now_ms >= bookmark_ms:
                bookmark_ms = now_ms + BOOKMARK_MS
                if options.bookmarks:
                    yield self._bookmark(watch, state.feed.cache.version, {})
                    continue
            cursor = state.feed.cache.version  # Nothing happened up to here.
            due_ms = min(end_ms, bookmark_ms)
            await state.feed.wait(stored_as, cursor, max(1, due_ms - now_ms))

    def _event(self, watch: _Watch, event: Event) -> bytes:
        """Return the frame of an event for this client, empty when it is none for it (KWA-2)."""
        had, has = watch.has(event.before), watch.has(event.after)
        if has:
            return self._line(watch, "MODIFIED" if had else "ADDED", event.object)
        return self._line(watch, "DELETED", event.object) if had else b""

    def _line(self, watch: _Watch, kind: str, cached: CachedObject) -> bytes:
        head = b'{"type":"' + kind.encode() + b'","object":'
        if watch.form.view == "Object":
            return head + watch.showing.encoded(watch.resource, cached) + b"}\n"
        shown = watch.showing.object(watch.resource, cached)
        return head + encode(self._formed(watch, shown)) + b"}\n"

    def _formed(self, watch: _Watch, shown: dict[str, Any]) -> dict[str, Any]:
        form = watch.form
        if form.view == "Object":
            return shown
        if form.view == "PartialObjectMetadata":
            return partial(shown, form.version)
        wall_ms = self._state.backend.wall_ms()
        return table(watch.resource, [shown], wall_ms, include=watch.include, version=form.version)

    def _bookmark(self, watch: _Watch, version: int, annotations: dict[str, str]) -> bytes:
        metadata: dict[str, Any] = {"resourceVersion": str(version), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        shown = {
            "kind": watch.resource.kind, "apiVersion": watch.resource.api_version,
            "metadata": metadata,
        }  # fmt: skip
        return encode({"type": "BOOKMARK", "object": self._formed(watch, shown)}) + b"\n"


def _chunked(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Put lines together, few enough not to hold up anybody else."""
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if len(chunk) >= _LINES or size > _LINES_BYTES:
            yield b"".join(chunk)
            chunk, size = [], 0
    if chunk:
        yield b"".join(chunk)
