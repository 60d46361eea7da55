"""Lists of objects, encoded some at a time: a long one is sent while it is made, and others run.

What is listed was read at one moment, and its objects never change in place, so that the pieces of
a list belong together however long it takes.
"""

import base64
import binascii
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from crdtstate.api.exchange import Response
from crdtstate.api.kube.answers import encode, object_response, partial
from crdtstate.api.kube.negotiation import Form
from crdtstate.api.kube.showing import Showing
from crdtstate.api.kube.warnings import warning_header
from crdtstate.kube.cache import CachedObject
from crdtstate.kube.resources import Resource
from crdtstate.kube.statuses import StatusError
from crdtstate.kube.tables import table

__all__ = [
    "bad_continue", "decode_continue", "encode_continue", "in_pieces", "list_response",
    "table_response",
]  # fmt: skip

_PIECE, _PIECE_BYTES = 32, 128 << 10  # Objects, or so many bytes of them.
_WHOLE_MAX = 2 * _PIECE  # In an answer that is sent in one piece.
_Some = Sequence[CachedObject]


def encode_continue(place: bytes) -> str:
    """Return the continue token of a place in a list."""
    return base64.urlsafe_b64encode(place).decode().rstrip("=")


def decode_continue(text: str) -> bytes | None:
    """Return the place that a token names, None for none. Raises: StatusError (BadRequest)."""
    padded = text + "=" * (-len(text) % 4)
    try:
        return base64.b64decode(padded, altchars=b"-_", validate=True) or None
    except (binascii.Error, ValueError) as error:
        raise bad_continue() from error


def bad_continue() -> StatusError:
    """Return the refusal of a token that no list gave."""
    return StatusError("BadRequest", "continue is not a token that a list gave")


def list_response(
    showing: Showing,
    form: Form,
    resource: Resource,
    found: _Some,
    metadata: Mapping[str, Any],
    warnings: Iterable[str] = (),
) -> Response:
    """Return a list of objects whole, or of their metadata."""
    if form.view == "PartialObjectMetadata":
        head = {
            "kind": "PartialObjectMetadataList", "apiVersion": f"meta.k8s.io/{form.version}",
            "metadata": metadata,
        }  # fmt: skip

        def some(cached: _Some) -> bytes:
            return _joined(partial(showing.object(resource, c), form.version) for c in cached)
    else:
        head = {
            "kind": f"{resource.kind}List", "apiVersion": resource.api_version,
            "metadata": metadata,
        }  # fmt: skip

        def some(cached: _Some) -> bytes:
            return b",".join([showing.encoded(resource, c) for c in cached])

    return _respond(head, "items", found, some, warnings)


def table_response(
    showing: Showing,
    form: Form,
    resource: Resource,
    found: _Some,
    metadata: Mapping[str, Any],
    wall_ms: int,
    include: str,
) -> Response:
    """Return a Table. Raises: StatusError (BadRequest) for an unknown `include`."""
    head = table(resource, (), wall_ms, include=include, version=form.version)
    del head["rows"]

    def some(cached: _Some) -> bytes:
        shown = [showing.object(resource, c) for c in cached]
        return _joined(
            table(resource, shown, wall_ms, include=include, version=form.version)["rows"]
        )

    return _respond({**head, "metadata": metadata}, "rows", found, some)


def in_pieces(found: Iterable[CachedObject]) -> Iterator[list[CachedObject]]:
    """Yield some objects at a time, few enough not to hold up anybody else."""
    piece: list[CachedObject] = []
    size = 0
    for cached in found:
        piece.append(cached)
        size += cached.size
        if len(piece) >= _PIECE or size > _PIECE_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _joined(values: Iterable[Any]) -> bytes:
    return b",".join(map(encode, values))


def _respond(
    head: Mapping[str, Any],
    field: str,
    found: _Some,
    some: Callable[[_Some], bytes],
    warnings: Iterable[str] = (),
) -> Response:
    pieces = _pieces(encode(head), field.encode(), found, some)
    if len(found) <= _WHOLE_MAX:
        return object_response(b"".join(pieces), warnings=warnings)
    response = Response(200, b"", stream=_stream(pieces))
    header = warning_header(warnings)
    if header is not None:
        response.headers["Warning"] = header
    return response


def _pieces(
    head: bytes, field: bytes, found: _Some, some: Callable[[_Some], bytes]
) -> Iterator[bytes]:
    yield head[:-1] + b',"' + field + b'":['
    comma = b""
    for piece in in_pieces(found):
        yield comma + some(piece)
        comma = b","
    yield b"]}"


async def _stream(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
