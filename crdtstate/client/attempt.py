"""One call on its way to an answer: which peer, for how long, again or not. No I/O, no clock.

The shells ask `plan`, do what it says, and report with `failed` or `is_settled_by`.

Source: full jitter is Brooker's "Exponential Backoff and Jitter" (AWS Architecture Blog, 2015).

Invariants:
    ATT-1  A write that is not repeatable is sent again only when it certainly did not happen.
    ATT-2  An error that could hide a write which happened is an UnknownOutcomeError.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Generic, TypeVar, final

from crdtstate.client.answer import Answer
from crdtstate.client.calls import TIMEOUT_MS_MAX, Call
from crdtstate.client.endpoints import Endpoints, RetryBudget
from crdtstate.client.failures import (
    LinkError,
    UnknownOutcomeError,
    error_of,
    unreachable,
)
from crdtstate.client.token import KeptToken
from crdtstate.errors import (
    AlreadyExistsError,
    ConflictError,
    CrdtstateError,
    PreconditionError,
)

__all__ = ["Attempt", "Session", "Try", "jitter_ms"]

T = TypeVar("T")

SLACK_MS = 250  # The socket waits at most so much longer than the peer was told to take.
CONNECT_MS_MAX = 1_000
_BACKOFF_MS, _BACKOFF_MS_MAX = 50, 1_000
_REFUSED = frozenset({"overloaded", "clock_skew", "catching_up", "too_many_watches"})
"""Codes of 503 and 429 with which a peer says that it has not even begun."""


def jitter_ms(rng: Random, failures: int, base_ms: int, max_ms: int) -> int:
    """Return a pause of 0 to base_ms * 2 ** failures, bounded."""
    return rng.randint(0, min(max_ms, base_ms << min(failures, 20)))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """What a shell shall do now: pause, then send this, and wait so long."""

    endpoint: str
    method: str
    target: str
    headers: dict[str, str]
    body: bytes | None
    pause_ms: int
    connect_ms: int
    total_ms: int


@final
class Session:
    """What all calls of one client share."""

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        timeout_ms: int,
        causal: bool,
        w: int | str,
        auth_token: str | None,
        rng: Random,
    ) -> None:
        self.endpoints, self.timeout_ms, self.causal, self.w = endpoints, timeout_ms, causal, w
        self.budget, self.kept, self.rng = RetryBudget(), KeptToken(), rng
        self._fixed = {"Authorization": f"Bearer {auth_token}"} if auth_token else {}

    def headers(
        self, more: Mapping[str, str] | None = None, *, token: bool = True
    ) -> dict[str, str]:
        """Return the headers of a request."""
        headers = dict(self._fixed)
        if token and self.causal and self.kept.text:
            headers["Crdtstate-Token"] = self.kept.text
        headers.update(more or {})
        return headers

    def begin(self, call: Call[T], now_ms: int, timeout_ms: int | None = None) -> "Attempt[T]":
        """Return the machine that brings one call home."""
        self.budget.deposit()
        return Attempt(self, call, now_ms + (timeout_ms or self.timeout_ms))

    def observe(self, headers: Mapping[str, str]) -> None:
        """Keep the token of an answer."""
        token = headers.get("crdtstate-token")
        if token:
            self.kept.observe(token)


@final
class Attempt(Generic[T]):
    """The retries of one call, as decisions."""

    def __init__(self, session: Session, call: Call[T], deadline_ms: int) -> None:
        self._session, self._call, self._deadline_ms = session, call, deadline_ms
        self._endpoint = session.endpoints.current
        self._tried: set[str] = set()
        self._failures = 0
        self._pause_ms = 0
        self._lost = False  # A try may have arrived, and its answer did not.

    def plan(self, now_ms: int) -> Try:
        """Return the next try."""
        session, call = self._session, self._call
        left_ms = max(1, self._deadline_ms - now_ms - self._pause_ms)
        self._tried.add(self._endpoint)
        others = not call.pinned and len(self._tried) < len(session.endpoints.all)
        # Half, so that a peer that hangs leaves time for the next one.
        share_ms = left_ms // 2 if others and not self._waits() else left_ms
        share_ms = max(1, min(share_ms, TIMEOUT_MS_MAX))
        return Try(
            endpoint=self._endpoint,
            method=call.method,
            target=call.target(share_ms, session.w),
            headers=session.headers(call.headers),
            body=call.body,
            pause_ms=self._pause_ms,
            connect_ms=min(CONNECT_MS_MAX, share_ms),
            # A quarter, so that the slack of a peer that hangs does not eat the next one's time.
            total_ms=share_ms + min(SLACK_MS, left_ms // 4 if others else SLACK_MS),
        )

    def failed(self, failure: LinkError, now_ms: int) -> None:
        """Prepare another try after one without an answer. Raises: CrdtstateError at the end."""
        self._lost = self._lost or (failure.sent and self._call.write)
        self._again(unreachable(self._endpoint, failure.reason), now_ms)

    def is_settled_by(self, answer: Answer, now_ms: int) -> bool:
        """Tell whether the answer is final; False: another try is prepared.

        Raises: CrdtstateError when there is no further try to make.
        """
        self._session.observe(answer.headers)
        if answer.status in (502, 503, 429):
            error = error_of(answer)
            if self._call.write and error.code not in _REFUSED:
                self._lost = True
            self._again(error, now_ms)
            return False
        if answer.status == 504 and not self._call.waits:
            error = error_of(answer)
            if error.code == "behind" and len(self._session.endpoints.all) > 1:
                self._again(error, now_ms)  # Another peer may be ahead.
                return False
        if answer.status in (409, 412) and self._lost:
            error = error_of(answer)
            if isinstance(error, PreconditionError | ConflictError | AlreadyExistsError):
                # Our own earlier try may be what broke the condition.
                raise self._unknown(error)
        self._session.endpoints.answered(self._endpoint)
        return True

    def _waits(self) -> bool:
        call = self._call
        w = self._session.w if call.w is None else call.w
        return call.waits or (call.write and w != 1)

    def _again(self, error: CrdtstateError, now_ms: int) -> None:
        session, call = self._session, self._call
        if not call.pinned:
            session.endpoints.failed(self._endpoint)
        pause_ms = jitter_ms(session.rng, self._failures, _BACKOFF_MS, _BACKOFF_MS_MAX)
        self._failures += 1
        if self._lost and not call.repeatable:
            raise self._unknown(error)  # ATT-1
        may = not call.pinned and self._failures < max(3, 2 * len(session.endpoints.all))
        in_time = now_ms + pause_ms < self._deadline_ms
        if not (may and in_time and session.budget.withdraw()):
            raise self._unknown(error) if self._lost else error
        if len(self._tried) == len(session.endpoints.all):
            self._tried.clear()
        self._endpoint = session.endpoints.next_of(self._tried)
        self._pause_ms = pause_ms

    def _unknown(self, error: CrdtstateError) -> UnknownOutcomeError:
        data: dict[str, Any] = {"repeatable": self._call.repeatable, "cause": error.code}
        unknown = UnknownOutcomeError(
            f"{self._call.method} {self._call.path} was sent and may have happened: "
            f"{error.message}",
            **data,
        )
        unknown.__cause__ = error
        return unknown
