"""What one reconcile has in its hands: its view, the caches, and the only way to write.

Everything that is written goes through here, so that it is counted, and so that the next reconcile
of the same key waits until the caches have it.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, final

from controllers.errors import StaleError, UnwatchedError
from controllers.runtime.actions import Action, Create, Delete, Patch, Say
from controllers.runtime.cache import Cache
from controllers.runtime.metrics import ControllerMetrics
from controllers.runtime.objects import Object, Objects, controller_of, uid_of
from controllers.runtime.recorder import Recorder
from controllers.runtime.request import Request
from controllers.runtime.view import View
from controllers.runtime.written import Written
from crdtstate.client.kinds import EVENTS
from crdtstate.client.resources import Resources
from crdtstate.errors import AlreadyExistsError, ConflictError, CrdtstateError, NotFoundError
from crdtstate.model import Kind

__all__ = ["OWNER_INDEX", "Desk", "Scope"]

OWNER_INDEX = "owner"
"""An index of every cache: the uids of an object's owners."""
Batch = Callable[[Sequence[Awaitable[None]]], Awaitable[None]]


@final
@dataclass(frozen=True)
class Desk:
    """What all scopes of one controller share."""

    name: str
    resources: Resources
    caches: Mapping[Kind, Cache]
    written: Written
    recorder: Recorder
    metrics: ControllerMetrics
    together: Batch
    """Runs writes that do not depend on each other, some at a time."""


@final
class Scope:
    """One reconcile. Objects that it gives are shared: copy before you change one."""

    def __init__(
        self, desk: Desk, request: Request, view: View, *, now_ms: int, wall_ms: int
    ) -> None:
        self._desk, self._request = desk, request
        self.view = view
        self.now_ms, self.wall_ms = now_ms, wall_ms

    # -- reading, from the caches --------------------------------------------------------------

    def _cache(self, kind: Kind) -> Cache:
        cache = self._desk.caches.get(kind)
        if cache is None:
            raise UnwatchedError(
                f"controller {self._desk.name} reads {kind.name}, which it does not declare: "
                "name it in owns, watches or reads"
            )
        return cache

    def get(self, kind: Kind, name: str, namespace: str = "") -> Object | None:
        """Return an object, None when it is not here."""
        return self._cache(kind).get(Request(namespace, name))

    @property
    def caches(self) -> Mapping[Kind, Cache]:
        """Every cache of the process: for a controller of all kinds."""
        return self._desk.caches

    def list(self, kind: Kind, namespace: str | None = None) -> Objects:
        """Return the objects of a namespace, or all. Cost: O(all of the kind)."""
        return self._cache(kind).list(namespace)

    def find(self, kind: Kind, index: str, value: str) -> Objects:
        """Return what an index of the controller's has under a value."""
        return self._cache(kind).find(index, value)

    def owned(self, kind: Kind, owner: Object) -> Objects:
        """Return what `owner` controls, by name. Cost: O(result)."""
        uid = uid_of(owner)
        return [
            body
            for body in self._cache(kind).find(OWNER_INDEX, uid)
            if (controller_of(body) or {}).get("uid") == uid
        ]

    # -- reading, from the peer: for what no cache can tell -------------------------------------

    async def fetch(self, kind: Kind, namespace: str | None = None) -> Objects:
        """List what the peer shows now. Cost: a request."""
        return list((await self._desk.resources.list(kind, namespace)).items)

    async def was_deleted(self, kind: Kind, name: str, namespace: str, uid: str) -> bool | None:
        """Whether this uid is known to be gone; False: it is here; None: nobody can tell."""
        if self._cache(kind).was_deleted(uid):
            return True
        return await self._desk.resources.was_deleted(kind, name, namespace or None, uid=uid)

    async def served(self, *verbs: str) -> tuple[Kind, ...]:
        """Return the kinds that the peer serves with all of these verbs. Cost: two requests."""
        return await self._desk.resources.kinds(*verbs)

    # -- writing -------------------------------------------------------------------------------

    async def create(self, kind: Kind, body: Mapping[str, Any]) -> None:
        """Create an object. That one of this name is there is no error."""
        self._desk.metrics.writes += 1
        try:
            made = await self._desk.resources.create(kind, body, manager=self._desk.name)
        except AlreadyExistsError:
            return
        self._desk.written.note(self._request, kind, made)

    async def apply(
        self, kind: Kind, body: Mapping[str, Any], *, subresource: str | None = None
    ) -> None:
        """Apply a configuration as this controller's, and take over fields of others."""
        self._desk.metrics.writes += 1
        made = await self._desk.resources.apply(
            kind, body, manager=self._desk.name, force=True, subresource=subresource
        )
        self._desk.written.note(self._request, kind, made)

    async def patch(
        self,
        kind: Kind,
        name: str,
        patch: Mapping[str, Any],
        namespace: str = "",
        *,
        subresource: str | None = None,
    ) -> None:
        """Merge into an object. That it is not there is no error.

        Raises: StaleError when a resourceVersion in the patch is not the object's.
        """
        self._desk.metrics.writes += 1
        try:
            made = await self._desk.resources.patch(
                kind, name, patch, namespace or None, subresource=subresource,
                manager=self._desk.name,
            )  # fmt: skip
        except NotFoundError:
            return
        except ConflictError as error:
            raise StaleError(error.message) from error
        self._desk.written.note(self._request, kind, made)

    async def replace(
        self, kind: Kind, body: Mapping[str, Any], *, subresource: str | None = None
    ) -> None:
        """Make an object what `body` says. That it is not there is no error. Raises: StaleError."""
        self._desk.metrics.writes += 1
        try:
            made = await self._desk.resources.replace(
                kind, body, subresource=subresource, manager=self._desk.name
            )
        except NotFoundError:
            return
        except ConflictError as error:
            raise StaleError(error.message) from error
        self._desk.written.note(self._request, kind, made)

    async def delete(self, action: Delete) -> None:
        """Delete exactly one object. That it is not there, or is another, is no error."""
        self._desk.metrics.writes += 1
        try:
            await self._desk.resources.delete(
                action.kind, action.name, action.namespace or None, uid=action.uid,
                propagation=action.propagation, grace_seconds=action.grace_seconds,
            )  # fmt: skip
        except ConflictError:
            return
        target = Request(action.namespace, action.name)
        self._desk.written.note_deletion(self._request, action.kind, target, action.uid)

    async def say(self, say: Say) -> None:
        """Record an Event, unless the same was said a moment ago. One that fails is dropped."""
        told = self._desk.recorder.event(say, self.now_ms, self.wall_ms)
        if told is None:
            return
        body, count = told
        self._desk.metrics.writes += 1
        resources, manager = self._desk.resources, self._desk.name
        with suppress(CrdtstateError):
            if count == 1:
                with suppress(AlreadyExistsError):
                    await resources.create(EVENTS, body, manager=manager)
                    return
            change = {"count": body["count"], "lastTimestamp": body["lastTimestamp"]}
            name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
            await resources.patch(EVENTS, name, change, namespace, manager=manager)

    async def perform(self, actions: Iterable[Action]) -> None:
        """Do what a planner asks for: changes some at a time, what is said of them after.

        The first failure is raised when those beside it have ended; what follows is not begun.
        """
        many: list[Awaitable[None]] = []
        for action in actions:
            match action:
                case Create():
                    many.append(self.create(action.kind, action.body))
                case Delete():
                    many.append(self.delete(action))
                case Patch() if action.subresource is None:
                    many.append(self._merge(action))
                case Patch() | Say():
                    await self._desk.together(many)
                    many = []
                    await (self.say(action) if isinstance(action, Say) else self._merge(action))
        await self._desk.together(many)

    async def _merge(self, action: Patch) -> None:
        await self.patch(
            action.kind, action.name, action.patch, action.namespace,
            subresource=action.subresource,
        )  # fmt: skip
