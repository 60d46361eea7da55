"""What becomes of a write, as functions: the object that is there, what is asked, the object after.

decode -> patch or apply -> what only the server sets -> pruning and field validation -> validation
(an error in a part that this write does not change is let pass) -> ownership. Each runs inside the
store's planner, on the state that the writer sees, so that a refusal or a precondition is decided
together with the write.

Source: Kubernetes' registry strategies and patch handlers.

Invariants:
    KWR-1  A default is never stored: what a client read as a default and gave back is not written.
    KWR-2  The main endpoint never changes status, and /status never changes anything else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

from crdtstate.api.kube.faces import Face, face_of
from crdtstate.api.kube.options import WriteOptions
from crdtstate.kube.causes import forbidden, invalid_error
from crdtstate.kube.defaulting import apply_defaults
from crdtstate.kube.managed import Writer, apply_config, update_managed
from crdtstate.kube.pruning import prune
from crdtstate.kube.resources import Resource
from crdtstate.kube.shapes import check_shapes
from crdtstate.kube.statuses import StatusError
from crdtstate.kube.undefault import without_defaults
from crdtstate.kube.validation import validate

__all__ = ["Writing"]

Body = dict[str, Any]
_SERVER_FIELDS = (
    "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation",
)  # fmt: skip


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """One write: of what, by whom, how strictly.

    Args:
        now: The wall clock as RFC 3339, for managedFields.
        duplicates: Paths of keys given twice in the body.
        warnings: Grows by what the client is to be told.
    """

    resource: Resource
    namespace: str
    name: str
    subresource: str
    options: WriteOptions
    now: str
    duplicates: Sequence[str] = ()
    warnings: list[str] = field(default_factory=list)

    @property
    def face(self) -> Face:
        """How the kind is shown and stored."""
        return face_of(self.resource)

    @property
    def _has_status(self) -> bool:
        return "status" in self.resource.subresources

    def shown(self, stored: Body, version: str) -> Body:
        """Return a stored body as a client sees it."""
        body = self.face.compute(self.face.show(dict(stored)))
        body = apply_defaults(self.resource.schema, body)
        metadata = {**body["metadata"], "resourceVersion": version}
        return {
            "apiVersion": self.resource.api_version,
            "kind": self.resource.kind,
            **body,
            "metadata": metadata,
        }

    # -- creation ------------------------------------------------------------------------------

    def create(self, given: Body) -> Body:
        """Return the stored body of a new object. Raises: StatusError."""
        body = self._identified(given)
        metadata = dict(body["metadata"])
        if metadata.pop("resourceVersion", ""):
            raise StatusError(
                "BadRequest", "resourceVersion should not be set on objects to be created"
            )
        for name in (*_SERVER_FIELDS, "uid", "selfLink"):
            metadata.pop(name, None)
        body["metadata"] = metadata
        if self._has_status:
            body.pop("status", None)
        body = self.face.begin(self._cleaned(body))
        return self._finished(None, body)

    def apply_new(self, config: Body) -> Body:
        """Return the stored body of an object that an apply creates. Raises: StatusError."""
        config = self._identified(config)
        if config["metadata"].get("uid"):
            raise self._conflict("uid mismatch: the object does not exist")
        return self._applied(None, config, "")

    # -- changes -------------------------------------------------------------------------------

    def update(self, stored: Body, version: str, given: Body) -> Body:
        """Return the stored body after a PUT or patch made it `given`. Raises: StatusError.

        Args:
            version: The resourceVersion of `stored`; `given` must name it, or none.
        """
        live = self.shown(stored, version)
        body = self._identified(given)
        self._check_version(body, live)
        bare = self._bare(stored)
        guarded = self._guarded(body, apply_defaults(self.resource.schema, bare))
        body = without_defaults(
            self.resource.schema, self._cleaned(guarded), bare, _unversioned(live)
        )
        return self._finished(stored, body)

    def apply(self, stored: Body, version: str, config: Body) -> Body:
        """Return the stored body after a server-side apply. Raises: StatusError."""
        config = self._identified(config)
        if config["metadata"].get("uid") not in (None, "", stored["metadata"].get("uid")):
            raise self._conflict("uid mismatch: the object has another")
        return self._applied(stored, config, version)

    def _applied(self, stored: Body | None, config: Body, version: str) -> Body:
        metadata = dict(config["metadata"])
        if metadata.pop("managedFields", None):
            raise StatusError("BadRequest", "metadata.managedFields must be nil")
        if stored is not None:
            self._check_version(config, self.shown(stored, version))
        for name in (*_SERVER_FIELDS, "resourceVersion", "uid", "selfLink"):
            metadata.pop(name, None)
        config["metadata"] = metadata
        config = self._cleaned(self._own_part(config))
        live = self._bare(stored) if stored is not None else None
        managed = live["metadata"].pop("managedFields", ()) if live else ()
        writer = Writer(self.options.manager, "Apply", self.subresource)
        whole = {"apiVersion": self.resource.api_version, "kind": self.resource.kind, **config}
        body, owned = apply_config(
            self.resource, live, whole, managed, writer, self.now, force=self.options.force
        )
        body = {key: value for key, value in body.items() if key not in ("apiVersion", "kind")}
        bare = None if stored is None else self._bare(stored)
        body = self.face.begin(body) if bare is None else self._guarded(body, bare)
        body["metadata"] = {**body["metadata"], "managedFields": owned}
        return self._checked(stored, body)

    # -- steps ---------------------------------------------------------------------------------

    def _conflict(self, message: str) -> StatusError:
        resource = self.resource
        where = f"{resource.plural}.{resource.group}".rstrip(".")
        return StatusError(
            "Conflict",
            f'Operation cannot be fulfilled on {where} "{self.name}": {message}',
            details={"name": self.name, "group": resource.group, "kind": resource.plural},
        )

    def _identified(self, given: Body) -> Body:
        """Return a copy whose kind, name and namespace are what the path says."""
        body = dict(given)
        kind, version = body.pop("kind", ""), body.pop("apiVersion", "")
        if kind not in ("", None, self.resource.kind):
            raise StatusError(
                "BadRequest", f"kind in the body ({kind}) is not {self.resource.kind}"
            )
        if version not in ("", None, self.resource.api_version):
            raise StatusError(
                "BadRequest",
                f"the API version in the data ({version}) does not match the expected API "
                f"version ({self.resource.api_version})",
            )
        read_first = body if not self.resource.custom else {"metadata": body.get("metadata")}
        check_shapes(self.resource.schema, read_first)
        metadata = dict(body.get("metadata") or {})
        for key, wanted in (("name", self.name), ("namespace", self.namespace)):
            found = metadata.get(key)
            if found not in (None, "", wanted):
                raise StatusError(
                    "BadRequest",
                    f"the {key} of the object ({found}) does not match the {key} on the URL "
                    f"({wanted})",
                )
            if wanted:
                metadata[key] = wanted
            else:
                metadata.pop(key, None)
        body["metadata"] = metadata
        return body

    def _check_version(self, body: Body, live: Body) -> None:
        metadata = body["metadata"]
        given = metadata.get("resourceVersion") or ""
        if given != live["metadata"]["resourceVersion"] and given:
            raise self._conflict(
                "the object has been modified; please apply your changes to the latest version "
                "and try again",
            )
        uid = metadata.get("uid")
        if uid and uid != live["metadata"].get("uid"):
            raise self._conflict(
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: "
                f"{live['metadata'].get('uid')}",
            )

    def _own_part(self, body: Body) -> Body:
        """Return what this endpoint may say (KWR-2)."""
        if self.subresource == "status":
            return {key: body[key] for key in ("metadata", "status") if key in body}
        if self._has_status:
            return {key: value for key, value in body.items() if key != "status"}
        return dict(body)

    def _guarded(self, body: Body, live: Body) -> Body:
        """Return `body` with what a client cannot change as it is in `live` (KWR-2).

        Args:
            live: The object before, in the shown form.
        """
        if self.subresource == "status":
            guarded = {k: v for k, v in live.items() if k != "status"}
            if "status" in body:
                guarded["status"] = body["status"]
            return guarded
        guarded = self._own_part(body)
        if self._has_status and "status" in live:
            guarded["status"] = live["status"]
        metadata, there = dict(guarded["metadata"]), live["metadata"]
        for name in (*_SERVER_FIELDS, "uid", "resourceVersion", "selfLink"):
            metadata.pop(name, None)
            if name in there:
                metadata[name] = there[name]
        if "deletionTimestamp" in there:
            self._check_finalizers(metadata, there)
        guarded["metadata"] = metadata
        return self.face.keep(guarded, live, self.subresource)

    def _check_finalizers(self, metadata: Body, there: Body) -> None:
        known = there.get("finalizers") or []
        added = [f for f in metadata.get("finalizers") or [] if f not in known]
        if added:
            text = (
                "no new finalizers can be added if the object is being deleted, found new "
                f"finalizers {added}"
            )
            raise invalid_error(self.resource, self.name, [forbidden("metadata.finalizers", text)])

    def _cleaned(self, body: Body) -> Body:
        """Return `body` without unknown fields; they and duplicates are told or refused."""
        body, unknown = prune(self.resource.schema, body)
        notes = [f'unknown field "{path}"' for path in unknown]
        notes += [f'duplicate field "{path}"' for path in self.duplicates]
        if notes and self.options.validation == "Strict":
            raise StatusError(
                "BadRequest",
                f'{self.resource.kind} in version "{self.resource.version}" cannot be handled as '
                f"a {self.resource.kind}: strict decoding error: {', '.join(notes)}",
            )
        if self.options.validation == "Warn":
            self.warnings.extend(notes)
        return self.face.settle(body)

    def _bare(self, stored: Body) -> Body:
        """Return the stored body in the shown form, without anything that is only shown."""
        body = self.face.show(dict(stored))
        return {**body, "metadata": dict(body["metadata"])}

    def _finished(self, stored: Body | None, body: Body) -> Body:
        """Return the stored form, owned and checked."""
        live = self._bare(stored) if stored is not None else None
        managed = live["metadata"].pop("managedFields", ()) if live else ()
        if self.subresource:  # Not even a client that rewrites them does it here.
            body["metadata"] = {k: v for k, v in body["metadata"].items() if k != "managedFields"}
        writer = Writer(self.options.manager, "Update", self.subresource)
        owned = update_managed(self.resource, live, body, managed, writer, self.now)
        body["metadata"] = {**body["metadata"], "managedFields": owned}
        return self._checked(stored, body)

    def _checked(self, stored: Body | None, body: Body) -> Body:
        """Return the stored form. Raises: StatusError (Invalid)."""
        body = self.face.show(self.face.store(body))
        old = self._bare(stored) if stored is not None else None
        causes = validate(self.resource, body, old)
        if causes:
            raise invalid_error(self.resource, self.name, causes)
        body["metadata"] = {k: v for k, v in body["metadata"].items() if v not in (None, [], {})}
        return self.face.store(body)


def _unversioned(shown: Body) -> Body:
    body = {key: value for key, value in shown.items() if key not in ("apiVersion", "kind")}
    body["metadata"] = {k: v for k, v in shown["metadata"].items() if k != "resourceVersion"}
    return body
