"""One real peer under requests that nobody would send, and what must hold of each answer.

- No 5xx, no hang, and the peer still answers afterwards.
- A refusal is a Status whose reason and code belong together, and it changes nothing.
- Anything else is JSON of some kind, or a document that says so in its Content-Type.
"""

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from crdtstate.kube.statuses import CODES

ANSWER_S = 15.0


class Answer(NamedTuple):
    """What came back."""

    status: int
    media: str
    body: bytes


class Prey:
    """One peer and a connection to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._host = urlsplit(url).netloc
        self._link: http.client.HTTPConnection | None = None
        self.asked = self.refused = 0
        self._seen: str | None = None  # The version after the last request.

    def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        """Send one request as it is. A connection that the peer closes is opened again, once."""
        for attempt in (1, 2):
            if self._link is None:
                self._link = http.client.HTTPConnection(self._host, timeout=ANSWER_S)
            try:
                self._link.request(method, target, body, dict(headers))
                response = self._link.getresponse()
                data = read_for_a_while(response)
                if response.will_close or not response.isclosed():
                    self.close()
                media = response.headers.get("Content-Type", "")
                return Answer(response.status, media, data)
            except (http.client.RemoteDisconnected, ConnectionError):
                self.close()
                if attempt == 2:
                    raise
        raise AssertionError

    def close(self) -> None:
        """Close the connection."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def version(self) -> str:
        """Return the version of all that the peer shows."""
        answer = self.ask("GET", "/api/v1/configmaps?limit=1", {}, None)
        assert answer.status == 200, answer
        return str(json.loads(answer.body)["metadata"]["resourceVersion"])

    def try_one(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        """Send a request and check what must hold of any answer."""
        shown = f"{method} {target[:300]} {dict(headers)} {(body or b'')[:600]!r}"
        before = self._seen or self.version()
        self._seen = None
        try:
            answer = self.ask(method, target, headers, body)
        except TimeoutError:
            raise AssertionError(f"no answer within {ANSWER_S} s: {shown}") from None
        self.asked += 1
        assert answer.status < 500, f"{answer.status} {answer.body[:600]!r}: {shown}"
        if answer.status >= 400:
            self.refused += 1
            if method != "HEAD":
                check_refusal(answer, shown)
            self._seen = self.version()
            assert self._seen == before, f"refused, yet something changed: {shown}"
        elif method != "HEAD" and "json" in answer.media and "watch" not in target:
            found: Any = json.loads(answer.body)
            assert isinstance(found, dict), f"{answer.body[:200]!r}: {shown}"
        return answer


def read_for_a_while(response: http.client.HTTPResponse) -> bytes:
    """Read to the end, or as long as an answer may take: a watch ends when it was asked to."""
    end, parts = time.monotonic() + ANSWER_S, []
    while time.monotonic() < end and (part := response.read1(1 << 16)):
        parts.append(part)
    return b"".join(parts)


def check_refusal(answer: Answer, shown: str) -> None:
    """Check that a refusal says what it is."""
    assert "json" in answer.media, f"{answer}: {shown}"
    status = json.loads(answer.body)
    if "error" in status and "kind" not in status:
        return  # A path outside the resource API.
    assert status["kind"] == "Status", f"{status}: {shown}"
    assert status["status"] == "Failure", f"{status}: {shown}"
    assert status["code"] == answer.status, f"{status}: {shown}"
    assert CODES[status["reason"]] == answer.status, f"{status}: {shown}"
    assert status["message"], f"{status}: {shown}"
