"""GET of one object and of a collection.

A list is read from memory at one moment: every page of it names the version of the first, and later
pages are read from the state at their time. Whoever watches from that version afterwards sees all
that changed in between; when that is no longer possible, or never was on this peer, the client is
told so (410), with a token that goes on from the state of now.

Source: Kubernetes API concepts, "Retrieving large results sets in chunks", KEP-2340.
"""

from typing import Any, NamedTuple, final

import msgspec

from crdtstate.api.exchange import Request, Response
from crdtstate.api.kube.answers import encode, in_form, object_response
from crdtstate.api.kube.negotiation import choose_form
from crdtstate.api.kube.options import ListOptions, parse_list
from crdtstate.api.kube.pieces import (
    bad_continue,
    decode_continue,
    encode_continue,
    list_response,
    table_response,
)
from crdtstate.api.kube.routes import Route
from crdtstate.api.kube.state import KubeState
from crdtstate.api.kube.subresources import scale_of
from crdtstate.kube.cache import CachedObject
from crdtstate.kube.resources import Resource
from crdtstate.kube.selectors import selection
from crdtstate.kube.statuses import StatusError

__all__ = ["ListHandlers", "parse_version"]

_LOOKED_AT, _LOOKED_INTO = 1_024, 64  # Objects between pauses: at their labels, or into them.
VERSION_MAX = (1 << 63) - 1


class _Proceed(NamedTuple):
    """What a continue token says: the version of the first page, the last place told."""

    version: str
    namespace: str
    name: str


def parse_version(text: str) -> int | None:
    """Return a resourceVersion; None for "" and "0", which mean what this peer has.

    Raises: StatusError (BadRequest).
    """
    if text in ("", "0"):
        return None
    if not (text.isascii() and text.isdigit() and text[0] != "0" and int(text[:20]) <= VERSION_MAX):
        raise StatusError("BadRequest", f"resourceVersion {text[:64]!r} is not a version")
    return int(text)


@final
class ListHandlers:
    """GET."""

    def __init__(self, state: KubeState) -> None:
        self._state = state

    async def get(self, request: Request, route: Route, resource: Resource) -> Response:
        """GET one object, or its /status or /scale; with `?uid=` only the object of that uid."""
        form = choose_form(request.headers.get("Accept", ""))
        uid = request.query.get("uid")
        if uid:
            self._state.require_uid(resource, route.namespace, route.name, uid)
        cached = self._state.require(resource, route.namespace, route.name)
        if route.subresource == "scale":
            return object_response(scale_of(resource, self._state.showing.object(resource, cached)))
        if form.view == "Object":
            return object_response(self._state.showing.encoded(resource, cached))
        include = request.query.get("includeObject", "")
        wall_ms = self._state.backend.wall_ms()
        shown = [self._state.showing.object(resource, cached)]
        return object_response(in_form(form, resource, shown, wall_ms, include))

    async def list(self, request: Request, route: Route, resource: Resource) -> Response:
        """GET a collection."""
        form = choose_form(request.headers.get("Accept", ""))
        options = parse_list(request.query)
        select = selection(resource, options.label_selector, options.field_selector)
        proceed = _decode_proceed(options.proceed)
        self._check_version(resource, options)
        if proceed is not None:
            self._check_proceed(resource, proceed)
        version = proceed.version if proceed else str(self._state.feed.cache.version)
        objects = self._state.objects(resource, route.namespace)
        if proceed is not None:
            after = (proceed.namespace, proceed.name)
            objects = [cached for cached in objects if cached.key[1:] > after]
        showing = self._state.showing
        found: list[CachedObject] = []
        step = _LOOKED_INTO if select.fields else _LOOKED_AT
        for start in range(0, len(objects), step):
            if start:
                await self._state.feed.pause()
            found += showing.select(resource, objects[start : start + step], select)
        metadata: dict[str, Any] = {"resourceVersion": version}
        if options.limit and len(found) > options.limit:
            left, found = len(found) - options.limit, found[: options.limit]
            key = found[-1].key
            metadata["continue"] = _encode_proceed(_Proceed(version, key.namespace, key.name))
            if not select.labels and not select.fields:
                metadata["remainingItemCount"] = left
        if form.view == "Table":
            include = request.query.get("includeObject", "")
            wall_ms = self._state.backend.wall_ms()
            return table_response(showing, form, resource, found, metadata, wall_ms, include)
        return list_response(showing, form, resource, found, metadata)

    def _check_proceed(self, resource: Resource, proceed: _Proceed) -> None:
        """Refuse to go on with a list that nobody could watch from. Raises: StatusError."""
        version = parse_version(proceed.version)
        try:
            if version is not None:
                self._state.events_after(resource, version)
        except StatusError as error:
            fresh = proceed._replace(version=str(self._state.feed.cache.version))
            raise StatusError(
                "Expired",
                "the list that this continue token belongs to is no longer remembered here: begin "
                "anew, or go on with metadata.continue, which lists the rest as it is now",
                proceed=_encode_proceed(fresh),
            ) from error

    def _check_version(self, resource: Resource, options: ListOptions) -> None:
        """Refuse a version that is not this peer's. Raises: StatusError (Expired, BadRequest)."""
        version = parse_version(options.version)
        if version is None:
            return
        later = self._state.events_after(resource, version)
        if options.match == "Exact" and later:
            raise StatusError(
                "Expired",
                f"the state at resourceVersion {version} is no longer kept: list without it",
            )


def _encode_proceed(proceed: _Proceed) -> str:
    return encode_continue(encode(proceed))


def _decode_proceed(text: str) -> _Proceed | None:
    data = decode_continue(text)
    try:
        return None if data is None else msgspec.json.decode(data, type=_Proceed)
    except msgspec.DecodeError as error:
        raise bad_continue() from error
