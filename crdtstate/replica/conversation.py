"""What peers say and what is answered: hellos, pushes, vectors, digests, and sessions.

A digest that differs from ours says only that somebody is ahead; vectors are then exchanged, and
whoever is behind pulls, after a delay in which pushes under way usually make it unnecessary.

Invariants:
    CNV-1  A malformed message is counted, changes nothing, and costs the peer nothing else.
    CNV-2  Equal vectors and unequal roots start a repair and raise the alarm.
    CNV-3  A difference to anybody, linked or not, makes vectors meet along the links: whoever has
           less is told, so that a push that was dropped is mended in O(log n) rounds of probes.
    CNV-4  Of a peer whose hello is of another version nothing is interpreted, and nothing waits
           for it, until it links anew.
"""

from typing import final

from crdtstate.crdt.dots import covers_all, encode_flat
from crdtstate.errors import RemoteProtocolError
from crdtstate.replica import events as ev
from crdtstate.replica.antientropy import PULL_DELAY_MS, AntiEntropy
from crdtstate.replica.membership import ReplicaSet
from crdtstate.replica.messages import (
    PROTOCOL_VERSION,
    Kind,
    decode_message,
    encode_message,
    vector_message,
)
from crdtstate.replica.peers import Peers, PeerView
from crdtstate.replica.shown import Shown, decode_digest
from crdtstate.replica.spreading import PUSH_ALL_MAX
from crdtstate.replica.standing import Standing
from crdtstate.replica.waiting import Waiters
from crdtstate.store.store import Store
from crdtstate.store.transaction import decode_frame

__all__ = ["Conversation"]

VECTOR_INTERVAL_MS = 200


@final
class Conversation:
    """One replica's side of all conversations."""

    def __init__(
        self,
        store: Store,
        peers: Peers,
        antientropy: AntiEntropy,
        shown: Shown,
        standing: Standing,
        waiters: Waiters,
        members: ReplicaSet,
    ) -> None:
        self._store, self._peers, self._antientropy = store, peers, antientropy
        self._shown, self._standing, self._waiters = shown, standing, waiters
        self._members = members
        self._forwards: list[tuple[str, bytes]] = []
        self._draining = False  # What was held is applied, some at a time.
        self.rejected = 0

    def link_up(self, name: str) -> list[ev.Effect]:
        """Say hello; nothing else is said before."""
        view = self._peers.view(name)
        view.reset_link(linked=True)
        vector = encode_flat(self._shown.vector)
        hello = encode_message(Kind.HELLO, PROTOCOL_VERSION, self._store.origin, vector)
        return [ev.Send(name, hello)]

    def link_down(self, name: str) -> None:
        """Forget what was under way with the peer."""
        self._peers.view(name).reset_link(linked=False)
        self._antientropy.link_down(name)

    def payload(self, event: ev.PeerMessage, now_ms: int, wall_ms: int) -> list[ev.Effect]:
        """Take one payload (CNV-1)."""
        view = self._peers.view(event.name)
        if view.other_version is not None:  # CNV-4
            self.rejected += 1
            return []
        try:
            message = view.assembler.feed(event.payload)
            if message is None:  # A part of a large one: the session it belongs to goes on.
                self._antientropy.heard(event.name, now_ms)
                return []
            if message[0] == Kind.PUSH:
                return self._push(view, message[1:], now_ms, wall_ms)
            return self._message(view, message, now_ms)
        except RemoteProtocolError as error:
            self.rejected += 1
            version = error.data.get("version")
            return [] if version is None else self._refuse(view, version)

    def _refuse(self, view: PeerView, version: int) -> list[ev.Effect]:
        self._antientropy.link_down(view.name)
        view.refuse(version)
        return [ev.OtherVersion(view.name, version)]

    def _message(self, view: PeerView, message: bytes, now_ms: int) -> list[ev.Effect]:
        kind, fields = decode_message(message)
        match kind:
            case Kind.HELLO:
                return self._hello(view, fields[1], fields[2], now_ms)
            case Kind.VECTOR:
                return self._vector(view, fields[0], now_ms, delay_ms=PULL_DELAY_MS)
            case Kind.WANT:
                view.wants = {o: max(s, view.wants.get(o, 0)) for o, s in fields[0].items()}
                return self._waiters.answer_wants()
            case Kind.PULL | Kind.GROUPS | Kind.BUCKETS:
                return self._antientropy.on_request(view, kind, fields, now_ms)
            case _:
                return self._antientropy.on_reply(view, kind, fields, now_ms)

    def _push(self, view: PeerView, data: bytes, now_ms: int, wall_ms: int) -> list[ev.Effect]:
        frame = decode_frame(data)
        received = self._store.receive(frame, wall_ms)
        if received.own_future:
            self._standing.check(self._store.origin, {}, {frame.origin: frame.last})
        view.learn_entry(frame.origin, frame.last)
        # Only what is here whole: who is sent it counts us among those who have it (SPR-1).
        news = received.applied and not received.held
        if news and len(self._members.members) > PUSH_ALL_MAX:
            self._forwards.append((view.name, bytes((Kind.PUSH,)) + data))
        effects: list[ev.Effect] = []
        if received.more and not self._draining:
            self._draining = True
            effects.append(ev.RunAgain("drain"))
        if received.held and view.pull_after_ms is None:
            view.pull_after(now_ms + PULL_DELAY_MS, self._store.vector)
            effects.append(ev.WakeAt(now_ms + PULL_DELAY_MS))
        return effects

    def drain_step(self, wall_ms: int) -> list[ev.Effect]:
        """Apply some more of what was held; a join that is being written applies all of it."""
        self._draining = not self._antientropy.joining and self._store.drain(wall_ms)[1]
        return [ev.RunAgain("drain")] if self._draining else []

    def take_forwards(self) -> list[tuple[str, bytes]]:
        """Return who sent which push that was news in the open batch, and start anew."""
        forwards, self._forwards = self._forwards, []
        return forwards

    def _hello(
        self, view: PeerView, origin: int, vector: dict[int, int], now_ms: int
    ) -> list[ev.Effect]:
        view.meet(origin)
        effects = self._vector(view, vector, now_ms, delay_ms=0)
        self._standing.confirm()
        return effects + self._antientropy.consider(now_ms)

    def _vector(
        self, view: PeerView, vector: dict[int, int], now_ms: int, *, delay_ms: int
    ) -> list[ev.Effect]:
        view.learn(vector)
        self._standing.check(self._store.origin, self._store.vector, vector)
        effects = self._waiters.check(now_ms)
        if covers_all(self._store.vector, view.vector):
            self._become_ready()
        elif view.pull_after_ms is None or delay_ms == 0:
            view.pull_after(now_ms + delay_ms, self._store.vector if delay_ms else None)
            effects.append(ev.WakeAt(now_ms + delay_ms))
        if delay_ms and not covers_all(vector, self._shown.vector):  # CNV-3; a hello is answered.
            effects += self._tell_vector(view, now_ms)
        return effects

    def _tell_vector(self, view: PeerView, now_ms: int) -> list[ev.Effect]:
        """Say what is durable here, but not again to the same one within a while."""
        if not view.linked or now_ms - view.vector_sent_ms < VECTOR_INTERVAL_MS:
            return []
        view.vector_sent_ms = now_ms
        return [ev.Send(view.name, vector_message(Kind.VECTOR, self._shown.vector))]

    def _ask_around(self, now_ms: int) -> list[ev.Effect]:
        """Somebody without a link differs from us: tell the neighbour told longest ago (CNV-3)."""
        linked = self._peers.linked()
        if not linked:
            return []
        return self._tell_vector(min(linked, key=lambda v: (v.vector_sent_ms, v.name)), now_ms)

    def digest(self, name: str, data: bytes, now_ms: int, wall_ms: int) -> list[ev.Effect]:
        """Take a digest that rode on a probe. Cost: O(1) when it equals ours."""
        view, digest = self._peers.view(name), decode_digest(data)
        if digest is None:
            return []
        view.learn_clock(digest[2], now_ms)
        same_vector, same_root = self._shown.equals(digest)
        if same_vector and same_root:
            view.learn(self._shown.vector)
            view.pull_after_ms = None
            self._antientropy.repair_due = False
            self._become_ready()
        elif same_vector:
            if view.linked and not self._antientropy.busy:  # CNV-2
                self._antientropy.repair_due = True
                view.pull_after_ms = now_ms
                return [ev.WakeAt(now_ms)]
        elif view.linked:
            return self._tell_vector(view, now_ms)
        else:
            return self._ask_around(now_ms)
        return []

    def _become_ready(self) -> None:
        if not self._antientropy.repair_due:
            self._standing.become_ready()
