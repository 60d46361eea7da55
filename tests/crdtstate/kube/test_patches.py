"""JSON patch and JSON merge patch."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstate.kube.patches import OPERATIONS_MAX, json_patch, merge_patch
from crdtstate.kube.statuses import StatusError

BODY: dict[str, Any] = {"a": {"b": [1, 2]}, "m": {"resourceVersion": "7"}}


def test_operations_are_applied_in_order_to_a_copy() -> None:
    before = deepcopy(BODY)
    operations = [
        {"op": "test", "path": "/m/resourceVersion", "value": "7"},
        {"op": "add", "path": "/a/b/-", "value": 3},
        {"op": "remove", "path": "/a/b/0"},
        {"op": "add", "path": "/a/c~1d", "value": None},
        {"op": "copy", "from": "/a/b", "path": "/x"},
        {"op": "move", "from": "/m", "path": "/n"},
        {"op": "replace", "path": "/x/0", "value": "y"},
    ]
    assert json_patch(BODY, operations) == {
        "a": {"b": [2, 3], "c/d": None}, "x": ["y", 3], "n": {"resourceVersion": "7"},
    }  # fmt: skip
    assert before == BODY


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/m/resourceVersion", "value": "8"},
        {"op": "test", "path": "/q", "value": 1},
        {"op": "remove", "path": "/q"},
        {"op": "replace", "path": "/a/q", "value": 1},
        {"op": "add", "path": "/x/y", "value": 1},
        {"op": "add", "path": "/a/b/9", "value": 1},
        {"op": "add", "path": "/a/b/x", "value": 1},
        {"op": "move", "from": "/a", "path": "/a/b/0"},
        {"op": "replace", "path": "", "value": []},
    ],
    ids=json.dumps,
)
def test_what_does_not_fit_the_object_is_422(operation: dict[str, Any]) -> None:
    """A failed test above all: clients that retry look for this code."""
    with pytest.raises(StatusError) as refused:
        json_patch(BODY, [operation])
    assert (refused.value.reason, refused.value.status) == ("Invalid", 422)


@pytest.mark.parametrize(
    "operations",
    [
        {"op": "add"}, ["x"], [{"op": "add"}], [{"op": "zap", "path": "/a"}],
        [{"op": "add", "path": 5, "value": 1}], [{"op": ["add"], "path": "/a"}],
        [{"op": "add", "path": "/a"}], [{"op": "copy", "path": "/a"}],
        [{"op": "copy", "path": "/a", "from": 5}],
    ],
    ids=json.dumps,
)  # fmt: skip
def test_what_is_no_json_patch_is_400(operations: Any) -> None:
    with pytest.raises(StatusError) as refused:
        json_patch(BODY, operations)
    assert refused.value.reason == "BadRequest"


def test_a_patch_is_bounded_in_operations_and_in_what_it_copies() -> None:
    operation = {"op": "test", "path": "/a/b/0", "value": 1}
    with pytest.raises(StatusError) as refused:
        json_patch(BODY, [operation] * (OPERATIONS_MAX + 1))
    assert refused.value.status == 413
    bomb = [{"op": "add", "path": "/x", "value": {"y": "z" * 1000}}] + [
        {"op": "copy", "from": "/x", "path": f"/x/k{i}"} for i in range(40)
    ]
    with pytest.raises(StatusError) as copied:
        json_patch(BODY, bomb)
    assert copied.value.status == 413


def test_merge_patch_reads_as_its_rfc() -> None:
    """The table of RFC 7386, appendix A."""
    for body, patch, result in [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ]:
        assert merge_patch(body, patch) == result


JSON = st.recursive(
    st.none() | st.integers(0, 3) | st.text(max_size=2),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(st.sampled_from("abc"), below),
    max_leaves=8,
)
MAPS = st.dictionaries(st.sampled_from("abc"), JSON)


@given(MAPS, MAPS)
def test_a_merge_patch_twice_is_as_once_and_leaves_its_arguments(body: Any, patch: Any) -> None:
    before = deepcopy((body, patch))
    once = merge_patch(body, patch)
    assert merge_patch(once, patch) == once
    assert (body, patch) == before
