"""Server-side apply and the tracking of who last set which field.

`managedFields` has one entry a (manager, operation, sub-resource; for updates also apiVersion). An
apply states everything that its manager wants: what the manager stated last time, states no
more, and nobody else owns, goes. An update owns what it changed. What is owned is compared with
the body as stored, without defaults.

Source: KEP-555; structured-merge-diff `merge.Updater`; apimachinery `managedfields`.

Invariants:
    SSA-1  An apply without force changes no value that another manager still owns after it.
    SSA-2  After an apply its manager owns exactly the paths of the configuration.
    SSA-3  An apply repeated changes neither the body nor any entry, times included.
    SSA-4  What others lose to an apply without force lay in a list item or map entry that only
           its manager had stated, and states no more.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from crdtstate.kube.entries import (
    Entries,
    Entry,
    Writer,
    base_entries,
    cap,
    decode,
    encode,
    endpoint_part,
    owned_part,
    strip,
)
from crdtstate.kube.fieldset import (
    FieldSet,
    Tree,
    intersect_trees,
    join_trees,
    subtract_trees,
)
from crdtstate.kube.metadata import ANNOTATIONS_BYTES_MAX
from crdtstate.kube.resources import Resource
from crdtstate.kube.schema import Schema
from crdtstate.kube.statuses import StatusError
from crdtstate.kube.typed import (
    compare,
    merge,
    named_members,
    remove,
    shape_faults,
    to_tree,
    without_atomic_insides,
)

__all__ = ["LAST_APPLIED", "Writer", "apply_config", "update_managed"]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_FIRST = "before-first-apply"
Body = dict[str, Any]


def update_managed(
    resource: Resource,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any],
    managed: Sequence[Any],
    writer: Writer,
    now: str,
) -> list[dict[str, Any]]:
    """Return managedFields after a create, replace or patch.

    Args:
        old: The stored body; None at creation.
        new: The body as it will be stored. Entries in its own metadata.managedFields are taken
            as the base if they decode: clients may rewrite them, and `[]` resets.
        managed: The stored entries.
        now: RFC 3339, seconds.
    """
    entries = base_entries(new, managed, writer)
    if not entries and old is not None:
        return []  # Somebody has switched tracking off; an apply switches it on again.
    entries = _track(resource, old or {}, new, entries, writer, now)
    return encode(cap(entries))


def apply_config(
    resource: Resource,
    live: Mapping[str, Any] | None,
    config: Mapping[str, Any],
    managed: Sequence[Any],
    writer: Writer,
    now: str,
    *,
    force: bool = False,
) -> tuple[Body, list[dict[str, Any]]]:
    """Apply a configuration; return the body and its managedFields.

    Args:
        live: The stored body; None when there is no object yet.
        config: Pruned. What the endpoint does not own (status at the main one) is ignored.

    Raises:
        StatusError: Conflict (another manager owns a field that would change; one cause a
            field), BadRequest (duplicate or keyless list items, managedFields in `config`).
    """
    if (config.get("metadata") or {}).get("managedFields"):
        raise StatusError("BadRequest", "metadata.managedFields must be nil")
    schema = resource.schema
    wanted = owned_part(resource, config, writer.subresource)
    if faults := shape_faults(schema, wanted):
        raise StatusError("BadRequest", f"failed to create typed patch object: {faults[0]}")
    entries = decode(managed)
    if not entries and live is not None:
        first = Writer(_FIRST, "Update")
        entries = _track(resource, {}, live, {}, first, now)
    entries = {
        key: replace(entry, tree=without_atomic_insides(schema, entry.tree))
        for key, entry in entries.items()
    }
    run = _Apply(resource, live or {}, wanted, writer, now, entries)
    try:
        body, after = run.merged(force)
    except _Conflicts as found:
        if not _may_migrate(run, found):
            raise found.as_status() from None
        body, after = run.merged(force=True)
    if writer.manager == "kubectl" and _annotation(body):
        body = _with_annotation(body, config)
    return body, encode(after)


@final
@dataclass(frozen=True, slots=True)
class _Apply:
    """One apply, up to the decision on conflicts."""

    resource: Resource
    live: Mapping[str, Any]
    wanted: Body
    writer: Writer
    now: str
    entries: Entries

    def merged(self, force: bool) -> tuple[Body, Entries]:
        schema = self.resource.schema
        tree = strip(to_tree(schema, self.wanted))
        mine = Entry(
            self.writer.manager, "Apply", self.resource.api_version, self.writer.subresource,
            self.now, tree,
        )  # fmt: skip
        last = self.entries.get(mine.key)
        others = {key: entry for key, entry in self.entries.items() if key != mine.key}
        body = merge(schema, self.live, self.wanted)
        if last is not None:
            owned = [tree, *(entry.tree for entry in others.values())]
            body = _pruned(schema, body, last.tree, owned)
        changed, gone = (strip(each) for each in compare(schema, self.live, body))
        contested = {
            key: both
            for key, entry in others.items()
            if (both := intersect_trees(entry.tree, changed))
        }
        if contested and not force:
            raise _Conflicts([(others[key], both) for key, both in contested.items()])
        after = {}
        for key, entry in others.items():
            left = subtract_trees(entry.tree, contested.get(key, {}))
            left = subtract_trees(left, gone)
            if left:
                after[key] = replace(entry, tree=left)
        if tree:
            same = last is not None and last.tree == tree and not changed and not gone
            if last is not None and same and last.api_version == mine.api_version:
                mine = last
            after[mine.key] = mine
        return body, after


@final
class _Conflicts(Exception):
    """Fields that would change, by the entry that owns them."""

    def __init__(self, found: list[tuple[Entry, Tree]]) -> None:
        super().__init__("conflicts")
        self.found = found

    def as_status(self) -> StatusError:
        """Return the refusal as Kubernetes words it."""
        causes = []
        groups: dict[str, list[str]] = {}
        for entry, tree in self.found:
            who = json.dumps(entry.manager, ensure_ascii=False)
            if entry.subresource:
                who += f' with subresource "{entry.subresource}"'
            if entry.operation == "Update":
                who += f" using {entry.api_version}"
            for path in FieldSet(tree).paths():
                groups.setdefault(who, []).append(path)
                causes.append({
                    "reason": "FieldManagerConflict", "message": f"conflict with {who}",
                    "field": path,
                })  # fmt: skip
        if len(causes) == 1:
            text = f"{causes[0]['message']}: {causes[0]['field']}"
            message = f"Apply failed with 1 conflict: {text}"
        else:
            lines = []
            for who in sorted(groups):
                lines += [f"conflicts with {who}:", *(f"- {path}" for path in groups[who])]
            message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
        return StatusError("Conflict", message, causes=causes)


def _track(
    resource: Resource,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    entries: Entries,
    writer: Writer,
    now: str,
) -> Entries:
    """Give what changed to the writer and to nobody else; what went, to nobody."""
    changed, gone = (
        strip(endpoint_part(resource, each, writer.subresource))
        for each in compare(resource.schema, old, new)
    )
    touched = join_trees(changed, gone)
    after: Entries = {}
    for key, entry in entries.items():
        left = subtract_trees(entry.tree, touched) if touched else entry.tree
        if left:
            after[key] = replace(entry, tree=left) if left is not entry.tree else entry
    if changed:
        mine = Entry(
            writer.manager, "Update", resource.api_version, writer.subresource, now, changed
        )
        before = after.get(mine.key)
        if before is not None:
            mine = replace(mine, tree=join_trees(before.tree, changed))
        after[mine.key] = mine
    return after


def _pruned(schema: Schema, body: Body, last: Tree, owned: Sequence[Tree]) -> Body:
    """Return the body without what was in `last` and is in none of `owned`."""
    kept: Tree = {}
    for tree in owned:
        kept = join_trees(kept, tree)
    if not subtract_trees(last, kept):
        return body
    last, asked, kept = named_members(schema, last), kept, named_members(schema, kept)
    everything = named_members(schema, to_tree(schema, body))
    pruned = remove(schema, body, last) or {}
    left = named_members(schema, to_tree(schema, pruned))
    unwanted = subtract_trees(everything, join_trees(left, kept))
    pruned = remove(schema, body, unwanted, asked) or {}
    # Taking a list item or map away took what was in it. What this manager never stated there
    # (and nobody tracks) stays.
    left = named_members(schema, to_tree(schema, pruned))
    dropped = intersect_trees(subtract_trees(everything, left), last)
    result: Body = remove(schema, body, dropped, asked) or {}
    return result


def _may_migrate(run: _Apply, found: _Conflicts) -> bool:
    """Whether kubectl may take the fields over that it had applied itself, client-side."""
    text = _annotation(run.live)
    if run.writer.manager != "kubectl" or not text:
        return False
    try:
        applied = json.loads(text)
        schema = run.resource.schema
        tree = to_tree(schema, applied)
        differs, missing = compare(schema, run.live, applied)
    except (ValueError, AttributeError, TypeError, RecursionError):
        return False  # An annotation is anybody's text.
    for other in (differs, missing):
        tree = subtract_trees(tree, other)
    found.found = [
        (entry, left) for entry, both in found.found if (left := subtract_trees(both, tree))
    ]
    return not found.found


def _annotation(body: Mapping[str, Any] | None) -> str:
    annotations = ((body or {}).get("metadata") or {}).get("annotations") or {}
    text = annotations.get(LAST_APPLIED, "")
    return text if isinstance(text, str) else ""


def _with_annotation(body: Body, config: Mapping[str, Any]) -> Body:
    """Keep what client-side apply remembers in step with what was applied, if it has room."""
    metadata = dict(config.get("metadata") or {})
    metadata.pop("managedFields", None)
    if LAST_APPLIED in (metadata.get("annotations") or {}):
        metadata["annotations"] = {
            name: text for name, text in metadata["annotations"].items() if name != LAST_APPLIED
        }
    text = json.dumps({**config, "metadata": metadata}, sort_keys=True, separators=(",", ":"))
    annotations = {**body["metadata"]["annotations"], LAST_APPLIED: text + "\n"}
    if sum(len(key) + len(value) for key, value in annotations.items()) > ANNOTATIONS_BYTES_MAX:
        del annotations[LAST_APPLIED]
    return {**body, "metadata": {**body["metadata"], "annotations": annotations}}
