"""DELETE of one object and of a collection. A deletion is a mark; what has no finalizer is gone.

Source: Kubernetes API concepts, "Resource deletion"; DeleteOptions.
"""

from typing import final

from crdtstate.api.exchange import Request, Response
from crdtstate.api.kube.answers import object_response
from crdtstate.api.kube.bodies import decode_body
from crdtstate.api.kube.definitions import Definitions
from crdtstate.api.kube.edits import STALE, Editor
from crdtstate.api.kube.faces import CRDS, PODS
from crdtstate.api.kube.negotiation import Form
from crdtstate.api.kube.options import DeleteOptions, parse_delete, parse_list
from crdtstate.api.kube.pieces import list_response
from crdtstate.api.kube.routes import Route
from crdtstate.api.kube.state import CLEANUP, KubeState, not_found, qualified
from crdtstate.api.kube.warnings import minority_warning
from crdtstate.kube.cache import CachedObject
from crdtstate.kube.editing import edit
from crdtstate.kube.objects import Change, Context, EditResult, Live, Removal, Target
from crdtstate.kube.resources import Resource
from crdtstate.kube.selectors import selection
from crdtstate.kube.statuses import StatusError

__all__ = ["DeleteHandlers"]

_BATCH = 16  # Objects of a transaction: some milliseconds.
POD_GRACE_S = 30
_PROPAGATION = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}


@final
class DeleteHandlers:
    """DELETE."""

    def __init__(self, state: KubeState, editor: Editor) -> None:
        self._state, self._editor = state, editor
        self.definitions = Definitions(
            state, lambda resource, found: self._delete_all(resource, found, DeleteOptions())
        )

    async def delete(self, request: Request, route: Route, resource: Resource) -> Response:
        """DELETE one object."""
        options = await _read_options(request)
        name = route.name
        self._refuse_default(resource, name)
        found = self._state.require(resource, route.namespace, name)
        target = Target(resource, route.namespace, name)
        change = self._removing(target, options, found, required=True)
        if options.dry_run:
            shown, _ = self._editor.try_out(target, change)
            return object_response(shown)
        edited = await self._state.feed.edit(
            target, change, replicas=request.replicas("w"), timeout_ms=request.timeout_ms()
        )
        if resource.stored_as == CRDS:
            await self.definitions.empty(name)
            await self.definitions.finish()
        return self._answer(resource, name, edited.result, self._warnings())

    def _warnings(self) -> list[str]:
        told = minority_warning(self._state.backend.cluster.status())
        return [told] if told else []

    def _answer(
        self, resource: Resource, name: str, result: EditResult, warnings: list[str]
    ) -> Response:
        cached = self._state.feed.cache.get(
            resource.stored_as, (result.body or {})["metadata"].get("namespace", ""), name
        )
        uid = (result.body or {})["metadata"]["uid"]
        if result.outcome != "gone" and cached is not None and cached.uid == uid:
            return object_response(self._state.showing.encoded(resource, cached), 200, warnings)
        details = {"name": name, "group": resource.group, "kind": resource.plural, "uid": uid}
        status = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {key: value for key, value in details.items() if value},
        }  # fmt: skip
        return object_response(status, 200, warnings)

    def _refuse_default(self, resource: Resource, name: str) -> None:
        if self._state.is_default_namespace(resource, name):
            raise StatusError(
                "Forbidden",
                f'namespaces "{name}" is forbidden: this namespace may not be deleted',
                details={"name": name, "kind": "namespaces"},
            )

    def _removing(
        self, target: Target, options: DeleteOptions, seen: CachedObject, *, required: bool
    ) -> Change:
        """Return the change that deletes one object; `required`: it must be there."""

        def change(live: Live | None, _context: Context) -> Removal | None:
            if live is None:
                if required:
                    raise not_found(target.resource, target.name)
                return None
            version = str(seen.version) if seen.digest == live.digest else STALE
            _check_preconditions(target, options, live, version)
            return _removal(target.resource, options, live)

        return change

    async def delete_collection(
        self, request: Request, route: Route, resource: Resource
    ) -> Response:
        """DELETE what a list would show; in transactions of some objects each."""
        options = await _read_options(request)
        chosen = parse_list(request.query)
        showing = self._state.showing
        select = selection(resource, chosen.label_selector, chosen.field_selector)
        found = [
            cached
            for cached in showing.select(
                resource, self._state.objects(resource, route.namespace), select
            )
            if not self._state.is_default_namespace(resource, cached.key.name)
        ]
        if not options.dry_run:
            await self._delete_all(resource, found, options)
            if resource.stored_as == CRDS:
                for cached in found:
                    await self.definitions.empty(cached.key.name)
                await self.definitions.finish()
        metadata = {"resourceVersion": str(self._state.feed.cache.version)}
        return list_response(showing, Form(), resource, found, metadata, self._warnings())

    async def _delete_all(
        self, resource: Resource, found: list[CachedObject], options: DeleteOptions
    ) -> None:
        feed = self._state.feed
        for start in range(0, len(found), _BATCH):
            edits = []
            for cached in found[start : start + _BATCH]:
                target = Target(resource, cached.key.namespace, cached.key.name)
                change = self._removing(target, options, cached, required=False)
                edits.append(edit(target, change, feed.cluster_id))
            await feed.commit(edits)


async def _read_options(request: Request) -> DeleteOptions:
    data = await request.read_body()
    if not data:
        return parse_delete(request.query, {})
    body = decode_body(request.headers.get("Content-Type", ""), data).value
    return parse_delete(request.query, body if isinstance(body, dict) else {})


def _check_preconditions(target: Target, options: DeleteOptions, live: Live, version: str) -> None:
    metadata = live.body["metadata"]
    for what, wanted, found in (
        ("UID", options.uid, metadata.get("uid")),
        ("ResourceVersion", options.version, version),
    ):
        if wanted is not None and wanted != found:
            raise StatusError(
                "Conflict",
                f'Operation cannot be fulfilled on {qualified(target.resource)} "{target.name}": '
                f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: "
                f"{found}",
                details={
                    "name": target.name,
                    "group": target.resource.group,
                    "kind": target.resource.plural,
                },
            )


def _removal(resource: Resource, options: DeleteOptions, live: Live) -> Removal:
    """Return the removal, with the finalizers that the kind or the client's policy adds."""
    metadata = dict(live.body["metadata"])
    finalizers = list(metadata.get("finalizers") or [])
    added = _PROPAGATION.get(options.propagation)
    more = [added] if added else []
    if resource.stored_as == CRDS:
        more.append(CLEANUP)
    more = [finalizer for finalizer in more if finalizer not in finalizers]
    grace_s = _grace_of(resource, options, live)
    if not more or "deletionTimestamp" in metadata:
        return Removal(grace_s=grace_s)
    metadata["finalizers"] = finalizers + more
    return Removal(body={**live.body, "metadata": metadata}, grace_s=grace_s)


def _grace_of(resource: Resource, options: DeleteOptions, live: Live) -> int:
    """Return the seconds that a pod may take to end: its agent removes it when it has.

    A pod that runs nowhere, or no longer, has nothing to end.
    """
    spec, status = live.body.get("spec") or {}, live.body.get("status") or {}
    over = status.get("phase") in ("Succeeded", "Failed")
    if resource.stored_as != PODS or not spec.get("nodeName") or over:
        return 0
    if options.grace_s is not None:
        return options.grace_s
    given = spec.get("terminationGracePeriodSeconds")
    return POD_GRACE_S if given is None else int(given)
