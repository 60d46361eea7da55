"""Conformance targets 15-23: custom resources in the OpenAPI documents, and what kubectl says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kube.clients import Client, binary
from tests.kube.conformance.here import JSON_PATCH, Here

pytestmark = pytest.mark.e2e
Make = Callable[..., str]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SPEC = {
    "type": "object",
    "description": "What is wanted.",
    "required": ["bars"],
    "properties": {
        "bars": {
            "type": "array",
            "description": "Places to drink.",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "description": "Its name."},
                    "age": {"type": "string", "pattern": "^[0-9]+$"},
                },
            },
        }
    },
}


def kubectl(here: Here, tmp_path: Path, *arguments: str, status: int = 0, stdin: str = "") -> str:
    """Run kubectl against the peer where the client is."""
    command = [binary("kubectl"), "--server", here.url, "--namespace", here.namespace]
    return Client(command, tmp_path, tmp_path / "none").run(*arguments, status=status, stdin=stdin)


def manifest(group: str, body: str) -> str:
    """Return a widget as YAML; `body` is in flow style."""
    return f"apiVersion: {group}/v1\nkind: Widget\nmetadata: {{name: w}}\n{body}\n"


def definitions(here: Here) -> dict[str, Any]:
    """Return {(group, version, kind): definition} of the v2 document."""
    found = {}
    for definition in here.get("/openapi/v2")["definitions"].values():
        for gvk in definition.get("x-kubernetes-group-version-kind", []):
            found[gvk["group"], gvk["version"], gvk["kind"]] = definition
    return found


def published(here: Here, *kinds: tuple[str, str, str]) -> None:
    """Wait until v2 and v3 have the kinds."""
    here.until(lambda: all(kind in definitions(here) for kind in kinds), f"v2 has {kinds}")
    paths = here.get("/openapi/v3")["paths"]
    for group, version, kind in kinds:
        url = paths[f"apis/{group}/{version}"]["serverRelativeURL"]
        schemas = here.get(url)["components"]["schemas"].values()
        gvks = [g for s in schemas for g in s.get("x-kubernetes-group-version-kind", [])]
        assert {"group": group, "version": version, "kind": kind} in gvks


def test_15_a_crd_with_a_schema_is_published(here: Here, crd: Make, tmp_path: Path) -> None:
    group = crd({"properties": {"spec": SPEC}})
    here.move()
    published(here, (group, "v1", "Widget"))
    good = manifest(group, "spec: {bars: [{name: one, age: '10'}]}")

    assert "created" in kubectl(here, tmp_path, "create", "-f", "-", stdin=good)
    kubectl(here, tmp_path, "delete", "-f", "-", stdin=good)
    assert "created" in kubectl(here, tmp_path, "apply", "-f", "-", stdin=good)
    unknown = manifest(group, "spec: {bars: [{name: one, unknown: x}]}")
    assert "unknown" in kubectl(here, tmp_path, "apply", "-f", "-", stdin=unknown, status=1)
    missing = manifest(group, "spec: {bars: [{age: '10'}]}")
    assert "name" in kubectl(here, tmp_path, "apply", "-f", "-", stdin=missing, status=1)
    explained = kubectl(here, tmp_path, "explain", f"widgets.{group}")
    assert "What is wanted." not in explained or "spec" in explained
    assert "Places to drink." in kubectl(here, tmp_path, "explain", "widget.spec",
                                         "--api-version", f"{group}/v1")  # fmt: skip
    assert "Its name." in kubectl(here, tmp_path, "explain", "widget.spec.bars.name",
                                  "--api-version", f"{group}/v1")  # fmt: skip
    nothing = ("explain", "widget.spec.nothing", "--api-version", f"{group}/v1")
    kubectl(here, tmp_path, *nothing, status=1)


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"x-kubernetes-preserve-unknown-fields": True}, id="16 without a schema"),
        pytest.param(
            {"x-kubernetes-preserve-unknown-fields": True, "properties": {"spec": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": True}}},
            id="17 preserving unknown at the root"),
        pytest.param(
            {"properties": {"spec": {"type": "object", "description": "What is wanted.",
                "x-kubernetes-preserve-unknown-fields": True,
                "x-kubernetes-embedded-resource": True}}},
            id="18 preserving unknown in an embedded object"),
    ],
)  # fmt: skip
def test_16_to_18_what_has_no_schema_takes_what_it_is_given(
    here: Here, crd: Make, tmp_path: Path, schema: dict[str, Any]
) -> None:
    group = crd(schema)
    here.move()
    published(here, (group, "v1", "Widget"))
    spec = "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, own: [1, {deep: true}]}"
    body = manifest(group, f"spec: {spec}")

    assert "created" in kubectl(here, tmp_path, "apply", "-f", "-", stdin=body)
    found = here.get(here.path("widgets", "w", f"{group}/v1"))
    assert found["spec"]["own"] == [1, {"deep": True}]
    assert "KIND" in kubectl(here, tmp_path, "explain", f"widgets.{group}")


def test_19_crds_of_several_groups(here: Here, crd: Make) -> None:
    groups = [crd(group=f"g{n}.{here.namespace}.example.com") for n in range(2)]
    here.move()
    published(here, *((group, "v1", "Widget") for group in groups))


def test_20_several_versions_of_a_group(here: Here, crd: Make) -> None:
    group = crd(versions=("v1", "v2"))
    here.move()
    published(here, (group, "v1", "Widget"), (group, "v2", "Widget"))


def test_21_several_kinds_of_a_group_version(here: Here, crd: Make) -> None:
    group = crd(kind="Widget")
    crd(group=group, kind="Gadget")
    here.move()
    published(here, (group, "v1", "Widget"), (group, "v1", "Gadget"))


def test_22_a_version_is_renamed(here: Here, crd: Make) -> None:
    group = crd(versions=("v1", "v2"))
    published(here, (group, "v2", "Widget"))
    here.move()
    patch = [{"op": "replace", "path": "/spec/versions/1/name", "value": "v3"}]
    here.patch(f"{CRDS}/widgets.{group}", patch, JSON_PATCH)

    published(here, (group, "v1", "Widget"), (group, "v3", "Widget"))
    assert (group, "v2", "Widget") not in definitions(here)


def test_23_a_version_is_no_longer_served(here: Here, crd: Make) -> None:
    group = crd(versions=("v1", "v2"))
    published(here, (group, "v2", "Widget"))
    here.move()
    patch = [{"op": "replace", "path": "/spec/versions/1/served", "value": False}]
    here.patch(f"{CRDS}/widgets.{group}", patch, JSON_PATCH)

    here.until(lambda: (group, "v2", "Widget") not in definitions(here), "v2 is gone")
    published(here, (group, "v1", "Widget"))
    assert f"apis/{group}/v2" not in here.get("/openapi/v3")["paths"]
