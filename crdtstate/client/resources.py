"""The resource API of an `AsyncClient`: `blocking_resources.py` has the blocking twin."""

from collections.abc import AsyncGenerator, Awaitable, Mapping
from typing import Any, Protocol, TypeVar, final

from crdtstate.client import discovery
from crdtstate.client import resource_calls as calls
from crdtstate.client.aio_link import Link
from crdtstate.client.answer import Answer
from crdtstate.client.attempt import Session
from crdtstate.client.calls import Call
from crdtstate.client.failures import LinkError, error_of, unreachable
from crdtstate.client.resource_calls import WATCH_IDLE_MS_MAX, Media, ResourceWatch
from crdtstate.errors import CompactedError
from crdtstate.model import Kind, ResourceEvent, ResourceList, ResourceTable

__all__ = ["Resources"]

T = TypeVar("T")
_LISTS_MAX = 3  # Starts of one listing whose peer went away between two pages.


class Runner(Protocol):
    """Sends a call, and waits for its answer."""

    def __call__(self, call: Call[T], /) -> Awaitable[T]:
        """Return what the answer says."""


@final
class Resources:
    """Objects of the Kubernetes API.

    pods = await client.resources.list(PODS, "default", label_selector="app=web")
    async for event in client.resources.watch(PODS, "default", since=pods.resource_version):
        ...

    Every call goes on to the next peer when one fails. A resourceVersion means something to the
    peer that gave it only: after a fail-over a replace that carries one is a ConflictError, and a
    watch a CompactedError; read or list again then.
    """

    def __init__(self, session: Session, link: Link, run: Runner) -> None:
        self._session, self._link, self._run = session, link, run

    async def get(
        self, kind: Kind, name: str, namespace: str | None = None
    ) -> dict[str, Any] | None:
        """Return an object, None when it is not there."""
        return await self._run(calls.get(kind, name, namespace))

    async def was_deleted(
        self, kind: Kind, name: str, namespace: str | None = None, *, uid: str
    ) -> bool | None:
        """Whether the object of this uid was deleted: True when the peer knows that it was, False
        when it is there, None when the peer cannot tell: "not here" is not "gone".
        """
        return await self._run(calls.was_deleted(kind, name, namespace, uid))

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> ResourceList:
        """Return all objects, of all namespaces when none is given."""
        for left in reversed(range(_LISTS_MAX)):
            found: list[dict[str, Any]] = []
            start: str | None = None
            first: str | None = None
            try:
                while True:
                    items, version, start = await self._run(
                        calls.page(
                            kind, namespace, label_selector=label_selector,
                            field_selector=field_selector, start=start,
                        )
                    )  # fmt: skip
                    found += items
                    first = first or version
                    if start is None:
                        return ResourceList(tuple(found), first)
            except CompactedError:
                if not left:
                    raise
        raise AssertionError("unreachable")

    async def table(
        self,
        kind: Kind,
        name: str | None = None,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
    ) -> ResourceTable:
        """Return one object, or all, as the columns that kubectl shows. Raises: NotFoundError."""
        return await self._run(calls.table(kind, name, namespace, label_selector))

    async def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        since: str,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> AsyncGenerator[ResourceEvent]:
        """Yield what changes after `since`, until the connection ends.

        It ends as watches do, now and then: go on from the last event's `resource_version`.
        Leave it with `contextlib.aclosing`, so that its connection closes at once.

        Raises:
            CompactedError: This peer does not know `since`, or no longer: list again.
            UnavailableError: No connection; the next try goes to another peer.
        """
        watch = ResourceWatch(
            self._session, kind, namespace, since=since,
            label_selector=label_selector, field_selector=field_selector,
        )  # fmt: skip
        endpoint, opened = watch.planned.endpoint, False
        try:
            async with self._link.stream(watch.planned, WATCH_IDLE_MS_MAX) as stream:
                if isinstance(stream, Answer):
                    raise error_of(stream)
                opened = True
                async for chunk in stream:
                    for event in watch.feed(chunk):
                        yield event
        except LinkError as failure:
            self._session.endpoints.failed(endpoint)
            if not opened:
                raise unreachable(endpoint, failure.reason) from failure

    async def create(
        self, kind: Kind, body: Mapping[str, Any], *, manager: str | None = None
    ) -> dict[str, Any]:
        """Create an object. Raises: AlreadyExistsError, InvalidError."""
        return await self._run(calls.create(kind, body, manager))

    async def replace(
        self,
        kind: Kind,
        body: Mapping[str, Any],
        *,
        subresource: str | None = None,
        manager: str | None = None,
    ) -> dict[str, Any]:
        """Make an object what `body` says. Raises: NotFoundError, ConflictError, InvalidError."""
        return await self._run(calls.replace(kind, body, subresource, manager))

    async def patch(
        self,
        kind: Kind,
        name: str,
        patch: object,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        media: Media = "merge",
        manager: str | None = None,
    ) -> dict[str, Any]:
        """Change a part of an object.

        A resourceVersion in a merge patch is a precondition, on the peer that answers.

        Raises: NotFoundError, ConflictError, InvalidError.
        """
        call = calls.patch(
            kind, name, patch, namespace, subresource=subresource, media=media, manager=manager
        )
        return await self._run(call)

    async def apply(
        self,
        kind: Kind,
        body: Mapping[str, Any],
        *,
        manager: str,
        force: bool = False,
        subresource: str | None = None,
    ) -> dict[str, Any]:
        """Set what `body` says, remove what this manager applied before and no longer does.

        Raises: ConflictError when another manager has set a field, unless `force`; InvalidError.
        """
        call = calls.apply(kind, body, manager=manager, force=force, subresource=subresource)
        return await self._run(call)

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        propagation: str | None = None,
        grace_seconds: int | None = None,
    ) -> bool:
        """Delete an object; False when it was not there.

        Args:
            uid: Only this one, not another of the same name.
            propagation: "Background", "Foreground" or "Orphan".

        Raises: ConflictError when the uid is another.
        """
        return await self._run(
            calls.delete(
                kind, name, namespace, uid=uid, propagation=propagation,
                grace_seconds=grace_seconds,
            )
        )  # fmt: skip

    async def kinds(self, *verbs: str) -> tuple[Kind, ...]:
        """Return the kinds that the peer serves, those that allow all of `verbs`."""
        return discovery.preferred(await self._served(), verbs)

    async def kind(self, name: str) -> Kind:
        """Return the kind that a name means, as kubectl takes it: `pods`, `po`, `Pod`,
        `deployments.apps`, or with a version: `deployments.v1.apps`, `pods.v1.`.

        Raises: NotFoundError, with the nearest name.
        """
        return discovery.kind_called(await self._served(), name)

    async def _served(self) -> tuple[discovery.Served, ...]:
        core = await self._run(discovery.served("/api"))
        return core + await self._run(discovery.served("/apis"))
