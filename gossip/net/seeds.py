"""The configured first contacts: resolved, tried, and tried again for as long as they are missing.

A seed matters after the start as well: two groups that grew apart, each without the other's
members, meet only through it.
"""

import asyncio
from collections.abc import Callable
from typing import final

import structlog

from gossip.net.ports import Address, Network

log = structlog.get_logger(__name__)

RETRY_S = 2.0


@final
class Seeds:
    """Keeps asking for the seeds that are nobody's address.

    Args:
        is_reached: Whether this address belongs to a member that is alive, or to ourselves.
        join: Contact this address.
    """

    def __init__(
        self,
        seeds: tuple[Address, ...],
        *,
        network: Network,
        is_reached: Callable[[Address], bool],
        join: Callable[[Address], None],
    ) -> None:
        self._seeds = seeds
        self._network = network
        self._is_reached = is_reached
        self._join = join
        self._states: dict[Address, str] = {}

    def missing(self) -> int:
        """Return how many seeds are not members now, as of the last look."""
        return sum(self._states.get(seed) != "reached" for seed in self._seeds)

    async def run(self) -> None:
        """Look, try, wait, for ever."""
        while True:
            for seed in self._seeds:
                await self._try(seed)
            await asyncio.sleep(RETRY_S)

    async def _try(self, seed: Address) -> None:
        try:
            address = await self._network.resolve(*seed)
        except OSError as error:
            self._note(seed, "unresolvable", reason=str(error))
            return
        if self._is_reached(address):
            self._note(seed, "reached")
            return
        if seed in self._states:
            self._note(seed, "unreached", address=address[0])
        else:
            self._states[seed] = "asked"  # Give it until the next look.
        self._join(address)

    def _note(self, seed: Address, state: str, **facts: str) -> None:
        if self._states.get(seed) == state:
            return  # Once per change, not once per try.
        self._states[seed] = state
        level = log.info if state == "reached" else log.warning
        level("seed_changed", seed=f"{seed[0]}:{seed[1]}", state=state, **facts)
