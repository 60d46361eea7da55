"""EDGE: ResourceQuotas: what this peer may admit by itself, and how shares move between peers.

Creations are admitted inside the store's planner, against this peer's share of each limit of their
namespace; one task a peer then grants, gives up, and sends shares about, and writes the status.
The shares of a limit are a bounded counter under a key of the system's, so they are as durable, and
as safe under any partition, as what users keep in one.

    0x12 "quota" 0x01 uid 0x01 limit        the shares of a limit
    0x12 "want"  0x01 uid 0x01 limit 0x01 origin    what an origin would have admitted, and when

Invariants:
    QTA-1  Between the decision to admit or to send and the moment in which everything here shows
           it, the amount is reserved: no other decision counts on it.
"""

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, final

from crdtstate.api.kube.feed import Feed
from crdtstate.crdt.record import Record
from crdtstate.errors import CrdtstateError
from crdtstate.kube.cache import CachedObject
from crdtstate.kube.objects import Change, Context, Live, Removal, Target
from crdtstate.kube.quota import costs_of, limits_of, missing_requests, quantity_text
from crdtstate.kube.resources import Resource
from crdtstate.kube.shares import Ledger, granter_of
from crdtstate.kube.statuses import StatusError
from crdtstate.kube.usage import Usage
from crdtstate.store import operations as ops
from crdtstate.store.reading import find_view
from crdtstate.store.views import rights_of

__all__ = ["Quotas"]

QUOTAS = "/resourcequotas"
_PERIOD_S, _IDLE_S = 1.0, 5.0
_WANT_MS = 30_000
_PREFIX = b"\x12"
"""Between the keys of objects and those of users: nobody can name these."""


@final
@dataclass(frozen=True, slots=True)
class _Limit:
    """One line of one quota."""

    quota: CachedObject
    name: str
    amount: int

    def key(self, use: str, *more: str) -> bytes:
        """Return the store's key of what is kept about it."""
        return _PREFIX + "\x01".join((use, self.quota.uid, self.name, *more)).encode()


@final
@dataclass
class _Admission:
    """What one write holds until this peer shows it."""

    held: list[tuple[bytes, int]] = field(default_factory=list)


@final
class Quotas:
    """The quotas of one peer. Started and stopped with the feed.

    Args:
        resource: ResourceQuota.
    """

    def __init__(self, feed: Feed, resource: Resource) -> None:
        self._feed, self._resource = feed, resource
        self._usage = Usage(feed.cache)
        self._reserved: dict[bytes, int] = {}
        self._wanted: dict[bytes, tuple[_Limit, int]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to move shares."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    # -- what is known -------------------------------------------------------------------------

    def _limits(self, namespace: str) -> Iterator[_Limit]:
        for quota in self._feed.cache.list(QUOTAS, namespace):
            if "deletionTimestamp" not in quota.body["metadata"]:
                for name, amount in limits_of(quota.body).items():
                    yield _Limit(quota, name, amount)

    def _used(self, limit: _Limit) -> dict[int, int]:
        """Return what the objects of each origin cost. Cost: O(changes since the last call)."""
        return self._usage.used(limit.quota.key.namespace, limit.name)

    def _ledger(self, limit: _Limit, *, with_wants: bool = False) -> Ledger:
        backend, key = self._feed.backend, limit.key("quota")
        found = find_view(backend.storage, key, backend.wall_ms())
        shares = _shares(found[0].record or {}) if found is not None else {}
        wants = self._read_wants(limit) if with_wants else {}
        return Ledger(
            backend.origin, limit.amount, shares, self._used(limit), self._reserved.get(key, 0),
            wants,
        )  # fmt: skip

    def _read_want(self, key: bytes) -> tuple[int, int] | None:
        """Return (amount, since when) of a want, None when there is none."""
        backend = self._feed.backend
        found = find_view(backend.storage, key, backend.wall_ms())
        if found is None:
            return None
        told = json.loads(found[0].value)
        return told["amount"], told["at_ms"]

    def _read_wants(self, limit: _Limit) -> dict[int, int]:
        backend, wants = self._feed.backend, dict[int, int]()
        for row in backend.cluster.members():
            origin = int(row["origin"] or "0", 16)
            told = self._read_want(limit.key("want", f"{origin:016x}"))
            if told is not None and abs(backend.wall_ms() - told[1]) < _WANT_MS:
                wants[origin] = told[0]
        return wants

    # -- admitting -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def guarding(self, resource: Resource, namespace: str, change: Change) -> Iterator[Change]:
        """Give the change that admits what it creates; leave when this peer shows the write."""
        if not namespace or not self._feed.cache.count(QUOTAS):
            yield change
            return
        admission = _Admission()

        def guarded(live: Live | None, context: Context) -> Any:
            wanted = change(live, context)
            if live is None and isinstance(wanted, dict) and not isinstance(wanted, Removal):
                self._admit(resource, namespace, wanted, admission)
            return wanted

        try:
            yield guarded
        finally:
            for key, amount in admission.held:
                self._release(key, amount)

    def _admit(
        self, resource: Resource, namespace: str, body: Mapping[str, Any], admission: _Admission
    ) -> None:
        limits = list(self._limits(namespace))
        costs = costs_of(resource.stored_as, body)
        if resource.stored_as == "/pods":
            missing = missing_requests(body, {limit.name: limit.amount for limit in limits})
            if missing:
                raise _refusal(resource, body, f"failed quota: must specify {', '.join(missing)}")
        charged = [(limit, costs[limit.name]) for limit in limits if limit.name in costs]
        for limit, cost in charged:
            ledger = self._ledger(limit)
            if cost > ledger.spare:
                self._wanted[limit.key("quota")] = limit, cost
                raise _refusal(resource, body, _explanation(limit, cost, ledger))
        for limit, cost in charged:
            self._reserve(limit.key("quota"), cost, admission)

    def _reserve(self, key: bytes, amount: int, admission: _Admission) -> None:
        self._reserved[key] = self._reserved.get(key, 0) + amount
        admission.held.append((key, amount))

    def _release(self, key: bytes, amount: int) -> None:
        left = self._reserved.get(key, 0) - amount
        if left:
            self._reserved[key] = left
        else:
            self._reserved.pop(key, None)

    # -- moving shares -------------------------------------------------------------------------

    async def _run(self) -> None:
        await self._feed.caught_up(0)
        steady: tuple[Any, ...] = ()
        while True:
            busy = bool(self._feed.cache.count(QUOTAS))
            await asyncio.sleep(_PERIOD_S if busy else _IDLE_S)
            if not busy:
                continue
            rows = self._feed.backend.cluster.members()
            members = tuple(row["name"] for row in rows if row["member"])
            # Who grants is told from the members, so their number must have come to rest.
            was, steady = steady, members
            with contextlib.suppress(CrdtstateError):
                await self._turn(rows, members, grants=was == members)

    async def _turn(
        self, rows: list[dict[str, Any]], members: tuple[str, ...], *, grants: bool
    ) -> None:
        me = next((row["name"] for row in rows if row["self"]), "")
        heard = {
            int(row["origin"], 16): row["name"]
            for row in rows
            if row["origin"] and (row["self"] or row["liveness"] in ("alive", "suspect"))
        }
        for quota in self._feed.cache.list(QUOTAS):
            for limit in self._limits_of(quota):
                granter = grants and granter_of(f"{quota.uid}/{limit.name}", members) == me
                await self._balance(limit, heard, granter=granter)
            if granter_of(quota.uid, heard.values()) == me:
                await self._tell(quota)

    def _limits_of(self, quota: CachedObject) -> list[_Limit]:
        return [limit for limit in self._limits(quota.key.namespace) if limit.quota is quota]

    async def _balance(self, limit: _Limit, heard: Mapping[int, str], *, granter: bool) -> None:
        key = limit.key("quota")
        wanted = self._wanted.pop(key, None)
        if wanted is not None:
            await self._write_want(limit, wanted[1])
        ledger = self._ledger(limit, with_wants=True)
        if granter and ledger.to_grant():
            await self._grant(key, ledger.to_grant(), first=not ledger.shares)
            return
        give_up = ledger.to_give_up()
        if give_up:
            await self._spend(key, give_up, ops.BoundedTake("quota", give_up))
            return
        for origin, amount in ledger.to_send(heard):
            await self._spend(key, amount, ops.BoundedTransfer("quota", amount, heard[origin]))

    async def _grant(self, key: bytes, amount: int, *, first: bool) -> None:
        operation = ops.BoundedCreate("quota", amount) if first else ops.BoundedAdd("quota", amount)
        await self._feed.commit([ops.Edit(key, lambda p, k: p.plan_at(k, operation))])

    async def _spend(self, key: bytes, amount: int, operation: ops.Operation) -> None:
        admission = _Admission()
        self._reserve(key, amount, admission)  # QTA-1
        try:
            await self._feed.commit([ops.Edit(key, lambda p, k: p.plan_at(k, operation))])
        finally:
            self._release(key, amount)

    async def _write_want(self, limit: _Limit, amount: int) -> None:
        """Tell the others what this peer could have used, seldom."""
        backend = self._feed.backend
        key = limit.key("want", f"{backend.origin:016x}")
        before, now_ms = self._read_want(key), backend.wall_ms()
        if before is not None and before[0] >= amount and now_ms - before[1] < _WANT_MS // 2:
            return
        told = json.dumps({"amount": amount, "at_ms": now_ms}).encode()
        operation = ops.Put("want", value_base64=told, ttl_ms=2 * _WANT_MS)
        await self._feed.commit([ops.Edit(key, lambda p, k: p.plan_at(k, operation))])

    # -- status --------------------------------------------------------------------------------

    async def _tell(self, quota: CachedObject) -> None:
        """Write what is used, if it is not what the status says."""
        limits = self._limits_of(quota)
        status = {
            "hard": dict((quota.body.get("spec") or {}).get("hard") or {}),
            "used": {
                limit.name: quantity_text(limit.name, sum(self._used(limit).values()))
                for limit in limits
            },
        }
        if not limits or quota.body.get("status") == status:
            return

        def change(live: Live | None, _context: Context) -> dict[str, Any] | None:
            if live is None or live.body["metadata"]["uid"] != quota.uid:
                return None
            return {**live.body, "status": status}

        target = Target(self._resource, quota.key.namespace, quota.key.name)
        await self._feed.edit(target, change)


def _shares(record: Record) -> dict[int, int]:
    """Return the rights of every origin that a bounded counter names."""
    names = {path[0][1:] for path in record if path and path[0][:1] in "+->"}
    names |= {path[1] for path in record if len(path) == 2}
    return {int(name, 16): rights_of(record, name) for name in names if name}


def _refusal(resource: Resource, body: Mapping[str, Any], why: str) -> StatusError:
    name = body["metadata"].get("name", "")
    where = f"{resource.plural}.{resource.group}".rstrip(".")
    return StatusError(
        "Forbidden", f'{where} "{name}" is forbidden: {why}',
        details={"name": name, "group": resource.group, "kind": resource.plural},
    )  # fmt: skip


def _explanation(limit: _Limit, cost: int, ledger: Ledger) -> str:
    def text(amount: int) -> str:
        return quantity_text(limit.name, amount)

    used = sum(ledger.used.values())
    elsewhere = max(0, ledger.limit - used - ledger.spare)
    why = (
        f"exceeded quota: {limit.quota.key.name}, requested: {limit.name}={text(cost)}, "
        f"used: {limit.name}={text(used)}, limited: {limit.name}={text(ledger.limit)}"
    )
    if used + cost > ledger.limit:
        return why
    return f"{why}; this peer may admit {text(ledger.spare)}, {text(elsewhere)} is with others"
