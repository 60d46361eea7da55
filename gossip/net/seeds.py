"""First contacts: the configured seeds, and addresses that the application remembers.

Seeds are resolved, tried, and tried again for as long as they are missing. One matters after the
start as well: two groups that grew apart, each without the other's members, meet only through it.
Seeds name the machines of the day on which they were written. For when those are gone there is
what the application kept of the members: of them a few are tried in each look, chosen at random,
so that the cost does not grow with the group.

Source: Serf's snapshot of the alive members, Cassandra's `system.peers`: both outlive the process.
"""

import asyncio
import random
from collections.abc import Callable, Collection
from typing import final

import structlog

from gossip.net.ports import Address, Network

log = structlog.get_logger(__name__)

RETRY_S = 2.0
CONTACTS_PER_LOOK = 2


@final
class Seeds:
    """Keeps asking at the addresses that are nobody's.

    Args:
        contacts: Numeric addresses at which members once were.
        reached: The addresses of the members that are alive, ourselves included.
        join: Contact this address.
    """

    def __init__(
        self,
        seeds: tuple[Address, ...],
        *,
        contacts: Callable[[], Collection[Address]],
        rng: random.Random,
        network: Network,
        reached: Callable[[], Collection[Address]],
        join: Callable[[Address], None],
    ) -> None:
        self._seeds = seeds
        self._contacts, self._rng = contacts, rng
        self._network = network
        self._reached = reached
        self._join = join
        self._states: dict[Address, str] = {}

    def missing(self) -> int:
        """Return how many seeds are not members now, as of the last look."""
        return sum(self._states.get(seed) != "reached" for seed in self._seeds)

    async def run(self) -> None:
        """Look, try, wait, for ever."""
        while True:
            reached = self._reached()
            for seed in self._seeds:
                await self._try(seed, reached)
            self._try_contacts(reached)
            await asyncio.sleep(RETRY_S)

    async def _try(self, seed: Address, reached: Collection[Address]) -> None:
        try:
            address = await self._network.resolve(*seed)
        except OSError as error:
            self._note(seed, "unresolvable", reason=str(error))
            return
        if address in reached:
            self._note(seed, "reached")
            return
        if seed in self._states:
            self._note(seed, "unreached", address=address[0])
        else:
            self._states[seed] = "asked"  # Give it until the next look.
        self._join(address)

    def _try_contacts(self, reached: Collection[Address]) -> None:
        """Cost: O(members), every RETRY_S."""
        lost = sorted(set(self._contacts()).difference(reached))
        for address in self._rng.sample(lost, min(CONTACTS_PER_LOOK, len(lost))):
            self._join(address)

    def _note(self, seed: Address, state: str, **facts: str) -> None:
        if self._states.get(seed) == state:
            return  # Once per change, not once per try.
        self._states[seed] = state
        level = log.info if state == "reached" else log.warning
        level("seed_changed", seed=f"{seed[0]}:{seed[1]}", state=state, **facts)
