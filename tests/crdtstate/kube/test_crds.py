"""CustomResourceDefinitions: their kinds, names, status, and what makes a schema structural."""

from copy import deepcopy
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import yaml

from crdtstate.kube.crd_schema import preserving, structural_schema
from crdtstate.kube.crds import JOIN_ANNOTATION, crd_status, name_conflicts, resources_of
from crdtstate.kube.pruning import prune
from crdtstate.kube.structural import structural_causes
from crdtstate.kube.validation import validate
from tests.crdtstate.kube.kinds_for_tests import kind

HERE = Path(__file__).parent
CASES = yaml.safe_load((HERE / "structural_cases.yaml").read_text())
CRD = yaml.safe_load((HERE / "valid_objects.yaml").read_text())["CustomResourceDefinition"]
Body = dict[str, Any]


def crd(
    plural: str = "things", kind: str = "Thing", since: str = "2026-01-01T00:00:00Z", **names: Any
) -> Body:
    body = deepcopy(CRD)
    body["metadata"] = {"name": f"{plural}.test.dev", "creationTimestamp": since}
    body["spec"]["names"] = {"plural": plural, "kind": kind, **names}
    return body  # type: ignore[no-any-return]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(next(iter(case["faults"]), "fine")))
def test_structural_case(case: Body) -> None:
    found = {c.field: c.message for c in structural_causes(case["schema"], "s")}
    wanted = {f"s.{field}": text for field, text in case["faults"].items()}
    assert found.keys() == wanted.keys(), found
    for field, beginning in wanted.items():
        assert found[field].startswith(beginning), found[field]


def test_a_schema_is_bounded_in_depth() -> None:
    schema: Body = {"type": "string"}
    for _ in range(70):
        schema = {"type": "object", "properties": {"a": schema}}
    assert any("nested over 64" in c.message for c in structural_causes(schema, "s"))


def test_a_definition_brings_a_resource_a_version() -> None:
    body = crd(shortNames=["th"], categories=["all"])
    body["metadata"]["annotations"] = {JOIN_ANNOTATION: "whole"}
    first = body["spec"]["versions"][0]
    first |= {
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"},
        },
        "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
        "selectableFields": [{"jsonPath": ".spec.size"}],
    }
    old = {**first, "name": "v1beta1", "storage": False, "served": False, "deprecated": True}
    body["spec"]["versions"].append(old)
    v1, beta = resources_of(body)
    assert (v1.api_version, v1.kind, v1.plural, v1.singular) == (
        "test.dev/v1", "Thing", "things", "thing",
    )  # fmt: skip
    assert (v1.short_names, v1.categories, v1.subresources) == (
        ("th",), ("all",), ("status", "scale"),
    )  # fmt: skip
    assert v1.scale["specReplicasPath"] == ".spec.size"
    assert (v1.selectable, v1.columns[0]["name"]) == (("spec.size",), "Size")
    assert v1.custom
    assert v1.served
    assert v1.has_generation
    assert v1.policy == "whole"
    assert v1.deprecation == ""
    assert (beta.served, beta.deprecation) == (False, "test.dev/v1beta1 Thing is deprecated")
    assert v1.stored_as == beta.stored_as == "test.dev/things"


@pytest.mark.parametrize("broken", [{}, {"spec": {}}, {"spec": {"group": "g", "names": {}}}])
def test_of_a_malformed_definition_nothing_comes(broken: Body) -> None:
    """Such a one may have been joined from two: peers must not stumble over it."""
    assert resources_of(broken) == []


def test_a_schema_has_metadata_whatever_it_says() -> None:
    schema = structural_schema({"type": "object", "properties": {"metadata": {"type": "object"}}})
    body = {"kind": "X", "metadata": {"name": "a", "labels": {"x": "y"}, "zap": 1}, "spec": 1}
    pruned, unknown = prune(schema, body)
    assert pruned == {"kind": "X", "metadata": {"name": "a", "labels": {"x": "y"}}}
    assert sorted(unknown) == ["metadata.zap", "spec"]
    pruned, unknown = prune(preserving(), body)
    assert unknown == ["metadata.zap"]
    assert pruned["spec"] == 1


def test_conditions_of_a_status_travel_whole() -> None:
    conditions = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {"type": "object", "properties": {"type": {"type": "string"}}},
    }
    inner = {"type": "object", "properties": {"conditions": conditions}}
    schema = structural_schema({"type": "object", "properties": {"status": inner, "spec": inner}})
    for name, wanted in (("status", "atomic"), ("spec", "granular")):
        items = schema.properties[name].properties["conditions"].items
        assert items is not None
        assert items.map_type == wanted


def test_names_go_to_the_older_whatever_the_order_of_hearing() -> None:
    """CRD-1."""
    older = crd("things", "Thing", "2026-01-01T00:00:00Z", shortNames=["th"])
    same_kind = crd("items", "Thing", "2026-01-02T00:00:00Z")
    same_short = crd("thoughts", "Thought", "2026-01-03T00:00:00Z", shortNames=["th"])
    unrelated = crd("others", "Other", "2026-01-04T00:00:00Z")
    for order in permutations([older, same_kind, same_short, unrelated]):
        assert name_conflicts(order) == {
            "items.test.dev": '"thing" is already in use by things.test.dev',
            "thoughts.test.dev": '"th" is already in use by things.test.dev',
        }


def test_the_names_of_built_in_kinds_are_taken() -> None:
    body = crd("deployments", "Deployment")
    body["spec"]["group"] = "apps"
    assert list(name_conflicts([body])) == ["deployments.test.dev"]


def test_the_status_says_whether_names_are_accepted() -> None:
    body = crd(since="2026-01-01T00:00:00Z")
    status = crd_status(body)
    states = {each["type"]: each["status"] for each in status["conditions"]}
    assert states == {"NamesAccepted": "True", "Established": "True"}
    assert all(
        each["lastTransitionTime"] == "2026-01-01T00:00:00Z" for each in status["conditions"]
    )
    assert status["acceptedNames"] == {
        "plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList",
    }  # fmt: skip
    assert status["storedVersions"] == ["v1"]
    assert validate(kind("CustomResourceDefinition"), {**body, "status": status}, None) == []
    body["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    status = crd_status(body, "taken")
    states = {each["type"]: each["status"] for each in status["conditions"]}
    assert states == {"NamesAccepted": "False", "Established": "False", "Terminating": "True"}


def test_groups_of_kubernetes_are_protected() -> None:
    body = crd()
    body["metadata"]["name"] = "things.apps.k8s.io"
    body["spec"]["group"] = "apps.k8s.io"
    [cause] = validate(kind("CustomResourceDefinition"), body, None)
    assert cause.field == "metadata.annotations[api-approved.kubernetes.io]"


def test_two_served_versions_cannot_be_converted_by_a_webhook() -> None:
    body = crd()
    body["spec"]["conversion"] = {"strategy": "Webhook"}
    second = {**body["spec"]["versions"][0], "name": "v2", "storage": False}
    body["spec"]["versions"].append(second)
    [cause] = validate(kind("CustomResourceDefinition"), body, None)
    assert cause.field == "spec.conversion.strategy"
