"""What is refused of built-in kinds, field by field, in Kubernetes' words; and ratcheting."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from crdtstate.kube.causes import CAUSES_MAX, Cause, invalid_error, required
from crdtstate.kube.statuses import status_body
from crdtstate.kube.validation import validate
from tests.crdtstate.kube.kinds_for_tests import kind, with_schema

HERE = Path(__file__).parent
VALID = yaml.safe_load((HERE / "valid_objects.yaml").read_text())
CASES = [
    pytest.param(name.removesuffix("s") if name == "Deployments" else name, case,
                 id=f"{name}-{i}-{next(iter({**case.get('set', {}), **case.get('update', {})}))}")
    for name, cases in yaml.safe_load((HERE / "validation_cases.yaml").read_text()).items()
    for i, case in enumerate(cases)
]  # fmt: skip
Body = dict[str, Any]


def changed(body: Body, changes: dict[str, Any]) -> Body:
    result = deepcopy(body)
    for path, value in changes.items():
        node: Any = result
        *above, last = path.split(".") if not path.startswith("metadata.labels.") else [path]
        for name in above:
            node = node[int(name)] if isinstance(node, list) else node.setdefault(name, {})
        if value is None:
            node.pop(last, None)
        else:
            node[last] = value
    return result


def as_dict(found: list[Cause]) -> dict[str, str]:
    return {cause.field: cause.message for cause in found}


@pytest.mark.parametrize("name", VALID)
def test_the_objects_that_the_cases_start_from_are_valid(name: str) -> None:
    assert validate(kind(name), VALID[name], None) == []
    assert validate(kind(name), VALID[name], deepcopy(VALID[name])) == []


@pytest.mark.parametrize(("name", "case"), CASES)
def test_case(name: str, case: dict[str, Any]) -> None:
    stored = changed(VALID[name], case.get("stored", {}))
    if "update" in case:
        found = validate(kind(name), changed(stored, case["update"]), stored)
    else:
        found = validate(kind(name), changed(stored, case["set"]), None)
    messages = as_dict(found)
    assert messages.keys() == case["faults"].keys(), messages
    for field, beginning in case["faults"].items():
        assert messages[field].startswith(beginning), messages[field]


def test_annotations_are_bounded_together() -> None:
    body = changed(VALID["ConfigMap"], {"metadata.annotations": {"a": "x" * 262_144}})
    assert as_dict(validate(kind("ConfigMap"), body, None)) == {
        "metadata.annotations": "Too long: may not be more than 262144 bytes"
    }


def test_a_config_map_is_bounded() -> None:
    body = changed(VALID["ConfigMap"], {"data.k": "x" * (1024 * 1024 + 1)})
    [cause] = validate(kind("ConfigMap"), body, None)
    assert cause.reason == "FieldValueTooLong"


BROKEN = {"spec.replicas": -1, "spec.template.spec.containers.0.image": None}


def test_a_fault_that_was_there_before_does_not_block_an_update() -> None:
    """A join may break a rule that spans fields: the object stays writable."""
    deployment = kind("Deployment")
    stored = changed(VALID["Deployment"], BROKEN)
    assert len(validate(deployment, stored, None)) == 2
    assert validate(deployment, changed(stored, {"metadata.labels": {"x": "y"}}), stored) == []
    assert validate(deployment, changed(stored, {"spec.minReadySeconds": 5}), stored) == []
    again = changed(stored, {"spec.minReadySeconds": -5})
    assert as_dict(validate(deployment, again, stored)).keys() == {"spec.minReadySeconds"}
    worse = changed(stored, {"spec.replicas": -2})
    assert as_dict(validate(deployment, worse, stored)).keys() == {"spec.replicas"}


CUSTOM_CASES = yaml.safe_load((HERE / "custom_cases.yaml").read_text())
CUSTOM = with_schema({"type": "object", "properties": {"spec": CUSTOM_CASES["schema"]}})


def custom(spec: Any) -> Body:
    return {"metadata": {"name": "a", "namespace": "d"}, "spec": spec}


@pytest.mark.parametrize("case", CUSTOM_CASES["cases"], ids=lambda case: str(case["spec"]))
def test_a_custom_object_is_checked_by_its_schema(case: dict[str, Any]) -> None:
    messages = as_dict(validate(CUSTOM, custom(case["spec"]), None))
    assert messages.keys() == case["faults"].keys(), messages
    for field, beginning in case["faults"].items():
        assert messages[field].startswith(beginning), messages[field]


def test_an_unchanged_item_of_a_keyed_list_is_not_looked_at_again() -> None:
    old = custom({"size": 1, "list": [{"name": "a", "n": -1}]})
    new = custom({"size": 1, "list": [{"name": "b", "n": 2}, {"name": "a", "n": -1}]})
    assert validate(CUSTOM, new, old) == []
    new["spec"]["list"][0]["n"] = -2
    assert as_dict(validate(CUSTOM, new, old)).keys() == {"spec.list[0].n"}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.floats(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below),
    max_leaves=5,
)


@given(name=st.sampled_from(sorted(VALID)), data=st.data())
def test_whatever_is_sent_is_answered(name: str, data: st.DataObject) -> None:
    """One place of a valid object becomes anything: causes or none, never an exception."""
    body = deepcopy(VALID[name])
    node: Any = body
    while True:
        steps = list(node) if isinstance(node, dict) else list(range(len(node)))
        step = data.draw(st.sampled_from(steps))
        inner = node[step]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            node[step] = data.draw(ANYTHING)
            break
        node = inner
    for old in (None, VALID[name]):
        for cause in validate(kind(name), body, old):
            assert cause.message
            assert cause.reason.startswith("FieldValue")


def test_a_refusal_reads_as_kubernetes_words_it() -> None:
    one = status_body(invalid_error(kind("Deployment"), "a", [required("spec.x")]))
    assert one["message"] == 'Deployment.apps "a" is invalid: spec.x: Required value'
    assert one["code"] == 422
    assert one["details"] == {
        "name": "a", "group": "apps", "kind": "Deployment",
        "causes": [
            {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.x"}
        ],
    }  # fmt: skip
    many = [required(f"f{i}") for i in range(CAUSES_MAX + 5)]
    refused = invalid_error(kind("Pod"), "a", many)
    assert refused.message.startswith('Pod "a" is invalid: [f0: Required value, ')
    assert refused.message.endswith(", and 5 more]")
    assert len(refused.causes) == CAUSES_MAX
