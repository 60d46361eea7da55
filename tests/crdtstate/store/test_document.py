"""Documents as paths and back, merge patches, keyed lists, meetings of different kinds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstate.crdt.codec import encode_value
from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.crdt.record import Record
from crdtstate.errors import TooLargeError
from crdtstate.store.document import display_path, flatten, item_names, merge_patch, unflatten

scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    | st.lists(
        st.dictionaries(st.sampled_from("abc"), inner, max_size=2), max_size=3
    ).map(lambda items: [{**item, "name": str(n)} for n, item in enumerate(items)]),
    max_leaves=15,
)  # fmt: skip
documents = st.dictionaries(st.text(max_size=3), values, max_size=4)


def record_of(document: dict[str, Any], seq: int = 1) -> Record:
    return {
        path: {(1 << 63, seq): (seq, encode_value(leaf))}
        for path, leaf in flatten(document, 64).items()
    }


def test_a_value_and_a_field_below_it_of_one_write_show_the_value() -> None:
    """No correct peer writes both; all show the same."""
    dot = (ORIGIN_MIN, 1)
    record: Record = {
        (".a",): {dot: (5, encode_value("x"))}, (".a", ".b"): {dot: (5, encode_value(1))},
    }  # fmt: skip
    assert unflatten(record) == {"a": "x"}
    record[".a", ".b"] = {(ORIGIN_MIN, 2): (5, encode_value(1))}
    assert unflatten(record) == {"a": {"b": 1}}


@given(documents)
def test_unflattening_undoes_flattening(document: dict[str, Any]) -> None:
    """DOC-1"""
    assert unflatten(record_of(document)) == document


@given(documents, st.randoms(use_true_random=False))
def test_what_is_shown_does_not_depend_on_the_order_of_cells(document: Any, rng: Any) -> None:
    """DOC-2"""
    record = {**record_of({"a": 1, "b": {"c": 2}}), **record_of(document, 2)}
    items = list(record.items())
    rng.shuffle(items)
    assert unflatten(dict(items)) == unflatten(record)


def test_a_document_that_is_too_deep_is_refused_by_its_depth() -> None:
    deep: Any = 1
    for _ in range(65):
        deep = {"a": deep}
    with pytest.raises(TooLargeError) as caught:
        flatten(deep, 64)
    assert caught.value.code == "path_too_deep"
    assert "path_depth_max=64" in caught.value.message
    assert caught.value.data == {"limit": 64, "value": 65}


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ([{"name": "a"}, {"name": "b", "x": 1}], ["a", "b"]),
        ([{"name": "a"}, {"name": "a"}], None),
        ([{"name": "a"}, {}], None),
        ([{"name": 1}], None),
        ([1, 2], None),
        ([], None),
        ("name", None),
    ],
)
def test_a_list_is_joined_by_name_when_every_item_has_one(value: Any, names: Any) -> None:
    assert item_names(value) == names


def test_items_that_met_are_shown_in_the_order_that_was_written_and_the_rest_after() -> None:
    ours = record_of({"l": [{"name": "b", "v": 1}, {"name": "a", "v": 2}]})
    theirs = {
        p: c for p, c in record_of({"l": [{"name": "z", "v": 3}]}, 0).items() if p not in ours
    }
    assert [item["name"] for item in unflatten(ours | theirs)["l"]] == ["b", "a", "z"]


def test_where_a_number_met_an_object_the_newest_write_is_shown() -> None:
    number, nested = record_of({"x": 1}, 1), record_of({"x": {"y": 2}}, 2)
    assert unflatten(number | nested) == {"x": {"y": 2}}
    number, nested = record_of({"x": 1}, 3), record_of({"x": {"y": 2}}, 2)
    assert unflatten(number | nested) == {"x": 1}


# RFC 7396, appendix A; documents that are no objects are left out, since a record is one.
@pytest.mark.parametrize(
    ("original", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_of_the_standard(original: Any, patch: Any, result: Any) -> None:
    assert merge_patch(original, patch) == result


def test_paths_are_shown_as_json_pointers() -> None:
    assert display_path((".spec", "#web", ".a/b~c")) == "/spec/web/a~1b~0c"


def test_items_without_an_order_are_shown_by_name() -> None:
    dots = {name: {(ORIGIN_MIN, n): (n, encode_value(n))} for n, name in enumerate("ba", 1)}
    record: Record = {(".l", f"#{name}", ".x"): cell for name, cell in dots.items()}
    assert unflatten(record) == {"l": [{"x": 2}, {"x": 1}]}
    for order in ("text", None, 3):
        record[".l", "@order"] = {(ORIGIN_MIN, 9): (9, encode_value(order))}
        assert unflatten(record) == {"l": [{"x": 2}, {"x": 1}]}
    record[".l", "@order"] = {(ORIGIN_MIN, 9): (9, encode_value(["gone", "b", 7]))}
    assert unflatten(record) == {"l": [{"x": 1}, {"x": 2}]}


def test_what_is_hidden_and_the_life_are_no_part_of_a_document() -> None:
    cell = {(ORIGIN_MIN, 1): (1, encode_value(1))}
    assert unflatten({(): cell, ("@applied", "me"): cell, (".x",): cell}) == {"x": 1}
    assert unflatten({}) == {}


def test_a_document_that_is_no_object_is_shown_as_an_empty_one() -> None:
    cell = {(ORIGIN_MIN, 1): (1, encode_value(1))}
    assert unflatten({("#a", ".x"): cell}) == {}
