"""Objects in a simulated world: clients that edit and watch them, and what all must agree on.

Invariants (checked here, of the shipping code):
    FED-3  Once nothing happens, every peer's cache shows exactly what its disk says, and all peers
           show the same.
    FED-4  A client that lists and then watches has, at each bookmark, what the peer shows.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from random import Random
from typing import TYPE_CHECKING, Any

from crdtstate.client.aio import AsyncClient
from crdtstate.client.kinds import CONFIG_MAPS, LEASES, SERVICES
from crdtstate.errors import (
    AlreadyExistsError,
    CompactedError,
    ConflictError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from crdtstate.kube.keys import KEYS_FIRST, KEYS_STOP, decode_key
from crdtstate.kube.reading import choose_shown, read_lives
from crdtstate.model import Kind
from crdtstate.sim.plan import Plan
from crdtstate.sim.violation import require
from crdtstate.storage.memory import MemoryStorage
from crdtstate.store.ports import Family
from crdtstate.store.transaction import split_record_id

if TYPE_CHECKING:
    from crdtstate.sim.world import Host

__all__ = ["check_objects", "objects"]

_WATCH_S = 4.0
# Invalid: a finalizer for what is being deleted.
_REFUSED = (AlreadyExistsError, ConflictError, InvalidError, NotFoundError)


def objects(plan: Plan) -> Callable[[AsyncClient, Random, int], Awaitable[None]]:
    """Return a client's step: one verb of the resource API on one of a few objects."""

    async def step(client: AsyncClient, rng: Random, number: int) -> None:
        kind = rng.choice((CONFIG_MAPS, CONFIG_MAPS, SERVICES, LEASES))
        name = f"o{rng.randrange(plan.keys)}"
        with suppress(*_REFUSED):
            await rng.choice(_ACTIONS)(client, rng, kind, name, f"m{number}")

    return step


def _body(rng: Random, kind: Kind, name: str) -> dict[str, Any]:
    value = f"v{rng.randrange(4)}"
    body: dict[str, Any] = {
        "apiVersion": kind.api_version, "kind": kind.kind,
        "metadata": {"name": name, "namespace": "default", "labels": {rng.choice("ab"): value}},
    }  # fmt: skip
    if kind is CONFIG_MAPS:
        body["data"] = {f"k{rng.randrange(4)}": value for _ in range(rng.randint(0, 3))}
    elif kind is SERVICES:
        ports = rng.sample((80, 81, 82), rng.randint(1, 3))
        body["spec"] = {"ports": [{"port": p, "name": f"p{p}"} for p in ports]}
    else:
        body["spec"] = {"holderIdentity": value, "leaseDurationSeconds": 15}
    return body


async def _create(c: AsyncClient, rng: Random, kind: Kind, name: str, manager: str) -> None:
    await c.resources.create(kind, _body(rng, kind, name), manager=manager)


async def _apply(c: AsyncClient, rng: Random, kind: Kind, name: str, manager: str) -> None:
    force = rng.random() < 0.5
    await c.resources.apply(kind, _body(rng, kind, name), manager=manager, force=force)


async def _replace(c: AsyncClient, rng: Random, kind: Kind, name: str, manager: str) -> None:
    found = await c.resources.get(kind, name, "default")
    if found is not None:
        wanted = _body(rng, kind, name)
        wanted["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
        await c.resources.replace(kind, wanted, manager=manager)


async def _patch(c: AsyncClient, rng: Random, kind: Kind, name: str, manager: str) -> None:
    label = {rng.choice("abc"): rng.choice((None, f"v{rng.randrange(4)}"))}
    patch = {"metadata": {"labels": label}}
    await c.resources.patch(kind, name, patch, "default", manager=manager)


async def _finalize(c: AsyncClient, rng: Random, kind: Kind, name: str, manager: str) -> None:
    patch = {"metadata": {"finalizers": rng.choice((None, [f"test.io/{manager}"]))}}
    await c.resources.patch(kind, name, patch, "default", manager=manager)


async def _delete(c: AsyncClient, _rng: Random, kind: Kind, name: str, _manager: str) -> None:
    await c.resources.delete(kind, name, "default")


async def _inform(c: AsyncClient, _rng: Random, kind: Kind, _name: str, _manager: str) -> None:
    """List, watch for a while, list again: what the events said must be what there is (FED-4)."""
    with suppress(CompactedError, UnavailableError, TimeoutError):
        listed = await c.resources.list(kind)
        known = {o["metadata"]["name"]: o for o in listed.items}
        since = int(listed.resource_version or "0")
        async with asyncio.timeout(_WATCH_S):
            watch = c.resources.watch(kind, since=str(since))
            async with aclosing(watch) as events:
                async for event in events:
                    again = await c.resources.list(kind)
                    _take(known, event)
                    if again.resource_version == event.resource_version:
                        there = {o["metadata"]["name"]: o for o in again.items}
                        assert known == there, f"FED-4: events say {known}, the list {there}"


def _take(known: dict[str, Any], event: Any) -> None:
    if event.object is None:
        return
    name = event.object["metadata"]["name"]
    if event.type == "DELETED":
        assert name in known, f"FED-4: {name} was deleted and never there"
        del known[name]
    else:
        known[name] = event.object


_ACTIONS = (
    _create, _create, _apply, _apply, _replace, _replace, _patch, _patch, _finalize, _delete,
    _inform,
)  # fmt: skip


def check_objects(hosts: "list[Host]") -> None:
    """Check all that stay, once they are equal (FED-3). Raises: Violation."""
    first: dict[Any, Any] | None = None
    for host in hosts:
        assert host.peer is not None
        feed = host.peer.feed
        require(feed.failure is None, "FED-3", f"{host.name}: the feed ended: {feed.failure}")
        revision, shown = feed.revision, host.peer.replica.shown.revision
        require(revision == shown, "FED-3", f"{host.name}: the feed is at {revision} of {shown}")
        kinds = feed.cache.kinds()
        cached = {seen.key: seen.body for kind in kinds for seen in feed.cache.list(kind)}
        stored = _stored(host)
        require(cached == stored, "FED-3", f"{host.name} shows {cached}, stores {stored}")
        first = cached if first is None else first
        require(cached == first, "FED-3", f"{host.name} shows {cached}, another {first}")


def _stored(host: "Host") -> dict[Any, Any]:
    disk = MemoryStorage(host.disk.database)
    rows = disk.scan(Family.RECORD + KEYS_FIRST, Family.RECORD + KEYS_STOP)
    keys = {decode_key(split_record_id(storage_key[1:])[0]) for storage_key, _ in rows}
    found = {key: choose_shown(read_lives(disk, key)) for key in keys if key is not None}
    return {key: shown.body for key, shown in found.items() if shown is not None}
