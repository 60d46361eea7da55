"""Bounds made small, so that in short histories everything happens in between."""

from collections.abc import Iterator
from contextlib import contextmanager

from crdtstate.store import parts
from crdtstate.store import store as store_module

__all__ = ["small_slices", "small_steps"]


@contextmanager
def small_steps() -> Iterator[None]:
    """Let what was held be applied one by one, with whatever happens in between."""
    step, store_module.DRAIN_STEP = store_module.DRAIN_STEP, 1
    try:
        yield
    finally:
        store_module.DRAIN_STEP = step


def small_slices() -> None:
    """Let sessions pause after every record, so that everything can happen in between."""
    parts.SLICE = 1
