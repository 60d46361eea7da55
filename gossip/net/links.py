"""The streams of one mesh: whom to link with, when to dial, and which of two streams survives.

Of a pair, the member with the smaller name dials at once and every `redial_interval_ms`; the
other one only joins in while it stays unlinked, at half that pace. It has to: after a one-sided
loss the first may believe for a while that its old stream lives. When both succeed at once, the
stream that the smaller name dialled survives, so that they never replace each other in turn.

Up to `links_max` other members, all are linked. Above, each member keeps links to half as many,
chosen by rendezvous hashing, accepts those that chose it, and dials others when `send` asks.

Invariants:
    LNK-1  At most one stream a member; on_link_up and on_link_down alternate for each name.
    LNK-2  At most `2 * links_max` streams and `handshakes_max` unfinished handshakes.
    LNK-3  A timer runs only while a link is wanted that does not exist.
"""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable
from typing import final

import structlog

from gossip.core.neighbours import choose_neighbours
from gossip.core.ports import Application, Liveness, Member
from gossip.net.config import StreamConfig
from gossip.net.faults import Faults
from gossip.net.frames import StreamRefused
from gossip.net.handshake import Identity, Session, accept, dial
from gossip.net.ports import Clock, Connection, Network
from gossip.net.stream import Stream
from gossip.net.tasks import Tasks

log = structlog.get_logger(__name__)

YOUNG_MS = 1_000  # Two streams of one pair within this time come from a race.
FORGOTTEN_MAX = 1024
FLUSH_S = 0.25
STALE_MS = 10_000  # A link that nobody chose may give way after this silence.


@final
class Links:
    """All streams of one member.

    Args:
        application: Called for links and their payloads; must not raise.
        on_heard: Called with a name when its stream delivered something, now and then.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        config: StreamConfig,
        network: Network,
        clock: Clock,
        faults: Faults,
        tasks: Tasks,
        counters: Counter[str],
        application: Application,
        on_heard: Callable[[str], None],
    ) -> None:
        self._identity = identity
        self._config = config
        self._network = network
        self._clock = clock
        self._faults = faults
        self._tasks = tasks
        self._counters = counters
        self._application = application
        self._on_heard = on_heard
        self._streams: dict[str, Stream] = {}
        self._serving: dict[Stream, asyncio.Task[None]] = {}
        self._members: dict[str, Member] = {}
        self._dead_since_ms: dict[str, int] = {}
        self._chosen: set[str] = set()  # Only asked for membership, never iterated.
        self._asked: set[str] = set()  # The same.
        self._dialling: dict[str, list[asyncio.Task[None]]] = {}
        self._dialled_ms: dict[str, int] = {}
        self._handshakes: Counter[str] = Counter()
        self._forgotten: dict[str, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def linked(self) -> list[str]:
        """Return the names with an open stream, sorted."""
        return sorted(self._streams)

    def stream(self, name: str) -> Stream | None:
        """Return the open stream with a member."""
        return self._streams.get(name)

    def ask(self, name: str) -> None:
        """Want a link with a member that was not chosen, until it exists once."""
        if name in self._members and len(self._asked) < self._config.links_max:
            self._asked.add(name)
            self._wake()

    def update(self, member: Member) -> None:
        """Take note of a member other than ourselves; may dial at once."""
        if member.liveness is Liveness.LEFT:
            self.remove(member.name, "member left", flush=True)
            return
        if member.liveness is Liveness.DEAD:
            self._dead_since_ms.setdefault(member.name, self._clock.now_ms())
        else:
            self._dead_since_ms.pop(member.name, None)
        is_new = member.name not in self._members
        self._members[member.name] = member
        if is_new:
            self._choose()
            self._leave_first_dial_to(member.name)
        self._wake()

    def remove(self, name: str, reason: str, *, flush: bool = False) -> None:
        """Want no link with a member any more, and close the one there is."""
        if self._members.pop(name, None) is not None:
            self._choose()
        self._dead_since_ms.pop(name, None)
        self._dialled_ms.pop(name, None)
        self._asked.discard(name)
        for task in self._dialling.pop(name, []):
            task.cancel()
        self._drop(name, reason, flush=flush)

    def forget(self, name: str) -> None:
        """Link with this name never again."""
        self._forgotten[name] = None
        if len(self._forgotten) > FORGOTTEN_MAX:
            del self._forgotten[next(iter(self._forgotten))]
        self.remove(name, "member forgotten")

    async def close(self) -> None:
        """Close everything, and give what is queued a moment to get out."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for name in self.linked():
            self._end(name, "stopped", flush=True)
        if self._serving:
            await asyncio.wait(self._serving.values(), timeout=FLUSH_S)
        for stream in self._serving:
            stream.abort()

    def _choose(self) -> None:
        chosen = choose_neighbours(self._identity.name, self._members, self._config.links_max)
        self._chosen = set(chosen)

    # Dialling.

    def _wake(self) -> None:
        """Dial now what is due, and keep dialling while anything is wanted."""
        if self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now_ms = self._clock.now_ms()
        wanted = [
            name
            for name in self._members
            if name not in self._streams and (name in self._chosen or name in self._asked)
        ]
        for name in wanted:
            if now_ms - self._dialled_ms.get(name, -1_000_000) >= self._pace_ms(name, now_ms):
                self._dialled_ms[name] = now_ms
                self._start_dial(name)
        if wanted:
            delay = self._config.redial_interval_ms / 1000
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _pace_ms(self, name: str, now_ms: int) -> int:
        dead_ms = now_ms - self._dead_since_ms.get(name, now_ms)
        if dead_ms >= self._config.dead_slow_after_ms:
            return self._config.dead_redial_interval_ms
        # A little less than the timer's interval, which would else be missed half the time.
        pace_ms = self._config.redial_interval_ms * 9 // 10
        is_first = self._identity.name < name or len(self._members) > self._config.links_max
        return pace_ms if is_first else 2 * pace_ms

    def _start_dial(self, name: str) -> None:
        attempts = self._dialling.setdefault(name, [])
        overlap = self._config.connect_deadline_ms // self._config.redial_interval_ms
        if len(attempts) >= max(1, overlap):
            return
        self._counters["dials_started"] += 1
        task = self._tasks.spawn(self._dial(self._members[name]), name=f"dial {name}")
        if task is not None:
            attempts.append(task)

    async def _dial(self, member: Member) -> None:
        task = asyncio.current_task()
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self._config.connect_deadline_ms / 1000):
                if self._faults.of(member.name).cut:
                    await asyncio.Event().wait()  # A black hole does not refuse: it times out.
                pipe = await self._network.dial(member.host, member.port)
                connection = self._faults.wrap(member.name, pipe)
                session = await dial(connection, self._identity, expected=member.name)
            # From here to the end nothing waits: no second attempt can get in between.
            if self._may_install(session.name, dialled=True):
                connection = None
                self._install(session)
        except TimeoutError:
            self._counters["dials_failed_timeout"] += 1
        except OSError:
            self._counters["dials_failed_unreachable"] += 1
        except StreamRefused as refused:
            self._counters[f"dials_failed_{refused.reason}"] += 1
        finally:
            if connection is not None:
                connection.abort()
            attempts = self._dialling.get(member.name, [])
            if task in attempts:
                attempts.remove(task)

    # Accepting.

    def accept(self, connection: Connection) -> None:
        """Take a connection from anybody."""
        source = connection.remote[0]
        limit = self._config.handshakes_per_source_max
        if self._handshakes.total() >= self._config.handshakes_max or (
            self._handshakes[source] >= limit and not _is_loopback(source)
        ):
            self._counters["rejected_stream_too_many_handshakes"] += 1
            connection.abort()
            return
        self._handshakes[source] += 1
        if self._tasks.spawn(self._accept(connection, source), name="accept") is None:
            connection.abort()

    async def _accept(self, connection: Connection, source: str) -> None:
        current: Connection | None = connection

        def admit(name: str, pipe: Connection) -> Connection:
            nonlocal current
            if not self._may_install(name, dialled=False):
                raise StreamRefused("not_admitted")
            current = self._faults.wrap(name, pipe)
            return current

        try:
            async with asyncio.timeout(self._config.handshake_deadline_ms / 1000):
                session = await accept(connection, self._identity, admit=admit)
            if self._may_install(session.name, dialled=False):
                current = None
                self._install(session)
        except TimeoutError:
            self._counters["rejected_stream_timeout"] += 1
        except StreamRefused as refused:
            self._counters[f"rejected_stream_{refused.reason}"] += 1
            log.debug("connection_refused", source=source, reason=refused.reason)
        finally:
            self._handshakes[source] -= 1
            if not self._handshakes[source]:
                del self._handshakes[source]
            if current is not None:
                current.abort()

    def _may_install(self, name: str, *, dialled: bool) -> bool:
        if self._closed or name == self._identity.name or name in self._forgotten:
            return False
        old = self._streams.get(name)
        if old is None:
            return len(self._streams) < 2 * self._config.links_max or self._evict()
        by_smaller_name = dialled == (self._identity.name < name)
        return by_smaller_name or self._clock.now_ms() - old.opened_ms >= YOUNG_MS

    def _evict(self) -> bool:
        """Make room by closing the link that nobody chose and that was silent for longest."""
        stale_ms = self._clock.now_ms() - STALE_MS
        stale = [
            (stream.heard_ms, name)
            for name, stream in self._streams.items()
            if name not in self._chosen and stream.heard_ms <= stale_ms
        ]
        if not stale:
            return False
        self._drop(min(stale)[1], "made room for another link", flush=True)
        return True

    # Streams.

    def _install(self, session: Session) -> None:
        name = session.name
        self._end(name, "replaced by a newer stream")
        for task in self._dialling.pop(name, []):
            if task is not asyncio.current_task():
                task.cancel()
        self._asked.discard(name)
        stream = Stream(
            session,
            config=self._config,
            clock=self._clock,
            counters=self._counters,
            on_payload=self._application.on_message,
            on_heard=self._on_heard,
        )
        self._streams[name] = stream
        self._counters["links_opened"] += 1
        log.info("link_opened", peer=name, dialled=session.dialled)
        self._application.on_link_up(name)
        serving = self._tasks.spawn(self._serve(stream), name=f"link with {name}")
        if serving is not None:
            self._serving[stream] = serving
        self._tasks.spawn(stream.run_writer(), name=f"writer to {name}")

    async def _serve(self, stream: Stream) -> None:
        try:
            reason = await stream.run_reader()
        finally:
            self._serving.pop(stream, None)
        stream.close(reason)
        if self._streams.get(stream.name) is stream:
            self._drop(stream.name, reason)

    def _drop(self, name: str, reason: str, *, flush: bool = False) -> None:
        if name in self._streams:
            self._end(name, reason, flush=flush)
            self._leave_first_dial_to(name)
            self._wake()

    def _end(self, name: str, reason: str, *, flush: bool = False) -> None:
        stream = self._streams.pop(name, None)
        if stream is None:
            return
        stream.close(reason, flush=flush)
        self._counters["links_closed"] += 1
        log.info("link_closed", peer=name, reason=stream.reason)
        self._application.on_link_down(name, stream.reason)

    def _leave_first_dial_to(self, name: str) -> None:
        """Wait for one pace, if the other end is the one that dials at once."""
        if name < self._identity.name and len(self._members) <= self._config.links_max:
            self._dialled_ms[name] = self._clock.now_ms()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
