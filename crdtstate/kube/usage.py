"""What the objects of a namespace cost, by limit and by who created them: kept, not counted anew.

Invariants:
    USG-1  What is told is the sum of `costs_of` over the objects that the cache shows.
"""

from typing import final

from crdtstate.kube.cache import CachedObject, ObjectCache
from crdtstate.kube.quota import costs_of, is_limited
from crdtstate.kube.statuses import StatusError

__all__ = ["Usage"]


@final
class _Tally:
    """The sums of one kind, up to a version of its events."""

    __slots__ = ("sums", "version")

    def __init__(self, version: int) -> None:
        self.version = version
        self.sums: dict[tuple[str, str], dict[int, int]] = {}  # (namespace, limit) -> by origin

    def add(self, found: CachedObject, sign: int) -> None:
        """Count an object, or (`sign` -1) count it no more."""
        key, creator = found.key, found.creator
        for name, amount in costs_of(key.stored_as, found.body).items():
            by_origin = self.sums.setdefault((key.namespace, name), {})
            total = by_origin.get(creator, 0) + sign * amount
            if total:
                by_origin[creator] = total
            else:
                by_origin.pop(creator, None)
                if not by_origin:
                    del self.sums[key.namespace, name]


@final
class Usage:
    """The sums of one cache. A kind is counted when it is first asked for, then followed."""

    def __init__(self, cache: ObjectCache) -> None:
        self._cache = cache
        self._tallies: dict[str, _Tally] = {}

    def used(self, namespace: str, limit: str) -> dict[int, int]:
        """Return what the objects of each origin cost of a limit (USG-1).

        Cost: O(kinds, and objects changed since the last call); the first call counts all.
        """
        used: dict[int, int] = {}
        for stored_as in self._cache.kinds():
            if is_limited(stored_as, limit):
                sums = self._tally(stored_as).sums.get((namespace, limit), {})
                for origin, amount in sums.items():
                    used[origin] = used.get(origin, 0) + amount
        return used

    def _tally(self, stored_as: str) -> _Tally:
        cache, tally = self._cache, self._tallies.get(stored_as)
        if tally is not None:
            try:
                events = cache.events_after(stored_as, tally.version, own=True)
            except StatusError:
                tally = None  # More has happened than is remembered.
            else:
                for event in events:
                    if event.before is not None:
                        tally.add(event.before, -1)
                    if event.after is not None:
                        tally.add(event.after, 1)
        if tally is None:
            tally = _Tally(0)
            for found in cache.list(stored_as):
                tally.add(found, 1)
        tally.version = cache.last(stored_as)
        if not cache.loading:  # Until then nothing tells of what is added.
            self._tallies[stored_as] = tally
        return tally
