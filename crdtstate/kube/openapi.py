"""OpenAPI documents of what a peer serves: v3 by group and version, v2 as JSON and protobuf.

Source: Kubernetes, "OpenAPI V3" (the index, hashes in its links) and `openapi.v2.Document`.

A document is an iterator of chunks, each made in a few milliseconds at most, so that whoever
gathers them can let others go first. Chunks of built-in kinds never change and are kept; those
of custom kinds are made when asked for. A hash is a function of what the document is made from,
so the index needs no document.
"""

import functools
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from crdtstate.kube.discovery import REVIEWS
from crdtstate.kube.models import META, Dialect, closure, custom_models, model
from crdtstate.kube.openapi_paths import models_of, paths_of, render_v2, render_v3
from crdtstate.kube.openapi_v2 import header, named_path, named_schema
from crdtstate.kube.resources import Registry, Resource
from crdtstate.version import VERSION

__all__ = ["index_v3", "v2_json", "v2_protobuf", "v3", "v3_hash"]

_encode = msgspec.json.Encoder(order="deterministic").encode
_INFO = {"title": "crdtstate", "version": f"v{VERSION}"}


def index_v3(registry: Registry) -> dict[str, Any]:
    """Return /openapi/v3. Cost: O(custom resources), for their hashes."""
    paths = {}
    for group, version in sorted({(r.group, r.version) for r in _served(registry)}):
        name = f"apis/{group}/{version}" if group else f"api/{version}"
        found = v3_hash(registry, group, version)
        paths[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={found}"}
    return {"paths": paths}


def v3_hash(registry: Registry, group: str, version: str) -> str | None:
    """Return the hash of a document, or None when the group is not served in that version."""
    own = _own(registry, group, version)
    if not own:
        return None
    total = hashlib.sha256(VERSION.encode())
    for resource in own:
        total.update(_fingerprint(resource))
    return total.hexdigest().upper()


def v3(registry: Registry, group: str, version: str) -> Iterator[bytes]:
    """Yield /openapi/v3/... of a group and version that is served."""
    own = _own(registry, group, version)
    yield b'{"openapi":"3.0.0","info":' + _encode(_INFO) + b',"paths":{'
    yield from _separated(_path_members(own, "v3"))
    yield b'},"components":{"schemas":{'
    yield from _separated(_model_members(own, "v3"))
    yield b"}}}"


def v2_json(registry: Registry) -> Iterator[bytes]:
    """Yield /openapi/v2 as JSON."""
    own = _served(registry)
    yield b'{"swagger":"2.0","info":' + _encode(_INFO) + b',"paths":{'
    yield from _separated(_path_members(own, "v2"))
    yield b'},"definitions":{'
    yield from _separated(_model_members(own, "v2"))
    yield b"}}"


def v2_protobuf(registry: Registry) -> Iterator[bytes]:
    """Yield /openapi/v2 as `openapi.v2.Document`, whose parts may come one after the other."""
    own = _served(registry)
    yield header(_INFO)
    for resource in own:
        yield _paths(resource, "protobuf")
    for name in _reachable(own):
        yield _published_protobuf(name)
    for name, schema in _custom_models(own, "v2"):
        yield named_schema(name, schema)


def _separated(members: Iterable[bytes]) -> Iterator[bytes]:
    first = True
    for member in members:
        yield member if first else b"," + member
        first = False


def _member(name: str, value: Any) -> bytes:
    return _encode(name) + b":" + _encode(value)


def _path_members(own: Sequence[Resource], dialect: Dialect) -> Iterator[bytes]:
    for resource in own:
        yield _paths(resource, dialect)


def _model_members(own: Sequence[Resource], dialect: Dialect) -> Iterator[bytes]:
    for name in _reachable(own):
        yield _published_json(name, dialect)
    for name, schema in _custom_models(own, dialect):
        yield _member(name, schema)


def _reachable(own: Sequence[Resource]) -> list[str]:
    paths = (path for resource in own for path in paths_of(resource))
    named = {name for path in paths for name in models_of(path)}
    if any(resource.custom for resource in own):
        named |= {f"{META}.ObjectMeta", f"{META}.ListMeta"}
    return closure(named)


def _custom_models(
    own: Sequence[Resource], dialect: Dialect
) -> Iterator[tuple[str, dict[str, Any]]]:
    for resource in own:
        if resource.custom:
            yield from custom_models(resource, dialect).items()


@functools.cache
def _published_json(name: str, dialect: Dialect) -> bytes:
    return _member(name, model(name, dialect))


@functools.cache
def _published_protobuf(name: str) -> bytes:
    return named_schema(name, model(name, "v2"))


def _paths(resource: Resource, form: Literal["v2", "v3", "protobuf"]) -> bytes:
    return _make_paths(resource, form) if resource.custom else _builtin_paths(resource, form)


def _make_paths(resource: Resource, form: Literal["v2", "v3", "protobuf"]) -> bytes:
    paths = list(paths_of(resource))
    if form == "protobuf":
        return b"".join(named_path(path.path, render_v2(path)) for path in paths)
    render = render_v2 if form == "v2" else render_v3
    return b",".join(_member(path.path, render(path)) for path in paths)


_builtin_paths = functools.cache(_make_paths)


def _served(registry: Registry) -> list[Resource]:
    return [resource for resource in (*registry.all(), *REVIEWS) if resource.served]


def _own(registry: Registry, group: str, version: str) -> list[Resource]:
    return [r for r in _served(registry) if (r.group, r.version) == (group, version)]


@functools.lru_cache(maxsize=1024)
def _fingerprint(resource: Resource) -> bytes:
    """Return what a document says of a resource, digested. Resources compare by identity."""
    said = [
        resource.kind, resource.plural, resource.namespaced, resource.verbs,
        resource.subresources, resource.schema.raw if resource.custom else None,
    ]  # fmt: skip
    return hashlib.sha256(_encode(said)).digest()
