"""The objects of one peer as its clients see them: bodies, versions, and what happened lately.

Filled by a feed that follows the durable state; it never asks the store itself. Versions are minted
here, when a change is taken in, so a write of this peer and one that arrived are told alike.

Invariants:
    CCH-1  Events of a kind have strictly growing versions, and none is left out between the oldest
           that is remembered and the last.
    CCH-2  A version is accepted for resuming only if this cache minted it and remembers all since;
           else Expired, so that clients list again.
    CCH-3  A change that a reader cannot see makes no version and no event.
    CCH-4  Another uid under one name is told as DELETED, then ADDED.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, NamedTuple, final

from crdtstate.crdt.clock import stamp_ms
from crdtstate.crdt.record import winner
from crdtstate.kube.keys import ObjectKey
from crdtstate.kube.reading import Shown, choose_shown
from crdtstate.kube.statuses import StatusError
from crdtstate.kube.versions import VersionClock
from crdtstate.store.marks import DELETED, mark_of, overlooked, seen_by

__all__ = ["CachedObject", "Event", "Leaving", "ObjectCache"]

EVENTS_MAX = 2_000  # remembered of a kind
EVENTS_BYTES_MAX = 16 << 20
_MINTED_MAX = 1 << 16
_Place = tuple[str, str]  # namespace, name


@final
class CachedObject:
    """One object in one version. Whoever reads it must not alter the body."""

    __slots__ = ("_forms", "body", "creator", "digest", "key", "size", "uid", "version")

    def __init__(self, key: ObjectKey, shown: Shown, version: int) -> None:
        self.key, self.body, self.uid = key, shown.body, shown.uid
        self.digest, self.version, self.size = shown.digest, version, shown.size
        self.creator = shown.stamp[1][0]
        """The origin that created it; of concurrent creations the one that is shown."""
        self._forms: dict[Hashable, bytes] = {}

    def encoded(self, form: Hashable, make: "Callable[[CachedObject], bytes]") -> bytes:
        """Return `make(self)`, made once for each `form` (a served version of the kind)."""
        data = self._forms.get(form)
        if data is None:
            data = self._forms[form] = make(self)
        return data


@final
class Event:
    """What happened to one object. `object` is what clients are sent, in the event's version."""

    __slots__ = ("after", "before", "object", "type")

    def __init__(
        self,
        kind: Literal["ADDED", "MODIFIED", "DELETED"],
        before: CachedObject | None,
        shown: CachedObject,
    ) -> None:
        self.type, self.before, self.object = kind, before, shown
        self.after = None if kind == "DELETED" else shown

    @property
    def version(self) -> int:
        """The version of the event."""
        return self.object.version


@final
class Leaving(NamedTuple):
    """A record that is to be removed, for its object is gone.

    Args:
        seen: Covers all of the record's dots.
        sweeper: The origin whose deletion counts; it removes the record, others after a while.
        since_ms: When it was deleted.
        lost: A concurrent update lost to the deletion; people are to be told for a while.
    """

    key: ObjectKey
    record_id: bytes
    uid: str
    seen: dict[int, int]
    sweeper: int
    since_ms: int
    lost: bool


@dataclass(slots=True)
class _Kind:
    objects: dict[_Place, CachedObject]
    places: list[_Place] | None
    events: deque[Event]
    bytes: int
    floor: int  # Whoever has seen this version can resume.
    last: int


@final
class ObjectCache:
    """Bodies, events and versions of one peer. Filled from one place, in order of revision."""

    def __init__(self, origin: int, start_ms: int) -> None:
        self._clock = VersionClock(origin, start_ms)
        self._kinds: dict[str, _Kind] = {}
        self._leaving: dict[bytes, Leaving] = {}  # by record id; those to look at next come first
        self._leaving_under: dict[ObjectKey, list[bytes]] = {}
        self._minted: dict[int, None] = {}
        self.loading = True
        """While it is first filled, everything gets the version of the start, and no event."""
        self.version = self._start = self._mint(start_ms)
        """The last version minted: of what a list shows."""

    # -- reading -------------------------------------------------------------------------------

    def get(self, stored_as: str, namespace: str, name: str) -> CachedObject | None:
        """Return an object, None when there is none to see."""
        kind = self._kinds.get(stored_as)
        return kind.objects.get((namespace, name)) if kind else None

    def count(self, stored_as: str) -> int:
        """Return how many objects of a kind there are."""
        kind = self._kinds.get(stored_as)
        return len(kind.objects) if kind else 0

    def kinds(self) -> list[str]:
        """Return the names of the kinds that have objects, in order."""
        return sorted(name for name, kind in self._kinds.items() if kind.objects)

    def leaving(self, limit: int) -> list[Leaving]:
        """Return records that wait for their removal, in turn: `limit` of them a call.

        Cost: O(limit), however many wait.
        """
        some = list(islice(self._leaving.values(), limit))
        for record in some:
            self._leaving[record.record_id] = self._leaving.pop(record.record_id)
        return some

    @property
    def leaving_count(self) -> int:
        """How many records wait for their removal."""
        return len(self._leaving)

    def is_gone(self, key: ObjectKey, uid: str) -> bool:
        """Tell whether the object with this uid is known to be gone, its record still here."""
        record_ids = self._leaving_under.get(key, ())
        return any(self._leaving[record_id].uid == uid for record_id in record_ids)

    def keys(self) -> set[ObjectKey]:
        """Return every key that has an object or a record that is leaving. Cost: O(keys)."""
        found = {seen.key for kind in self._kinds.values() for seen in kind.objects.values()}
        return found | self._leaving_under.keys()

    # -- what happened -------------------------------------------------------------------------

    def last(self, stored_as: str) -> int:
        """Return the version of the last event of a kind."""
        kind = self._kinds.get(stored_as)
        return kind.last if kind else self._start

    def events_after(self, stored_as: str, version: int, *, own: bool = False) -> list[Event]:
        """Return the events of a kind after a version, in order (CCH-1).

        Args:
            own: The version did not come from a client: it was minted here, however long ago.

        Raises: StatusError Expired (CCH-2).
        Cost: O(those returned).
        """
        kind = self._kinds.get(stored_as)
        floor = kind.floor if kind else self._start
        if version < floor or not (own or version in self._minted):
            raise StatusError(
                "Expired",
                f"resourceVersion {version} is not one that this peer gave and remembers "
                f"(the oldest is {floor}): list again",
            )
        found: list[Event] = []
        for event in reversed(kind.events) if kind else ():
            if event.version <= version:
                break
            found.append(event)
        found.reverse()
        return found

    def absorb(self, version: int, wall_ms: int) -> None:
        """A client showed a version: what is minted from now on is above it, within reason."""
        self._clock.absorb(version, wall_ms)

    # -- filling -------------------------------------------------------------------------------

    def update(self, key: ObjectKey, lives: Sequence[Shown], wall_ms: int) -> None:
        """Take in what the records under a key are now."""
        self._note_leaving(key, lives)
        kind = self._kinds.get(key.stored_as)
        if kind is None:
            kind = self._kinds[key.stored_as] = _Kind(
                {}, None, deque(), 0, self._start, self._start
            )
        place = key[1:]
        before, shown = kind.objects.get(place), choose_shown(lives)
        if before is not None and shown is not None and before.uid == shown.uid:
            if before.digest != shown.digest:
                if before.body == shown.body:
                    before.digest = shown.digest  # CCH-3
                else:
                    after = self._store(kind, place, key, shown, wall_ms)
                    self._tell(kind, Event("MODIFIED", before, after))
            return
        if before is not None:  # CCH-4
            last = next((life for life in lives if life.uid == before.uid), None)
            final = CachedObject(key, last or _as_shown(before), self._mint(wall_ms))
            del kind.objects[place]
            kind.places = None
            self._tell(kind, Event("DELETED", before, final))
        if shown is not None:
            kind.places = None
            after = self._store(kind, place, key, shown, wall_ms)
            self._tell(kind, Event("ADDED", None, after))

    def retell(self, key: ObjectKey, body: dict[str, Any], wall_ms: int) -> None:
        """Show an object with another body than it is stored with, until it is updated."""
        kind = self._kinds[key.stored_as]
        before = kind.objects[key[1:]]
        after = self._store(kind, key[1:], key, _as_shown(before)._replace(body=body), wall_ms)
        self._tell(kind, Event("MODIFIED", before, after))

    def _store(
        self, kind: _Kind, place: _Place, key: ObjectKey, shown: Shown, wall_ms: int
    ) -> CachedObject:
        version = self._start if self.loading else self._mint(wall_ms)
        stored = kind.objects[place] = CachedObject(key, shown, version)
        return stored

    def _tell(self, kind: _Kind, event: Event) -> None:
        if self.loading:
            return
        kind.events.append(event)
        kind.bytes += event.object.size
        kind.last = event.version
        while len(kind.events) > EVENTS_MAX or kind.bytes > EVENTS_BYTES_MAX:
            oldest = kind.events.popleft()
            kind.bytes -= oldest.object.size
            kind.floor = oldest.version

    def _mint(self, wall_ms: int) -> int:
        version = self._clock.mint(wall_ms)
        self._minted[version] = None
        if len(self._minted) > _MINTED_MAX:
            del self._minted[next(iter(self._minted))]
        self.version = version
        return version

    def _note_leaving(self, key: ObjectKey, lives: Sequence[Shown]) -> None:
        for record_id in self._leaving_under.pop(key, ()):
            del self._leaving[record_id]
        found = [_leaving(key, shown) for shown in lives if shown.gone]
        if found:
            self._leaving_under[key] = [record.record_id for record in found]
            self._leaving.update((record.record_id, record) for record in found)

    def list(self, stored_as: str, namespace: str | None = None) -> list[CachedObject]:
        """Return the objects of a kind by namespace and name. Cost: O(those returned)."""
        kind = self._kinds.get(stored_as)
        if kind is None:
            return []
        if kind.places is None:
            kind.places = sorted(kind.objects)
        places, objects = kind.places, kind.objects
        if namespace is not None:
            first = bisect_left(places, (namespace, ""))
            places = places[first : bisect_left(places, (namespace + "\0", ""), first)]
        return [objects[place] for place in places]


def _leaving(key: ObjectKey, shown: Shown) -> Leaving:
    record, mark = shown.record, mark_of(shown.record)
    assert mark is not None, "gone is marked"
    (origin, _), stamp, _ = winner(record[DELETED])
    lost = any(True for _ in overlooked(record, mark))
    seen = seen_by(record)
    return Leaving(key, shown.record_id, shown.uid, seen, origin, stamp_ms(stamp), lost)


def _as_shown(cached: CachedObject) -> Shown:
    nothing = (0, (0, 0))
    return Shown(b"", {}, cached.body, cached.uid, True, nothing, cached.digest, cached.size)
