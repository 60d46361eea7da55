"""One client of the resource API over plain HTTP, that may move to another peer half-way."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from typing import Any, NamedTuple, final
from urllib.parse import urlencode

import requests

from tests.e2e.fleet import Fleet

MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
DEADLINE_S = 60.0


class Answer(NamedTuple):
    """What a peer said."""

    status: int
    headers: Any
    body: Any


@final
class Here:
    """A client at one peer at a time.

    `move` goes to the next peer when the test is run with a fail-over, and does nothing else. The
    causal token goes along, as a client library of ours would take it, so that the next peer
    answers from a state that includes what was seen.
    """

    def __init__(self, fleet: Fleet, namespace: str, *, moves: bool) -> None:
        self.fleet, self.namespace, self.moves = fleet, namespace, moves
        self.names = sorted(fleet.plans)
        self.at = 0
        self.token: str | None = None
        self.session = requests.Session()

    @property
    def url(self) -> str:
        """Where requests go."""
        return self.fleet.url(self.names[self.at])

    def move(self) -> None:
        """Go to another peer, in a run with a fail-over."""
        if self.moves:
            self.at = (self.at + 1) % len(self.names)

    def path(self, kind: str, name: str = "", group: str = "v1", namespace: str = "") -> str:
        """Return the path of a namespaced kind, or of one object."""
        root = f"/api/{group}" if "/" not in group else f"/apis/{group}"
        return f"{root}/namespaces/{namespace or self.namespace}/{kind}" + (
            f"/{name}" if name else ""
        )

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        status: int | None = None,
        media: str = "application/json",
        accept: str = "application/json",
        **query: str,
    ) -> Answer:
        """Send one request; the answer must have the status, or any of 2xx when None."""
        headers = {"Accept": accept}
        if self.token:
            headers["Crdtstate-Token"] = self.token
        data = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        if data is not None:
            headers["Content-Type"] = media
        answer = self.session.request(
            method, self.url + path, data=data, headers=headers, params=query, timeout=DEADLINE_S
        )
        self.token = answer.headers.get("Crdtstate-Token", self.token)
        kind = answer.headers.get("Content-Type", "")
        shown = answer.json() if kind.startswith("application/json") else answer.content
        wanted = range(200, 300) if status is None else (status,)
        assert answer.status_code in wanted, f"{method} {path}: {answer.status_code} {shown}"
        return Answer(answer.status_code, answer.headers, shown)

    def get(self, path: str, **query: str) -> Any:
        """Return the body of a GET."""
        return self.ask("GET", path, **query).body

    def create(self, path: str, body: Any, **query: str) -> Any:
        """Return the object that a POST made."""
        return self.ask("POST", path, body, **query).body

    def patch(self, path: str, body: Any, media: str = MERGE, **query: str) -> Any:
        """Return the object that a PATCH left."""
        return self.ask("PATCH", path, body, media=media, **query).body

    def exists(self, path: str) -> bool:
        """Whether a GET finds it."""
        return self._look(path) == 200

    def _look(self, path: str) -> int:
        headers = {"Crdtstate-Token": self.token} if self.token else {}
        return self.session.get(self.url + path, headers=headers, timeout=DEADLINE_S).status_code

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for a condition that is asked of the API."""
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, f"not within {DEADLINE_S} s: {what}"
            time.sleep(0.05)

    def gone(self, path: str) -> None:
        """Wait until there is no such object."""
        self.until(lambda: not self.exists(path), f"{path} is gone")

    def watch(self, path: str, **query: str) -> "Watch":
        """Watch; close it, or use it in a `with`."""
        return Watch(self, path, query)


@final
class Watch:
    """One watch: events are read in the background into `events`."""

    def __init__(self, here: Here, path: str, query: dict[str, str]) -> None:
        self.events: list[dict[str, Any]] = []
        headers = {"Crdtstate-Token": here.token} if here.token else {}
        self._connection = HTTPConnection(here.url.removeprefix("http://"), timeout=3 * DEADLINE_S)
        target = f"{path}?{urlencode({'watch': 'true', **query})}"
        self._connection.request("GET", target, headers=headers)
        self._socket = self._connection.sock
        self._answer = self._connection.getresponse()
        self.status = self._answer.status
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, HTTPException):
            while line := self._answer.readline():
                self.events.append(json.loads(line))

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # It may have ended by itself.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE_S)
        self._connection.close()

    def seen(self, name: str = "") -> list[str]:
        """Return the types of the events so far, of one object when named; no bookmarks."""
        return [e["type"] for e in self._some(name)]

    def _some(self, name: str) -> Iterator[dict[str, Any]]:
        for event in list(self.events):
            shown = event["object"].get("metadata", {}).get("name")
            if event["type"] != "BOOKMARK" and (not name or shown == name):
                yield event

    def versions(self) -> list[int]:
        """Return the versions of the events so far."""
        return [int(e["object"]["metadata"]["resourceVersion"]) for e in self._some("")]

    def wait(self, types: list[str], name: str = "") -> None:
        """Wait until exactly these events of an object have come."""
        end = time.monotonic() + DEADLINE_S
        while self.seen(name) != types:
            assert time.monotonic() < end, f"{self.seen(name)} is not {types}"
            time.sleep(0.02)
