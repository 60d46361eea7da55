"""What readers must see of objects, as a function of the edits covered; it knows no cells.

An edit is remembered as what its writer meant: which leaves it set or dropped, in which items it
changed something, which items it removed; and what it had seen. Then

    a leaf has the newest of its sets that no covered edit, having seen it, set or dropped
    whoever adds an item sets all that is in it, drops other leaves that had been in it, and
        removes other items that had been in it
    a leaf and what others wrote below it: the side with the newest set; whoever writes settles it
    an item is there if somebody added it or changed something in it, and no covered edit, having
        seen that, removed it
    an object is there if it was created; it is gone when it was marked, and has no finalizer
    of several under one name, one that was not marked is seen, then the one created last

This restates RFC 0004, in other words than the code; `tests/models/objects.py` has the schema that
both go by.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from crdtstate.crdt.dots import Dot, Vector, covers

Leaf = tuple[str, ...]
KEYED = {"containers": ("name",), "env": ("name",), "ports": ("containerPort", "protocol")}


@dataclass
class Said:
    """One edit of one object."""

    dot: Dot
    stamp: int
    past: Vector
    uid: str
    sets: dict[Leaf, Any] = field(default_factory=dict)
    drops: set[Leaf] = field(default_factory=set)
    touches: set[Leaf] = field(default_factory=set)
    adds: set[Leaf] = field(default_factory=set)
    removes: set[Leaf] = field(default_factory=set)
    entries: dict[str, set[str] | None] = field(default_factory=dict)  # None: no longer there
    creates: bool = False
    marks: bool = False
    marked_at: str = ""
    counts: int = 0  # Added to the generation.


def leaves_of(body: dict[str, Any]) -> tuple[dict[Leaf, Any], set[Leaf]]:
    """Return the leaves and the items of spec, conditions and finalizers."""
    leaves: dict[Leaf, Any] = {}
    items: set[Leaf] = set()

    def walk(path: Leaf, value: Any) -> None:
        name = path[-1]
        if name in KEYED and isinstance(value, list):
            for item in value:
                key = [item.get(k, "TCP") for k in KEYED[name]]
                place = (*path, json.dumps(key))
                items.add(place)
                for k, v in item.items():
                    walk((*place, k), v)
        elif name in ("zones", "finalizers"):
            leaves.update({(*path, f"={element}"): True for element in value})
        elif name == "conditions":
            leaves.update({(*path, c["type"]): c for c in value})
        elif isinstance(value, dict) and name != "selector":
            for k, v in value.items():
                walk((*path, k), v)
        else:
            leaves[path] = value

    for name in ("spec", "status"):
        if name in body:
            walk((name,), body[name])
    walk(("metadata", "finalizers"), body["metadata"].get("finalizers", []))
    return leaves, items


def entries_of(body: dict[str, Any]) -> dict[str, set[str]]:
    """Return the fields of each manager."""
    entries = body["metadata"].get("managedFields", ())
    return {e["manager"]: set(e["fieldsV1"]["f:spec"]) for e in entries}


def items_above(leaf: Leaf) -> Iterator[Leaf]:
    """Yield the items that a leaf, or an item, lies in."""
    for n in range(1, len(leaf) - 1):
        if leaf[n - 1] in KEYED:
            yield leaf[: n + 1]


class ObjectOracle:
    """Everything that was said of the objects under one name."""

    def __init__(self) -> None:
        self.said: list[Said] = []

    def edited(
        self,
        dot: Dot,
        stamp: int,
        past: Vector,
        before: dict[str, Any] | None,
        after: dict[str, Any],
        *,
        marks: bool,
    ) -> None:
        """Take an edit: what its writer saw, and what it wanted to be there."""
        said = Said(dot, stamp, past, after["metadata"]["uid"], creates=before is None, marks=marks)
        self.said.append(said)
        metadata, earlier = after["metadata"], before["metadata"] if before else {}
        said.counts = metadata.get("generation", 0) - earlier.get("generation", 0)
        said.marked_at = metadata["deletionTimestamp"] if marks else ""
        if marks:  # A deletion says nothing of what the object is.
            return
        old, old_items = leaves_of(before) if before else ({}, set())
        new, new_items = leaves_of(after)
        fresh, gone = new_items - old_items, old_items - new_items
        for leaf, value in new.items():
            again = any(item in fresh for item in items_above(leaf))
            if again or leaf not in old or json.dumps(old[leaf]) != json.dumps(value):
                said.sets[leaf] = value
        seen = self._newest(said.uid, past) if before else {}  # What lost to the rest, too.
        said.drops = {
            leaf for leaf in seen.keys() - new.keys()
            if not any(item in gone for item in items_above(leaf))
        }  # fmt: skip
        said.adds = fresh
        hidden = {item for item in gone if any(outer in gone for outer in items_above(item))}
        said.removes = gone - hidden
        changed = [*said.sets, *said.drops, *said.removes]
        said.touches = fresh | {
            item for place in changed for item in items_above(place)
            if item in new_items
        }  # fmt: skip

        old_entries, new_entries = entries_of(before or {"metadata": {}}), entries_of(after)
        for manager in old_entries.keys() | new_entries.keys():
            if old_entries.get(manager) != new_entries.get(manager):
                said.entries[manager] = new_entries.get(manager)

    # -- what is seen ----------------------------------------------------------------------------

    def uids(self, vector: Vector) -> list[str]:
        """Return the uids of the objects that are there and not gone, the one to see first."""
        alive: dict[str, tuple[bool, int, Dot]] = {}
        for s in self.said:
            if s.creates and covers(vector, s.dot):
                marked = any(m.marks for m in self._of(s.uid, vector))
                age = (not marked, s.stamp, s.dot)
                alive[s.uid] = max(alive.get(s.uid, age), age)
        shown = [uid for uid in alive if not self._is_gone(uid, vector)]
        return sorted(shown, key=lambda uid: alive[uid], reverse=True)

    def generation(self, uid: str, vector: Vector) -> int:
        """Return how often what was wanted has changed."""
        return sum(s.counts for s in self._of(uid, vector))

    def deleted_at(self, uid: str, vector: Vector) -> str | None:
        """Return the earliest deletionTimestamp, None when nobody deleted it."""
        return min((s.marked_at for s in self._of(uid, vector) if s.marks), default=None)

    def entries(self, uid: str, vector: Vector) -> dict[str, set[str]]:
        """Return what each manager owns: the union of what it was last said to own."""
        said = self._of(uid, vector)
        owned: dict[str, set[str]] = {}
        for s in said:
            for manager, fields in s.entries.items():
                later = any(manager in f.entries and covers(f.past, s.dot) for f in said)
                if fields is not None and not later:
                    owned.setdefault(manager, set()).update(fields)
        return owned

    def _of(self, uid: str, vector: Vector) -> list[Said]:
        return [s for s in self.said if s.uid == uid and covers(vector, s.dot)]

    def _is_gone(self, uid: str, vector: Vector) -> bool:
        marked = any(s.marks for s in self._of(uid, vector))
        return marked and not any(leaf[0] == "metadata" for leaf in self.leaves(uid, vector))

    def leaves(self, uid: str, vector: Vector) -> dict[Leaf, Any]:
        """Return the leaves that a reader sees of one object."""
        newest = self._newest(uid, vector)
        for leaf in sorted(newest):
            below = [p for p in newest if p[: len(leaf)] == leaf and p != leaf]
            if leaf in newest and below:
                wins = _age(newest[leaf]) > max(_age(newest[p]) for p in below)
                for loser in below if wins else [leaf]:
                    del newest[loser]
        return {leaf: s.sets[leaf] for leaf, s in newest.items()}

    def _newest(self, uid: str, vector: Vector) -> dict[Leaf, Said]:
        """Return who set each leaf that is not in an item that was removed."""
        said = self._of(uid, vector)
        items = {
            item for s in said for item in s.touches
            if not any(_ends_item(r, item) and covers(r.past, s.dot) for r in said)
        }  # fmt: skip
        newest: dict[Leaf, Said] = {}
        for leaf in {leaf for s in said for leaf in s.sets}:
            living = [
                s for s in said
                if leaf in s.sets
                and not any(_ends_leaf(f, leaf) and covers(f.past, s.dot) for f in said)
            ]  # fmt: skip
            if living and all(item in items for item in items_above(leaf)):
                newest[leaf] = max(living, key=_age)
        return newest


def _age(said: Said) -> tuple[int, Dot]:
    return said.stamp, said.dot


def _ends_item(said: Said, item: Leaf) -> bool:
    return item in said.removes or any(outer in said.adds for outer in items_above(item))


def _ends_leaf(said: Said, leaf: Leaf) -> bool:
    *_, inside = (False, *(item in said.adds for item in items_above(leaf)))
    return leaf in said.sets or leaf in said.drops or inside
