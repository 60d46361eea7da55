"""Rules of CRDs: what they say, when they are asked, and what is refused of them."""

from typing import Any

import pytest

from crdtstate.kube.cel_rules import BODY_STEPS
from crdtstate.kube.resources import Resource
from crdtstate.kube.structural import structural_causes
from crdtstate.kube.validation import validate
from tests.crdtstate.kube.kinds_for_tests import with_schema

Body = dict[str, Any]
FIELDS: Body = {
    "min": {"type": "integer"},
    "max": {"type": "integer"},
    "name": {"type": "string"},
    "half": {"type": "number"},
    "when": {"type": "string", "format": "date-time"},
    "a-b.c": {"type": "string"},
    "namespace": {"type": "string"},
    "free": {"type": "object", "additionalProperties": {"type": "string"}},
    "list": {"type": "array", "items": {"type": "string"}},
}


def kind_of(*rules: Body, fields: Body = FIELDS) -> Resource:
    spec = {"type": "object", "properties": fields, "x-kubernetes-validations": list(rules)}
    return with_schema({"type": "object", "properties": {"spec": spec}})


def body(**spec: Any) -> Body:
    return {"metadata": {"name": "a", "namespace": "d"}, "spec": spec}


def faults(resource: Resource, new: Body, old: Body | None = None) -> list[tuple[str, str, str]]:
    return [(c.reason, c.field, c.message) for c in validate(resource, new, old)]


def test_a_broken_rule_is_a_fault_of_its_node() -> None:
    kind = kind_of({"rule": "self.min <= self.max", "message": "min is over max"})
    assert faults(kind, body(min=1, max=2)) == []
    assert faults(kind, body(min=3, max=2)) == [
        ("FieldValueInvalid", "spec", 'Invalid value: "object": min is over max')
    ]


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({}, ("FieldValueInvalid", "spec", 'Invalid value: "object": failed rule: self.min == 0')),
        ({"reason": "FieldValueForbidden", "fieldPath": ".min", "message": "no"},
         ("FieldValueForbidden", "spec.min", "Forbidden: no")),
        ({"reason": "FieldValueRequired", "fieldPath": ".list[0]"},
         ("FieldValueRequired", "spec.list[0]", "Required value: failed rule: self.min == 0")),
        ({"reason": "FieldValueDuplicate"},
         ("FieldValueDuplicate", "spec", 'Duplicate value: "object"')),
        ({"messageExpression": "'min is ' + string(self.min)", "message": "no"},
         ("FieldValueInvalid", "spec", 'Invalid value: "object": min is 3')),
        ({"messageExpression": "string(self.max)", "message": "no"},
         ("FieldValueInvalid", "spec", 'Invalid value: "object": no')),
    ],
)  # fmt: skip
def test_a_rule_says_what_where_and_why(rule: Body, fault: tuple[str, str, str]) -> None:
    assert faults(kind_of({"rule": "self.min == 0", **rule}), body(min=3)) == [fault]


def test_a_rule_without_a_value_is_a_fault() -> None:
    kind = kind_of({"rule": "self.min > 0"}, {"rule": "self.name"})
    assert faults(kind, body(name="x")) == [
        ("FieldValueInvalid", "spec",
         'Invalid value: "object": no such key: min evaluating rule: self.min > 0'),
        ("FieldValueInvalid", "spec",
         'Invalid value: "object": no bool evaluating rule: self.name'),
    ]  # fmt: skip


def test_rules_see_fields_in_their_types_and_under_their_names() -> None:
    kind = kind_of(
        {"rule": "self.half == 2.0 && self.half / 4.0 == 0.5"},
        {"rule": "self.when.getFullYear() == 2026"},
        {"rule": "self.a__dash__b__dot__c == 'x' && self.__namespace__ == 'y'"},
        {"rule": "self.free.all(k, k == 'a-b' || k == 'for')"},
    )
    value = body(
        half=2, when="2026-01-01T00:00:00Z", namespace="y",
        **{"a-b.c": "x"}, free={"a-b": "1", "for": "2"},
    )  # fmt: skip
    assert faults(kind, value) == []


def test_the_root_sees_its_name() -> None:
    raw = {
        "type": "object",
        "x-kubernetes-validations": [{"rule": "self.metadata.name == 'a' && self.kind != ''"}],
    }
    value = {"kind": "Other", **body()}
    assert faults(with_schema(raw), value) == []


def test_a_transition_rule_is_asked_of_updates_only() -> None:
    kind = kind_of({"rule": "self.min >= oldSelf.min", "message": "min may not fall"})
    assert faults(kind, body(min=1)) == []
    assert faults(kind, body(min=2), body(min=1)) == []
    assert len(faults(kind, body(min=1), body(min=2))) == 1


def test_an_optional_old_value_is_asked_for_always() -> None:
    rule = {"rule": "self.min > oldSelf.optMap(o, o.min).orValue(0)", "optionalOldSelf": True}
    assert len(faults(kind_of(rule), body(min=0))) == 1
    assert faults(kind_of(rule), body(min=1)) == []
    assert len(faults(kind_of(rule), body(min=1), body(min=1))) == 1


def test_a_rule_of_an_unchanged_part_is_not_asked_again() -> None:
    kind = kind_of({"rule": "self.min == 0"}, {"rule": "oldSelf.min == 0"})
    broken = body(min=1)
    labelled = {**broken, "metadata": {**broken["metadata"], "labels": {"x": "y"}}}
    assert [message for *_, message in faults(kind, labelled, broken)] == [
        'Invalid value: "object": failed rule: oldSelf.min == 0'
    ]


ITEM = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
    "x-kubernetes-validations": [{"rule": "self.n >= oldSelf.n", "message": "n may not fall"}],
}
KEYED = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "items": ITEM,
}


def test_items_are_compared_with_the_item_of_their_key() -> None:
    kind = kind_of(fields={"keyed": KEYED})
    old = body(keyed=[{"name": "a", "n": 1}, {"name": "b", "n": 5}])
    new = body(keyed=[{"name": "b", "n": 4}, {"name": "c", "n": 0}, {"name": "a", "n": 2}])
    assert [field for _, field, _ in faults(kind, new, old)] == ["spec.keyed[0]"]


def test_rules_that_cost_too_much_are_stopped() -> None:
    slow = "self.list.all(x, self.list.all(y, self.list.all(z, x + y + z != 'none')))"
    kind = kind_of(*[{"rule": slow}] * 9)
    found = faults(kind, body(list=["x"] * 300))
    assert all("exceeds limit" in message for _, _, message in found[:-1])
    assert found[-1][2].startswith("Forbidden: validation failed due to running out of cost budget")
    assert len(found) <= 4
    assert BODY_STEPS < 1_000_000


def test_a_rule_that_cannot_be_read_is_a_fault_of_the_object() -> None:
    """A definition may be joined from two: what it says is checked again where it is used."""
    [(_, field, message)] = faults(kind_of({"rule": "self.("}), body())
    assert field == "spec"
    assert "cannot be compiled" in message


@pytest.mark.parametrize(
    ("rule", "field", "text"),
    [
        ({"rule": " "}, "rule", "Required value"),
        ({"rule": "self.("}, "rule", "compilation failed: Syntax error"),
        ({"rule": "self.nope == 1"}, "rule", "compilation failed: undefined field 'nope'"),
        ({"rule": "self.free.any == '1'"}, None, ""),
        ({"rule": "has(self.nope)"}, "rule", "undefined field 'nope'"),
        ({"rule": "self.?nope.hasValue()"}, "rule", "undefined field 'nope'"),
        ({"rule": "self.list.all(x, x.nope == 1)"}, None, ""),
        ({"rule": "other == 1"}, "rule", "undeclared reference to 'other'"),
        ({"rule": "nope(self)"}, "rule", "undeclared reference to 'nope'"),
        ({"rule": "true", "message": " "}, "message", "must be non-empty"),
        ({"rule": "true", "message": "a\nb"}, "message", "line breaks"),
        ({"rule": "true &&\ntrue"}, "message", "Required value: message must be specified"),
        ({"rule": "true", "messageExpression": "self.("}, "messageExpression", "Syntax error"),
        ({"rule": "true", "reason": "Mood"}, "reason", "Unsupported value"),
        ({"rule": "true", "fieldPath": "min"}, "fieldPath", "must be a valid path"),
        ({"rule": "self == oldSelf", "fieldPath": ".min"}, None, ""),
    ],
)
def test_rules_are_checked_when_the_definition_is_written(
    rule: Body, field: str | None, text: str
) -> None:
    spec = {"type": "object", "properties": FIELDS, "x-kubernetes-validations": [rule]}
    found = list(structural_causes({"type": "object", "properties": {"spec": spec}}, "s"))
    if field is None:
        assert found == []
    else:
        [cause] = found
        assert cause.field == f"s.properties[spec].x-kubernetes-validations[0].{field}"
        assert text in cause.message


def test_below_a_list_without_keys_nothing_is_compared() -> None:
    raw = {"type": "object", "properties": {"l": {"type": "array", "items": ITEM}}}
    [cause] = structural_causes(raw, "s")
    assert "uncorrelatable" in cause.message
    assert list(structural_causes({"type": "object", "properties": {"l": KEYED}}, "s")) == []


def test_fields_are_looked_up_through_lists_maps_and_variables() -> None:
    fields = {"keyed": KEYED, "free": {"type": "object", "additionalProperties": ITEM}}
    for rule, missing in [
        ("self.keyed.all(i, i.name != '')", None),
        ("self.keyed.all(i, i.nope != '')", "nope"),
        ("self.keyed[0].nope == 1", "nope"),
        ("self.free['x'].nope == 1", "nope"),
        ("self.free.all(k, self.free[k].nope == 1)", "nope"),
        ("self.free.all(k, v, v.nope == 1)", "nope"),
        ("self.keyed.filter(i, i.n > 0).all(i, i.nope == 1)", "nope"),
        ("cel.bind(k, self.keyed, k[0].nope == 1)", "nope"),
        ("self.?keyed.optMap(k, k[0].nope).orValue(1) == 1", "nope"),
        ("(self.keyed.size() > 0 ? self.keyed[0] : self.keyed[1]).nope == 1", "nope"),
    ]:
        spec = {
            "type": "object",
            "properties": fields,
            "x-kubernetes-validations": [{"rule": rule}],
        }
        found = list(structural_causes({"type": "object", "properties": {"spec": spec}}, "s"))
        assert bool(found) is bool(missing), rule
