"""How a wanted body becomes one transaction: `edit` makes the operation that a verb submits.

It runs inside the writer's transaction, so that what the verb compares, patches or refuses is the
state that its change is based on. There is no read-modify-write to repeat.

Invariants:
    OBJ-1  An edit that changes nothing makes no transaction.
    OBJ-3  `generation` grows with each change of what is wanted, and never goes back on a join.
"""

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, final

from crdtstate.crdt.record import LIFE, Path, winner
from crdtstate.errors import CrdtstateError
from crdtstate.kube.builtin import object_meta
from crdtstate.kube.cells import (
    DERIVED,
    FIELD,
    WHOLE,
    Flat,
    encode_leaf,
    flatten,
    is_item,
    path_text,
    present_of,
    value_of,
)
from crdtstate.kube.managers import MANAGED, entry_cells, joined_entry
from crdtstate.kube.objects import Change, Context, EditResult, Keep, Live, Removal, Target
from crdtstate.kube.reading import (
    GENERATION,
    SYSTEM_FIELDS,
    Shown,
    choose_shown,
    encode_object_life,
    render,
)
from crdtstate.kube.schema import Schema
from crdtstate.kube.statuses import StatusError
from crdtstate.kube.uids import uid_bytes, uid_text
from crdtstate.kube.writing import Writer
from crdtstate.store import operations as ops
from crdtstate.store.conflicts import concurrent_paths
from crdtstate.store.marks import DELETED, Mark, mark_of, seen_by
from crdtstate.store.views import version_of

if TYPE_CHECKING:
    from crdtstate.store.planner import Planner

__all__ = ["edit"]


def edit(target: Target, change: Change, cluster_id: bytes) -> ops.Edit:
    """Return the operation that lets `change` decide and writes what it wants.

    `change` is given the object, None when there is none to see, and returns the body wanted, a
    `Removal`, `Keep`, or None when nothing is to be done. A StatusError that it raises refuses.
    """

    def plan(planner: "Planner", encoded: bytes) -> EditResult:
        return _Edit(planner, target, encoded, cluster_id).run(change)

    return ops.Edit(target.key.encode(), plan)


@final
class _Edit:
    """One edit, inside one transaction."""

    def __init__(
        self, planner: "Planner", target: Target, encoded: bytes, cluster_id: bytes
    ) -> None:
        self._planner, self._target, self._encoded = planner, target, encoded
        self._cluster_id = cluster_id
        self._key = target.key

    def run(self, change: Change) -> EditResult:
        """Ask, then write what is wanted. Raises: StatusError and what the limits refuse."""
        shown = self._find()
        live = Live(shown.body, shown.digest) if shown else None
        try:
            wanted = change(live, self._context(live))
        except CrdtstateError:
            raise
        except Exception as error:  # A verb's mistake must not stop the peer.
            raise StatusError("InternalError", f"{type(error).__name__}: {error}") from error
        if shown is None:
            if isinstance(wanted, dict):
                return self._create(wanted)
            return EditResult(None, "", "unchanged")
        match wanted:
            case Removal():
                return self._remove(shown, wanted)
            case Keep():
                return self._keep(shown, wanted)
            case None:
                return EditResult(shown.body, shown.digest, "unchanged")
            case _:
                return self._update(shown, wanted)

    def _find(self) -> Shown | None:
        planner, found = self._planner, []
        for record_id in planner.lives(self._encoded):
            data = planner.encoded(record_id)
            if data:
                record = planner.record(record_id)
                found.append(render(self._key, record_id, record, data))
        return choose_shown(shown for shown in found if shown is not None)

    def _context(self, live: Live | None) -> Context:
        planner, new_uid = self._planner, ""
        if live is None:
            number = planner.next_incarnation(self._encoded)
            new_uid = uid_text(uid_bytes(self._cluster_id, self._key, number))
        schema = self._target.resource.schema
        return Context(planner.wall_ms, planner.dot[0], new_uid, schema)

    # -- what is wanted ------------------------------------------------------------------------

    def _create(self, body: dict[str, Any]) -> EditResult:
        planner = self._planner
        record_id, number = planner.begin_life(self._encoded)
        uid = uid_bytes(self._cluster_id, self._key, number)
        planner.put_path(record_id, LIFE, encode_object_life(uid, planner.wall_ms))
        writer = Writer(planner, record_id)
        self._write(writer, body)
        if self._target.resource.has_generation:
            self._count(writer)
        return self._result(record_id, writer, "created")

    def _update(self, shown: Shown, body: dict[str, Any]) -> EditResult:
        writer = Writer(self._planner, shown.record_id)
        self._write(writer, body)
        if self._target.resource.has_generation and any(map(self._counts, writer.changed)):
            self._count(writer)
        return self._result(shown.record_id, writer, "updated")

    def _remove(self, shown: Shown, removal: Removal) -> EditResult:
        writer = Writer(self._planner, shown.record_id)
        if removal.body is not None:
            self._write(writer, removal.body)
        mark = mark_of(shown.record)
        at_ms = self._planner.wall_ms + removal.grace_s * 1000
        if mark is None:
            if self._target.resource.has_generation:
                self._count(writer)
            writer.replace(DELETED, Mark(at_ms, removal.grace_s, {}).encode())
            return self._result(shown.record_id, writer, "marked")
        if removal.grace_s < mark.grace_s:
            sooner = Mark(min(at_ms, mark.at_ms), removal.grace_s, mark.seen)
            writer.replace(DELETED, sooner.encode())
        return self._result(shown.record_id, writer, "updated")

    def _keep(self, shown: Shown, keep: Keep) -> EditResult:
        writer = Writer(self._planner, shown.record_id)
        for path in concurrent_paths(shown.record):
            if keep.paths is None or path_text(path) in keep.paths:
                cell = shown.record[path]
                writer.replace(path, winner((is_item(path) and present_of(cell)) or cell)[2])
        return self._result(shown.record_id, writer, "updated")

    def _result(
        self, record_id: bytes, writer: Writer, outcome: Literal["created", "updated", "marked"]
    ) -> EditResult:
        """Render what was written; if it is gone now, let the mark say what was seen."""
        unchanged = outcome != "created" and not writer.changed
        after = render(self._key, record_id, writer.record, b"")
        assert after is not None
        gone = after.gone and bool(writer.changed)
        if gone:
            mark = mark_of(writer.record)
            assert mark is not None
            mark = mark._replace(seen=seen_by(writer.record))
            writer.replace(DELETED, mark.encode())
        digest = version_of(self._planner.encoded(record_id) or b"")
        overridden = [path_text(path) for path in writer.overridden]
        if unchanged:
            return EditResult(after.body, digest, "unchanged")
        return EditResult(after.body, digest, "gone" if gone else outcome, overridden)

    # -- cells ---------------------------------------------------------------------------------

    def _write(self, writer: Writer, body: dict[str, Any]) -> None:
        writer.write(self._flatten(body))
        metadata = body.get("metadata")
        entries = entry_cells((metadata or {}).get("managedFields") or ())
        record = writer.record
        for path, entry in entries.items():
            cell = record.get(path)
            if cell is None or joined_entry(cell) != entry:
                writer.replace(path, encode_leaf(entry))
        writer.drop([p for p in record if p and p[0] == MANAGED and p not in entries])

    def _flatten(self, body: dict[str, Any]) -> Flat:
        content = {k: v for k, v in body.items() if k not in ("apiVersion", "kind", "metadata")}
        given = body.get("metadata") or {}
        metadata = {k: v for k, v in given.items() if k not in SYSTEM_FIELDS}
        schema = _object_schema(self._target.resource.schema)
        room = self._planner.limits.path_depth_max
        if self._target.resource.policy_of(body) == "fields":
            if metadata:
                content["metadata"] = metadata
            return flatten(schema, content, room) if content else Flat()
        finalizers = metadata.pop("finalizers", None)
        kept = {"metadata": {"finalizers": finalizers}} if finalizers else {}
        flat = flatten(schema, kept, room) if kept else Flat()
        flat.leaves[WHOLE] = {"metadata": metadata, **content} if metadata else content
        return flat

    def _counts(self, path: Path) -> bool:
        """Tell whether a changed cell is a change of what is wanted."""
        first = path[0]
        if first[:1] == DERIVED or first == FIELD + "metadata":
            return False
        return first != FIELD + "status" or "status" not in self._target.resource.subresources

    def _count(self, writer: Writer) -> None:
        """Add one to this origin's part of the generation (OBJ-3)."""
        path = (GENERATION, f"{self._planner.dot[0]:016x}")
        cell = writer.record.get(path)
        before = value_of(winner(cell)[2]) if cell else 0
        writer.replace(path, encode_leaf((before if type(before) is int else 0) + 1))


@lru_cache(maxsize=1024)
def _object_schema(schema: Schema) -> Schema:
    """Return the schema of a kind with what metadata is for every kind."""
    properties = {**schema.properties, "metadata": object_meta()}
    return replace(schema, kind="object", map_type="granular", properties=properties)
