"""Protobuf bodies: what a Go client writes is read as the JSON that it means."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstate.kube.builtin import builtin_resources, definition_name, definitions
from crdtstate.kube.protobuf import DEPTH_MAX, _lines, _table, decode_protobuf
from crdtstate.kube.statuses import StatusError
from tests.crdtstate.kube.protobuf_writer import encode, envelope, field

POD_SPEC = {
    "containers": [
        {
            "name": "c",
            "image": "nginx",
            "command": ["sleep", "1"],
            "env": [
                {"name": "A", "value": "b"},
                {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            ],
            "envFrom": [{"configMapRef": {"name": "cm"}}],
            "ports": [{"containerPort": 80, "protocol": "TCP"}],
            "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "0"}},
            "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 3},
            "securityContext": {"runAsUser": 0, "privileged": False},
        }
    ],
    "volumes": [
        {"name": "e", "emptyDir": {}},
        {"name": "v", "configMap": {"name": "cm", "defaultMode": 420}},
    ],
    "terminationGracePeriodSeconds": 0,
    "nodeSelector": {"disk": "ssd"},
}
META = {
    "name": "a",
    "namespace": "b",
    "labels": {"x": ""},
    "creationTimestamp": "2026-11-23T10:00:00Z",
}
FAR_FUTURE = b"\x08" + b"\xff" * 8 + b"\x01"
BODIES: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "Pod", "metadata": META, "spec": POD_SPEC},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
     "data": {"k": "", "l": "é"}, "binaryData": {"b": "AP8="}, "immutable": False},
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"k": ""},
     "stringData": {"t": "u"}, "type": "Opaque"},
    {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {
        "replicas": 0, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD_SPEC},
        "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}}},
    {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "a"}, "spec": {
        "selector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]},
        "template": {"spec": POD_SPEC}},
     "status": {"currentNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0,
                "desiredNumberScheduled": 1}},
    {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "a"}, "spec": {
        "schedule": "* * * * *", "suspend": False,
        "jobTemplate": {"spec": {"parallelism": 0, "template": {"spec": POD_SPEC}}}}},
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {
        "ports": [{"port": 80, "targetPort": "http"}], "clusterIP": "None"}},
    {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"}, "spec": {
        "holderIdentity": "", "leaseTransitions": 0, "renewTime": "2026-11-23T10:00:00.123456Z"}},
    {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {},
     "spec": {"user": "u", "extra": {"scopes": ["a", "b"]}, "resourceAttributes": {"verb": "get"}}},
    {"apiVersion": "apps/v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
     "preconditions": {"uid": "u"}, "propagationPolicy": "Foreground"},
    {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
     "metadata": {"name": "widgets.demo.example.com"}, "spec": {
        "group": "demo.example.com", "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [{"name": "v1", "served": True, "storage": False,
            "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": True,
                "properties": {
                    "a": {"type": "array", "items": {"type": "string", "enum": ["x", {"y": 1}]}},
                    "m": {"type": "object", "additionalProperties": {"type": "integer"}},
                    "n": {"type": "object", "additionalProperties": False},
                    "d": {"type": "number", "default": 1.5, "minimum": 0.0}}}}}}}]}},
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body["kind"])
def test_a_body_is_read_as_the_json_that_it_stands_for(body: dict[str, Any]) -> None:
    assert without_empty(decode_protobuf(encode(body))) == without_empty(body)


def without_empty(node: Any) -> Any:
    """Drop the structures that Go always writes, where nothing is in them."""
    if isinstance(node, dict):
        inner = {key: without_empty(value) for key, value in node.items()}
        always = ("metadata", "status", "template")
        return {key: value for key, value in inner.items() if value or key not in always}
    return [without_empty(item) for item in node] if isinstance(node, list) else node


def test_zeros_that_go_writes_for_what_was_never_set_are_absent() -> None:
    body = decode_protobuf(
        encode({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}})
    )

    assert body == {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}


def test_the_table_names_every_field_that_is_published() -> None:
    missing = []
    for resource in builtin_resources():
        root = definition_name(resource.group, resource.version, resource.kind)
        missing += compared(f"{resource.api_version}.{resource.kind}", root, set())
    assert missing == ["v1.NodeSystemInfo.runningInUserNamespace"]  # Younger than the table.


def compared(message: str, definition: str, seen: set[str]) -> list[str]:
    """Return the published fields below a definition that the table does not have."""
    if message in seen or message.endswith(("OrArray", "OrBool", "OrStringArray")):
        return []
    seen.add(message)
    rows = all_rows(message)
    properties = definitions()[definition].get("properties", {})
    missing = [f"{message}.{name}" for name in properties.keys() - rows.keys()
               if name not in ("apiVersion", "kind")]  # fmt: skip
    for name, node in properties.items():
        below = node.get("items") or node.get("additionalProperties") or node
        code = rows.get(name, "")
        if "$ref" in below and code.startswith("@"):
            missing += compared(code[1:], below["$ref"].removeprefix("#/$defs/"), seen)
    return missing


def all_rows(message: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in _table(message).values():
        found |= all_rows(row.code[1:]) if row.name == "^" else {row.name: row.code}
    return found


def test_the_table_is_closed_and_its_numbers_are_unique() -> None:
    for message, line in _lines().items():
        table = _table(message)
        assert len(table) == len(line.split()), message
        for row in table.values():
            assert row.code[0] != "@" or row.code[1:] in _lines()


def test_a_field_of_a_newer_version_is_passed_over() -> None:
    raw = field(99, b"new") + field(1, field(1, b"a"))

    assert decode_protobuf(envelope("v1", "ConfigMap", raw))["metadata"] == {"name": "a"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "BadRequest"),
        (b"{}", "BadRequest"),
        (b"k8s\x00\xff", "BadRequest"),
        (b"k8s\x00", "UnsupportedMediaType"),
        (envelope("v1", "Nope", b""), "UnsupportedMediaType"),
        (envelope("demo.example.com/v1", "Widget", b""), "UnsupportedMediaType"),
        (envelope("v1", "Pod", b"\x0a"), "BadRequest"),
        (envelope("v1", "Pod", b"\x0a\x7f"), "BadRequest"),
        (envelope("v1", "Pod", b"\x0b\x0c"), "BadRequest"),
        (envelope("v1", "Pod", b"\x08\x01"), "BadRequest"),
        (envelope("v1", "Pod", b"\x00\x01"), "BadRequest"),
        (envelope("v1", "Pod", b"\xff" * 11), "BadRequest"),
        (envelope("v1", "ConfigMap", field(1, field(1, b"\xff"))), "BadRequest"),
        (envelope("v1", "ConfigMap", field(1, field(8, FAR_FUTURE))), "BadRequest"),
    ],
)  # fmt: skip
def test_a_damaged_body_is_refused_with_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(StatusError) as refusal:
        decode_protobuf(data)

    assert refusal.value.reason == reason


def test_nesting_has_an_end() -> None:
    schema = b""
    for _ in range(DEPTH_MAX + 10):
        schema = field(28, schema)  # not: not: not: ...
    version = field(4, field(1, schema))
    raw = field(2, field(7, version))

    with pytest.raises(StatusError, match="nested deeper"):
        decode_protobuf(envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", raw))


@given(st.binary(max_size=200), st.sampled_from(["v1.Pod", "v1.Event", "apps/v1.Deployment"]))
def test_no_bytes_do_more_than_be_refused(raw: bytes, name: str) -> None:
    api_version, _, kind = name.rpartition(".")
    with suppress(StatusError):
        decode_protobuf(envelope(api_version, kind, raw))
