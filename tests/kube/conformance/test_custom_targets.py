"""Conformance targets 8-12, 14: custom resource definitions and their objects."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.kube.conformance.here import JSON_PATCH, Here

pytestmark = pytest.mark.e2e
Make = Callable[..., str]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def objects(here: Here, group: str, name: str = "", version: str = "v1") -> str:
    """Return the path of the group's widgets."""
    return here.path("widgets", name, f"{group}/{version}")


def widget(group: str, name: str, version: str = "v1", **more: Any) -> dict[str, Any]:
    """Return an object."""
    return {
        "apiVersion": f"{group}/{version}", "kind": "Widget", "metadata": {"name": name}, **more
    }  # fmt: skip


def test_08_a_watch_of_custom_objects(here: Here, crd: Make) -> None:
    group = crd()
    here.move()
    path = objects(here, group)
    since = here.get(path)["metadata"]["resourceVersion"]
    with here.watch(path, resourceVersion=since) as watch:
        here.create(path, widget(group, "w"))
        here.patch(f"{path}/w", {"spec": {"x": 1}})
        here.ask("DELETE", f"{path}/w")
        watch.wait(["ADDED", "MODIFIED", "DELETED"], "w")


def test_09_a_crd_is_created_and_deleted(here: Here, crd: Make) -> None:
    group = crd()
    here.create(objects(here, group), widget(group, "w"))
    here.move()
    here.ask("DELETE", f"{CRDS}/widgets.{group}")

    here.gone(f"{CRDS}/widgets.{group}")
    here.until(lambda: not here.exists(objects(here, group)), "the kind is not served")


def test_10_the_status_of_a_crd_is_read_replaced_and_patched(here: Here, crd: Make) -> None:
    path = f"{CRDS}/widgets.{crd()}"
    here.move()
    found = here.get(f"{path}/status")
    condition = {"type": "Own", "status": "True", "reason": "R", "message": "m",
                 "lastTransitionTime": "2026-01-01T00:00:00Z"}  # fmt: skip
    found["status"]["conditions"].append(condition)
    here.ask("PUT", f"{path}/status", found)
    assert "Own" in {c["type"] for c in here.get(path)["status"]["conditions"]}

    patch = [{"op": "add", "path": "/status/conditions/-", "value": {**condition, "type": "Two"}}]
    here.patch(f"{path}/status", patch, JSON_PATCH)
    assert {"Own", "Two"} <= {c["type"] for c in here.get(path)["status"]["conditions"]}


def test_11_crds_are_listed_by_label_and_deleted_together(here: Here, crd: Make) -> None:
    for n in range(10):
        crd(group=f"g{n}.{here.namespace}.example.com", labels={"of": here.namespace})
    here.move()
    mine = here.get(CRDS, labelSelector=f"of={here.namespace}")["items"]
    assert len(mine) == 10

    here.ask("DELETE", CRDS, labelSelector=f"of={here.namespace}")
    here.until(
        lambda: not here.get(CRDS, labelSelector=f"of={here.namespace}")["items"], "all are gone"
    )


def test_12_defaults_are_for_requests_and_for_what_is_stored(here: Here, crd: Make) -> None:
    def schema(**defaults: str) -> dict[str, Any]:
        fields = {
            name: {"type": "string", **({"default": defaults[name]} if name in defaults else {})}
            for name in ("a", "b")
        }
        return {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}

    group = crd(schema(a="A"))
    path = objects(here, group)
    assert here.create(path, widget(group, "w", spec={}))["spec"] == {"a": "A"}

    here.move()
    where = "/spec/versions/0/schema/openAPIV3Schema"
    patch = [{"op": "replace", "path": where, "value": schema(a="A", b="B")}]
    here.patch(f"{CRDS}/widgets.{group}", patch, JSON_PATCH)
    here.until(lambda: here.get(f"{path}/w")["spec"].get("b") == "B", "the new default shows")
    assert here.get(f"{path}/w")["spec"]["a"] == "A"


def test_14_custom_objects_are_selected_by_their_fields(here: Here, crd: Make) -> None:
    fields = {"spec": {"type": "object", "properties": {"host": {"type": "string"}}}}
    group = crd({"properties": fields}, selectableFields=[{"jsonPath": ".spec.host"}])
    path = objects(here, group)
    for name, host in (("w1", "x"), ("w2", "y")):
        here.create(path, widget(group, name, spec={"host": host}))
    here.move()
    found = here.get(path, fieldSelector="spec.host=x")
    assert [w["metadata"]["name"] for w in found["items"]] == ["w1"]

    since = found["metadata"]["resourceVersion"]
    with here.watch(path, resourceVersion=since, fieldSelector="spec.host=x") as watch:
        here.patch(f"{path}/w2", {"spec": {"host": "x"}})
        here.patch(f"{path}/w1", {"spec": {"host": "z"}})
        watch.wait(["ADDED"], "w2")
        watch.wait(["DELETED"], "w1")
    here.ask("GET", path, fieldSelector="spec.nothing=x", status=400)
