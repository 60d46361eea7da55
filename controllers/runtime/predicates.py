"""Which changes are worth a look. A change that no predicate lets through wakes nobody."""

from collections.abc import Callable

from controllers.runtime.cache import Change
from controllers.runtime.objects import (
    annotations_of,
    is_deleting,
    labels_of,
    meta,
    spec_of,
)

__all__ = ["Predicate", "any_change", "any_of", "metadata_changed", "spec_changed"]

Predicate = Callable[[Change], bool]


def any_change(_change: Change) -> bool:
    """All."""
    return True


def spec_changed(change: Change) -> bool:
    """Creation, deletion, the mark of it, and changes of what is wanted; not of the status."""
    before, after = change.before, change.after
    if before is None or after is None:
        return True
    old, new = meta(before).get("generation"), meta(after).get("generation")
    if old is None or new is None:
        return spec_of(before) != spec_of(after) or is_deleting(before) != is_deleting(after)
    return bool(old != new) or is_deleting(before) != is_deleting(after)


def metadata_changed(change: Change) -> bool:
    """Changes of labels, annotations, finalizers or owners."""
    before, after = change.before, change.after
    if before is None or after is None:
        return True
    return (
        labels_of(before) != labels_of(after)
        or annotations_of(before) != annotations_of(after)
        or any(
            meta(before).get(name) != meta(after).get(name)
            for name in ("finalizers", "ownerReferences")
        )
    )


def any_of(*predicates: Predicate) -> Predicate:
    """Changes that one of them lets through."""
    return lambda change: any(predicate(change) for predicate in predicates)
