"""Requests that need more replicas than this one: w=2, majority, all, and wait(token, peers).

Invariants:
    WTG-1  Every request is answered: when enough have it, or at its deadline with how many do.
    STB-1  What is stable everyone has, and nothing concurrent with it is still to come here.
"""

from typing import Any, final

import msgspec

from crdtstate.crdt.dots import covers_all
from crdtstate.errors import BehindError
from crdtstate.replica import events as ev
from crdtstate.replica.membership import ReplicaSet
from crdtstate.replica.messages import Kind, vector_message
from crdtstate.replica.peers import Peers
from crdtstate.replica.shown import Shown
from crdtstate.store.store import Committed, Store

__all__ = ["Waiters"]


@final
class _Waiter(msgspec.Struct):
    request: Any
    vector: dict[int, int]
    replicas: int | str
    deadline_ms: int
    committed: Committed | None


@final
class Waiters:
    """The waiting requests of one replica. Bounded by the API's connections."""

    def __init__(
        self, name: str, store: Store, members: ReplicaSet, peers: Peers, shown: Shown
    ) -> None:
        self._name, self._store = name, store
        self._members, self._peers, self._shown = members, peers, shown
        self._waiting: list[_Waiter] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(
        self,
        request: Any,
        vector: dict[int, int],
        replicas: int | str,
        deadline_ms: int,
        committed: Committed | None,
    ) -> None:
        """Answer `request` once so many have `vector` durable."""
        self._waiting.append(_Waiter(request, vector, replicas, deadline_ms, committed))

    def ask(self, vector: dict[int, int]) -> list[ev.Effect]:
        """Ask every linked peer to say when it has `vector` durable."""
        want = vector_message(Kind.WANT, vector)
        return [ev.Send(view.name, want) for view in self._peers.linked()]

    def having(self, vector: dict[int, int]) -> list[str]:
        """Return the members known to have all of `vector` durable, this one included."""
        others = sorted(self._members.members.keys() - {self._name})
        mine = [self._name] if covers_all(self._shown.vector, vector) else []
        return mine + self._peers.having(vector, others)

    def is_stable(self, vector: dict[int, int]) -> bool:
        """Tell whether every member has `vector` durable, and we all that they had then (STB-1).

        Cost: O(members * origins).
        """
        others = sorted(self._members.members.keys() - {self._name})
        known = [self._peers.known_vector(name) for name in others]
        shown = self._shown.vector
        return covers_all(shown, vector) and all(
            k is not None and covers_all(k, vector) and covers_all(shown, k) for k in known
        )

    def check(self, now_ms: int) -> list[ev.Effect]:
        """Answer whoever can be answered, or must be.

        Cost: O(waiting), and O(members) for each transaction that is waited for.
        """
        if not self._waiting:
            return []
        effects: list[ev.Effect] = []
        still: list[_Waiter] = []
        known: dict[tuple[tuple[int, int], ...], list[str]] = {}
        for waiter in self._waiting:
            # The requests of a batch wait for one transaction, or for few.
            wanted = tuple(waiter.vector.items())
            have = known.get(wanted)
            if have is None:
                have = known[wanted] = self.having(waiter.vector)
            needed = self._members.needed(waiter.replicas, self._name)
            if len(have) >= needed:
                outcome: ev.Outcome | BehindError = ev.Outcome(waiter.committed, tuple(have))
            elif waiter.deadline_ms <= now_ms:
                outcome = BehindError(
                    f"{len(have)} of the {needed} replicas asked for have it durable; "
                    "nothing is undone",
                    code="not_enough_replicas",
                    replicas=len(have),
                    wanted=needed,
                    have=have,
                )
            else:
                still.append(waiter)
                continue
            effects.append(ev.Reply(waiter.request, outcome))
        self._waiting = still
        if still:
            effects.append(ev.WakeAt(min(waiter.deadline_ms for waiter in still)))
        return effects

    def answer_wants(self) -> list[ev.Effect]:
        """Tell the peers who asked what has become durable here."""
        effects: list[ev.Effect] = []
        vector = self._shown.vector
        for view in self._peers.linked():
            if view.wants and covers_all(vector, view.wants):
                # What is ours goes with it: who knows all that we wrote before we had what it
                # asks for, knows all that was concurrent with that (STB-1).
                answer = {o: vector[o] for o in (*view.wants, self._store.origin) if o in vector}
                view.wants = {}
                effects.append(ev.Send(view.name, vector_message(Kind.VECTOR, answer)))
        return effects

    def abandon(self) -> list[Any]:
        """Return the requests that wait, and forget them."""
        requests = [waiter.request for waiter in self._waiting]
        self._waiting = []
        return requests
