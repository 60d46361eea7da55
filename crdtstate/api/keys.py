"""Handlers of single keys, listings and transactions. docs/protocol/native-api.md is normative."""

from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, final

import msgspec

from crdtstate.api.exchange import Request, Response, decode_json, json_response
from crdtstate.api.ports import Backend
from crdtstate.crdt.clock import stamp_ms
from crdtstate.errors import InvalidError, NotFoundError, TooLargeError
from crdtstate.replica.events import Outcome
from crdtstate.store import operations as ops
from crdtstate.store.limits import check_key
from crdtstate.store.reading import Entry, Loser, find_view, list_views, siblings_of
from crdtstate.store.views import View, version_of
from crdtstate.store.watch import format_revision

__all__ = ["KeyHandlers", "Write", "item_of"]

LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX = 100, 1000


class _SetBody(msgspec.Struct, forbid_unknown_fields=True):
    add: list[str] = []
    remove: list[str] = []


class _CounterBody(msgspec.Struct, forbid_unknown_fields=True):
    add: int


class _BoundedBody(msgspec.Struct, forbid_unknown_fields=True):
    create: int | None = None
    add: int | None = None
    take: int | None = None
    transfer: int | None = None
    to: str | None = None


class _TransactionBody(msgspec.Struct, forbid_unknown_fields=True):
    operations: list[ops.Operation]
    preconditions: list[ops.Precondition] = []


def value_fields(value: Any) -> dict[str, Any]:
    """Return {"value": …}, or {"value_base64": …} for bytes that are not UTF-8."""
    if type(value) is not bytes:
        return {"value": value}
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"value_base64": b64encode(value).decode()}


def item_of(entry: Entry, *, keys_only: bool = False) -> dict[str, Any]:
    """Return an ITEM of the API."""
    view = entry.view
    item: dict[str, Any] = {"key": entry.key, "type": view.type_name, "version": view.version}
    if not keys_only:
        item.update(value_fields(view.value))
    item["conflicts"] = entry.conflicts
    if view.expires_ms is not None:
        item["expires_ms"] = view.expires_ms
    return item


@final
class Write(NamedTuple):
    """A write as the backend takes it, and how its outcome is answered."""

    operations: list[ops.Operation]
    conditions: list[ops.Precondition]
    replicas: int | str
    timeout_ms: int
    answer: Callable[[Outcome], Response]


@final
class KeyHandlers:
    """The part of the API that reads and writes keys."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    # -- writing -------------------------------------------------------------------------------

    async def _submit(self, write: Write) -> Response:
        operations, conditions, replicas, timeout_ms, answer = write
        return answer(await self._backend.submit(operations, conditions, replicas, timeout_ms))

    async def _write(self, request: Request, key: str, operations: list[ops.Operation]) -> Outcome:
        return await self._backend.submit(operations, *self._terms(request, key))

    def _terms(self, request: Request, key: str) -> tuple[list[ops.Precondition], int | str, int]:
        """Return preconditions, replicas and time-out of a write to one key."""
        conditions: list[ops.Precondition] = []
        replicas: int | str = 1
        timeout_ms = 5_000
        if request.query:
            query = request.query
            replicas, timeout_ms = request.replicas("w"), request.timeout_ms()
            if "if_version" in query:
                conditions.append(ops.Precondition(key, version=query["if_version"]))
            if request.flag("if_absent"):
                conditions.append(ops.Precondition(key, absent=True))
            if request.flag("if_exists"):
                conditions.append(ops.Precondition(key, exists=True))
        return conditions, replicas, timeout_ms

    def _written(self, outcome: Outcome, fields: dict[str, Any] | None = None) -> Response:
        committed = outcome.committed
        assert committed is not None
        revision = format_revision(self._backend.origin, committed.revision)
        response = json_response({**(fields or {}), "revision": revision})
        response.headers["Crdtstate-Replicas"] = str(len(outcome.have))
        return response

    async def put(self, request: Request) -> Response:
        """PUT /kv/{key}."""
        return await self._submit(self.put_write(request, await request.read_body()))

    def put_write(self, request: Request, body: bytes) -> Write:
        """Read PUT /kv/{key}."""
        key = request.key("/kv/")
        ttl_ms = request.integer("ttl_ms", 0, 1, 1 << 41) or None if request.query else None
        operation = ops.Put(key, value_base64=body, ttl_ms=ttl_ms)
        return Write([operation], *self._terms(request, key), partial(self._put, key))

    def _put(self, key: str, outcome: Outcome) -> Response:
        assert outcome.committed is not None
        data = outcome.committed.results[0]
        if data is not None:
            version = version_of(data)
        else:  # More than one sibling, or cells beside the life: as a reader sees it.
            found = find_view(self._backend.storage, key.encode(), self._backend.wall_ms())
            version = found[0].version if found else ""
        response = self._written(outcome, {"version": version})
        response.headers["Crdtstate-Version"] = version
        return response

    async def delete(self, request: Request) -> Response:
        """DELETE /kv/{key}."""
        key = request.key("/kv/")
        outcome = await self._write(request, key, [ops.Delete(key)])
        if outcome.committed is not None and not outcome.committed.results[0]:
            raise NotFoundError(f"there is no key {key!r}", key=key)
        return self._written(outcome)

    async def map_put(self, request: Request) -> Response:
        """PUT /map/{key}."""
        key = request.key("/map/")
        value = await request.json(dict[str, Any])
        return self._written(await self._write(request, key, [ops.MapPut(key, value)]))

    async def map_merge(self, request: Request) -> Response:
        """PATCH /map/{key}."""
        key = request.key("/map/")
        value = await request.json(dict[str, Any])
        return self._written(await self._write(request, key, [ops.MapMerge(key, value)]))

    async def apply(self, request: Request) -> Response:
        """POST /apply/{key}."""
        key = request.key("/apply/")
        manager = request.query.get("manager", "default")
        if not 0 < len(manager) <= 128:
            raise InvalidError(
                f"manager is {len(manager)} characters, not within 1 to 128",
                code="invalid_parameter",
                limit=128,
                value=len(manager),
            )
        value = await request.json(dict[str, Any])
        operation = ops.Apply(key, value, manager)
        outcome = await self._write(request, key, [operation])
        changed = outcome.committed.changed if outcome.committed else 0
        return self._written(outcome, {"changed": changed})

    async def change_set(self, request: Request) -> Response:
        """POST /set/{key}."""
        key = request.key("/set/")
        body: _SetBody = await request.json(_SetBody)
        operations: list[ops.Operation] = []
        if body.add:
            operations.append(ops.SetAdd(key, body.add))
        if body.remove:
            operations.append(ops.SetRemove(key, body.remove))
        if not operations:
            operations.append(ops.SetAdd(key, []))  # Creates the empty set.
        return self._written(await self._write(request, key, operations))

    async def change_counter(self, request: Request) -> Response:
        """POST /counter/{key}."""
        key = request.key("/counter/")
        body: _CounterBody = await request.json(_CounterBody)
        outcome = await self._write(request, key, [ops.CounterAdd(key, body.add)])
        assert outcome.committed is not None
        return self._written(outcome, {"value": outcome.committed.results[0]})

    async def put_flag(self, request: Request) -> Response:
        """PUT /flag/{key}."""
        key = request.key("/flag/")
        value = await request.json(bool)
        return self._written(await self._write(request, key, [ops.FlagSet(key, value)]))

    async def change_bounded(self, request: Request) -> Response:
        """POST /bounded/{key}."""
        key = request.key("/bounded/")
        body: _BoundedBody = await request.json(_BoundedBody)
        operations: list[ops.Operation] = []
        if body.create is not None:
            operations.append(ops.BoundedCreate(key, body.create))
        if body.add is not None:
            operations.append(ops.BoundedAdd(key, body.add))
        if body.take is not None:
            operations.append(ops.BoundedTake(key, body.take))
        if body.transfer is not None:
            operations.append(ops.BoundedTransfer(key, body.transfer, body.to or ""))
        if len(operations) != 1:
            raise InvalidError(
                f"body names {len(operations)} of create, add, take, transfer; one is needed",
                code="invalid_json",
            )
        outcome = await self._write(request, key, operations)
        assert outcome.committed is not None
        return self._written(outcome, outcome.committed.results[0])

    async def transaction(self, request: Request) -> Response:
        """POST /txn."""
        return await self._submit(self.transaction_write(request, await request.read_body()))

    def transaction_write(self, request: Request, data: bytes) -> Write:
        """Read POST /txn."""
        body: _TransactionBody = decode_json(data, _TransactionBody)
        limits = self._backend.limits
        if len(body.operations) > limits.operations_max:
            raise TooLargeError(
                f"transaction has {len(body.operations)} operations, over "
                f"operations_max={limits.operations_max}",
                code="too_many_operations",
                limit=limits.operations_max,
                value=len(body.operations),
            )
        return Write(
            body.operations, body.preconditions, request.replicas("w"), request.timeout_ms(),
            self._transaction,
        )  # fmt: skip

    def _transaction(self, outcome: Outcome) -> Response:
        assert outcome.committed is not None
        return self._written(outcome, {"changed": outcome.committed.changed})

    # -- reading -------------------------------------------------------------------------------

    async def get(self, request: Request) -> Response:
        """GET /kv/{key}."""
        return self.read(request)

    def read(self, request: Request) -> Response:
        """Answer GET /kv/{key}."""
        key = request.key("/kv/")
        encoded = check_key(key, self._backend.limits)
        found = find_view(self._backend.storage, encoded, self._backend.wall_ms())
        if found is None:
            raise NotFoundError(f"there is no key {key!r}", key=key)
        view, conflicts = found
        if request.query and request.flag("siblings"):
            return self._siblings(key, view)
        if view.type_name == "register":
            response = Response(200, view.value, "application/octet-stream")
        else:
            response = json_response(view.value)
        response.headers["Crdtstate-Type"] = view.type_name
        response.headers["Crdtstate-Version"] = view.version
        if conflicts:
            response.headers["Crdtstate-Conflicts"] = str(conflicts)
        if view.expires_ms is not None:
            response.headers["Crdtstate-Expires-Ms"] = str(view.expires_ms)
        return response

    def _siblings(self, key: str, view: View) -> Response:
        siblings = [self.loser_fields(s) for s in siblings_of(view)]
        return json_response(
            {"key": key, "type": view.type_name, "version": view.version, "siblings": siblings}
        )

    def loser_fields(self, sibling: Loser) -> dict[str, Any]:
        """Return a sibling as the API shows it."""
        origin = sibling.dot[0]
        return {
            **value_fields(sibling.value),
            "origin": f"{origin:016x}",
            "peer": self._backend.peer_name(origin),
            "time_ms": stamp_ms(sibling.stamp),
            "wins": sibling.wins,
        }

    async def list(self, request: Request) -> Response:
        """GET /kv/."""
        prefix = parse_prefix(request)
        limit = request.integer("limit", LIST_LIMIT_DEFAULT, 1, LIST_LIMIT_MAX)
        after = parse_continue(request)
        keys_only = request.flag("keys_only")
        backend = self._backend
        snapshot = backend.snapshot()
        try:
            revision = backend.revision
            entries, last = list_views(snapshot, prefix, after, limit, backend.wall_ms())
        finally:
            snapshot.close()
        return json_response(
            {
                "items": [item_of(entry, keys_only=keys_only) for entry in entries],
                "revision": format_revision(backend.origin, revision),
                "continue": format_continue(last),
            }
        )


def parse_prefix(request: Request) -> bytes:
    """Return the prefix parameter. Raises: InvalidError for control characters."""
    text = request.query.get("prefix", "")
    prefix = text.encode()
    if any(byte < 0x20 or byte == 0x7F for byte in prefix):
        raise InvalidError("prefix holds a control character", code="invalid_prefix")
    return prefix


def format_continue(last: bytes | None) -> str | None:
    """Return the opaque continue parameter of the next page."""
    return None if last is None else urlsafe_b64encode(last).decode()


def parse_continue(request: Request) -> bytes | None:
    """Return where the page starts. Raises: InvalidError."""
    text = request.query.get("continue")
    if not text:
        return None
    try:
        return b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except ValueError as error:
        raise InvalidError(
            "continue is not one that a page gave", code="invalid_parameter"
        ) from error
