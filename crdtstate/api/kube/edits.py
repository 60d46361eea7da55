"""An edit and its answer: dry runs, versions as preconditions, warnings, the object afterwards."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, final

from crdtstate.api.exchange import Request, Response
from crdtstate.api.kube.answers import (
    in_form,
    object_response,
)
from crdtstate.api.kube.negotiation import choose_form
from crdtstate.api.kube.pipeline import Writing
from crdtstate.api.kube.state import KubeState
from crdtstate.api.kube.subresources import scale_of
from crdtstate.api.kube.warnings import minority_warning, overridden_warning
from crdtstate.kube.cache import CachedObject
from crdtstate.kube.objects import Change, Context, EditResult, Keep, Live, Removal, Target
from crdtstate.kube.reading import format_time
from crdtstate.kube.resources import Resource
from crdtstate.kube.tables import include_of
from crdtstate.kube.uids import uid_bytes, uid_text

__all__ = ["STALE", "Editor"]

STALE = "0"
"""The resourceVersion of a state that no client has seen: whoever names a version meets a conflict.
Nobody can present it: as a precondition, 0 means none."""


@final
class Editor:
    """Carries edits out, or tries them."""

    def __init__(self, state: KubeState) -> None:
        self._state = state

    def versions(self, writing: Writing) -> Callable[[Live], str]:
        """Return what tells the version under which clients have seen what a writer sees.

        The writer may be ahead of what this peer has shown: such a state has no version yet.
        """
        cached = self._state.get(writing.resource, writing.namespace, writing.name)

        def version_of(live: Live) -> str:
            seen = cached is not None and cached.digest == live.digest
            return str(cached.version) if cached is not None and seen else STALE

        return version_of

    async def write(self, request: Request, writing: Writing, change: Change) -> Response:
        """Carry out a create, replace, patch or apply, and answer with the object."""
        resource = writing.resource
        form = choose_form(request.headers.get("Accept", ""))
        change = self._on_visible(resource, writing.name, change)
        include = include_of(request.query.get("includeObject", ""))  # Before anything is written.
        wall_ms = self._state.backend.wall_ms()
        warnings = writing.warnings
        if writing.options.dry_run:
            target = Target(resource, writing.namespace, writing.name)
            shown, created = self.try_out(target, change)
        else:
            result, cached = await self.edit(request, resource, writing, change)
            created = result.outcome == "created" and not self._state.is_default_namespace(
                resource, writing.name
            )
            self.warn(warnings, result)
            plain = form.view == "Object" and writing.subresource != "scale"
            if cached is not None and plain:
                data = self._state.showing.encoded(resource, cached)
                return object_response(data, 201 if created else 200, warnings)
            version = str(cached.version) if cached is not None else ""
            body = cached.body if cached is not None else result.body
            shown = self._state.showing.body(resource, body or {"metadata": {}}, version)
        if writing.subresource == "scale":
            shown = scale_of(resource, shown)
        answer = in_form(form, resource, [shown], wall_ms, include)
        return object_response(answer, 201 if created else 200, warnings)

    async def edit(
        self, request: Request, resource: Resource, writing: Writing, change: Change
    ) -> tuple[EditResult, CachedObject | None]:
        """Commit one edit and return once this peer shows it (KVB-2)."""
        target = Target(resource, writing.namespace, writing.name)
        state, namespace = self._state, writing.namespace
        with state.quotas.guarding(resource, namespace, change) as guarded:
            edited = await state.feed.edit(
                target, guarded, replicas=request.replicas("w"), timeout_ms=request.timeout_ms()
            )
        state.refresh()  # What was written may be a definition.
        cached, body = edited.cached, edited.result.body
        if cached is None and edited.result.outcome == "unchanged":
            cached = self._state.get(resource, writing.namespace, writing.name)
        if cached is not None and body is not None and cached.uid != body["metadata"]["uid"]:
            cached = None  # What was written is gone again, and another has its name.
        return edited.result, cached

    def warn(self, warnings: list[str], result: EditResult) -> None:
        """Note what the user should know of a write."""
        told = minority_warning(self._state.backend.cluster.status())
        warnings += [text for text in (told, overridden_warning(result.overridden)) if text]

    def _on_visible(self, resource: Resource, name: str, change: Change) -> Change:
        """Return the change with what is visible without ever having been written (KST-1)."""

        def visible(live: Live | None, context: Context) -> dict[str, Any] | Removal | Keep | None:
            return change(live or self._state.live_virtual(resource, name), context)

        return visible

    def try_out(self, target: Target, change: Change) -> tuple[dict[str, Any], bool]:
        """Return what a change would make of the object, shown, and whether it would create it."""
        state, resource = self._state, target.resource
        cached = state.get(resource, target.namespace, target.name)
        live = Live(deepcopy(cached.body), cached.digest) if cached is not None else None
        wall_ms = state.backend.wall_ms()
        uid = uid_text(uid_bytes(state.feed.cluster_id, target.key, 0))
        wanted = change(live, Context(wall_ms, state.backend.origin, uid, resource.schema))
        if isinstance(wanted, Removal):
            wanted = wanted.body
        if not isinstance(wanted, dict):
            wanted = cached.body if cached is not None else {"metadata": {}}
        metadata = dict(wanted["metadata"])
        if cached is None:
            metadata |= {"uid": uid, "creationTimestamp": format_time(wall_ms)}
        if resource.has_generation:
            before = metadata.get("generation", 0)
            same = cached is not None and _content(cached.body) == _content(wanted)
            metadata["generation"] = before if same else before + 1
        body = {**wanted, "metadata": metadata}
        version = str(cached.version) if cached is not None else ""
        return state.showing.body(resource, body, version), cached is None


def _content(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in ("metadata", "status")}
