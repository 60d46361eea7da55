"""The resource API of a `Client`: `resources.py` has the asynchronous twin."""

from collections.abc import Generator, Mapping
from typing import Any, Protocol, TypeVar, final

from crdtstate.client import discovery
from crdtstate.client import resource_calls as calls
from crdtstate.client.answer import Answer
from crdtstate.client.attempt import Session
from crdtstate.client.calls import Call
from crdtstate.client.connections import Connections
from crdtstate.client.failures import LinkError, error_of, unreachable
from crdtstate.client.resource_calls import WATCH_IDLE_MS_MAX, Media, ResourceWatch
from crdtstate.errors import CompactedError
from crdtstate.model import Kind, ResourceEvent, ResourceList, ResourceTable

__all__ = ["BlockingResources"]

T = TypeVar("T")
_LISTS_MAX = 3  # Starts of one listing whose peer went away between two pages.


class Runner(Protocol):
    """Sends a call, and waits for its answer."""

    def __call__(self, call: Call[T], /) -> T:
        """Return what the answer says."""


@final
class BlockingResources:
    """Objects of the Kubernetes API: the calls, errors and guarantees of `Resources`.

    Every call goes on to the next peer when one fails. A resourceVersion means something to the
    peer that gave it only: after a fail-over a replace that carries one is a ConflictError, and a
    watch a CompactedError; read or list again then.
    """

    def __init__(self, session: Session, connections: Connections, run: Runner) -> None:
        self._session, self._connections, self._run = session, connections, run

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """Return an object, None when it is not there."""
        return self._run(calls.get(kind, name, namespace))

    def was_deleted(
        self, kind: Kind, name: str, namespace: str | None = None, *, uid: str
    ) -> bool | None:
        """Whether the object of this uid was deleted: True when the peer knows that it was, False
        when it is there, None when the peer cannot tell: "not here" is not "gone".
        """
        return self._run(calls.was_deleted(kind, name, namespace, uid))

    def list(
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
                    items, version, start = self._run(
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

    def table(
        self,
        kind: Kind,
        name: str | None = None,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
    ) -> ResourceTable:
        """Return one object, or all, as the columns that kubectl shows. Raises: NotFoundError."""
        return self._run(calls.table(kind, name, namespace, label_selector))

    def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        since: str,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> Generator[ResourceEvent]:
        """Yield what changes after `since`, until the connection ends.

        It ends as watches do, now and then: go on from the last event's `resource_version`.
        Close the generator to leave it.

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
            with self._connections.stream(watch.planned, WATCH_IDLE_MS_MAX) as stream:
                if isinstance(stream, Answer):
                    raise error_of(stream)
                opened = True
                for chunk in stream:
                    yield from watch.feed(chunk)
        except LinkError as failure:
            self._session.endpoints.failed(endpoint)
            if not opened:
                raise unreachable(endpoint, failure.reason) from failure

    def create(
        self, kind: Kind, body: Mapping[str, Any], *, manager: str | None = None
    ) -> dict[str, Any]:
        """Create an object. Raises: AlreadyExistsError, InvalidError."""
        return self._run(calls.create(kind, body, manager))

    def replace(
        self,
        kind: Kind,
        body: Mapping[str, Any],
        *,
        subresource: str | None = None,
        manager: str | None = None,
    ) -> dict[str, Any]:
        """Make an object what `body` says. Raises: NotFoundError, ConflictError, InvalidError."""
        return self._run(calls.replace(kind, body, subresource, manager))

    def patch(
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
        return self._run(call)

    def apply(
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
        return self._run(call)

    def delete(
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
        return self._run(
            calls.delete(
                kind, name, namespace, uid=uid, propagation=propagation,
                grace_seconds=grace_seconds,
            )
        )  # fmt: skip

    def kinds(self, *verbs: str) -> tuple[Kind, ...]:
        """Return the kinds that the peer serves, those that allow all of `verbs`."""
        return discovery.preferred(self._served(), verbs)

    def kind(self, name: str) -> Kind:
        """Return the kind that a name means, as kubectl takes it: `pods`, `po`, `Pod`,
        `deployments.apps`, or with a version: `deployments.v1.apps`, `pods.v1.`.

        Raises: NotFoundError, with the nearest name.
        """
        return discovery.kind_called(self._served(), name)

    def _served(self) -> tuple[discovery.Served, ...]:
        core = self._run(discovery.served("/api"))
        return core + self._run(discovery.served("/apis"))
