"""What the clients of one cell did and saw: the checkers' only input. Pure.

Times are milliseconds of the machine's monotonic clock, which all processes of a run share.
"""

from typing import final

import msgspec

from bench.caplab.clients.interface import OK, REFUSED

PUT, GET, MODIFY, INCREMENT, ADD, EDIT, LEAD, SEEN = (
    "put", "get", "modify", "increment", "add", "edit", "lead", "seen",
)  # fmt: skip
"""Operations. LEAD is a time in which a client held itself the leader; SEEN a watch's delivery."""


@final
class Event(msgspec.Struct, array_like=True, frozen=True):
    """One operation of one client. `value`: written, or read (None: not there)."""

    session: int
    member: int
    role: str
    op: str
    key: str
    value: str | None
    start_ms: float
    end_ms: float
    status: str
    told: int = 0
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether it was acknowledged."""
        return self.status == OK

    @property
    def answered(self) -> bool:
        """Whether the system served it: a condition that does not hold is an answer."""
        return self.status in (OK, REFUSED)


@final
class Final(msgspec.Struct, frozen=True, kw_only=True):
    """The state after the run, as each member shows it."""

    values: list[dict[str, str]]
    """For each member: key to value."""
    conflicts: dict[str, list[str]] = {}
    """Key to the values that the system lists as concurrent; empty where it has no such list."""
    told_keys: list[str] = []
    """Keys whose plain read said that there were concurrent values."""
    converged_after_ms: float | None = None
    """How long after the end of the load all members showed the same; None: not in time."""


@final
class History(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one panel of clients did."""

    events: list[Event]
    final: Final
    generator_share: float


@final
class Windows(msgspec.Struct, frozen=True, kw_only=True):
    """When the load began and ended, and the time in which the fault was surely there."""

    begin_ms: float
    fault_ms: float
    heal_ms: float
    end_ms: float

    def name_of(self, when_ms: float) -> str:
        """Return before, during or after."""
        if when_ms < self.fault_ms:
            return "before"
        return "during" if when_ms < self.heal_ms else "after"

    def of(self, event: Event) -> str:
        """Return the window of an operation: where it began, but after the heal if that served it.

        What hung in a cut and was accepted when it healed was not accepted during the cut.
        """
        served_by_heal = event.ok and event.start_ms < self.heal_ms <= event.end_ms
        return "after" if served_by_heal else self.name_of(event.start_ms)


WINDOWS = ("before", "during", "after")
