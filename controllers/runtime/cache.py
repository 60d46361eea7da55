"""The objects of one kind as a watch tells them, with indexes. No I/O.

Objects in it are shared: nobody changes them in place.

Invariants:
    ICH-1  An index finds an object under exactly the values that its function gives for it now.
    ICH-2  The version never goes back within one epoch; each list begins another.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, final

from controllers.runtime.objects import Object, Objects, request_of, uid_of, version_of
from controllers.runtime.request import Request
from crdtstate.model import Kind, ResourceEvent

__all__ = ["Cache", "Change", "Changes", "IndexFunction"]

IndexFunction = Callable[[Object], Iterable[str]]
_GRAVES_MAX = 20_000


@final
@dataclass(frozen=True, slots=True)
class Change:
    """What became of one object."""

    kind: Kind
    type: Literal["added", "modified", "deleted"]
    before: Object | None
    after: Object | None

    @property
    def object(self) -> Object:
        """As it is now, or was last."""
        found = self.after if self.after is not None else self.before
        assert found is not None
        return found


Changes = list[Change]


@final
class Cache:
    """One kind. Memory: its objects, and the uids of up to 20,000 that were seen to go."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.version = 0
        """How far the watch is, in versions of the peer that serves it."""
        self.epoch = 0
        """How often it was listed; 0: nothing is known yet."""
        self._objects: dict[Request, Object] = {}
        self._functions: dict[str, IndexFunction] = {}
        self._indexes: dict[str, dict[str, dict[Request, None]]] = {}
        self._graves: OrderedDict[str, None] = OrderedDict()

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Keep an index; adding one of the same name again changes nothing."""
        if name in self._functions:
            return
        self._functions[name] = function
        self._indexes[name] = {}
        for request, body in self._objects.items():
            self._enter(name, request, body)

    # -- reading -------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, request: Request) -> Object | None:
        """Return an object."""
        return self._objects.get(request)

    def list(self, namespace: str | None = None) -> Objects:
        """Return the objects of a namespace or all, by namespace and name. Cost: O(all)."""
        return [
            body
            for request, body in sorted(self._objects.items(), key=lambda item: item[0])
            if namespace is None or request.namespace == namespace
        ]

    def find(self, index: str, value: str) -> Objects:
        """Return what an index has under a value, by namespace and name."""
        return [self._objects[r] for r in sorted(self._indexes[index].get(value, {}))]

    def was_deleted(self, uid: str) -> bool:
        """Whether an object of this uid was seen to go. False says nothing."""
        return uid in self._graves

    # -- writing -------------------------------------------------------------------------------

    def replace(self, items: Iterable[Mapping[str, object]], version: int) -> Changes:
        """Take a whole list; return what differs from before.

        What is missing from it was deleted, as far as a list can tell, and is no grave: another
        peer may have answered, which has not heard of it yet.
        """
        self.epoch += 1
        self.version = version
        found = {request_of(body): body for body in items}
        changes = [self._remove(r) for r in sorted(self._objects.keys() - found.keys())]
        for request in sorted(found):
            changes += self._put(request, found[request])
        return changes

    def apply(self, event: ResourceEvent) -> Changes:
        """Take one event of a watch; return what it changed."""
        self.version = max(self.version, version_of(event.object))
        request = request_of(event.object)
        if event.type == "DELETED":
            self._bury(uid_of(event.object))
            return [self._remove(request)] if request in self._objects else []
        if event.type == "BOOKMARK":
            return []
        return self._put(request, event.object)

    def _put(self, request: Request, body: Object) -> Changes:
        before = self._objects.get(request)
        if before is not None and version_of(before) == version_of(body) and before == body:
            return []
        changes: Changes = []
        if before is not None and uid_of(before) != uid_of(body):
            self._bury(uid_of(before))
            changes.append(self._remove(request))
            before = None
        if before is not None:
            self._leave(request, before)
        self._objects[request] = body
        for name in self._functions:
            self._enter(name, request, body)
        changes.append(Change(self.kind, "added" if before is None else "modified", before, body))
        return changes

    def _remove(self, request: Request) -> Change:
        before = self._objects.pop(request)
        self._leave(request, before)
        return Change(self.kind, "deleted", before, None)

    def _enter(self, name: str, request: Request, body: Object) -> None:
        for value in self._functions[name](body):
            self._indexes[name].setdefault(value, {})[request] = None

    def _leave(self, request: Request, body: Object) -> None:
        for name, function in self._functions.items():
            index = self._indexes[name]
            for value in function(body):
                entries = index.get(value)
                if entries is not None:
                    entries.pop(request, None)
                    if not entries:
                        del index[value]

    def _bury(self, uid: str) -> None:
        self._graves[uid] = None
        if len(self._graves) > _GRAVES_MAX:
            self._graves.popitem(last=False)

    def check(self) -> None:
        """Assert that the indexes say what their functions say (ICH-1)."""
        for name, function in self._functions.items():
            wanted: dict[str, set[Request]] = {}
            for request, body in self._objects.items():
                for value in function(body):
                    wanted.setdefault(value, set()).add(request)
            assert {v: set(found) for v, found in self._indexes[name].items()} == wanted, "ICH-1"
