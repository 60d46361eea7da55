"""Drives the membership machine: inputs in, effects performed in order, one at a time.

Invariants:
    GDR-1  The machine is never stepped from within its own effects.
    GDR-2  The machine is told of our own lateness before it may draw conclusions about others.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import assert_never, final

import structlog

from gossip.core import effects as fx
from gossip.core import messages as msg
from gossip.core.peer import Peer
from gossip.core.ports import Application, Member
from gossip.net.envelope import Envelope, Rejection
from gossip.net.faults import Faults
from gossip.net.links import Links
from gossip.net.ports import Address, Clock, DatagramPort
from gossip.net.tasks import Tasks

log = structlog.get_logger(__name__)

LAG_TIMER_MS = 250
LAG_MS_MIN = 100  # Less is noise.
LATE_GRACE_MS = 20  # After a freeze: time to read what arrived during it.
DIGEST_INTERVAL_MS = 200
DIGEST_AGE_MS_MAX = 1_000  # A digest may tell the time, which goes on while nothing changes.
UDP_HEADER_BYTES = 28  # With IPv4's; counted, so that the statistics are what the wire carries.


@final
class Driver:
    """Owns the machine from `start` to `stop`."""

    def __init__(
        self,
        *,
        envelope: Envelope,
        clock: Clock,
        faults: Faults,
        links: Links,
        tasks: Tasks,
        counters: Counter[str],
        application: Application,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._envelope = envelope
        self._clock = clock
        self._faults = faults
        self._links = links
        self._tasks = tasks
        self._counters = counters
        self._application = application
        self._on_failure = on_failure
        self._peer: Peer | None = None
        self._datagrams: DatagramPort | None = None
        self._own_name = ""
        self._names: dict[Address, str] = {}
        self._inputs: deque[msg.Input] = deque()
        self._stepping = False
        self._wake_timer: asyncio.TimerHandle | None = None
        self._digest_dirty = True
        self._digest_ms: int | None = None

    def start(self, name: str, peer: Peer, datagrams: DatagramPort) -> None:
        """Begin to run `peer`, the machine of the member `name`."""
        self._own_name = name
        self._peer = peer
        self._datagrams = datagrams
        self._refresh_digest()
        self.step(msg.Started())
        self._tasks.spawn(self._watch_lag(), name="lag")

    def stop(self) -> None:
        """Announce that we leave, then step no more."""
        if self._peer is not None:
            self.step(msg.Leave())
            self._peer = None
        if self._wake_timer is not None:
            self._wake_timer.cancel()
            self._wake_timer = None

    def members(self) -> list[Member]:
        """Return the membership table, sorted by name."""
        return self._peer.members() if self._peer is not None else []

    def digest_changed(self) -> None:
        """Ask for the digest again, but no sooner than a packet can carry it."""
        self._digest_dirty = True

    def forget(self, name: str) -> None:
        """Remove a member for good."""
        self.step(msg.Forget(name))
        self._names = {where: who for where, who in self._names.items() if who != name}

    def step(self, event: msg.Input) -> None:
        """Feed one input and perform what follows; from within an effect it is queued."""
        self._inputs.append(event)
        if self._stepping:
            return
        self._stepping = True
        try:
            while self._inputs and self._peer is not None:
                effects = self._peer.step(self._clock.now_ms(), self._inputs.popleft())
                for effect in effects:
                    self._perform(effect)
        except Exception as error:
            # A broken invariant of ours. The owner of the mesh decides what stops.
            log.exception("step_failed", input=type(event).__name__)
            self._on_failure(error)
        finally:
            self._inputs.clear()
            self._stepping = False

    def _perform(self, effect: fx.Effect) -> None:
        match effect:
            case fx.SendDatagram(host, port, data):
                self._send(host, port, data)
            case fx.ProbeStream(name):
                self._tasks.spawn(self._probe_stream(name), name=f"probe {name}")
            case fx.MemberChanged(member):
                self._on_member(member)
            case fx.DigestSeen(name, digest):
                self._application.on_digest(name, digest)
            case fx.WakeAt(at_ms):
                self._wake_at(at_ms)
            case fx.Rejected(sender, reason):
                self._counters["rejected_datagram_by_machine"] += 1
                log.warning("datagram_rejected", sender=sender, reason=reason)
            case _:
                assert_never(effect)

    # Datagrams.

    def _send(self, host: str, port: int, plaintext: bytes) -> None:
        data = self._envelope.seal(plaintext)
        self._faults.send_datagram(
            self._names.get((host, port)), lambda: self._send_sealed(host, port, data)
        )

    def _send_sealed(self, host: str, port: int, data: bytes) -> None:
        if self._datagrams is None or not self._datagrams.send(host, port, data):
            self._counters["datagrams_unsendable"] += 1
            return
        self._counters["datagrams_out"] += 1
        self._counters["datagram_bytes_out"] += len(data) + UDP_HEADER_BYTES

    def on_datagram(self, sender: Address, data: bytes) -> None:
        """Take whatever arrived on the socket."""
        self._counters["datagrams_in"] += 1
        self._counters["datagram_bytes_in"] += len(data) + UDP_HEADER_BYTES
        opened = self._envelope.open(data)
        if isinstance(opened, Rejection):
            self._counters[f"rejected_datagram_{opened}"] += 1
            return
        self._faults.receive_datagram(
            self._names.get(sender), lambda: self._receive(sender, opened)
        )

    def _receive(self, sender: Address, plaintext: bytes) -> None:
        self._refresh_digest()
        self.step(msg.Received(sender, plaintext))

    # Members and streams.

    def _on_member(self, member: Member) -> None:
        if member.name != self._own_name:
            self._names = {where: who for where, who in self._names.items() if who != member.name}
            self._names[member.host, member.port] = member.name
            self._links.update(member)
        self._application.on_member(member)

    async def _probe_stream(self, name: str) -> None:
        stream = self._links.stream(name)
        answered = stream is not None and await stream.probe()
        self.step(msg.StreamProbeResult(name, answered))

    # Time.

    def _wake_at(self, at_ms: int) -> None:
        if self._wake_timer is not None:
            self._wake_timer.cancel()
        delay_ms = max(0, at_ms - self._clock.now_ms())
        loop = asyncio.get_running_loop()
        self._wake_timer = loop.call_later(delay_ms / 1000, self._tick, at_ms)

    def _tick(self, due_ms: int) -> None:
        now_ms = self._clock.now_ms()
        if now_ms - due_ms >= LAG_MS_MIN:
            # We froze. Acks that arrived meanwhile wait in the socket: read them before time
            # is allowed to run out for their senders.
            self.step(msg.LagObserved(now_ms - due_ms))
            self._wake_at(now_ms + LATE_GRACE_MS)
            return
        if now_ms < due_ms:
            self._wake_at(due_ms)  # The loop's clock ticks finer than ours.
            return
        self._wake_timer = None
        self._refresh_digest()
        self.step(msg.Tick())

    def _refresh_digest(self) -> None:
        now_ms = self._clock.now_ms()
        least_ms = DIGEST_INTERVAL_MS if self._digest_dirty else DIGEST_AGE_MS_MAX
        if self._digest_ms is None or now_ms - self._digest_ms >= least_ms:
            self._digest_dirty = False
            self._digest_ms = now_ms
            self.step(msg.DigestChanged(self._application.digest()))

    async def _watch_lag(self) -> None:
        while True:
            due_ms = self._clock.now_ms() + LAG_TIMER_MS
            await asyncio.sleep(LAG_TIMER_MS / 1000)
            lag_ms = self._clock.now_ms() - due_ms
            if lag_ms >= LAG_MS_MIN:
                self._counters["lags"] += 1
                self.step(msg.LagObserved(lag_ms))
