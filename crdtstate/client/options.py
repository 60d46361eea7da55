"""The arguments of both clients, checked and turned into what their calls share."""

from collections.abc import Sequence
from pathlib import Path
from random import Random, SystemRandom

from crdtstate.client.attempt import Session
from crdtstate.client.endpoints import Endpoints
from crdtstate.errors import InvalidError

__all__ = ["build_session", "read_token", "to_ms"]


def to_ms(seconds: float) -> int:
    """Return a time-out in milliseconds. Raises: InvalidError unless it is positive."""
    if not seconds > 0:
        raise InvalidError(f"timeout is {seconds} s, not over 0", code="invalid_parameter")
    return max(1, round(seconds * 1000))


def read_token(path: str | Path) -> str:
    """Return the first token of a token file. Raises: InvalidError, OSError."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    tokens = [line.strip() for line in lines if line.strip() and line[:1] != "#"]
    if not tokens:
        raise InvalidError(
            f"token file {path} holds 0 tokens; 1 is needed", code="invalid_parameter"
        )
    return tokens[0]


def build_session(
    endpoints: str | Sequence[str],
    *,
    token_file: str | Path | None,
    auth_token: str | None,
    timeout: float,
    causal: bool,
    w: int | str,
    rng: Random | None = None,
) -> Session:
    """Return what the calls of one client share. Raises: InvalidError, OSError."""
    if auth_token is None and token_file is not None:
        auth_token = read_token(token_file)
    return Session(
        Endpoints(endpoints), timeout_ms=to_ms(timeout), causal=causal, w=w,
        auth_token=auth_token, rng=rng or SystemRandom(),
    )  # fmt: skip
