"""A peer that is not one: enough of the API for the client's tests, in a thread of its own.

Several peers may share one `FakeState`, as replicas that have met. `script` plays faults: each
entry is used up by one request, in order.
"""

import asyncio
import contextlib
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote

import cbor2
import msgspec
from aiohttp import web

Answer = web.StreamResponse


def token_of(*flat: int) -> str:
    """Return a causal token as peers write them."""
    return "1." + urlsafe_b64encode(cbor2.dumps(list(flat))).rstrip(b"=").decode()


@dataclass
class FakeState:
    """Keys with type, value and version, and the log of what changed."""

    keys: dict[str, tuple[str, Any, str]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    rights: dict[str, int] = field(default_factory=dict)
    origin: int = 7

    def write(self, key: str, kind: str, value: Any) -> None:
        """Put a key, or delete it with kind ""."""
        self.log.append(key)
        if kind:
            self.keys[key] = (kind, value, f"v{len(self.log)}")
        else:
            self.keys.pop(key, None)

    def item(self, key: str) -> dict[str, Any]:
        """Return an ITEM."""
        kind, value, version = self.keys[key]
        text = value.decode() if kind == "register" else value
        return {"key": key, "type": kind, "version": version, "value": text, "conflicts": 0}


class Refusal(Exception):
    """Becomes an error answer."""

    def __init__(self, status: int, code: str, **data: Any) -> None:
        super().__init__(code)
        self.status, self.body = status, {"error": {"code": code, "message": code, **data}}


class FakePeer:
    """One address. `requests` has method, raw target and headers of all that came."""

    def __init__(self, name: str, state: FakeState | None = None) -> None:
        self.name, self.state = name, state or FakeState()
        self.script: list[str] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.floor = 0  # Older revisions than this are compacted.
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._runner: web.ServerRunner | None = None
        self._streams: list[web.BaseRequest] = []

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    def targets(self) -> list[str]:
        """Return method and path of all that came, without the query."""
        return [f"{method} {target.partition('?')[0]}" for method, target, _ in self.requests]

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def stop(self) -> None:
        """Close the port and all connections."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()

    def cut_streams(self) -> None:
        """Cut all watches."""

        async def cut() -> None:
            for request in self._streams:
                if request.transport is not None:
                    request.transport.abort()

        asyncio.run_coroutine_threadsafe(cut(), self._loop).result()

    async def _start(self) -> None:
        self._runner = web.ServerRunner(
            web.Server(self._serve, access_log=None), shutdown_timeout=0.01
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner is not None:
            for request in self._streams:
                if request.transport is not None:
                    request.transport.abort()
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.BaseRequest) -> Answer:
        self.requests.append((request.method, request.raw_path, dict(request.headers)))
        fault = self.script.pop(0) if self.script else ""
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault[:3].isdigit():
            status, _, code = fault.partition(":")
            return self._json({"error": {"code": code, "message": code}}, int(status))
        body = await request.read()
        if fault == "lose before":
            self._abort(request)
        try:
            path = unquote(request.raw_path.partition("?")[0])
            if path == "/watch":
                return await self._watch(request)
            answer = self._answer(request.method, path, dict(request.query), body)
        except Refusal as refusal:
            answer = self._json(refusal.body, refusal.status)
        if fault == "lose after":
            self._abort(request)
        if fault == "cut body":
            answer.headers["Content-Length"] = "1000"
        return answer

    def _abort(self, request: web.BaseRequest) -> None:
        assert request.transport is not None
        request.transport.abort()

    def _json(self, value: Any, status: int = 200, **headers: str) -> web.Response:
        state = self.state
        common = {
            "Crdtstate-Peer": self.name,
            "Crdtstate-Token": token_of(state.origin, len(state.log)),
        }
        body = value if isinstance(value, bytes) else msgspec.json.encode(value)
        return web.Response(status=status, body=body, headers=common | headers)

    def _answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> web.Response:
        _, kind, key = path.split("/", 2) if path.count("/") > 1 else ["", path[1:], ""]
        if kind == "kv" and not key:
            return self._list(query)
        if kind == "kv" and method == "GET":
            return self._get(key)
        if kind in ("kv", "map", "set", "counter", "flag", "bounded", "apply"):
            self._check(key, query)
            return self._write(kind, key, method, body)
        if kind == "txn":
            return self._transact(msgspec.json.decode(body))
        if kind == "status":
            fields = {"name": self.name, "origin": "07", "revision": "r", "token": "1.gA"}
            return self._json(fields)
        if kind == "wait":
            if query["peers"] != "1":
                raise Refusal(504, "not_enough_replicas", replicas=1, wanted=query["peers"])
            return self._json({"have": [self.name], "missing": []})
        if kind == "backup":
            return self._json({**msgspec.json.decode(body), "files": 1, "bytes": 2})
        raise Refusal(404, "no_such_route")

    def _check(self, key: str, query: dict[str, str]) -> None:
        found = self.state.keys.get(key)
        wanted = query.get("if_version")
        refused = wanted is not None and (found is None or found[2] != wanted)
        refused = refused or ("if_absent" in query and found is not None)
        if refused or ("if_exists" in query and found is None):
            raise Refusal(412, "precondition_failed", key=key)

    def _get(self, key: str) -> web.Response:
        if key not in self.state.keys:
            raise Refusal(404, "key_not_found", key=key)
        kind, value, version = self.state.keys[key]
        headers = {"Crdtstate-Type": kind, "Crdtstate-Version": version}
        return self._json(value, **headers)

    def _list(self, query: dict[str, str]) -> web.Response:
        start, limit = query.get("continue", ""), int(query.get("limit", "100"))
        names = [key for key in sorted(self.state.keys) if key > start]
        names = [key for key in names if key.startswith(query.get("prefix", ""))]
        rest = names[limit - 1] if len(names) > limit else None
        items = [self.state.item(key) for key in names[:limit]]
        return self._json({"items": items, "revision": self._rev(), "continue": rest})

    def _write(self, kind: str, key: str, method: str, body: bytes) -> web.Response:
        state, more = self.state, {}
        found = state.keys.get(key)
        if method == "DELETE":
            if found is None:
                raise Refusal(404, "key_not_found", key=key)
            state.write(key, "", None)
            return self._json({"revision": self._rev()})
        if kind == "kv":
            state.write(key, "register", body)
            return self._json({"revision": self._rev(), "version": state.keys[key][2]})
        if found is not None and found[0] != ("map" if kind == "apply" else kind):
            raise Refusal(409, "wrong_type", key=key, found=found[0])
        given = msgspec.json.decode(body)
        value: Any = given
        if kind == "map" and method == "PATCH":
            merged = {**(found[1] if found else {}), **given}
            value = {name: v for name, v in merged.items() if v is not None}
        elif kind == "set":
            old = set(found[1]) if found else set()
            value = sorted(old - set(given["remove"]) | set(given["add"]))
        elif kind == "counter":
            value = (found[1] if found else 0) + given["add"]
            more = {"value": value}
        elif kind == "bounded":
            value = found[1] if found else 0
            change = given.get("create") or given.get("add") or -given.get("take", 0)
            if value + change < 0:
                raise Refusal(409, "insufficient_rights", available=value)
            value += change
            more = {"value": value, "available": value}
        state.write(key, "map" if kind == "apply" else kind, value)
        return self._json({"revision": self._rev(), **more}, **{"Crdtstate-Replicas": "1"})

    def _transact(self, body: dict[str, Any]) -> web.Response:
        for wanted in body["preconditions"]:
            names = {"version": "if_version", "absent": "if_absent", "exists": "if_exists"}
            query = {names[name]: str(v) for name, v in wanted.items() if name != "key"}
            self._check(wanted["key"], query)
        for one in body["operations"]:
            if one["op"] == "put":
                self.state.write(one["key"], "register", one["value"].encode())
            elif one["op"] == "delete":
                self.state.write(one["key"], "", None)
            else:
                self.state.write(one["key"], "counter", one["amount"])
        return self._json({"revision": self._rev(), "changed": len(body["operations"])})

    def _rev(self, number: int | None = None) -> str:
        return f"{self.name}-{len(self.state.log) if number is None else number}"

    async def _watch(self, request: web.BaseRequest) -> Answer:
        prefix, since = request.query.get("prefix", ""), request.query.get("since")
        cursor = len(self.state.log)
        if since is not None:
            minted, _, number = since.partition("-")
            if minted != self.name:
                raise Refusal(410, "foreign_revision")
            if int(number) < self.floor:
                raise Refusal(410, "revision_compacted")
            cursor = int(number)
        out = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await out.prepare(request)
        self._streams.append(request)
        with contextlib.suppress(ConnectionError):
            if "initial" in request.query:
                for key in sorted(self.state.keys):
                    if key.startswith(prefix):
                        await out.write(self._line(key, cursor))
            token = token_of(self.state.origin, cursor)
            mark = {"type": "bookmark", "rev": self._rev(cursor), "token": token}
            await out.write(msgspec.json.encode(mark) + b"\n")
            while request.transport is not None:
                while cursor < len(self.state.log):
                    key, cursor = self.state.log[cursor], cursor + 1
                    if key.startswith(prefix):
                        await out.write(self._line(key, cursor))
                await asyncio.sleep(0.005)
        return out

    def _line(self, key: str, cursor: int) -> bytes:
        line: dict[str, Any] = {"type": "delete", "key": key, "rev": self._rev(cursor)}
        if key in self.state.keys:
            line |= {"type": "put", "item": self.state.item(key)}
        return msgspec.json.encode(line) + b"\n"


@contextlib.contextmanager
def fake_peers(*names: str, shared: bool = True) -> Iterator[list[FakePeer]]:
    """Run peers; `shared`: all of them always know the same."""
    state = FakeState()
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(FakePeer(name, state if shared else FakeState(origin=n)))
            for n, name in enumerate(names, 1)
        ]
