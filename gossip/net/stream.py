"""One authenticated stream: queueing, acknowledgements, deadlines and probes.

Nothing is sent on an idle stream and no timer runs. TCP alone would take minutes to notice a
peer that vanished, so a receiver acknowledges the bytes of data at most once in
`ack_interval_ms`, and a sender that sees no progress for `unacked_deadline_ms` drops the stream.

Invariants:
    SMX-1  Payloads are handed on in the order of `send`, each at most once.
    SMX-2  After `close`, nothing is handed on and nothing is accepted.
    SMX-3  At most `out_buffer_bytes_max` and one payload are queued.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import final

from gossip.errors import GossipError
from gossip.net.config import StreamConfig
from gossip.net.frames import (
    CONTROL_FRAME_BYTES_MAX,
    ITEM_HEAD_BYTES,
    PAYLOAD_BYTES_MAX,
    PLAINTEXT_BYTES_MAX,
    Ack,
    Ping,
    Pong,
    StreamRefused,
    data_head,
    decode_items,
)
from gossip.net.handshake import Session
from gossip.net.ports import Clock

PROBES_MAX = 16  # Unanswered pings of ours; more are answered "no" at once.
CONTROLS_MAX = 64  # Queued acks and pongs: a peer that only pings gets no more answers.


@final
class Stream:
    """Owns the connection of a session from now on.

    Args:
        on_payload: Called in order for each payload.
        on_heard: Called when bytes that opened have arrived, before their payloads.
    """

    def __init__(
        self,
        session: Session,
        *,
        config: StreamConfig,
        clock: Clock,
        counters: Counter[str],
        on_payload: Callable[[str, bytes], None],
        on_heard: Callable[[str], None],
    ) -> None:
        self.name = session.name
        self.dialled = session.dialled
        self.opened_ms = clock.now_ms()
        self.heard_ms = self.opened_ms
        self.reason = "closed by the peer"
        self._session = session
        self._connection = session.connection
        self._config = config
        self._clock = clock
        self._counters = counters
        self._on_payload = on_payload
        self._on_heard = on_heard
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._controls: list[bytes] = []
        self._to_write = asyncio.Event()
        self._writable: list[asyncio.Future[None]] = []
        # Acknowledgement, our sending side: byte offsets since the handshake.
        self._sent_bytes = 0
        self._data_end_bytes = 0
        self._acked_bytes = 0
        self._progress_ms = 0
        self._deadline: asyncio.TimerHandle | None = None
        # Acknowledgement, our receiving side.
        self._received_bytes = session.received_bytes
        self._ack_timer: asyncio.TimerHandle | None = None
        self._probes: dict[int, asyncio.Future[bool]] = {}
        self._token = 0
        self._ping_queued = False
        if session.dialled:
            self._write_frame([], has_data=False)  # Message 3 of the handshake.

    # Sending.

    def send(self, payload: bytes) -> bool:
        """Queue a payload.

        Returns:
            False when the buffer is full or the stream is closed; the payload is dropped.

        Raises:
            GossipError: The payload is over PAYLOAD_BYTES_MAX.

        Cost: sealing, later and together with its neighbours.
        """
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise GossipError(
                f"payload is {len(payload)} bytes, over PAYLOAD_BYTES_MAX={PAYLOAD_BYTES_MAX}"
            )
        if self._closed:
            return False
        if self.buffered_bytes() + len(payload) > self._config.out_buffer_bytes_max:
            self._counters["sends_dropped"] += 1
            return False
        self._queue.append(payload)
        self._queued_bytes += len(payload) + ITEM_HEAD_BYTES
        self._to_write.set()
        return True

    def buffered_bytes(self) -> int:
        """Return what the system has not taken yet."""
        return self._queued_bytes + self._connection.buffered_bytes()

    async def wait_writable(self) -> None:
        """Wait until little is buffered or the stream is closed."""
        while not self._closed and self.buffered_bytes() >= self._config.writable_bytes:
            future = self._loop.create_future()
            self._writable.append(future)
            await future

    async def probe(self) -> bool:
        """Ask the other end for a sign of life; False after `probe_deadline_ms`."""
        if self._closed or len(self._probes) >= PROBES_MAX:
            return False
        self._token += 1
        token = self._token
        future: asyncio.Future[bool] = self._loop.create_future()
        self._probes[token] = future
        self._ping_queued = True
        self._control(Ping(token).encode())
        try:
            async with asyncio.timeout(self._config.probe_deadline_ms / 1000):
                return await future
        except TimeoutError:
            return False
        finally:
            del self._probes[token]

    def _control(self, item: bytes) -> None:
        if len(self._controls) < CONTROLS_MAX:
            self._controls.append(item)
            self._to_write.set()

    async def run_writer(self) -> None:
        """Write what is queued until the stream is closed.

        Frames are sealed only while the system takes them, so that an acknowledgement never
        waits behind megabytes of data.
        """
        while not self._closed:
            await self._to_write.wait()
            self._to_write.clear()
            while (self._queue or self._controls) and not self._closed:
                self._write_next()
                if self._connection.buffered_bytes() >= self._config.writable_bytes:
                    await self._connection.drain()
                self._wake_writable()

    def _write_next(self) -> None:
        """Seal as many queued items as fit in one frame."""
        parts, self._controls = self._controls, []
        room = PLAINTEXT_BYTES_MAX - sum(map(len, parts))
        # A ping is answered with an acknowledgement, so it has the deadline of data.
        has_data, self._ping_queued = self._ping_queued, False
        while self._queue and (size := len(self._queue[0]) + ITEM_HEAD_BYTES) <= room:
            payload = self._queue.popleft()
            parts += (data_head(len(payload)), payload)
            room -= size
            self._queued_bytes -= size
            self._counters["payloads_out"] += 1
            has_data = True
        self._write_frame(parts, has_data=has_data)

    def _write_frame(self, parts: list[bytes], *, has_data: bool) -> None:
        frame = self._session.sealer.seal(parts)
        self._connection.write(frame)
        self._sent_bytes += len(frame)
        self._counters["frames_out"] += 1
        self._counters["stream_bytes_out"] += len(frame)
        if not has_data:
            return
        if self._acked_bytes >= self._data_end_bytes:
            self._progress_ms = self._clock.now_ms()  # All was well until now.
        self._data_end_bytes = self._sent_bytes
        if self._deadline is None:
            self._arm(self._config.unacked_deadline_ms)

    def _wake_writable(self) -> None:
        if self._writable and (self._closed or self.buffered_bytes() < self._config.writable_bytes):
            waiting, self._writable = self._writable, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    # The deadline for acknowledgements.

    def _arm(self, delay_ms: int) -> None:
        due_ms = self._clock.now_ms() + delay_ms
        self._deadline = self._loop.call_later(delay_ms / 1000, self._check_progress, due_ms)

    def _check_progress(self, due_ms: int) -> None:
        self._deadline = None
        if self._closed or self._acked_bytes >= self._data_end_bytes:
            return
        now_ms = self._clock.now_ms()
        if now_ms - due_ms > self._config.ack_interval_ms:
            # We were the ones who froze: what arrived meanwhile has not been read yet.
            self._progress_ms = now_ms - self._config.unacked_deadline_ms // 2
        left_ms = self._progress_ms + self._config.unacked_deadline_ms - now_ms
        if left_ms > 0:
            self._arm(left_ms)
            return
        self._counters["links_unacknowledged"] += 1
        unacked = self._sent_bytes - self._acked_bytes
        limit = self._config.unacked_deadline_ms
        self.close(f"{unacked} bytes unacknowledged for unacked_deadline_ms={limit}")

    # Receiving.

    async def run_reader(self) -> str:
        """Hand on what arrives until the end, and return the reason of the end."""
        try:
            for plaintext in self._session.opened:
                self._take(plaintext)
            while not self._closed:
                data = await self._connection.read()
                if not data:
                    if self._session.opener.unfinished_bytes and not self._closed:
                        raise StreamRefused("truncated")
                    break
                self._counters["stream_bytes_in"] += len(data)
                self._received_bytes += len(data)
                for plaintext in self._session.opener.feed(data):
                    self._heard()
                    self._take(plaintext)
                if self._session.opener.unfinished_bytes > CONTROL_FRAME_BYTES_MAX:
                    self._want_ack()  # A slow link must not look dead within one large frame.
        except StreamRefused as refused:
            self._counters[f"rejected_stream_{refused.reason}"] += 1
            self.close(f"refused: {refused.reason}")
        return self.reason

    def _heard(self) -> None:
        now_ms = self._clock.now_ms()
        if now_ms - self.heard_ms >= self._config.ack_interval_ms:
            self.heard_ms = now_ms
            self._on_heard(self.name)

    def _take(self, plaintext: bytes) -> None:
        for item in decode_items(plaintext):
            if self._closed:
                return
            match item:
                case bytes():
                    if len(item) > PAYLOAD_BYTES_MAX:
                        raise StreamRefused("oversized_payload")
                    self._want_ack()
                    self._counters["payloads_in"] += 1
                    self._on_payload(self.name, item)
                case Ack(received_bytes):
                    self._on_ack(received_bytes)
                case Ping(token):
                    self._control(Pong(token).encode())
                    self._control(Ack(self._received_bytes).encode())
                case Pong(token):
                    future = self._probes.get(token)
                    if future is not None and not future.done():
                        future.set_result(True)

    def _on_ack(self, received_bytes: int) -> None:
        if received_bytes > self._sent_bytes:
            raise StreamRefused("bad_ack")
        if received_bytes > self._acked_bytes:
            self._acked_bytes = received_bytes
            self._progress_ms = self._clock.now_ms()

    def _want_ack(self) -> None:
        if self._ack_timer is None and not self._closed:
            delay = self._config.ack_interval_ms / 1000
            self._ack_timer = self._loop.call_later(delay, self._send_ack)

    def _send_ack(self) -> None:
        self._ack_timer = None
        self._control(Ack(self._received_bytes).encode())

    # The end.

    def close(self, reason: str, *, flush: bool = False) -> None:
        """End the stream for `reason`; the first reason counts.

        Args:
            flush: Send what is queued first, as far as the system takes it.
        """
        if self._closed:
            return
        self._closed = True
        self.reason = reason
        while flush and self._queue:
            self._write_next()
        for timer in (self._deadline, self._ack_timer):
            if timer is not None:
                timer.cancel()
        for future in self._probes.values():
            if not future.done():
                future.set_result(False)
        self._queue.clear()
        self._queued_bytes = 0
        self._wake_writable()
        self._to_write.set()
        if flush:
            self._connection.close()
        else:
            self._connection.abort()

    def abort(self) -> None:
        """Give up what a flush has not got out."""
        self._connection.abort()
