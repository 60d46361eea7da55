"""Three peers, a link between each two, and what a user can ask them: real ones or simulated ones.

A scenario is written once, over this. Peer `a` is alone on its side of the cut; `b` and `c` are on
the other.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

ALL = ("a", "b", "c")
JSON, MERGE = "application/json", "application/merge-patch+json"
STRATEGIC, JSON_PATCH = (
    "application/strategic-merge-patch+json", "application/json-patch+json",
)  # fmt: skip
APPLY = "application/apply-patch+yaml"
DEADLINE_S = 120.0
POLL_S = 0.05


class Answer(NamedTuple):
    """What a peer has answered."""

    status: int
    body: Any
    warning: str


class Sides(Protocol):
    """The three peers."""

    async def ask(
        self, side: str, method: str, path: str, body: bytes | None, media: str
    ) -> Answer:
        """Ask one peer."""

    def cut_links(self) -> Awaitable[None] | None:
        """Cut a from b and c; return before anybody has noticed."""

    def heal_links(self) -> Awaitable[None] | None:
        """Open all links again."""


async def until(condition: Callable[[], Awaitable[Any]], what: str) -> None:
    """Wait for something, on the clock of whatever loop runs."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not await condition():
        assert loop.time() - began < DEADLINE_S, f"not within {DEADLINE_S} s: {what}"
        await asyncio.sleep(POLL_S)


async def status(sides: Sides, side: str) -> dict[str, Any]:
    """Return GET /status."""
    answer = await sides.ask(side, "GET", "/status", None, JSON)
    return dict(answer.body) if answer.status == 200 else {}


async def cut(sides: Sides) -> None:
    """Cut, and wait until both sides have noticed."""
    if (work := sides.cut_links()) is not None:
        await work

    async def noticed() -> bool:
        linked = {side: set((await status(sides, side))["linked"]) for side in ALL}
        return linked == {"a": set(), "b": {"c"}, "c": {"b"}}

    await until(noticed, "both sides have noticed the cut")


async def heal(sides: Sides) -> None:
    """Heal, and wait until everybody has everything."""
    if (work := sides.heal_links()) is not None:
        await work
    await linked(sides)
    await settle(sides)


async def linked(sides: Sides) -> None:
    """Wait until everybody has a link to everybody."""

    async def all_linked() -> bool:
        found = [(await status(sides, side)).get("linked", ()) for side in ALL]
        return all(len(others) == len(ALL) - 1 for others in found)

    await until(all_linked, "all are linked")


async def settle(sides: Sides) -> None:
    """Wait until all have equal vectors and equal fingerprints."""

    async def equal() -> bool:
        found = [await status(sides, side) for side in ALL]
        return len({json.dumps([s["vector"], s["fingerprint"]]) for s in found}) == 1

    await until(equal, "equal vectors and fingerprints")
