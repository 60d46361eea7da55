"""What the edge asks of the world: datagrams, byte pipes and clocks, so that they can be replaced.

Timers are not here: they are those of the running event loop, which a simulator replaces whole.
"""

from collections.abc import Callable
from typing import Protocol

Address = tuple[str, int]


class Clock(Protocol):
    """Two clocks that must not be confused."""

    def now_ms(self) -> int:
        """Return monotonic milliseconds from an arbitrary origin."""

    def wall_ms(self) -> int:
        """Return milliseconds since 1970; it may jump."""


class DatagramPort(Protocol):
    """One open datagram socket."""

    @property
    def port(self) -> int:
        """The port number it is bound to."""

    def send(self, host: str, port: int, data: bytes) -> bool:
        """Try to send; False when the system refused at once. True promises nothing."""

    def close(self) -> None:
        """Close it; nothing is delivered afterwards."""


class Connection(Protocol):
    """A byte pipe, not yet trusted."""

    @property
    def remote(self) -> Address:
        """The address of the other end."""

    async def read(self) -> bytes:
        """Return what has arrived, waiting for at least one byte; b"" at the end."""

    def write(self, data: bytes) -> None:
        """Queue bytes; on a connection that is gone they vanish, and `read` will tell."""

    def buffered_bytes(self) -> int:
        """Return how many written bytes the system has not taken yet."""

    async def drain(self) -> None:
        """Wait until few are buffered, or the connection is gone."""

    def close(self) -> None:
        """Send what is buffered, then close."""

    def abort(self) -> None:
        """Close now; what is buffered is lost."""


class Listener(Protocol):
    """An open listening socket."""

    @property
    def port(self) -> int:
        """The port number it is bound to."""

    def close(self) -> None:
        """Accept no more; connections that were handed over live on."""


class Network(Protocol):
    """The only way out. Failures are `OSError`s."""

    async def resolve(self, host: str, port: int) -> Address:
        """Return a numeric address for a name; a numeric one is returned as it is."""

    async def open_datagram(
        self, host: str, port: int, on_datagram: Callable[[Address, bytes], None]
    ) -> DatagramPort:
        """Bind a datagram socket; port 0 lets the system choose."""

    async def listen(
        self, host: str, port: int, on_connection: Callable[[Connection], None]
    ) -> Listener:
        """Listen for connections; port 0 lets the system choose."""

    async def dial(self, host: str, port: int) -> Connection:
        """Connect; the caller sets the deadline by cancelling."""
