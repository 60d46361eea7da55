"""Finalizers: what must be cleaned up before an object may go.

A finalizer that is removed here and added there at the same time stays, and the clean-up runs
twice: it must bear that.
"""

from typing import Any

from controllers.runtime.objects import Object, is_deleting, meta

__all__ = ["has_finalizer", "with_finalizer", "without_finalizer"]


def has_finalizer(body: Object, name: str) -> bool:
    """Whether the object has it."""
    return name in (meta(body).get("finalizers") or [])


def with_finalizer(body: Object, name: str) -> dict[str, Any]:
    """Return the change that adds a finalizer; empty when it is there, or can no longer be."""
    if has_finalizer(body, name) or is_deleting(body):
        return {}
    return {"metadata": {"finalizers": [*(meta(body).get("finalizers") or []), name]}}


def without_finalizer(body: Object, name: str) -> dict[str, Any]:
    """Return the change that removes a finalizer; empty when it is not there."""
    if not has_finalizer(body, name):
        return {}
    return {"metadata": {"finalizers": [f for f in meta(body)["finalizers"] if f != name]}}
