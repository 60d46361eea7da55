"""Small bounds and small steps, so that what else needs a large state happens in a small one.

Source: the "buggify" switches of FoundationDB, here set from outside.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import msgspec

from crdtstate.replica import events as ev
from crdtstate.sim.world import Host
from crdtstate.store import parts

__all__ = ["small_steps", "tighten"]

_HELD_MAX = 6
_PART_BYTES = 200
_SLICE_S_MAX = 0.02
_LINK_BYTES, _WRITABLE_BYTES = 128 << 10, 16 << 10


def tighten(host: Host) -> None:
    """Let a peer that is about to start hold few transactions, and buffer little on a link."""
    assert host.peer is not None
    store, mesh = host.peer.replica.store, host.peer.mesh
    store.config = msgspec.structs.replace(store.config, held_max=_HELD_MAX)
    stream = replace(
        mesh._config.stream, out_buffer_bytes_max=_LINK_BYTES, writable_bytes=_WRITABLE_BYTES
    )
    mesh._config = replace(mesh._config, stream=stream)
    mesh._links._config = stream
    _take_time(host)


def _take_time(host: Host) -> None:
    """Let each slice of a catch-up take a moment, in which all the rest goes on."""
    assert host.peer is not None
    driver, loop = host.peer.driver, host.world.loop
    rng = host.world.rng(f"slices {host.name}.{host.lives}")

    def later(effect: ev.RunAgain) -> None:
        if effect.work == "close":
            driver._run_again(effect)
        else:
            loop.call_later(rng.uniform(0, _SLICE_S_MAX), driver._run_again, effect)

    driver._performers[ev.RunAgain] = later


@contextmanager
def small_steps() -> Iterator[None]:
    """Let catch-ups send parts of a record or two, and pause after each record."""
    kept = parts.SLICE, parts.PART_BYTES
    parts.SLICE, parts.PART_BYTES = 1, _PART_BYTES
    try:
        yield
    finally:
        parts.SLICE, parts.PART_BYTES = kept
