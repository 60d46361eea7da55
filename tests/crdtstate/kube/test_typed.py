"""Comparing, merging and removing by schema, against their definitions."""

from copy import deepcopy
from typing import Any

from hypothesis import given

from crdtstate.kube.fieldset import FieldSet
from crdtstate.kube.typed import (
    compare,
    merge,
    named_members,
    remove,
    same,
    shape_faults,
    to_tree,
    without_atomic_insides,
)
from tests.crdtstate.kube.bodies import MISSING, bodies, value_at
from tests.crdtstate.kube.kinds_for_tests import kind, sample

SCHEMA = sample().schema
Body = dict[str, Any]


def members(tree: dict[str, Any]) -> set[tuple[str, ...]]:
    return set(FieldSet(tree).members())


def differs(old: Any, new: Any) -> bool:
    return old is MISSING or new is MISSING or not same(old, new)


@given(bodies())
def test_nothing_differs_from_itself(body: Body) -> None:
    """TYP-1."""
    assert compare(SCHEMA, body, deepcopy(body)) == ({}, {})


@given(bodies(), bodies())
def test_every_difference_is_found_and_nothing_else(old: Body, new: Body) -> None:
    """TYP-1: a path of either side is named if and only if it differs and is no mere container."""
    changed, removed = (members(tree) for tree in compare(SCHEMA, old, new))
    before, after = (members(compare(SCHEMA, {}, body)[0]) for body in (old, new))
    for path in changed:
        assert path in after
        assert differs(value_at(SCHEMA, old, path), value_at(SCHEMA, new, path))
    for path in removed:
        assert path in before
        assert path not in after
    assert after - before <= changed
    assert before - after <= removed
    for path in before & after:
        mine, theirs = value_at(SCHEMA, old, path), value_at(SCHEMA, new, path)
        if differs(mine, theirs) and not isinstance(mine, dict | list):
            assert path in changed


@given(bodies(), bodies())
def test_merging_says_all_that_the_configuration_says(live: Body, config: Body) -> None:
    """TYP-2."""
    before = deepcopy((live, config))
    merged = merge(SCHEMA, live, config)
    assert (live, config) == before
    assert merge(SCHEMA, merged, config) == merged
    for path in members(to_tree(SCHEMA, config)):
        wanted, found = value_at(SCHEMA, config, path), value_at(SCHEMA, merged, path)
        assert found is not MISSING
        if wanted and not isinstance(wanted, dict | list):
            assert same(wanted, found)
    # And what it does not say stays.
    changed, removed = compare(SCHEMA, live, merged)
    assert members(changed) <= members(compare(SCHEMA, {}, config)[0])
    assert not members(removed) or members(changed)


@given(bodies(), bodies())
def test_removing_takes_what_was_named_and_leaves_the_rest(body: Body, other: Body) -> None:
    tree = to_tree(SCHEMA, other)
    before = deepcopy(body)
    left = remove(SCHEMA, body, tree) or {}
    assert body == before
    for path in members(tree):
        assert value_at(SCHEMA, left, path) is MISSING
    for path in members(to_tree(SCHEMA, body)):
        if not any(path[: i + 1] in members(tree) for i in range(len(path))):
            assert same(value_at(SCHEMA, left, path), value_at(SCHEMA, body, path)) or isinstance(
                value_at(SCHEMA, body, path), dict | list
            )


@given(bodies())
def test_what_is_merged_into_nothing_is_the_configuration(config: Body) -> None:
    assert merge(SCHEMA, {}, config) == config
    assert not shape_faults(SCHEMA, config)
    assert members(to_tree(SCHEMA, config)) <= members(compare(SCHEMA, {}, config)[0])


def test_declared_fields_on_the_way_become_members() -> None:
    tree = named_members(SCHEMA, {"f:sub": {"f:deep": {"f:c": {}}}, "f:map": {"f:x": {}}})
    assert members(tree) == {
        ("f:sub",), ("f:sub", "f:deep"), ("f:sub", "f:deep", "f:c"), ("f:map",), ("f:map", "f:x"),
    }  # fmt: skip


def test_ownership_inside_what_became_atomic_stands_for_the_whole() -> None:
    schema = kind("Deployment").schema
    tree = {"f:spec": {"f:replicas": {}, "f:strategy": {"f:type": {}}}}
    assert without_atomic_insides(schema, tree) == {"f:spec": {"f:replicas": {}, "f:strategy": {}}}
