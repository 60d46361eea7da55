"""OpenAPI documents: the places that clients look at, in v3, v2 and v2 as protobuf."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from crdtstate.kube import openapi
from crdtstate.kube.builtin import builtin_resources
from crdtstate.kube.resources import Registry, Resource
from crdtstate.kube.schema import Schema

GROUP = "demo.example.com"
RAW: dict[str, Any] = {
    "type": "object",
    "description": "A thing to test with.",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "maximum": 10},
                "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}]},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "note": {"type": "string", "nullable": True},
            },
        }
    },
}


def widgets(raw: dict[str, Any], version: str = "v1") -> Resource:
    return Resource(
        GROUP, version, "Widget", "widgets", "widget", True, Schema("object", raw=raw),
        subresources=("status", "scale"), custom=True,
    )  # fmt: skip


@pytest.fixture
def registry() -> Registry:
    found = Registry(builtin_resources())
    found.set_custom(f"widgets.{GROUP}", [widgets(RAW)])
    return found


def v3(registry: Registry, group: str, version: str) -> dict[str, Any]:
    return json.loads(b"".join(openapi.v3(registry, group, version)))


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_the_index_lists_every_group_and_version_with_a_hash(registry: Registry) -> None:
    paths = openapi.index_v3(registry)["paths"]

    assert {"api/v1", "apis/apps/v1", f"apis/{GROUP}/v1"} <= set(paths)
    assert "apis/authorization.k8s.io/v1" in paths
    for name, entry in paths.items():
        assert entry["serverRelativeURL"].startswith(f"/openapi/v3/{name}?hash=")


def test_the_hash_of_a_group_changes_when_its_schema_does_and_no_other_s_does(
    registry: Registry,
) -> None:
    before = openapi.index_v3(registry)["paths"]
    registry.set_custom(f"widgets.{GROUP}", [widgets({**RAW, "description": "Other words."})])
    after = openapi.index_v3(registry)["paths"]

    assert {name for name in before if before[name] != after[name]} == {f"apis/{GROUP}/v1"}


def test_a_schema_that_came_back_has_the_hash_it_had(registry: Registry) -> None:
    before = openapi.v3_hash(registry, GROUP, "v1")
    registry.set_custom(f"widgets.{GROUP}", [])
    assert openapi.v3_hash(registry, GROUP, "v1") is None

    registry.set_custom(f"widgets.{GROUP}", [widgets(dict(RAW))])

    assert openapi.v3_hash(registry, GROUP, "v1") == before


def test_every_reference_of_every_document_resolves(registry: Registry) -> None:
    plain = Resource(
        "plain.example.com", "v1", "Plain", "plains", "plain", False, Schema("object", raw=RAW),
        verbs=("get", "list"), custom=True,
    )  # fmt: skip
    registry.set_custom("plains.plain.example.com", [plain])
    for name in openapi.index_v3(registry)["paths"]:
        _, *group, version = name.split("/")
        document = v3(registry, group[0] if group else "", version)
        known = {f"#/components/schemas/{key}" for key in document["components"]["schemas"]}
        assert set(references(document)) <= known, name
    document = json.loads(b"".join(openapi.v2_json(registry)))
    known = {f"#/definitions/{key}" for key in document["definitions"]}
    assert set(references(document)) <= known


def test_every_model_of_a_kind_says_which_kind(registry: Registry) -> None:
    for resource in registry.all():
        models = v3(registry, resource.group, resource.version)["components"]["schemas"].values()
        kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        named = [m for m in models if kind in m.get("x-kubernetes-group-version-kind", ())]
        assert len(named) == 1, kind
        assert "metadata" in named[0]["properties"]


def test_patch_says_that_validation_and_dry_run_are_done_here(registry: Registry) -> None:
    for resource in registry.all():
        paths = v3(registry, resource.group, resource.version)["paths"].values()
        kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        patches = [
            item["patch"]
            for item in paths
            if item.get("patch", {}).get("x-kubernetes-group-version-kind") == kind
        ]
        assert patches, resource.plural
        for patch in patches:
            assert {"fieldValidation", "dryRun"} <= {p["name"] for p in patch["parameters"]}
            types = patch["requestBody"]["content"]
            strategic = "application/strategic-merge-patch+json" in types
            assert strategic is not resource.custom
            assert "application/apply-patch+yaml" in types


def test_operation_ids_are_unique(registry: Registry) -> None:
    items = json.loads(b"".join(openapi.v2_json(registry)))["paths"].values()
    ids = [item[m]["operationId"] for item in items for m in item if m != "parameters"]

    assert len(ids) == len(set(ids))
    assert {"listCoreV1NamespacedPod", "patchAppsV1NamespacedDeploymentScale"} <= set(ids)


def test_list_types_stand_where_a_v3_reader_sees_them(registry: Registry) -> None:
    models = v3(registry, "apps", "v1")["components"]["schemas"]

    containers = models["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    strategy = models["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["strategy"]
    assert strategy["x-kubernetes-patch-strategy"] == "retainKeys"
    assert "$ref" not in strategy  # Its neighbours would not count.


def test_a_custom_kind_is_described_with_its_schema(registry: Registry) -> None:
    models = v3(registry, GROUP, "v1")["components"]["schemas"]

    widget = models["com.example.demo.v1.Widget"]
    assert widget["properties"]["spec"] == RAW["properties"]["spec"]
    assert widget["properties"]["metadata"]["$ref"].endswith("meta.v1.ObjectMeta")
    assert "com.example.demo.v1.WidgetList" in models


def test_v2_makes_any_value_of_what_it_cannot_say(registry: Registry) -> None:
    models = json.loads(b"".join(openapi.v2_json(registry)))["definitions"]

    spec = models["com.example.demo.v1.Widget"]["properties"]["spec"]["properties"]
    assert spec["size"] == {"type": "integer", "maximum": 10}
    assert spec["port"] == {"x-kubernetes-int-or-string": True}
    assert spec["free"] == {"x-kubernetes-preserve-unknown-fields": True}
    assert spec["note"] == {}


# -- protobuf --------------------------------------------------------------------------------------


def fields(data: bytes) -> dict[int, list[Any]]:
    """Decode a message without knowing it: what a reader of the format would see."""

    def varint(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            value |= (data[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 0x80:
                return value, at

    at, found = 0, dict[int, list[Any]]()
    while at < len(data):
        key, at = varint(at)
        if key & 7 == 0:
            value, at = varint(at)
        else:
            size, at = (8, at) if key & 7 == 1 else varint(at)
            value, at = data[at : at + size], at + size
        found.setdefault(key >> 3, []).append(value)
    return found


def named(messages: list[bytes], number: int) -> dict[str, dict[int, list[Any]]]:
    entries = [fields(entry) for message in messages for entry in fields(message)[number]]
    return {entry[1][0].decode(): fields(entry[2][0]) for entry in entries}


def test_the_protobuf_document_says_what_the_json_document_says(registry: Registry) -> None:
    document = json.loads(b"".join(openapi.v2_json(registry)))
    message = fields(b"".join(openapi.v2_protobuf(registry)))

    assert message[1] == [b"2.0"]
    definitions, paths = named(message[9], 1), named(message[8], 2)
    assert set(definitions) == set(document["definitions"])
    assert set(paths) == set(document["paths"])
    deployment = definitions["io.k8s.api.apps.v1.Deployment"]
    properties = named(deployment[25], 1)
    assert properties["spec"][1] == [b"#/definitions/io.k8s.api.apps.v1.DeploymentSpec"]
    (extension,) = (fields(entry) for entry in deployment[31])
    assert extension[1] == [b"x-kubernetes-group-version-kind"]
    assert json.loads(fields(extension[2][0])[2][0]) == [
        {"group": "apps", "kind": "Deployment", "version": "v1"}
    ]
    size = named(named(definitions["com.example.demo.v1.Widget"][25], 1)["spec"][25], 1)["size"]
    assert fields(size[22][0]) == {1: [b"integer"]}


def test_the_protobuf_patch_has_the_parameters_that_kubectl_looks_for(registry: Registry) -> None:
    message = fields(b"".join(openapi.v2_protobuf(registry)))
    path = named(message[8], 2)["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
    patch = fields(path[8][0])

    names = set()
    for item in patch[8]:
        parameter = fields(fields(item)[1][0])
        if 2 in parameter:  # Not the body.
            query = fields(parameter[2][0])[3][0]
            names.add(fields(query)[4][0])
    assert {b"fieldValidation", b"dryRun", b"fieldManager", b"force"} <= names
    assert b"application/strategic-merge-patch+json" in patch[7]


def test_a_chunk_is_small_so_that_others_go_between(registry: Registry) -> None:
    for chunks in (openapi.v2_json(registry), openapi.v2_protobuf(registry)):
        assert max(len(chunk) for chunk in chunks) < 64 * 1024
