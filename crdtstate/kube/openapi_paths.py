"""The operations of a resource, said once; OpenAPI v2 and v3 are two renderings of them.

Source: the shape of Kubernetes' published documents. What clients look for in it: the kind that
an operation is about (`x-kubernetes-group-version-kind`), `fieldValidation` and `dryRun` among
the query parameters of PATCH, and the media types that PATCH takes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

from crdtstate.kube.discovery import subresource_kind, subresource_verbs, subresources_of
from crdtstate.kube.models import META, PREFIXES, model_name
from crdtstate.kube.resources import Resource

__all__ = ["Operation", "Path", "models_of", "paths_of", "render_v2", "render_v3"]

_JSON = "application/json"
_PATCHES = (
    "application/json-patch+json", "application/merge-patch+json",
    "application/strategic-merge-patch+json", "application/apply-patch+yaml",
)  # fmt: skip
_STRATEGIC = "application/strategic-merge-patch+json"
_STATUS, _OPTIONS, _PATCH = f"{META}.Status", f"{META}.DeleteOptions", f"{META}.Patch"

# Query parameters: type and purpose.
_QUERY: Mapping[str, tuple[str, str]] = {
    "allowWatchBookmarks": ("boolean", "Send a BOOKMARK now and then."),
    "continue": ("string", "The token of the page before."),
    "dryRun": ("string", "All: do everything but store."),
    "fieldManager": ("string", "Who makes the change; at most 128 characters."),
    "fieldSelector": ("string", "Objects whose fields have these values."),
    "fieldValidation": ("string", "What to do about unknown fields: Ignore, Warn or Strict."),
    "force": ("boolean", "Take over fields of other managers; of apply only."),
    "gracePeriodSeconds": ("integer", "Accepted, and of no effect but on Pods."),
    "labelSelector": ("string", "Objects with these labels."),
    "limit": ("integer", "Objects on a page."),
    "orphanDependents": ("boolean", "Old form of propagationPolicy."),
    "propagationPolicy": ("string", "Orphan, Background or Foreground."),
    "resourceVersion": ("string", "A version that this peer gave."),
    "resourceVersionMatch": ("string", "Exact or NotOlderThan."),
    "sendInitialEvents": ("boolean", "Begin a watch with what is there, then a BOOKMARK."),
    "timeoutSeconds": ("integer", "End of a watch."),
    "watch": ("boolean", "Stream changes instead of listing."),
}
_LISTING = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit",
    "resourceVersion", "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch",
)  # fmt: skip
_WRITING = ("dryRun", "fieldManager", "fieldValidation")
_DELETING = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
_SELECTING = (
    "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
    "resourceVersionMatch",
)  # fmt: skip


@final
@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    action: str
    id: str
    kind: tuple[str, str, str]
    query: tuple[str, ...]
    answer: str
    """The model of the answer; "": plain text."""
    codes: tuple[int, ...] = (200,)
    body: str = ""
    """The model of the request; "": none."""
    consumes: tuple[str, ...] = (_JSON,)


@final
@dataclass(frozen=True, slots=True)
class Path:
    """A path and what can be done there."""

    path: str
    variables: tuple[str, ...]
    operations: tuple[Operation, ...]


def paths_of(resource: Resource) -> Iterator[Path]:
    """Yield the paths of a resource."""
    root = f"/apis/{resource.group}" if resource.group else "/api"
    root = f"{root}/{resource.version}"
    below = f"{root}/namespaces/{{namespace}}" if resource.namespaced else root
    variables = ("namespace",) if resource.namespaced else ()
    verbs, maker = set(resource.verbs), _Maker(resource)
    collection = tuple(maker.collection(verbs, "Namespaced" if resource.namespaced else ""))
    if collection:
        yield Path(f"{below}/{resource.plural}", variables, collection)
    if resource.namespaced and "list" in verbs:
        everywhere = maker.listing("ForAllNamespaces")
        yield Path(f"{root}/{resource.plural}", (), (everywhere,))
    item = tuple(maker.item(verbs, ""))
    if item:
        yield Path(f"{below}/{resource.plural}/{{name}}", (*variables, "name"), item)
    for name in subresources_of(resource):
        inner = tuple(maker.item(set(subresource_verbs(name)), name))
        path = f"{below}/{resource.plural}/{{name}}/{name}"
        yield Path(path, (*variables, "name"), inner)


@final
class _Maker:
    """Makes the operations of one resource."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        group = resource.group.removesuffix(".k8s.io") or "core"
        parts = [*group.replace("-", ".").split("."), resource.version]
        self._where = "".join(part[:1].upper() + part[1:] for part in parts)
        self._kind = (resource.group, resource.version, resource.kind)

    def collection(self, verbs: set[str], scope: str) -> Iterator[Operation]:
        """Yield what can be done with the collection."""
        model, kind = model_name(*self._kind), self._kind
        if "list" in verbs:
            yield self.listing(scope and "Namespaced")
        if "create" in verbs:
            name = self._id("create", scope)
            yield Operation("post", "post", name, kind, _WRITING, model, (200, 201, 202), model)
        if "deletecollection" in verbs:
            query = tuple(sorted({*_DELETING, *_SELECTING}))
            name = self._id("deleteCollection", scope)
            yield Operation("delete", "deletecollection", name, kind, query, _STATUS, body=_OPTIONS)

    def listing(self, scope: str) -> Operation:
        """Return the list, of one namespace or of all."""
        own, suffix = ("", scope) if scope == "ForAllNamespaces" else (scope, "")
        group, version, kind = self._kind
        answer = model_name(group, version, f"{kind}List")
        name = self._id("list", own) + suffix
        return Operation("get", "list", name, self._kind, _LISTING, answer)

    def item(self, verbs: set[str], sub: str) -> Iterator[Operation]:
        """Yield what can be done with one object, or with a sub-resource of it."""
        resource, kind = self._resource, self._kind
        if sub:
            kind = subresource_kind(resource, sub)
        model = "" if sub == "log" else model_name(*kind)
        scope, end = "Namespaced" if resource.namespaced else "", sub[:1].upper() + sub[1:]
        if "get" in verbs:
            yield Operation("get", "get", self._id("read", scope) + end, kind, (), model)
        if "create" in verbs and sub:
            name = self._id("create", scope) + end
            yield Operation("post", "post", name, kind, _WRITING, model, (200, 201, 202), model)
        if "update" in verbs:
            name = self._id("replace", scope) + end
            yield Operation("put", "put", name, kind, _WRITING, model, (200, 201), model)
        if "patch" in verbs:
            name, query = self._id("patch", scope) + end, (*_WRITING, "force")
            # A custom kind has no strategies to merge by, and kubectl must see that here.
            types = tuple(t for t in _PATCHES if not (resource.custom and t == _STRATEGIC))
            yield Operation("patch", "patch", name, kind, query, model, (200, 201), _PATCH, types)
        if "delete" in verbs:
            name = self._id("delete", scope)
            yield Operation(
                "delete", "delete", name, kind, _DELETING, _STATUS, (200, 202), _OPTIONS
            )

    def _id(self, verb: str, scope: str) -> str:
        return f"{verb}{self._where}{scope}{self._resource.kind}"


def models_of(path: Path) -> set[str]:
    """Return the models that the operations name."""
    named = {model for op in path.operations for model in (op.body, op.answer) if model}
    return named | {_STATUS}


def _marks(op: Operation) -> dict[str, Any]:
    group, version, kind = op.kind
    return {
        "x-kubernetes-action": op.action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    }


def render_v3(path: Path) -> dict[str, Any]:
    """Return the path item as OpenAPI 3.0."""
    item: dict[str, Any] = {
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in path.variables
        ]
    }
    for op in path.operations:
        answer: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
        if op.answer:
            answer = {_JSON: {"schema": {"$ref": PREFIXES["v3"] + op.answer}}}
        refusal = {_JSON: {"schema": {"$ref": PREFIXES["v3"] + _STATUS}}}
        item[op.method] = {
            "operationId": op.id,
            "parameters": [
                {"name": name, "in": "query", "description": _QUERY[name][1],
                 "schema": {"type": _QUERY[name][0]}}
                for name in op.query
            ],
            "responses": {
                **{str(code): {"description": "OK", "content": answer} for code in op.codes},
                "default": {"description": "Refused", "content": refusal},
            },
            **_marks(op),
        }  # fmt: skip
        if op.body:
            schema = {"schema": {"$ref": PREFIXES["v3"] + op.body}}
            content = dict.fromkeys(op.consumes, schema)
            item[op.method]["requestBody"] = {
                "content": content, "required": op.method != "delete"
            }  # fmt: skip
    return item


def render_v2(path: Path) -> dict[str, Any]:
    """Return the path item as OpenAPI 2.0."""
    item: dict[str, Any] = {
        "parameters": [
            {"name": name, "in": "path", "required": True, "type": "string", "uniqueItems": True}
            for name in path.variables
        ]
    }
    for op in path.operations:
        schema: dict[str, Any] = {"type": "string"}
        if op.answer:
            schema = {"$ref": PREFIXES["v2"] + op.answer}
        parameters: list[dict[str, Any]] = [
            {"name": name, "in": "query", "description": _QUERY[name][1], "type": _QUERY[name][0],
             "uniqueItems": True}
            for name in op.query
        ]  # fmt: skip
        if op.body:
            body = {"$ref": PREFIXES["v2"] + op.body}
            needed = {"required": True} if op.method != "delete" else {}
            parameters.insert(0, {"name": "body", "in": "body", "schema": body} | needed)
        refusal = {"$ref": PREFIXES["v2"] + _STATUS}
        item[op.method] = {
            "operationId": op.id,
            "consumes": list(op.consumes) if op.method == "patch" else ["*/*"],
            "produces": [_JSON if op.answer else "text/plain"],
            "parameters": parameters,
            "responses": {
                **{str(code): {"description": "OK", "schema": schema} for code in op.codes},
                "default": {"description": "Refused", "schema": refusal},
            },
            **_marks(op),
        }
    return item
