"""Pruning: unknown fields go and are named; nulls of built-in kinds mean absent."""

from typing import Any

from crdtstate.kube.builtin import builtin_resources
from crdtstate.kube.crd_schema import structural_schema
from crdtstate.kube.pruning import UNKNOWN_MAX, prune
from crdtstate.kube.schema import ANY, Schema

DEPLOYMENT = next(r for r in builtin_resources() if r.kind == "Deployment")
CONFIG_MAP = next(r for r in builtin_resources() if r.kind == "ConfigMap")


def test_unknown_fields_go_and_are_named_by_path() -> None:
    body: dict[str, Any] = {
        "kind": "Deployment",
        "metadata": {"name": "a", "labls": {}},
        "spec": {
            "replica": 1,
            "template": {"spec": {"containers": [{"name": "x", "imagee": "y"}]}},
        },
    }
    pruned, unknown = prune(DEPLOYMENT.schema, body)
    assert sorted(unknown) == [
        "metadata.labls", "spec.replica", "spec.template.spec.containers[0].imagee",
    ]  # fmt: skip
    assert pruned["spec"] == {"template": {"spec": {"containers": [{"name": "x"}]}}}
    assert body["spec"]["replica"] == 1


def test_what_needs_no_pruning_is_shared() -> None:
    body: dict[str, Any] = {"metadata": {"name": "a"}, "data": {"x": "1"}}
    pruned, unknown = prune(CONFIG_MAP.schema, body)
    assert pruned is body
    assert not unknown


def test_null_is_absent_in_built_in_kinds_and_empty_in_a_map_of_strings() -> None:
    body = {"metadata": {"name": "a", "creationTimestamp": None}, "data": {"x": None}}
    assert prune(CONFIG_MAP.schema, body) == ({"metadata": {"name": "a"}, "data": {"x": ""}}, [])


def test_null_of_a_custom_kind_stays_where_it_may_be() -> None:
    """Elsewhere it goes before defaults come: a null asks for the default."""
    schema = structural_schema(
        {
            "type": "object",
            "properties": {
                "a": {"type": "string"},
                "b": {"type": "string", "nullable": True},
                "c": {"x-kubernetes-preserve-unknown-fields": True},
                "d": {"type": "object", "additionalProperties": {"type": "string"}},
                "e": {"type": "string", "default": "x"},
            },
        }
    )
    body = {"a": None, "b": None, "c": None, "d": {"k": None}, "e": None}
    assert prune(schema, body) == ({"b": None, "c": None, "d": {}}, [])


def test_below_preserve_unknown_everything_stays() -> None:
    schema = Schema(
        "object",
        properties={"known": Schema("object", properties={"a": ANY})},
        preserve_unknown=True,
    )
    body = {"other": {"x": [1]}, "known": {"a": {"deep": None}, "b": 2}}
    pruned, unknown = prune(schema, body)
    assert pruned == {"other": {"x": [1]}, "known": {"a": {"deep": None}}}
    assert unknown == ["known.b"]


def test_the_list_of_unknown_fields_is_bounded() -> None:
    body = {f"f{i}": i for i in range(UNKNOWN_MAX + 50)}
    pruned, unknown = prune(Schema("object"), body)
    assert pruned == {}
    assert len(unknown) == UNKNOWN_MAX
