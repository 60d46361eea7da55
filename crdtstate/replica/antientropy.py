"""Anti-entropy: find out who is ahead, pull from one of them at a time, serve those who ask.

    requester                                server
    PULL vector            ->
                           <-   PART …, END target parts   or REFUSED floor, or REFUSED busy
    GROUPS group sums      ->                            (after "floor", or equal vectors that
                           <-   DIFFER groups             hide a difference)
    BUCKETS bucket sums    ->
                           <-   PART …, END target buckets parts

Source: DESIGN section 3. Sessions are state machines over generators: each step does bounded work.

Invariants:
    AE-1  At most one session joins at a time; the vector moves only at its end.
    AE-2  A session without progress for SESSION_TIMEOUT_MS, without its link, or of which a part
          was lost on the way (a link without room drops payloads), is dropped whole.
    AE-3  No pull is served while this replica has a repair of its own to finish. A repair is: two
          that wait for each other would wait for ever.
"""

from collections.abc import Iterator
from typing import Any, final

from crdtstate.crdt.dots import covers_all, encode_flat
from crdtstate.errors import RemoteProtocolError
from crdtstate.replica.events import Effect, RunAgain, Send
from crdtstate.replica.messages import Kind, encode_message, pack_sums, part_message
from crdtstate.replica.peers import Peers, PeerView
from crdtstate.replica.shown import Shown
from crdtstate.store import parts
from crdtstate.store.catchup import (
    BelowFloor,
    Joiner,
    group_sums,
    read_buckets,
    serve_pull,
    serve_repair,
)
from crdtstate.store.fingerprint import GROUPS
from crdtstate.store.parts import End, Part, parse_part
from crdtstate.store.ports import Snapshot
from crdtstate.store.store import Store

__all__ = ["AntiEntropy"]

_Item = Part | End | bytes | None
SESSION_TIMEOUT_MS = 5_000
PULL_DELAY_MS = 250
BUSY_RETRY_MS = 500
SESSION_BYTES_MAX = 4 << 30
_SERVE_STEPS = 8


@final
class _Session:
    """What this replica is asking of one peer."""

    def __init__(
        self, number: int, peer: str, joiner: Joiner, base: Snapshot | None, now_ms: int
    ) -> None:
        self.number, self.peer, self.joiner = number, peer, joiner
        self.base = base  # of a repair: what its bucket sums were read from
        self.progress_ms = now_ms
        self.repair = base is not None
        self.parts = 0
        self.end: End | None = None
        self.steps: Iterator[None] | None = None  # prepare, then apply
        self.applying = False


@final
class _Serving:
    """What this replica is sending to one peer."""

    def __init__(
        self, session: int, snapshot: Snapshot, steps: Iterator[_Item], now_ms: int
    ) -> None:
        self.session, self.snapshot, self.steps = session, snapshot, steps
        self.asked_ms = now_ms
        self.parts = 0
        self.awaits_buckets = False


@final
class AntiEntropy:
    """The sessions of one replica. Its caller gives the time and performs the effects."""

    def __init__(self, store: Store, peers: Peers, shown: Shown) -> None:
        self._store, self._peers, self._shown = store, peers, shown
        self._session: _Session | None = None
        self._serving: dict[str, _Serving] = {}
        self._counter = 0
        self.repair_due = False
        self.counts = dict.fromkeys(
            (
                "pulls_started", "pulls_joined", "repairs_started", "repairs_joined",
                "repair_alarms", "sessions_dropped", "sessions_malformed", "sessions_served",
                "records_joined",
            ),
            0,
        )  # fmt: skip

    @property
    def joining(self) -> bool:
        """The join is being written: the store must not change, its batch not be closed."""
        return self._session is not None and self._session.applying

    @property
    def busy(self) -> bool:
        """A session of ours is under way."""
        return self._session is not None

    # -- requesting ----------------------------------------------------------------------------

    def consider(self, now_ms: int) -> list[Effect]:
        """Start a pull when some linked peer has been ahead for long enough."""
        self._stop_abandoned(now_ms)
        session = self._session
        if session is not None:
            stale = now_ms - session.progress_ms > SESSION_TIMEOUT_MS
            if not stale or session.applying:
                return []
            self._drop()  # AE-2
        for view in self._peers.linked():
            due = view.pull_after_ms
            if due is None or now_ms < due:
                continue
            if covers_all(self._store.vector, view.vector) and not self.repair_due:
                view.pull_after_ms = None
                continue
            if not self.repair_due and view.is_progressing(self._store.vector):
                view.pull_after(now_ms + PULL_DELAY_MS, self._store.vector)
                continue
            return self._start(view, now_ms, repair=self.repair_due)
        return []

    def next_due_ms(self) -> int | None:
        """Return when `consider` should be called next."""
        if self._session is not None:
            return self._session.progress_ms + SESSION_TIMEOUT_MS + 1
        dues = [v.pull_after_ms for v in self._peers.linked() if v.pull_after_ms is not None]
        return min(dues, default=None)

    def _start(self, view: PeerView, now_ms: int, *, repair: bool) -> list[Effect]:
        self._counter += 1
        base = self._store.table.snapshot() if repair else None
        joiner = Joiner(self._store, bytes_max=SESSION_BYTES_MAX, base=base)
        self._session = _Session(self._counter, view.name, joiner, base, now_ms)
        view.pull_after_ms = None
        if base is not None:
            self.counts["repairs_started"] += 1
            self._session.steps = self._read_sums(base)
            return [RunAgain("join")]
        self.counts["pulls_started"] += 1
        # With what is not durable yet: a join that just ended is not asked for again.
        vector = encode_flat(self._store.vector)
        return [Send(view.name, encode_message(Kind.PULL, self._counter, vector))]

    def _read_sums(self, base: Snapshot) -> Iterator[None]:
        """Read the bucket sums of our durable state; `_sums` is set when it ends."""
        self._sums: dict[int, int] = {}
        for sums in read_buckets(base):
            if sums is None:
                yield
            else:
                self._sums = sums

    def _drop(self) -> None:
        self._close_session()
        self._store.touched_during_join = None
        self.counts["sessions_dropped"] += 1

    def _close_session(self) -> None:
        session, self._session = self._session, None
        if session is not None and session.base is not None:
            session.base.close()

    def link_down(self, name: str) -> None:
        """The link is gone, and all sessions over it (CAT-1), unless only local work is left."""
        self._stop_serving(name)
        session = self._session
        if session is not None and session.peer == name and session.end is None:
            self._drop()

    def heard(self, name: str, now_ms: int) -> None:
        """Something of a message came: a large one on a slow link takes its time."""
        if self._session is not None and self._session.peer == name:
            self._session.progress_ms = now_ms

    def on_reply(self, view: PeerView, kind: int, fields: list[Any], now_ms: int) -> list[Effect]:
        """Take PART, END, REFUSED or DIFFER. Raises: RemoteProtocolError."""
        session = self._session
        if session is None or session.number != fields[0] or session.peer != view.name:
            return []  # Of a session that was dropped.
        session.progress_ms = now_ms
        if kind == Kind.PART:
            session.joiner.stage(parse_part(fields[1], fields[2], fields[3]))
            session.parts += 1
            return []
        if kind == Kind.REFUSED:
            return self._refused(session, view, fields[1], now_ms)
        if kind == Kind.DIFFER:
            groups = _check_numbers(fields[1], GROUPS)
            sums = [self._sums.get(g << 8 | low, 0) for g in groups for low in range(256)]
            message = encode_message(Kind.BUCKETS, session.number, groups, pack_sums(sums))
            return [Send(view.name, message)]
        buckets = None if fields[2] is None else _check_numbers(fields[2], 1 << 16)
        if (buckets is not None) != session.repair:
            raise RemoteProtocolError("the end is not that of this kind of session")
        if session.parts != fields[3]:  # AE-2
            self._drop()
            view.pull_after_ms = now_ms + BUSY_RETRY_MS
            return []
        session.end = End(fields[1], buckets)
        session.steps = session.joiner.prepare(session.end)
        return [RunAgain("join")]

    def _refused(self, session: _Session, view: PeerView, why: str, now_ms: int) -> list[Effect]:
        self._drop()
        if why == "floor" and not session.repair:
            return self._start(view, now_ms, repair=True)
        view.pull_after_ms = now_ms + BUSY_RETRY_MS
        return []

    def join_step(self, now_ms: int, wall_ms: int) -> tuple[bool, list[Effect]]:
        """Do one slice of the session's local work; True when the join has just ended."""
        session = self._session
        if session is None or session.steps is None:
            return False, []
        session.progress_ms = now_ms
        try:
            for _ in session.steps:
                return False, [RunAgain("join")]
        except RemoteProtocolError:  # Only `prepare` reads what the peer sent (CAT-1).
            self._drop()
            self.counts["sessions_malformed"] += 1
            self._peers.view(session.peer).pull_after(now_ms + BUSY_RETRY_MS, None)
            return False, []
        session.steps = None
        if session.end is None:  # The bucket sums of a repair are read.
            message = encode_message(Kind.GROUPS, session.number, pack_sums(group_sums(self._sums)))
            return False, [Send(session.peer, message)]
        if not session.applying:
            session.applying = True
            session.steps = session.joiner.apply(session.end, wall_ms)
            return False, [RunAgain("join")]
        self._ended(session)
        return True, []

    def _ended(self, session: _Session) -> None:
        self._close_session()
        assert session.end is not None
        self._peers.view(session.peer).learn(session.end.target)
        self.counts["records_joined"] += session.joiner.changed
        self.counts["repairs_joined" if session.repair else "pulls_joined"] += 1
        if session.joiner.alarm:
            self.counts["repair_alarms"] += 1
        if session.repair:
            self.repair_due = False

    # -- serving -------------------------------------------------------------------------------

    def on_request(self, view: PeerView, kind: int, fields: list[Any], now_ms: int) -> list[Effect]:
        """Take PULL, GROUPS or BUCKETS. Raises: RemoteProtocolError."""
        name, number = view.name, fields[0]
        if self.joining or (self.repair_due and kind == Kind.PULL):  # AE-3
            return [Send(name, encode_message(Kind.REFUSED, number, "busy"))]
        steps: Iterator[_Item]
        if kind == Kind.BUCKETS:
            return self._serve_buckets(name, fields)
        if kind == Kind.GROUPS and len(fields[1]) != 8 * GROUPS:
            raise RemoteProtocolError("a repair starts with 256 group sums")
        self._stop_serving(name)
        snapshot = self._store.table.snapshot()
        if kind == Kind.PULL:
            steps = serve_pull(snapshot, fields[1])
        else:
            steps = _differing_groups(snapshot, fields[1], number)
        serving = self._serving[name] = _Serving(number, snapshot, steps, now_ms)
        serving.awaits_buckets = kind == Kind.GROUPS
        return [RunAgain("serve:" + name, name)]

    def _serve_buckets(self, name: str, fields: list[Any]) -> list[Effect]:
        """The second question of a repair is answered from the snapshot of the first (CAT-2)."""
        number, groups = fields[0], _check_numbers(fields[1], GROUPS)
        if len(fields[2]) != len(groups) * 256 * 8:
            raise RemoteProtocolError("a repair names 256 bucket sums a group")
        serving = self._serving.get(name)
        if serving is None or serving.session != number or not serving.awaits_buckets:
            return [Send(name, encode_message(Kind.REFUSED, number, "busy"))]
        serving.awaits_buckets = False
        serving.steps = _differing_buckets(serving.snapshot, groups, fields[2])
        return [RunAgain("serve:" + name, name)]

    def _stop_abandoned(self, now_ms: int) -> None:
        """Release snapshots whose second question never came."""
        for name, serving in sorted(self._serving.items()):
            if serving.awaits_buckets and now_ms - serving.asked_ms > 2 * SESSION_TIMEOUT_MS:
                self._stop_serving(name)

    def serve_step(self, name: str) -> list[Effect]:
        """Send the next of it to `name`: what some slices give, up to a part's bytes."""
        serving = self._serving.get(name)
        if serving is None:
            return []
        if self.joining:  # Own writes wait for the join's end: that comes first.
            return [RunAgain("serve:" + name, name)]
        sent: list[Effect] = []
        size = 0
        try:
            for _ in range(_SERVE_STEPS):
                item = next(serving.steps)
                if item is not None:
                    message = _encode_item(serving, item)
                    sent.append(Send(name, message))
                    size += len(message)
                    if size > parts.PART_BYTES:
                        break
        except StopIteration:
            if not serving.awaits_buckets:
                self._stop_serving(name)
                self.counts["sessions_served"] += 1
            return sent
        except BelowFloor:
            self._stop_serving(name)
            return [Send(name, encode_message(Kind.REFUSED, serving.session, "floor"))]
        return [*sent, RunAgain("serve:" + name, name)]

    def _stop_serving(self, name: str) -> None:
        serving = self._serving.pop(name, None)
        if serving is not None:
            close = getattr(serving.steps, "close", None)
            if close is not None:
                close()
            serving.snapshot.close()

    def stop(self) -> None:
        """Release every snapshot."""
        self._close_session()
        for name in sorted(self._serving):
            self._stop_serving(name)


def _encode_item(serving: _Serving, item: Part | End | bytes) -> bytes:
    session = serving.session
    match item:
        case Part():
            serving.parts += 1
            return part_message(session, item)
        case End():
            target = encode_flat(item.target)
            return encode_message(Kind.END, session, target, item.buckets, serving.parts)
        case _:
            return item


def _differing_groups(snapshot: Snapshot, theirs: bytes, number: int) -> Iterator[bytes | None]:
    for sums in read_buckets(snapshot):
        if sums is None:
            yield None
            continue
        mine = pack_sums(group_sums(sums))
        groups = [g for g in range(GROUPS) if mine[8 * g : 8 * g + 8] != theirs[8 * g : 8 * g + 8]]
        yield encode_message(Kind.DIFFER, number, groups)


def _differing_buckets(
    snapshot: Snapshot, groups: list[int], theirs: bytes
) -> Iterator[Part | End | None]:
    for sums in read_buckets(snapshot):
        if sums is None:
            yield None
            continue
        numbers = [g << 8 | low for g in groups for low in range(256)]
        mine = pack_sums([sums.get(n, 0) for n in numbers])
        differing = [
            n
            for at, n in enumerate(numbers)
            if mine[8 * at : 8 * at + 8] != theirs[8 * at : 8 * at + 8]
        ]
        yield from serve_repair(snapshot, differing)


def _check_numbers(numbers: Any, below: int) -> list[int]:
    if type(numbers) is not list or len(numbers) > below:
        raise RemoteProtocolError("a list of bucket numbers is too long, or none")
    if any(type(n) is not int or not 0 <= n < below for n in numbers):
        raise RemoteProtocolError(f"a bucket number is not within 0 to {below - 1}")
    return numbers
