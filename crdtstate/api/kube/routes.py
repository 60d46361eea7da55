"""Paths of the resource API: what a request is about, before anything is looked up.

Source: Kubernetes API concepts, "Resource URIs".
"""

from dataclasses import dataclass
from typing import final

from crdtstate.kube.statuses import StatusError

__all__ = ["Route", "is_kube_path", "parse_route"]

_ROOTS = (b"/api", b"/apis", b"/openapi", b"/version", b"/swagger-2.0.0.pb-v1")
_NAMESPACE_SUBRESOURCES = ("status", "finalize")
_STREAMS = "pods are processes of their machines: peers carry no streams to them, only their logs"
_UNSERVED = {
    ("pods", "exec"): _STREAMS, ("pods", "attach"): _STREAMS, ("pods", "portforward"): _STREAMS,
    ("pods", "proxy"): "ask the pod at its address", ("services", "proxy"): "ask it at its address",
    ("nodes", "proxy"): "ask the node at its address",
    ("serviceaccounts", "token"): "no tokens of ServiceAccounts are issued: who may ask a peer is "
    "decided by its token file",
}  # fmt: skip
"""Sub-resources of upstream that clients ask for and are not here, and why."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A resource path taken apart. `plural` empty: a document (discovery, OpenAPI, version)."""

    group: str = ""
    version: str = ""
    plural: str = ""
    namespace: str = ""
    """Empty: cluster-scoped, or all namespaces."""
    name: str = ""
    """Empty: the collection."""
    subresource: str = ""
    document: tuple[str, ...] = ()
    """The path's parts, when it names a document."""


def is_kube_path(path: bytes) -> bool:
    """Whether the path belongs to the resource API. Cost: O(1)."""
    return path.startswith(_ROOTS) and b"/" + path[1:].partition(b"/")[0] in _ROOTS


def parse_route(path: bytes) -> Route:
    """Take a path apart. Raises: StatusError (NotFound, MethodNotAllowed, BadRequest)."""
    try:
        parts = path.decode().strip("/").split("/")
    except UnicodeDecodeError as error:
        raise StatusError("BadRequest", f"path is not UTF-8: {error}") from error
    if "" in parts:
        raise not_found(path)
    if parts[0] == "api" and len(parts) > 2:
        return _resource("", parts[1], parts[2:], path)
    if parts[0] == "apis" and len(parts) > 3:
        return _resource(parts[1], parts[2], parts[3:], path)
    return Route(document=tuple(parts))


def _resource(group: str, version: str, rest: list[str], path: bytes) -> Route:
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and not _is_namespace_itself(group, rest):
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 2 and not group and (rest[0], rest[2]) in _UNSERVED:
        plural, _, part = rest[:3]
        raise StatusError(
            "MethodNotAllowed", f"{plural}/{part} is not served: {_UNSERVED[plural, part]}"
        )
    if len(rest) > 3:
        raise not_found(path)
    plural, name, subresource = (*rest, "", "")[:3]
    return Route(
        group=group, version=version, plural=plural, namespace=namespace, name=name,
        subresource=subresource,
    )  # fmt: skip


def _is_namespace_itself(group: str, rest: list[str]) -> bool:
    return not group and len(rest) == 3 and rest[2] in _NAMESPACE_SUBRESOURCES


def not_found(path: bytes) -> StatusError:
    """Return the refusal of a path that nothing is served under."""
    shown = path[:128].decode("utf-8", "replace")
    return StatusError(
        "NotFound", f"the server could not find the requested resource: {shown}", details={}
    )
