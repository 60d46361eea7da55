"""A resource API in memory, behind the shipping client: a `Link` without a network.

One `FakeApi` is one peer. It keeps what controllers rely on: versions that grow, no event for a
write that changes nothing, deletion as a mark while there are finalizers, generation, selectors by
equality. Everything else is tested against the real one.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from crdtstate.client.aio import AsyncClient
from crdtstate.client.answer import Answer
from crdtstate.client.attempt import Try
from crdtstate.client.failures import LinkError

Object = dict[str, Any]
Key = tuple[str, str, str]  # group/plural, namespace, name


class Refusal(Exception):
    """Becomes a Status."""

    def __init__(self, code: int, reason: str, message: str = "", **details: str) -> None:
        super().__init__(reason)
        self.status = code
        self.body = json.dumps(
            {
                "kind": "Status", "code": code, "reason": reason,
                "message": message or reason, "details": details,
            }
        ).encode()  # fmt: skip


def merged(target: Any, patch: Any) -> Any:
    """Return an RFC 7386 merge."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


@dataclass
class FakeApi:
    """`writes` counts what changed something; `refuse` may raise a Refusal for a request."""

    objects: dict[Key, Object] = field(default_factory=dict)
    version: int = 100
    writes: int = 0
    incarnations: dict[Key, int] = field(default_factory=dict)
    log: list[tuple[int, str, str, Object]] = field(default_factory=list)
    floor: int = 0
    requests: list[str] = field(default_factory=list)
    refuse: Callable[[str, str], None] = lambda _method, _path: None
    members: list[dict[str, Any]] = field(default_factory=list)
    lag_s: float = 0.0
    """How late watches tell what happened."""
    down: bool = False
    served: list[tuple[str, str, str, str, bool]] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    """Uids that were deleted."""

    def client(self) -> AsyncClient:
        """Return a client that talks to this peer."""
        return AsyncClient("fake:1", link=FakeLink(self))

    def cut_watches(self) -> None:
        """Forget all history: every watch must list anew."""
        self.floor = self.version
        self._wake()

    def __post_init__(self) -> None:
        self._changed = asyncio.Event()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _store(self, key: Key, body: Object, kind: str) -> Object:
        self.version += 1
        self.writes += 1
        body = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        if kind == "DELETED":
            del self.objects[key]
            self.gone.add(body["metadata"]["uid"])
        else:
            self.objects[key] = body
        self.log.append((self.version, kind, key[0], body))
        self._wake()
        return body

    # -- verbs ---------------------------------------------------------------------------------

    def create(self, resource: str, namespace: str, body: Object) -> Object:
        """Create. The uid is a function of the name and of how often it was created."""
        name = body["metadata"]["name"]
        key = (resource, namespace, name)
        if key in self.objects:
            raise Refusal(409, "AlreadyExists", f"{resource} {name} already exists")
        number = self.incarnations[key] = self.incarnations.get(key, 0) + 1
        meta = {
            **body["metadata"], "uid": f"{resource}/{namespace}/{name}#{number}",
            "creationTimestamp": f"2026-01-01T00:00:{number % 60:02d}Z", "generation": 1,
        }  # fmt: skip
        if namespace:
            meta["namespace"] = namespace
        return self._store(key, {**body, "metadata": meta}, "ADDED")

    def write(self, key: Key, body: Object, part: str | None) -> Object:
        """Replace what is there, or its status only."""
        old = self.objects.get(key)
        if old is None:
            raise Refusal(404, "NotFound", f"{key} not found")
        given = body.get("metadata", {}).get("resourceVersion")
        if given and given != old["metadata"]["resourceVersion"]:
            raise Refusal(409, "Conflict", "the object has been modified")
        if part == "status":
            new = {**old, "status": body.get("status", {})}
        else:
            new = {**body, "metadata": {**old["metadata"], **body["metadata"]}}
            for name in ("annotations", "labels", "finalizers", "ownerReferences"):
                if name not in body["metadata"]:
                    new["metadata"].pop(name, None)
            if "status" in old:
                new["status"] = old["status"]
        new["metadata"] = {**new["metadata"], "resourceVersion": old["metadata"]["resourceVersion"]}
        if new == old:
            return old
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
        gone = "deletionTimestamp" in new["metadata"] and not new["metadata"].get("finalizers")
        if gone and key[0] == "/namespaces":
            gone = not new.get("spec", {}).get("finalizers")
        return self._store(key, new, "DELETED" if gone else "MODIFIED")

    def delete(self, key: Key, options: Object) -> Object:
        """Delete, or mark while there are finalizers."""
        old = self.objects.get(key)
        if old is None:
            raise Refusal(404, "NotFound", f"{key} not found")
        uid = options.get("preconditions", {}).get("uid")
        if uid and uid != old["metadata"]["uid"]:
            raise Refusal(409, "Conflict", "uid differs")
        finalizers = list(old["metadata"].get("finalizers", []))
        extra = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}
        added = extra.get(options.get("propagationPolicy", ""))
        if added and added not in finalizers:
            finalizers.append(added)
        if finalizers or old.get("spec", {}).get("finalizers"):
            if "deletionTimestamp" in old["metadata"]:
                return old
            meta = {**old["metadata"], "deletionTimestamp": "2026-01-01T01:00:00Z"}
            if finalizers:
                meta["finalizers"] = finalizers
            return self._store(key, {**old, "metadata": meta}, "MODIFIED")
        return self._store(key, old, "DELETED")

    def listing(self, resource: str, namespace: str, query: dict[str, str]) -> Object:
        """List."""
        items = [
            o
            for k, o in sorted(self.objects.items())
            if k[0] == resource and (not namespace or k[1] == namespace) and _selects(query, o)
        ]
        return {"metadata": {"resourceVersion": str(self.version)}, "items": items}

    async def watch(self, resource: str, namespace: str, since: int) -> AsyncIterator[bytes]:
        """Watch."""
        if since < self.floor:
            yield _line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})
            return
        while True:
            changed = self._changed
            if since < self.floor:
                return
            for version, kind, where, body in [e for e in self.log if e[0] > since]:
                since = version
                if where == resource and (
                    not namespace or body["metadata"].get("namespace") == namespace
                ):
                    if self.lag_s:
                        await asyncio.sleep(self.lag_s)
                    yield _line(kind, body)
            await changed.wait()

    def _discovery(self, path: str) -> Object:
        groups: dict[str, list[Object]] = {}
        for group, _version, kind, plural, namespaced in self.served:
            if bool(group) == (path == "/apis"):
                row = {
                    "resource": plural, "responseKind": {"kind": kind},
                    "scope": "Namespaced" if namespaced else "Cluster",
                    "verbs": ["list", "watch", "delete"],
                }  # fmt: skip
                groups.setdefault(group, []).append(row)
        items = [
            {"metadata": {"name": g}, "versions": [{"version": "v1", "resources": rows}]}
            for g, rows in groups.items()
        ]
        return {"items": items}

    # -- requests ------------------------------------------------------------------------------

    def handle(self, method: str, target: str, body: bytes) -> Object:
        """Answer one request."""
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = unquote(parts.path)
        self.requests.append(f"{method} {path}")
        self.refuse(method, path)
        if path == "/members":
            return {"members": self.members}
        if path in ("/api", "/apis"):
            return self._discovery(path)
        if path == "/status":
            return {
                "name": "fake", "origin": "1", "revision": "1", "token": "", "linked": [],
                "ready": True, "reason": "", "members": 1, "minority": False,
                "conflicts": 0,
            }  # fmt: skip
        resource, namespace, name, part = split(path)
        data = json.loads(body) if body else {}
        key = (resource, namespace, name)
        match method:
            case "GET" if name:
                found, uid = self.objects.get(key), query.get("uid")
                if found is None or (uid and uid in self.gone):
                    known = {"uid": uid} if uid and uid in self.gone else {}
                    raise Refusal(404, "NotFound", f"{key} not found", **known)
                return found
            case "GET":
                return self.listing(resource, namespace, query)
            case "POST":
                return self.create(resource, namespace, data)
            case "PUT":
                return self.write(key, data, part)
            case "PATCH":
                old = self.objects.get(key)
                if old is None and "force" in query:
                    return self.create(resource, namespace, data)
                if old is None:
                    raise Refusal(404, "NotFound", f"{key} not found")
                pinned = data.get("metadata", {}).get("resourceVersion")
                new = merged(old, data)
                new["metadata"]["resourceVersion"] = pinned or old["metadata"]["resourceVersion"]
                return self.write(key, new, part)
            case _:
                return self.delete(key, data)


class FakeLink:
    """Carries requests of one client to one FakeApi."""

    def __init__(self, api: FakeApi) -> None:
        self.api, self.closed = api, False

    async def close(self) -> None:
        self.closed = True

    async def exchange(self, planned: Try) -> Answer:
        await asyncio.sleep(0)
        if self.api.down:
            raise LinkError("down", sent=False)
        try:
            body = self.api.handle(planned.method, planned.target, planned.body or b"")
        except Refusal as refusal:
            return Answer(refusal.status, {}, refusal.body)
        return Answer(201 if planned.method == "POST" else 200, {}, json.dumps(body).encode())

    @asynccontextmanager
    async def stream(
        self, planned: Try, idle_ms: int
    ) -> AsyncGenerator[Answer | AsyncIterator[bytes]]:
        if self.api.down:
            raise LinkError("down", sent=False)
        parts = urlsplit(planned.target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        resource, namespace, _, _ = split(unquote(parts.path))
        self.api.requests.append(f"WATCH {parts.path}")
        yield self.api.watch(resource, namespace, int(query["resourceVersion"]))


def split(path: str) -> tuple[str, str, str, str | None]:
    """Return (group/plural, namespace, name, part) of a path."""
    parts = path.strip("/").split("/")
    group, parts = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2 and parts[2] not in ("finalize", "status"):
        namespace, parts = parts[1], parts[2:]
    name = parts[1] if len(parts) > 1 else ""
    return f"{group}/{parts[0]}", namespace, name, parts[2] if len(parts) > 2 else None


def _line(kind: str, body: Object) -> bytes:
    return json.dumps({"type": kind, "object": body}).encode() + b"\n"


def _selects(query: dict[str, str], body: Object) -> bool:
    labels = body["metadata"].get("labels", {})
    wanted = [t.split("=", 1) for t in query.get("labelSelector", "").split(",") if t]
    return all(labels.get(name) == value for name, value in wanted)
