"""Sets of fields against plain sets of paths."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstate.kube.fieldset import FieldSet, item_key
from crdtstate.kube.schema import Schema

ELEMENTS = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"s"'])
PATHS = st.lists(ELEMENTS, min_size=1, max_size=4).map(tuple)
SETS = st.frozensets(PATHS, max_size=12)


def tree_of(paths: frozenset[tuple[str, ...]]) -> FieldSet:
    root: dict[str, Any] = {}
    for path in paths:
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return FieldSet.from_v1(root)


def paths_of(fields: FieldSet) -> frozenset[tuple[str, ...]]:
    return frozenset(fields.members())


@given(SETS, SETS)
def test_operations_are_those_of_sets_of_paths(
    a: frozenset[tuple[str, ...]], b: frozenset[tuple[str, ...]]
) -> None:
    """FLD-1."""
    left, right = tree_of(a), tree_of(b)
    assert paths_of(left) == a
    assert paths_of(left.union(right)) == a | b
    assert paths_of(left.minus(right)) == a - b
    assert paths_of(left.intersection(right)) == a & b
    assert left.intersects(right) is bool(a & b)
    assert all(left.union(right).has(path) for path in a | b)
    assert left.union(right) == right.union(left)
    assert (left == right) is (a == b)
    assert bool(left) is bool(a)
    assert not left.minus(left)


@given(SETS)
def test_the_wire_form_is_canonical(a: frozenset[tuple[str, ...]]) -> None:
    """FLD-2."""
    fields = tree_of(a)
    again = FieldSet.from_v1(json.loads(json.dumps(fields.to_v1())))
    assert again == fields
    assert json.dumps(again.to_v1()) == json.dumps(fields.to_v1())


def test_keys_are_read_whatever_their_spacing_and_order() -> None:
    loose = FieldSet.from_v1({"f:p": {'k:{"protocol": "TCP", "port":80}': {".": {}}}})
    assert loose.to_v1() == {"f:p": {'k:{"port":80,"protocol":"TCP"}': {}}}
    assert loose.paths() == ['.p[port=80,protocol="TCP"]']


def test_paths_read_as_conflicts_print_them() -> None:
    fields = FieldSet.from_v1(
        {"f:a": {".": {}, "f:b": {}}, "f:s": {'v:"x"': {}, "v:1": {}}, "f:l": {"i:0": {}}}
    )
    assert fields.paths() == [".a", ".a.b", '.s[="x"]', ".s[=1]", ".l[0]"]


@pytest.mark.parametrize(
    "fields",
    [
        [],
        {"f:a": 1},
        {"x:a": {}},
        {"a": {}},
        {"k:[1]": {}},
        {"k:{": {}},
        {"f:a": {f"f:{i}": {} for i in range(100_001)}},
    ],
    ids=lambda f: str(f)[:20],
)
def test_what_is_no_set_is_refused(fields: Any) -> None:
    with pytest.raises(ValueError, match=r"fieldsV1|Expecting"):
        FieldSet.from_v1(fields)


def test_nesting_is_bounded() -> None:
    tree: dict[str, Any] = {}
    for _ in range(70):
        tree = {"f:a": tree}
    with pytest.raises(ValueError, match="64"):
        FieldSet.from_v1(tree)


PORTS = Schema(
    "array",
    list_type="map",
    list_keys=("port", "protocol"),
    items=Schema(
        "object",
        properties={
            "port": Schema("scalar"),
            "protocol": Schema("scalar", has_default=True, default="TCP"),
        },
    ),
)


@pytest.mark.parametrize(
    ("item", "key"),
    [
        ({"port": 80}, 'k:{"port":80,"protocol":"TCP"}'),
        ({"port": 80, "protocol": "UDP", "x": 1}, 'k:{"port":80,"protocol":"UDP"}'),
        ({"protocol": "TCP"}, None),
        ({"port": {}}, None),
        ({"port": True}, 'k:{"port":true,"protocol":"TCP"}'),
        (5, None),
    ],
)
def test_items_are_keyed_with_the_defaults_of_their_keys(item: Any, key: str | None) -> None:
    assert item_key(PORTS, item) == key


def test_members_of_a_set_are_their_own_keys() -> None:
    names = Schema("array", list_type="set", items=Schema("scalar"))
    assert item_key(names, "é") == 'v:"é"'
    assert item_key(names, 1) == "v:1"
