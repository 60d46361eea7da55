"""Conformance targets 38-44: namespaces, and what goes with them."""

import pytest

from tests.kube.conformance.here import Here

pytestmark = pytest.mark.e2e
POD = {
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "c", "image": "i"}], "schedulerName": "nobody"},
}
CONDITION = {"type": "Own", "status": "True", "reason": "R", "message": "m",
             "lastTransitionTime": "2026-01-01T00:00:00Z"}  # fmt: skip


def own(here: Here) -> str:
    return f"/api/v1/namespaces/{here.namespace}"


def test_38_a_namespace_is_patched(here: Here) -> None:
    here.move()
    here.patch(own(here), {"metadata": {"labels": {"a": "b"}}})

    assert here.get(own(here))["metadata"]["labels"]["a"] == "b"


def test_39_a_namespace_is_replaced(here: Here) -> None:
    here.move()
    found = here.get(own(here))
    found["metadata"].setdefault("labels", {})["c"] = "d"
    here.ask("PUT", own(here), found)

    labels = here.get(own(here))["metadata"]["labels"]
    assert labels["c"] == "d"
    assert labels["kubernetes.io/metadata.name"] == here.namespace


def test_40_the_status_of_a_namespace(here: Here) -> None:
    assert here.get(f"{own(here)}/status")["status"]["phase"] == "Active"
    here.move()
    here.patch(f"{own(here)}/status", {"status": {"conditions": [CONDITION]}})
    found = here.get(f"{own(here)}/status")
    assert [c["type"] for c in found["status"]["conditions"]] == ["Own"]

    found["status"]["conditions"].append({**CONDITION, "type": "Two"})
    here.ask("PUT", f"{own(here)}/status", found)
    assert [c["type"] for c in here.get(own(here))["status"]["conditions"]] == ["Own", "Two"]


def test_41_a_finalizer_of_a_namespace(here: Here) -> None:
    found = here.get(own(here))
    found["spec"]["finalizers"].append("example.com/own")
    here.ask("PUT", f"{own(here)}/finalize", found)
    here.move()
    found = here.get(own(here))
    assert "example.com/own" in found["spec"]["finalizers"]

    found["spec"]["finalizers"].remove("example.com/own")
    here.ask("PUT", f"{own(here)}/finalize", found)
    assert here.get(own(here))["spec"]["finalizers"] == ["kubernetes"]


def test_42_the_pods_of_a_namespace_go_with_it(here: Here) -> None:
    here.create(here.path("pods"), POD)
    here.move()
    here.ask("DELETE", own(here))

    here.gone(own(here))
    here.create("/api/v1/namespaces", {"metadata": {"name": here.namespace}})
    assert here.get(here.path("pods"))["items"] == []


def test_43_the_services_of_a_namespace_go_with_it(here: Here) -> None:
    spec = {"selector": {"app": "x"}, "ports": [{"port": 80}]}
    here.create(here.path("services"), {"metadata": {"name": "s"}, "spec": spec})
    here.move()
    here.ask("DELETE", own(here))

    here.gone(own(here))
    here.create("/api/v1/namespaces", {"metadata": {"name": here.namespace}})
    assert here.get(here.path("services"))["items"] == []


def test_44_pods_go_first(here: Here) -> None:
    held = {**POD, "metadata": {"name": "p", "finalizers": ["example.com/hold"]}}
    here.create(here.path("pods"), held)
    here.create(here.path("configmaps"), {"metadata": {"name": "c"}, "data": {"k": "v"}})
    here.move()
    here.ask("DELETE", own(here))
    pod = here.path("pods", "p")
    here.until(lambda: "deletionTimestamp" in here.get(pod)["metadata"], "the pod is marked")

    def conditions() -> dict[str, str]:
        found = here.get(own(here))["status"].get("conditions", [])
        return {c["type"]: c["status"] for c in found}

    here.until(
        lambda: (
            conditions().get("NamespaceDeletionContentFailure") is not None
            or conditions().get("NamespaceFinalizersRemaining") == "True"
        ),
        "the namespace says what holds it",
    )
    assert here.exists(here.path("configmaps", "c"))
    here.patch(pod, {"metadata": {"finalizers": None}})
    here.gone(own(here))
