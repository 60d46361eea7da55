"""crdtstate: a leaderless control plane. Desired state that accepts every write, and converges.

    crdtstate.Client, crdtstate.AsyncClient   talk to any peer
    crdtstate.open(path)                      the same store in this process, without a daemon
    crdtstate.errors                          what can go wrong

Names are loaded when first used, so that importing one part does not pay for the others.
"""

from typing import TYPE_CHECKING, Any

from crdtstate.version import VERSION

if TYPE_CHECKING:
    from crdtstate.client import AsyncClient as AsyncClient
    from crdtstate.client import Client as Client
    from crdtstate.embedded import Embedded as Embedded
    from crdtstate.embedded import open as open  # noqa: A004 - the name users expect.

__all__ = ["AsyncClient", "Client", "Embedded", "__version__", "open"]
__version__ = VERSION

_PLACES = {
    "AsyncClient": "crdtstate.client",
    "Client": "crdtstate.client",
    "Embedded": "crdtstate.embedded",
    "open": "crdtstate.embedded",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'crdtstate' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(place), name)
