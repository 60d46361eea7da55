"""What this replica knows of the others: who is linked, what each has durable, how clocks differ.

Invariants:
    PEER-1  A peer's known vector only grows while its origin stays the same.
    SKW-1  One delayed message is not a wrong clock: what a peer's clock reads is always an
           underestimate, by the time on the way, so the largest of the last two windows counts
           (the clock filter of [Mil91], with one-way messages). Our own clock shows at once when
           it jumps, for the others' are kept against our monotonic one; that a peer's was set
           back shows up to two windows late.
"""

from collections.abc import Iterable
from statistics import median
from typing import final

from crdtstate.crdt.dots import covers_all, join_vectors, missing
from crdtstate.replica.messages import Assembler

__all__ = ["CLOCK_OFFSET_MS_MAX", "PeerView", "Peers"]

CLOCK_OFFSET_MS_MAX = 5_000
CLOCK_PEERS_MIN = 3
LEAD_WINDOW_MS = 10_000


@final
class PeerView:
    """One other member, as far as it has told us."""

    def __init__(self, name: str, message_bytes_max: int) -> None:
        self.name = name
        self.linked = False
        self.other_version: int | None = None  # Its hello on this link was of another version.
        self.origin: int | None = None
        self.vector: dict[int, int] = {}
        self.wants: dict[int, int] = {}  # It asked to be told when we have this durable.
        self._leads_ms: tuple[int, ...] = ()  # The largest of this window and of the last one.
        self._lead_since_ms = 0
        self.pull_after_ms: int | None = None  # It is ahead: pull, unless pushes catch up.
        self._lacked: dict[int, int] = {}  # How far we were where it was ahead; empty: unknown.
        self.vector_sent_ms = -(1 << 40)
        self._message_bytes_max = message_bytes_max
        self.assembler = Assembler(message_bytes_max)

    def reset_link(self, *, linked: bool) -> None:
        """A link opened or closed: what was half received is gone."""
        self.linked, self.other_version = linked, None
        self.wants = {}
        self.pull_after_ms = None
        self._lacked = {}
        self.assembler = Assembler(self._message_bytes_max)

    def refuse(self, version: int) -> None:
        """It speaks another version: to this replica it is not linked until it links anew."""
        self.reset_link(linked=False)
        self.other_version = version

    def meet(self, origin: int) -> None:
        """It said who it is: another identity starts anew (PEER-1)."""
        if self.origin != origin:
            self.origin, self.vector = origin, {}

    @property
    def lead_ms(self) -> int | None:
        """Its wall clock minus our monotonic one; None before it said what it reads (SKW-1)."""
        return max(self._leads_ms, default=None)

    def learn_clock(self, wall_ms: int, now_ms: int) -> None:
        """Its wall clock read `wall_ms` when it sent what arrives now."""
        lead_ms = wall_ms - now_ms
        if not self._leads_ms or now_ms - self._lead_since_ms >= LEAD_WINDOW_MS:
            self._leads_ms = (lead_ms, *self._leads_ms[:1])
            self._lead_since_ms = now_ms
        else:
            self._leads_ms = (max(lead_ms, self._leads_ms[0]), *self._leads_ms[1:])

    def learn(self, vector: dict[int, int]) -> None:
        """It has `vector` durable."""
        self.vector = join_vectors(self.vector, vector)

    def learn_entry(self, origin: int, seq: int) -> None:
        """It has the transactions of `origin` up to `seq` durable, for it pushed them."""
        if self.vector.get(origin, 0) < seq:
            self.vector[origin] = seq

    def pull_after(self, at_ms: int, mine: dict[int, int] | None) -> None:
        """Pull at this time; when `mine` is given, only if pushes make no progress until then."""
        self.pull_after_ms = at_ms
        lacking = () if mine is None else missing(mine, self.vector)
        self._lacked = {origin: (mine or {}).get(origin, 0) for origin in lacking}

    def is_progressing(self, mine: dict[int, int]) -> bool:
        """Whether pushes have moved every origin in which it is ahead since `pull_after`.

        A pull beside them would bring the same again, and cost the time that they need.
        """
        before = self._lacked
        lacking = missing(mine, self.vector)
        return bool(before) and all(o in before and mine.get(o, 0) > before[o] for o in lacking)


@final
class Peers:
    """The table of peer views. Bounded by the members that gossip admits."""

    def __init__(self, message_bytes_max: int) -> None:
        self._message_bytes_max = message_bytes_max
        self._views: dict[str, PeerView] = {}

    def view(self, name: str) -> PeerView:
        """Return the view of a member, new when it was not known."""
        view = self._views.get(name)
        if view is None:
            view = self._views[name] = PeerView(name, self._message_bytes_max)
        return view

    def drop(self, name: str) -> None:
        """Forget a member."""
        self._views.pop(name, None)

    def linked(self) -> list[PeerView]:
        """Return the views with an open link, by name."""
        return [self._views[name] for name in sorted(self._views) if self._views[name].linked]

    def other_versions(self) -> dict[str, int]:
        """Return which version those speak who are linked and speak another one, by name."""
        views = sorted(self._views.items())
        return {name: v.other_version for name, v in views if v.other_version is not None}

    def known_vector(self, name: str) -> dict[int, int] | None:
        """Return what a member is known to have durable; None before it said anything."""
        view = self._views.get(name)
        return view.vector if view is not None and view.origin is not None else None

    def having(self, vector: dict[int, int], names: Iterable[str]) -> list[str]:
        """Return which of `names` are known to have all of `vector` durable."""
        return [
            name
            for name in names
            if name in self._views and covers_all(self._views[name].vector, vector)
        ]

    def clock_offset_ms(self, now_ms: int, wall_ms: int) -> int | None:
        """Return the median of the linked peers' clocks minus ours; None below three peers."""
        leads_ms = [view.lead_ms for view in self.linked() if view.lead_ms is not None]
        if len(leads_ms) < CLOCK_PEERS_MIN:
            return None
        return int(median(leads_ms)) - (wall_ms - now_ms)
