"""What runs inside a peer's process without being a part of it: controllers, the node agent.

An extension is an entry point of the group `crdtstate.extensions`; it names a class, or a function
without arguments, that gives an `Extension`. It sees its peer as any client does, so that whatever
it can do a stranger can do, too.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, final

from crdtstate.client import AsyncClient
from crdtstate.podaccess import PodAccess

__all__ = ["GROUP", "Extension", "PeerHandle", "load_extensions"]

GROUP = "crdtstate.extensions"


@final
@dataclass(frozen=True, kw_only=True)
class PeerHandle:
    """The peer that an extension runs beside."""

    name: str
    api: str
    """http://HOST:PORT, on which this machine reaches the peer."""
    data: Path
    """A directory of the extension's own, on the peer's disk; not made yet."""
    client: Callable[[], AsyncClient]
    """Makes a client of this peer, and no other. `members()` tells what the peer believes."""
    end_pods: bool
    """Whether the processes of pods end when the peer stops in order."""
    offer_pods: Callable[[PodAccess], None]
    """Answer what the API is asked about pods of this machine: logs, and what they use."""


class Extension(Protocol):
    """Something that starts after its peer and stops before it, on the peer's event loop."""

    async def start(self, peer: PeerHandle) -> None:
        """Begin; return soon. What it raises is logged, and the peer goes on without it."""

    async def stop(self) -> None:
        """End all tasks. Called once, also after a `start` that raised."""


def load_extensions(without: Collection[str]) -> list[tuple[str, Extension]]:
    """Return the extensions that are installed, by name.

    Args:
        without: Names that shall not run; "all" for none.
    """
    if "all" in without:
        return []
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return [(point.name, point.load()()) for point in points if point.name not in without]
