"""Histories for the tests of the laboratory's checkers, written down as short lines."""

from bench.caplab.clients.interface import OK
from bench.caplab.history import GET, PUT, Event, Final


def event(
    session: int, op: str, key: str, value: str | None, start: float, end: float, *,
    status: str = OK, member: int = 0, role: str = "register",
) -> Event:  # fmt: skip
    return Event(session, member, role, op, key, value, start, end, status)


def put(session: int, value: str, start: float, end: float, **more: str) -> Event:
    return event(session, PUT, "reg/0", value, start, end, **more)  # type: ignore[arg-type]


def get(session: int, value: str | None, start: float, end: float, **more: str) -> Event:
    return event(session, GET, "reg/0", value, start, end, **more)  # type: ignore[arg-type]


def final(*values: dict[str, str]) -> Final:
    return Final(values=list(values), converged_after_ms=1.0)
