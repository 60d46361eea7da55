"""Many kinds of clients at a gentle pace, all recorded: who they are, and what each works with.

The clients of a cell run side by side, so that one cut shows what it does to each kind of
operation; each is pinned to one member, as if it sat beside it.
"""

import asyncio
import time
from typing import final

import msgspec

from bench.caplab.clients.etcd import EtcdSession
from bench.caplab.clients.interface import OK, Modes, Session
from bench.caplab.clients.ours import OursSession
from bench.caplab.history import Event
from bench.caplab.systems.names import OURS


@final
class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One client: what it does (`roles.ROLES`), beside which member, how often, with what mode."""

    role: str
    member: int
    per_s: float
    replicas: str = "1"
    token: bool = True

    @property
    def name(self) -> str:
        """As history and report call it."""
        replicas = "" if self.replicas == "1" else f" w={self.replicas}"
        return self.role + replicas + ("" if self.token else " without token")


@final
class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """All clients of a cell, and when it begins, breaks, heals and ends."""

    system: str
    addresses: list[tuple[str, int]]
    parts: list[Part]
    sides: list[list[int]]
    """Who can reach whom during the fault; one side when nothing is cut."""
    begin_ms: float
    fault_ms: float
    heal_ms: float
    end_ms: float
    timeout_s: float = 0.3
    """Impatient, which serves etcd best: a put that hangs in a lost leader is soon tried again."""


def now_ms() -> float:
    """The clock of histories."""
    return time.monotonic() * 1000


@final
class Client:
    """What a role works with: its session, its pace, and the record of what it did."""

    def __init__(self, panel: Panel, part: Part, number: int, events: list[Event]) -> None:
        self.panel, self.part, self.number = panel, part, number
        self._events = events
        self._count = 0
        self._next_ms = panel.begin_ms + number % 16  # Not all in the same millisecond.
        self.session = self.session_at(part.member)
        self.opened: list[Session] = [self.session]

    def session_at(self, member: int) -> Session:
        """Return a session beside a member."""
        make = OursSession if self.panel.system == OURS else EtcdSession
        modes = Modes(self.part.replicas, self.part.token)
        return make(*self.panel.addresses[member], modes, self.panel.timeout_s)

    def fresh(self) -> str:
        """Return a value that nobody else writes."""
        self._count += 1
        return f"{self.number}.{self._count}"

    async def tick(self) -> bool:
        """Wait for the next turn; False when the run is over."""
        now = now_ms()
        self._next_ms = max(self._next_ms + 1000 / self.part.per_s, now)
        if self._next_ms >= self.panel.end_ms:
            return False
        await asyncio.sleep((self._next_ms - now) / 1000)
        return True

    def note(
        self, op: str, key: str, value: str | None, start_ms: float, status: str, *,
        end_ms: float | None = None, told: int = 0, reason: str = "", member: int | None = None,
    ) -> None:  # fmt: skip
        """Record one operation."""
        self._events.append(
            Event(
                self.number, self.part.member if member is None else member, self.part.name, op,
                key, value, start_ms, now_ms() if end_ms is None else end_ms, status, told,
                reason[:160] if status != OK else "",
            )
        )  # fmt: skip

    async def close(self) -> None:
        """End all sessions."""
        for session in self.opened:
            await session.close()
