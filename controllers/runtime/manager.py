"""EDGE: all controllers of one process: shared informers, beliefs, start and end.

It is an extension's or a command's business to run one; a program of your own may as well:

    async with AsyncClient("127.0.0.1:7480", causal=False) as client:
        await Manager(client, [spec_of_class(Websites)]).run()
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from random import Random, SystemRandom
from typing import final

import structlog

from controllers.runtime.cache import Cache
from controllers.runtime.controller import Controller, gather_some
from controllers.runtime.informer import Informer
from controllers.runtime.membership import Membership
from controllers.runtime.metrics import ControllerMetrics
from controllers.runtime.objects import owners_of
from controllers.runtime.ports import Clock, SystemClock
from controllers.runtime.presence import NAMESPACE, actors_among, presence_of
from controllers.runtime.recorder import Recorder
from controllers.runtime.registry import ControllerSpec
from controllers.runtime.scope import OWNER_INDEX, Desk
from controllers.runtime.view import View
from controllers.runtime.written import Written
from crdtstate.client import AsyncClient
from crdtstate.client.kinds import CUSTOM_RESOURCE_DEFINITIONS, LEASES, NAMESPACES
from crdtstate.errors import AlreadyExistsError, CrdtstateError, NotFoundError
from crdtstate.model import Kind

__all__ = ["Manager"]

_BELIEFS_MS, _FRESH_MS = 500, 50
_DISCOVERY_S = 30.0
_log = structlog.get_logger("controllers.manager")


@final
class Manager:
    """One process's controllers. `run` goes on until it is cancelled.

    Args:
        client: Of the peer that is asked. Make it with causal=False: after a fail-over it must not
            wait for what the lost peer alone had.
        member: The member that this process runs beside: it shares the work with the other
            members. None acts on everything.
    """

    def __init__(
        self,
        client: AsyncClient,
        specs: Sequence[ControllerSpec],
        *,
        member: str | None = None,
        clock: Clock | None = None,
        rng: Random | None = None,
    ) -> None:
        self._client, self._member = client, member
        self._clock: Clock = clock or SystemClock()
        self._rng = rng or SystemRandom()
        self._membership = Membership(member)
        self._caches: dict[Kind, Cache] = {}
        self._informers: dict[Kind, Informer] = {}
        self._group: asyncio.TaskGroup | None = None
        self._believed: object = None
        self._discover = asyncio.Event()
        self.controllers = [self._build(spec) for spec in specs]
        for kind in (LEASES, *(kind for spec in specs for kind in spec.kinds)):
            self._ensure(kind)
        for built in self.controllers:
            for kind, indexes in built.spec.indexes.items():
                for name, function in indexes.items():
                    self._caches[kind].add_index(name, function)
            built.attach(self._informers)

    def _build(self, spec: ControllerSpec) -> Controller:
        desk = Desk(
            name=spec.name, resources=self._client.resources, caches=self._caches,
            written=Written(self._caches), recorder=Recorder(spec.name),
            metrics=ControllerMetrics(spec.name), together=gather_some,
        )  # fmt: skip
        return Controller(spec, desk, self._membership, self._refresh, self._clock, self._rng)

    def _ensure(self, kind: Kind) -> Informer:
        if kind not in self._informers:
            cache = self._caches[kind] = Cache(kind)
            cache.add_index(OWNER_INDEX, lambda body: [str(o.get("uid")) for o in owners_of(body)])
            informer = Informer(kind, cache, self._client.resources, self._rng)
            self._informers[kind] = informer
            if self._group is not None:
                self._group.create_task(informer.run())
        return self._informers[kind]

    # -- what is seen from outside -------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether everything is synced and no controller has anything to do now."""
        return all(i.synced.is_set() for i in self._informers.values()) and all(
            built.is_idle for built in self.controllers
        )

    def view(self) -> View:
        """Return what a reconcile that begins now is told."""
        return self._membership.view(self._clock.now_ms())

    def metrics(self) -> list[ControllerMetrics]:
        """Return the counts of all controllers."""
        return [built.metrics for built in self.controllers]

    # -- running -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run everything."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await self._look_at_members()
                for informer in list(self._informers.values()):
                    group.create_task(informer.run())
                for built in self.controllers:
                    group.create_task(built.run())
                group.create_task(self._keep_beliefs())
                if any(built.spec.everything for built in self.controllers):
                    group.create_task(self._keep_kinds())
        finally:
            self._group = None

    async def withdraw(self) -> None:
        """Say that controllers no longer run here: at an orderly end, after `run`."""
        if self._member is not None:
            lease = presence_of(self._member)
            with suppress(CrdtstateError):
                await self._client.resources.delete(LEASES, lease["metadata"]["name"], NAMESPACE)

    async def _keep_beliefs(self) -> None:
        announced = self._member is None
        while True:
            announced = announced or await self._announce()
            await self._look_at_members()
            now_ms = self._clock.now_ms()
            until_ms = self._membership.next_ms(now_ms) or now_ms + _BELIEFS_MS
            await asyncio.sleep(max(1, min(_BELIEFS_MS, until_ms - now_ms)) / 1000)

    async def _refresh(self) -> None:
        view = self.view()
        if view.silent_ms and view.age_ms >= _FRESH_MS:
            await self._look_at_members()

    async def _look_at_members(self) -> None:
        with suppress(CrdtstateError):  # The view grows old, and says so.
            rows = await self._client.members()
            self._membership.observe(self._clock.now_ms(), rows)
        self._membership.set_actors(actors_among(self._caches[LEASES].list(NAMESPACE)))
        now_ms = self._clock.now_ms()
        view = self._membership.view(now_ms)
        owners = self._membership.owners(now_ms)
        ready = self._membership.is_ready(now_ms)
        believed = (view.members, view.heard, view.settled, view.lost, owners, ready)
        if believed != self._believed:
            _log.info(
                "view_changed", heard=view.heard, lost=sorted(view.lost), settled=view.settled,
                owners=owners,
            )  # fmt: skip
            self._believed = believed
            for built in self.controllers:
                built.look_at_all()

    async def _announce(self) -> bool:
        assert self._member is not None
        lease = presence_of(self._member)
        try:
            if await self._client.resources.get(LEASES, lease["metadata"]["name"], NAMESPACE):
                return True
            await self._client.resources.create(LEASES, lease)
        except AlreadyExistsError:
            return True
        except NotFoundError:
            with suppress(CrdtstateError):
                await self._client.resources.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
            return False
        except CrdtstateError:
            return False
        return True

    async def _keep_kinds(self) -> None:
        """Watch every kind that the peer serves, for controllers that want all."""
        crds = self._ensure(CUSTOM_RESOURCE_DEFINITIONS)
        crds.listen(lambda _change: self._discover.set())
        while True:
            self._discover.clear()
            with suppress(CrdtstateError):
                for kind in await self._client.resources.kinds("list", "watch", "delete"):
                    if kind.plural != "events":  # Many, short-lived, and nobody's owners.
                        self._take_in(kind)
            with suppress(TimeoutError):
                async with asyncio.timeout(_DISCOVERY_S):
                    await self._discover.wait()

    def _take_in(self, kind: Kind) -> None:
        known = kind in self._informers
        informer = self._ensure(kind)
        for built in self.controllers:
            built.attach_to(informer, known=known)
