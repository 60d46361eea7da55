"""Conformance targets 24-30: what strict validation of fields refuses."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.kube.conformance.here import APPLY, Here

pytestmark = pytest.mark.e2e
Make = Callable[..., str]
DEPLOYMENT = """{
 "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d" %(metadata)s},
 "spec": {"selector": {"matchLabels": {"app": "x"}}, %(spec)s "template": {
  "metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}"""
KNOWN = {"properties": {"spec": {"type": "object", "properties": {
    "size": {"type": "integer"}, "embedded": {
        "type": "object", "x-kubernetes-embedded-resource": True,
        "x-kubernetes-preserve-unknown-fields": True}}}}}  # fmt: skip


def strict(here: Here, path: str, body: str | dict[str, Any], *names: str) -> None:
    """A create that strict validation refuses, naming the fields."""
    said = here.ask("POST", path, body, status=400, fieldValidation="Strict").body
    assert said["reason"] == "BadRequest"
    assert "strict decoding error" in said["message"]
    assert all(name in said["message"] for name in names), said["message"]


def custom(group: str, spec: str, metadata: str = '"name": "w"') -> str:
    """Return a widget as JSON text."""
    return (
        f'{{"apiVersion": "{group}/v1", "kind": "Widget", "metadata": {{{metadata}}},'
        f' "spec": {spec}}}'
    )


def test_24_typed_objects_with_unknown_and_duplicate_fields(here: Here) -> None:
    here.move()
    path = here.path("deployments", group="apps/v1")
    body = DEPLOYMENT % {"metadata": "", "spec": '"unknown1": "x", "replicas": 1, "replicas": 2,'}

    strict(here, path, body, 'unknown field "spec.unknown1"', 'duplicate field "spec.replicas"')
    warned = here.ask("POST", path, body, fieldValidation="Warn")
    assert "unknown1" in warned.headers["Warning"]
    assert "spec" in warned.body
    assert warned.body["spec"].get("unknown1") is None
    silent = here.ask("PUT", f"{path}/d", body, fieldValidation="Ignore")
    assert "Warning" not in silent.headers
    applied = here.ask(
        "PATCH", f"{path}/d", body, media=APPLY, fieldManager="m", force="true",
        fieldValidation="Strict", status=400,
    )  # fmt: skip
    assert "unknown1" in applied.body["message"]


def test_25_typed_objects_with_unknown_metadata(here: Here) -> None:
    here.move()
    body = DEPLOYMENT % {"metadata": ', "unknownMeta": "x"', "spec": ""}

    strict(here, here.path("deployments", group="apps/v1"), body, "metadata.unknownMeta")


def test_26_custom_objects_without_a_schema_take_unknown_fields(here: Here, crd: Make) -> None:
    group = crd()
    here.move()
    path = here.path("widgets", group=f"{group}/v1")

    made = here.create(path, custom(group, '{"any": {"thing": [1]}}'), fieldValidation="Strict")
    assert made["spec"] == {"any": {"thing": [1]}}


def test_27_custom_objects_that_are_valid(here: Here, crd: Make) -> None:
    group = crd(KNOWN)
    here.move()
    path = here.path("widgets", group=f"{group}/v1")

    here.create(path, custom(group, '{"size": 3}'), fieldValidation="Strict")
    here.ask(
        "PATCH", f"{path}/w", custom(group, '{"size": 4}'), media=APPLY, fieldManager="m",
        force="true", fieldValidation="Strict",
    )  # fmt: skip
    assert here.get(f"{path}/w")["spec"] == {"size": 4}


def test_28_custom_objects_with_extra_fields_are_refused(here: Here, crd: Make) -> None:
    group = crd(KNOWN)
    here.move()
    path = here.path("widgets", group=f"{group}/v1")

    strict(here, path, custom(group, '{"size": 3, "extra": 1}'), "spec.extra")
    assert here.get(path)["items"] == []


def test_29_unknown_metadata_at_the_root_and_embedded(here: Here, crd: Make) -> None:
    group = crd(KNOWN)
    here.move()
    path = here.path("widgets", group=f"{group}/v1")
    embedded = (
        '{"embedded": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "e", "odd": 1}}}'
    )

    strict(here, path, custom(group, "{}", '"name": "w", "odd": 1'), "metadata.odd")
    strict(here, path, custom(group, embedded), "spec.embedded.metadata.odd")


def test_30_duplicates_even_where_unknown_fields_are_kept(here: Here, crd: Make) -> None:
    group = crd()
    here.move()
    path = here.path("widgets", group=f"{group}/v1")

    strict(here, path, custom(group, '{"x": 1, "x": 2}'), 'duplicate field "spec.x"')
