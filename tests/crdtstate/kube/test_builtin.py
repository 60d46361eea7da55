"""The built-in kinds: present, with the structure that merging needs."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from crdtstate.kube.builtin import builtin_resources, definition_name, definitions
from crdtstate.kube.builtin_defaults import DEFAULTS
from crdtstate.kube.resources import Resource
from crdtstate.kube.schema import Schema, child

KINDS = builtin_resources()


def at(resource: Resource, path: str) -> Schema:
    node = resource.schema
    for name in path.split("."):
        node = child(node, name) if name != "*" else node.items or node
    return node


def kind(name: str) -> Resource:
    return next(r for r in KINDS if r.kind == name)


@pytest.mark.parametrize("resource", KINDS, ids=lambda r: f"{r.api_version}/{r.kind}")
def test_every_kind_has_metadata_and_knows_its_definition(resource: Resource) -> None:
    assert {"apiVersion", "kind", "metadata"} <= resource.schema.properties.keys()
    assert resource.schema.definition == definition_name(
        resource.group, resource.version, resource.kind
    )


def test_kinds_are_listed_once_and_names_do_not_collide() -> None:
    keys = sorted((r.group, r.version, r.plural) for r in KINDS)
    assert all(a != b for a, b in pairwise(keys))
    per_group = sorted((r.group, name) for r in KINDS for name in (r.plural, *r.short_names))
    assert all(a != b for a, b in pairwise(per_group))


def test_every_default_belongs_to_a_field_that_exists() -> None:
    known = definitions()
    assert all(
        field in known[name]["properties"] for name, fields in DEFAULTS.items() for field in fields
    )


def test_lists_say_how_they_join() -> None:
    ports = at(kind("Service"), "spec.ports")
    assert (ports.list_type, ports.list_keys, ports.merge_key) == (
        "map",
        ("port", "protocol"),
        "port",
    )
    protocol = at(kind("Service"), "spec.ports.*.protocol")
    assert protocol.has_default
    assert protocol.default == "TCP"
    assert at(kind("Pod"), "spec.containers").list_keys == ("name",)
    assert at(kind("Pod"), "spec.containers.*.command").list_type == "atomic"
    finalizers = at(kind("ConfigMap"), "metadata.finalizers")
    assert (finalizers.list_type, finalizers.merge_key) == ("set", "")
    assert at(kind("Pod"), "spec.volumes").retain_keys
    assert at(kind("Deployment"), "spec.strategy").retain_keys


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("Deployment", "spec.selector"),
        ("Deployment", "spec.strategy"),
        ("Deployment", "status.conditions.*"),
        ("Pod", "status.conditions.*"),
        ("Pod", "spec.volumes.*"),
        ("Pod", "spec.containers.*.env.*"),
        ("Pod", "spec.containers.*.livenessProbe"),
        ("ConfigMap", "metadata.ownerReferences.*"),
        ("Service", "spec.selector"),
        ("ControllerRevision", "data"),
    ],
)
def test_what_must_travel_whole_is_atomic(name: str, path: str) -> None:
    assert at(kind(name), path).map_type == "atomic"


def test_recursive_schemas_end() -> None:
    """A CRD's schema holds schemas: the node below is the node itself."""
    versions = at(kind("CustomResourceDefinition"), "spec.versions")
    assert versions.list_type == "atomic"
    props = at(kind("CustomResourceDefinition"), "spec.versions.*.schema.openAPIV3Schema")
    assert child(props, "properties").additional is props


def test_quantities_and_ports_are_read_as_one_value() -> None:
    limits = at(kind("Pod"), "spec.containers.*.resources.limits")
    assert limits.additional is not None
    assert limits.additional.int_or_string
    assert at(kind("Service"), "spec.ports.*.targetPort").int_or_string


def test_a_helm_release_is_claimed_whole_and_other_secrets_by_field() -> None:
    secret = kind("Secret")
    assert secret.policy_of({"type": "helm.sh/release.v1"}) == "whole"
    assert secret.policy_of({"type": "Opaque"}) == "fields"
    assert kind("Lease").policy_of({}) == kind("Event").policy_of({}) == "whole"


def test_every_array_below_a_kind_has_items() -> None:
    def nodes(node: Schema, seen: set[int]) -> Iterator[Schema]:
        if id(node) in seen:
            return
        seen.add(id(node))
        yield node
        for below in (*node.properties.values(), node.additional, node.items):
            if below is not None:
                yield from nodes(below, seen)

    seen: set[int] = set()
    for resource in KINDS:
        for node in nodes(resource.schema, seen):
            assert node.kind != "array" or node.items is not None
            assert node.list_type != "map" or node.list_keys
