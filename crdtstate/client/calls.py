"""Every request about keys as a value, and how its answer is read. No I/O.

docs/protocol/native-api.md is normative. The two shells, `aio.py` and `sync.py`, only carry these.

Invariants:
    CAL-1  A call that is not `repeatable` is never sent a second time once it may have arrived.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypedDict, TypeVar, final
from urllib.parse import quote, urlencode

import msgspec

from crdtstate.client.answer import Answer, decode_body
from crdtstate.client.failures import error_of
from crdtstate.errors import InvalidError, NotFoundError
from crdtstate.model import BoundedState, ConflictValue, Item, Page, WriteResult

__all__ = ["Call", "WriteOptions"]

T = TypeVar("T")
Query = tuple[tuple[str, str], ...]
TIMEOUT_MS_DEFAULT, TIMEOUT_MS_MAX = 5_000, 60_000  # Of the server, docs/protocol/native-api.md.
PAGE_LIMIT = 1_000


class WriteOptions(TypedDict, total=False):
    """What every write of one key may say."""

    w: int | str | None
    """How many replicas must have it durable: a number, "majority" or "all"."""
    if_version: str | None
    if_absent: bool
    if_exists: bool


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One request, whichever peer will answer it."""

    method: str
    path: str  # Percent-encoded.
    parse: Callable[[Answer], T]
    query: Query = ()
    body: bytes | None = None
    headers: Mapping[str, str] | None = None
    write: bool = False
    repeatable: bool = True
    """Whether doing it twice is the same as doing it once."""
    pinned: bool = False
    """Whether it means one certain peer, so that no other may answer in its place."""
    w: int | str | None = None
    waits: bool = False
    """Whether the peer is asked to wait for others, so that its silence tells nothing."""

    def target(self, timeout_ms: int, w_default: int | str) -> str:
        """Return the request target with everything that all requests carry."""
        query = list(self.query)
        w = w_default if self.w is None else self.w
        if self.write and w != 1:
            query.append(("w", str(w)))
        if timeout_ms != TIMEOUT_MS_DEFAULT:
            query.append(("timeout_ms", str(max(1, min(timeout_ms, TIMEOUT_MS_MAX)))))
        return f"{self.path}?{encode_query(query)}" if query else self.path


# -- shapes of answers -----------------------------------------------------------------------------


class ItemShape(msgspec.Struct):
    """ITEM of the API."""

    key: str
    type: str
    version: str
    value: Any = None
    value_base64: bytes | None = None
    conflicts: int = 0
    expires_ms: int | None = None


class ValueShape(msgspec.Struct):
    """One of several concurrent values."""

    origin: str
    time_ms: int
    value: Any = None
    value_base64: bytes | None = None
    peer: str | None = None
    wins: bool = False


class _Written(msgspec.Struct):
    revision: str
    version: str | None = None
    changed: int | None = None


class _Counted(msgspec.Struct):
    value: int


class _Bounded(msgspec.Struct):
    value: int
    available: int = 0


class _Listed(msgspec.Struct):
    items: list[ItemShape]
    revision: str
    next: str | None = msgspec.field(name="continue", default=None)


class _Siblings(msgspec.Struct):
    siblings: list[ValueShape]


def to_item(shape: ItemShape) -> Item:
    """Return the public value; text of a register becomes the bytes that it is."""
    value = shape.value if shape.value_base64 is None else shape.value_base64
    if shape.type == "register" and isinstance(value, str):
        value = value.encode()
    return Item(
        key=shape.key, type=shape.type, value=value, version=shape.version,
        conflicts=shape.conflicts, expires_ms=shape.expires_ms,
    )  # fmt: skip


def to_conflict_value(shape: ValueShape) -> ConflictValue:
    """Return the public value."""
    value = shape.value if shape.value_base64 is None else shape.value_base64
    return ConflictValue(
        value=value, origin=shape.origin, peer=shape.peer, time_ms=shape.time_ms, wins=shape.wins
    )


def check(answer: Answer) -> Answer:
    """Return a good answer. Raises: the CrdtstateError that a bad one means."""
    if answer.status != 200:
        raise error_of(answer)
    return answer


def parse_write(answer: Answer) -> WriteResult:
    """Read the answer of a write."""
    written = decode_body(check(answer).body, _Written)
    return WriteResult(
        version=written.version,
        revision=written.revision,
        replicas=int(answer.headers.get("crdtstate-replicas", "1")),
        token=answer.headers.get("crdtstate-token"),
        changed=written.changed,
    )


# -- building --------------------------------------------------------------------------------------


def key_path(kind: str, key: str) -> str:
    """Return the path of a key. Raises: InvalidError (code invalid_key)."""
    if not key:
        raise InvalidError("key is empty; it has at least 1 byte", code="invalid_key", key=key)
    try:
        return f"/{kind}/{quote(key)}"
    except UnicodeEncodeError as error:
        raise InvalidError(
            f"key {key[:64]!r} is not Unicode text: {error.reason}", code="invalid_key", key=key
        ) from error


def encode_query(query: Iterable[tuple[str, str]]) -> str:
    """Return the query of a target. Raises: InvalidError (code invalid_parameter)."""
    try:
        # Spaces as %20: not every server reads "+" as one.
        return urlencode([*query], quote_via=quote)
    except UnicodeEncodeError as error:
        raise InvalidError(
            f"parameter {error.object[:64]!r} is not Unicode text: {error.reason}",
            code="invalid_parameter",
        ) from error


def to_bytes(value: bytes | str) -> bytes:
    """Return a register's value as bytes."""
    return value.encode() if isinstance(value, str) else bytes(value)


def to_ttl_ms(ttl: float) -> int:
    """Return seconds to live as milliseconds, at least 1."""
    return max(1, round(ttl * 1000))


def to_value_fields(value: bytes | str) -> dict[str, str]:
    """Return {"value": …}, or {"value_base64": …} for bytes that are not text."""
    if isinstance(value, str):
        return {"value": value}
    try:
        return {"value": bytes(value).decode()}
    except UnicodeDecodeError:
        return {"value_base64": b64encode(value).decode()}


def _write(
    method: str, path: str, body: bytes | None, options: WriteOptions, **more: Any
) -> Call[Any]:
    version, w = options.get("if_version"), options.get("w")
    query = tuple(more.pop("query", ()))
    if version is not None:
        query += (("if_version", version),)
    query += tuple((name, "1") for name in ("if_absent", "if_exists") if options.get(name))
    return Call(
        method=method, path=path, body=body, query=query, write=True, w=w,
        parse=more.pop("parse", parse_write), **more,
    )  # fmt: skip


def put(key: str, value: bytes | str, ttl: float | None, o: WriteOptions) -> Call[WriteResult]:
    """PUT /kv/{key}."""
    query = () if ttl is None else (("ttl_ms", str(to_ttl_ms(ttl))),)
    return _write("PUT", key_path("kv", key), to_bytes(value), o, query=query)


def get(key: str) -> Call[Item | None]:
    """GET /kv/{key}."""

    def parse(answer: Answer) -> Item | None:
        headers = answer.headers
        try:
            check(answer)
        except NotFoundError:
            return None
        kind, expires = headers.get("crdtstate-type", "register"), None
        if "crdtstate-expires-ms" in headers:
            expires = int(headers["crdtstate-expires-ms"])
        return Item(
            key=key,
            type=kind,
            value=answer.body if kind == "register" else decode_body(answer.body, Any),
            version=headers.get("crdtstate-version", ""),
            conflicts=int(headers.get("crdtstate-conflicts", "0")),
            expires_ms=expires,
        )

    return Call(method="GET", path=key_path("kv", key), parse=parse)


def siblings(key: str) -> Call[tuple[ConflictValue, ...]]:
    """GET /kv/{key}?siblings=1."""

    def parse(answer: Answer) -> tuple[ConflictValue, ...]:
        found = decode_body(check(answer).body, _Siblings).siblings
        return tuple(to_conflict_value(shape) for shape in found)

    query = (("siblings", "1"),)
    return Call(method="GET", path=key_path("kv", key), query=query, parse=parse)


def delete(key: str, o: WriteOptions) -> Call[bool]:
    """DELETE /kv/{key}; False when it was not there."""

    def parse(answer: Answer) -> bool:
        try:
            check(answer)
        except NotFoundError:
            return False
        return True

    return _write("DELETE", key_path("kv", key), None, o, parse=parse)


def page(prefix: str, limit: int | None, start: str | None, *, keys_only: bool) -> Call[Page]:
    """GET /kv/."""

    def parse(answer: Answer) -> Page:
        listed = decode_body(check(answer).body, _Listed)
        return Page(tuple(to_item(shape) for shape in listed.items), listed.next, listed.revision)

    pairs = (
        ("prefix", prefix or None),
        ("limit", None if limit is None else str(limit)),
        ("continue", start),
        ("keys_only", "1" if keys_only else None),
    )
    query = tuple((name, text) for name, text in pairs if text is not None)
    return Call(method="GET", path="/kv/", query=query, parse=parse)


def json_write(
    method: str, kind: str, key: str, body: object, o: WriteOptions, *, query: Query = ()
) -> Call[WriteResult]:
    """A write of a map, a set or a flag, all of which may be repeated."""
    return _write(method, key_path(kind, key), msgspec.json.encode(body), o, query=query)


def change_set(
    key: str, add: Iterable[str], remove: Iterable[str], o: WriteOptions
) -> Call[WriteResult]:
    """POST /set/{key}."""
    return json_write("POST", "set", key, {"add": [*add], "remove": [*remove]}, o)


def apply(
    key: str, document: Mapping[str, Any], manager: str, o: WriteOptions
) -> Call[WriteResult]:
    """POST /apply/{key}."""
    return json_write("POST", "apply", key, document, o, query=(("manager", manager),))


def add_to_counter(key: str, amount: int, o: WriteOptions) -> Call[int]:
    """POST /counter/{key}; returns the value as this peer sees it."""

    def parse(answer: Answer) -> int:
        return decode_body(check(answer).body, _Counted).value

    body = msgspec.json.encode({"add": amount})
    return _write("POST", key_path("counter", key), body, o, parse=parse, repeatable=False)


def change_bounded(
    key: str, change: Mapping[str, int | str], o: WriteOptions
) -> Call[BoundedState]:
    """POST /bounded/{key}."""

    def parse(answer: Answer) -> BoundedState:
        state = decode_body(check(answer).body, _Bounded)
        return BoundedState(state.value, state.available)

    body = msgspec.json.encode(change)
    return _write("POST", key_path("bounded", key), body, o, parse=parse, repeatable=False)


def transact(
    operations: list[dict[str, Any]], preconditions: list[dict[str, Any]], w: int | str | None
) -> Call[WriteResult]:
    """POST /txn."""
    body = {"preconditions": preconditions, "operations": operations}
    return Call(
        method="POST", path="/txn", body=msgspec.json.encode(body), parse=parse_write,
        write=True, w=w, repeatable=all(o["op"] != "counter_add" for o in operations),
    )  # fmt: skip
