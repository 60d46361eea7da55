"""Namespace: when one is deleted, so is what is in it, pods first.

What the API says now is asked, not a cache: a kind may be new, and an object that is overlooked
would live on in a namespace that nobody sees.

Invariants:
    NSP-1  A namespace goes only after every kind was listed and found empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from controllers.runtime.actions import Action, removal, status_patch
from controllers.runtime.objects import (
    Object,
    is_deleting,
    meta,
    spec_of,
    status_of,
    with_condition,
)
from controllers.runtime.registry import controller
from controllers.runtime.request import DONE, Request, Result
from controllers.runtime.scope import Scope
from crdtstate.client.kinds import EVENTS, NAMESPACES, PODS
from crdtstate.errors import CrdtstateError, NotFoundError
from crdtstate.model import Kind

__all__ = ["Content", "Namespaces", "plan"]

FINALIZER = "kubernetes"
_AGAIN_MS = 500
_BATCH = 200  # Objects removed in one reconcile.


@final
@dataclass(frozen=True, kw_only=True)
class Content:
    """What is in a namespace, as far as it could be listed."""

    objects: Mapping[Kind, Sequence[Object]]
    failures: Mapping[str, str]
    """Kinds that could not be listed, and why."""


def plan(namespace: Object, content: Content, now_ms: int) -> tuple[list[Action], bool]:
    """Return what to do, and whether the namespace is empty and may go."""
    pods = content.objects.get(PODS, ())
    first: list[tuple[Kind, Object]] = [(PODS, pod) for pod in pods]
    rest = [(k, o) for k, found in sorted(content.objects.items(), key=lambda i: i[0].name)
            for o in found if k != PODS]  # fmt: skip
    doomed = (first or rest)[:_BATCH]
    actions: list[Action] = [
        removal(kind, body, propagation="Background")
        for kind, body in doomed
        if not is_deleting(body)
    ]
    actions += status_patch(NAMESPACES, namespace, _status(namespace, content, now_ms))
    empty = not first and not rest and not content.failures
    return actions, empty


def _status(namespace: Object, content: Content, now_ms: int) -> dict[str, Any]:
    left = {kind.name: len(found) for kind, found in content.objects.items() if found}
    finalizers: dict[str, int] = {}
    for found in content.objects.values():
        for body in found:
            for finalizer in meta(body).get("finalizers") or []:
                finalizers[finalizer] = finalizers.get(finalizer, 0) + 1
    listed = ", ".join(f"{name} has {count} resource instances" for name, count in left.items())
    kept = ", ".join(f"{f} in {n} resource instances" for f, n in sorted(finalizers.items()))
    failed = ", ".join(f"{name}: {why}" for name, why in sorted(content.failures.items()))
    rows = (
        ("NamespaceDeletionContentFailure", bool(failed), "ContentDeletionFailed", failed,
         "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ("NamespaceContentRemaining", bool(left), "SomeResourcesRemain",
         f"Some resources are remaining: {listed}", "ContentRemoved",
         "All content successfully removed"),
        ("NamespaceFinalizersRemaining", bool(finalizers), "SomeFinalizersRemain",
         f"Some content in the namespace has finalizers remaining: {kept}",
         "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
    )  # fmt: skip
    conditions: Sequence[Mapping[str, Any]] = status_of(namespace).get("conditions") or []
    for kind, holds, reason, message, other_reason, other in rows:
        conditions = with_condition(
            conditions, kind, str(holds), reason=reason if holds else other_reason,
            message=message if holds else other, now_ms=now_ms,
        )  # fmt: skip
    return {**status_of(namespace), "phase": "Terminating", "conditions": list(conditions)}


@final
@controller("namespaces", of=NAMESPACES)
class Namespaces:
    """Lists, plans, performs."""

    async def reconcile(self, request: Request, scope: Scope) -> Result:
        """Empty one namespace that is marked, and let it go."""
        namespace = scope.get(NAMESPACES, request.name)
        if namespace is None or not is_deleting(namespace):
            return DONE
        finalizers = spec_of(namespace).get("finalizers") or []
        if FINALIZER not in finalizers:
            return DONE
        content = await self._list(request.name, scope)
        actions, empty = plan(namespace, content, scope.wall_ms)
        if not empty:
            await scope.perform(actions)
            return Result(_AGAIN_MS)
        left = [name for name in finalizers if name != FINALIZER]
        body = {**namespace, "spec": {**spec_of(namespace), "finalizers": left}}
        await scope.replace(NAMESPACES, body, subresource="finalize")
        return DONE

    async def _list(self, name: str, scope: Scope) -> Content:
        objects: dict[Kind, Sequence[Object]] = {}
        failures: dict[str, str] = {}
        for kind in await scope.served("list", "delete"):
            if not kind.namespaced or (kind.plural == "events" and kind != EVENTS):
                continue
            try:
                found = await scope.fetch(kind, name)
            except NotFoundError:
                continue  # The kind went meanwhile.
            except CrdtstateError as error:
                failures[kind.name] = error.message
                continue
            if found:
                objects[kind] = found
        return Content(objects=objects, failures=failures)
