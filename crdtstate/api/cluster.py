"""Handlers of the cluster's side of a peer: status, members, conflicts, backup, faults."""

from typing import Any, Literal, final

import msgspec

from crdtstate.api.exchange import Request, Response, json_response
from crdtstate.api.keys import KeyHandlers, format_continue, parse_continue, parse_prefix
from crdtstate.api.ports import Backend
from crdtstate.errors import UnavailableError
from crdtstate.store.reading import list_conflicts
from crdtstate.store.watch import format_revision

__all__ = ["ClusterHandlers"]


class _CutBody(msgspec.Struct, forbid_unknown_fields=True):
    peer: str
    direction: Literal["both", "in", "out"] = "both"


class _FaultBody(msgspec.Struct, forbid_unknown_fields=True):
    peer: str
    drop: float = 0.0
    delay_ms: int = 0


class _HealBody(msgspec.Struct, forbid_unknown_fields=True):
    peer: str | None = None


class _BackupBody(msgspec.Struct, forbid_unknown_fields=True):
    path: str


@final
class ClusterHandlers:
    """The part of the API that is not about keys."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._keys = KeyHandlers(backend)

    async def status(self, _request: Request) -> Response:
        """GET /status."""
        backend = self._backend
        ready, reason = backend.ready
        fields = {
            "name": backend.name,
            "origin": f"{backend.origin:016x}",
            "revision": format_revision(backend.origin, backend.revision),
            "token": backend.token,
            "ready": ready,
            "reason": reason,
        }
        return json_response(fields | backend.cluster.status())

    async def members(self, _request: Request) -> Response:
        """GET /members."""
        return json_response({"members": self._backend.cluster.members()})

    async def forget(self, request: Request) -> Response:
        """DELETE /members/{name}."""
        name = request.key("/members/")
        await self._backend.cluster.forget(name)
        return json_response({"forgotten": name})

    async def conflicts(self, request: Request) -> Response:
        """GET /conflicts."""
        limit = request.integer("limit", 100, 1, 1000)
        snapshot = self._backend.snapshot()
        try:
            found, last = list_conflicts(
                snapshot, parse_prefix(request), parse_continue(request), limit
            )
        finally:
            snapshot.close()
        rows: list[dict[str, Any]] = [
            {
                "key": conflict.key,
                "path": conflict.path,
                "kind": conflict.kind,
                "values": [self._keys.loser_fields(value) for value in conflict.values],
            }
            for conflict in found
        ]
        return json_response({"conflicts": rows, "continue": format_continue(last)})

    async def wait(self, request: Request) -> Response:
        """POST /wait."""
        token = request.headers.get("Crdtstate-Token") or self._backend.token
        replicas = request.replicas("peers", "all")
        outcome = await self._backend.wait_replicas(token, replicas, request.timeout_ms())
        have = set(outcome.have)
        names = [row["name"] for row in self._backend.cluster.members() if row["member"]]
        missing = [name for name in names if name not in have]
        return json_response({"have": sorted(have), "missing": missing})

    async def backup(self, request: Request) -> Response:
        """POST /backup."""
        body: _BackupBody = await request.json(_BackupBody)
        return json_response(await self._backend.cluster.backup(body.path))

    async def keys(self, _request: Request) -> Response:
        """GET /keys."""
        return json_response({"keys": self._backend.cluster.keys()})

    async def change_keys(self, request: Request) -> Response:
        """POST /keys."""
        body = await request.json(dict[str, str])
        return json_response({"keys": await self._backend.cluster.change_keys(body)})

    async def dev_cut(self, request: Request) -> Response:
        """POST /dev/cut."""
        body: _CutBody = await request.json(_CutBody)
        self._backend.cluster.fault({"peer": body.peer, "cut": body.direction})
        return json_response({"cut": body.peer, "direction": body.direction})

    async def dev_fault(self, request: Request) -> Response:
        """POST /dev/fault."""
        body: _FaultBody = await request.json(_FaultBody)
        change = {"peer": body.peer, "drop": body.drop, "delay_ms": body.delay_ms}
        self._backend.cluster.fault(change)
        return json_response(change)

    async def dev_heal(self, request: Request) -> Response:
        """POST /dev/heal."""
        body: _HealBody = await request.json(_HealBody)
        self._backend.cluster.fault({"peer": body.peer, "heal": True})
        return json_response({"healed": body.peer})

    async def healthz(self, _request: Request) -> Response:
        """GET /healthz."""
        _ = self._backend.storage  # Raises when the peer has failed.
        return json_response({"ok": True})

    async def readyz(self, _request: Request) -> Response:
        """GET /readyz."""
        ready, reason = self._backend.ready
        if not ready:
            raise UnavailableError(f"not ready: {reason}", code="catching_up", reason=reason)
        return json_response({"ready": True})

    async def metrics(self, _request: Request) -> Response:
        """GET /metrics."""
        return Response(200, self._backend.cluster.metrics(), "text/plain; version=0.0.4")
