"""From what a peer believes of the members to views and owners, with a hold-down. No I/O.

Invariants:
    MBS-1  A member that came back owns nothing, and the view is not settled, until it has been
           heard for `hold_ms` without a break.
    MBS-2  Silence is counted by this process alone: what was before its start is not held against
           anybody.
    MBS-3  A process that has just started does nothing before it has heard every member for
           `hold_ms`, or has waited as long as a lost member is waited for.
"""

from collections.abc import Iterable, Sequence
from typing import final

from controllers.runtime.sharding import owner_of
from controllers.runtime.view import LOST_MS, View
from crdtstate.model import MemberInfo

__all__ = ["HOLD_MS", "Membership"]

HOLD_MS = 1_500
_HEARD = ("alive", "suspect")
_BACK_MS = 5_000  # What a new link is worth, until gossip has made up its mind.


@final
class Membership:
    """Beliefs over time.

    Args:
        me: The member that this process runs beside; None for one that is no member's, which then
            acts on every key.
        hold_ms: How long after a return nothing is removed and nothing is handed over.
    """

    def __init__(self, me: str | None, *, hold_ms: int = HOLD_MS) -> None:
        self._me, self._hold_ms = me, hold_ms
        self._members: tuple[str, ...] = ()
        self._heard_since: dict[str, int] = {}
        self._silent_since: dict[str, int] = {}
        self._linked_since: dict[str, int] = {}
        self._began_ms: int | None = None
        self._observed_ms = 0
        self._actors: frozenset[str] = frozenset()

    def observe(self, now_ms: int, rows: Sequence[MemberInfo]) -> None:
        """Take the rows of the membership table."""
        self._began_ms = now_ms if self._began_ms is None else self._began_ms
        self._observed_ms = now_ms
        for row in rows:
            self._note_link(now_ms, row)
            if row.is_self or row.liveness in _HEARD or self._is_back(now_ms, row):
                self._heard_since.setdefault(row.name, now_ms)
                # A suspect may be gone: its silence counts from the suspicion if it is.
                if row.liveness == "suspect":
                    self._silent_since.setdefault(row.name, now_ms)
                else:
                    self._silent_since.pop(row.name, None)
            else:
                self._heard_since.pop(row.name, None)
                self._silent_since.setdefault(row.name, now_ms)
        self._members = tuple(sorted(row.name for row in rows))
        for gone in (self._heard_since.keys() | self._silent_since.keys()) - set(self._members):
            self._heard_since.pop(gone, None)
            self._silent_since.pop(gone, None)

    def _note_link(self, now_ms: int, row: MemberInfo) -> None:
        if not row.linked:
            self._linked_since.pop(row.name, None)
        elif row.name not in self._linked_since:
            self._linked_since[row.name] = now_ms if self._members else now_ms - _BACK_MS

    def _is_back(self, now_ms: int, row: MemberInfo) -> bool:
        """Whether a link has just come up: it brings writes before gossip says who is there."""
        since_ms = self._linked_since.get(row.name, now_ms - _BACK_MS)
        return row.liveness != "left" and now_ms - since_ms < _BACK_MS

    def set_actors(self, names: Iterable[str]) -> None:
        """Say on which members controllers run."""
        self._actors = frozenset(names)

    def view(self, now_ms: int) -> View:
        """Return what a reconcile is told."""
        heard = tuple(name for name in self._members if name in self._heard_since)
        silent = {
            name: now_ms - self._silent_since.get(name, now_ms)
            for name in self._members
            if name not in self._heard_since
        }
        steady = all(now_ms - since >= self._hold_ms for since in self._heard_since.values())
        return View(
            members=self._members, heard=heard, silent_ms=silent,
            age_ms=now_ms - self._observed_ms if self._began_ms is not None else 0,
            settled=steady and all(ms >= LOST_MS for ms in silent.values()),
        )  # fmt: skip

    def owners(self, now_ms: int) -> tuple[str, ...]:
        """Return the members among which keys are shared, sorted."""
        if not self.is_ready(now_ms):
            return ()
        steady = {n for n, since in self._heard_since.items() if now_ms - since >= self._hold_ms}
        return tuple(sorted((steady & self._actors) | ({self._me} if self._me else set())))

    def is_ready(self, now_ms: int) -> bool:
        """Whether this process knows enough to act (MBS-3)."""
        if self._began_ms is None:
            return False
        since_ms = now_ms - self._began_ms
        everyone = len(self._heard_since) == len(self._members)
        return since_ms >= LOST_MS or (everyone and self.view(now_ms).settled)

    def next_ms(self, now_ms: int) -> int | None:
        """Return when a hold-down or a grace ends, None when there is none."""
        ends = [since + self._hold_ms for since in self._heard_since.values()]
        ends += [since + LOST_MS for since in self._silent_since.values()]
        return min((end for end in ends if end > now_ms), default=None)

    def acts_on(self, key: str, now_ms: int) -> bool:
        """Whether this process acts on a key."""
        if self._me is None:
            return self.is_ready(now_ms)
        return owner_of(key, self.owners(now_ms)) == self._me
