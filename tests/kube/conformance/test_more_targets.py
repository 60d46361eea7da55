"""Conformance targets of the other groups that need no kubelet; each on one peer, and moving."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kube.clients import Client, binary
from tests.kube.conformance.here import STRATEGIC, Here

pytestmark = pytest.mark.e2e
Kubectl = Callable[..., str]
TEMPLATE = {"metadata": {"labels": {"app": "x"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}  # fmt: skip
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, labels: {a: b}}\ndata: {k: %s}\n"


@pytest.fixture
def kubectl(here: Here, tmp_path: Path) -> Kubectl:
    """Run kubectl against the peer where the client is by now."""

    def run(*arguments: str, status: int = 0, stdin: str = "") -> str:
        command = [binary("kubectl"), "--server", here.url, "--namespace", here.namespace]
        return Client(command, tmp_path, tmp_path / "none").run(
            *arguments, status=status, stdin=stdin
        )

    return run


def named(name: str, **more: Any) -> dict[str, Any]:
    """Return a body."""
    labels = {"of": "test"}
    return {"metadata": {"name": name, "labels": labels}, **more}


def whole_life(here: Here, kind: str, group: str, body: dict[str, Any], patch: Any) -> None:
    """Create, read, patch, replace, list everywhere, delete as a collection."""
    path = here.path(kind, group=group)
    here.create(path, body)
    here.move()
    one = f"{path}/{body['metadata']['name']}"
    assert here.get(one)["metadata"]["uid"]
    here.patch(one, patch, STRATEGIC)
    changed = here.get(one)
    changed["metadata"].setdefault("annotations", {})["seen"] = "yes"
    here.ask("PUT", one, changed)
    root = path.replace(f"/namespaces/{here.namespace}", "")
    listed = here.get(root, labelSelector="of=test")["items"]
    mine = [i for i in listed if i["metadata"]["namespace"] == here.namespace]
    assert [i["metadata"]["annotations"]["seen"] for i in mine] == ["yes"]
    here.ask("DELETE", path, labelSelector="of=test")
    here.until(lambda: not here.get(path, labelSelector="of=test")["items"], "all are gone")


def test_lease_api(here: Here) -> None:
    spec = {"holderIdentity": "me", "leaseDurationSeconds": 30, "leaseTransitions": 0,
            "acquireTime": "2026-01-01T00:00:00.000000Z",
            "renewTime": "2026-01-01T00:00:00.000001Z"}  # fmt: skip
    patch = {"spec": {"leaseDurationSeconds": 60}}
    whole_life(here, "leases", "coordination.k8s.io/v1", named("l", spec=spec), patch)


def test_config_map_life_cycle(here: Here) -> None:
    whole_life(here, "configmaps", "v1", named("c", data={"k": "v"}), {"data": {"k": "w"}})


def test_a_config_map_with_an_empty_key_is_refused(here: Here) -> None:
    here.move()
    refused = here.ask("POST", here.path("configmaps"), named("c", data={"": "v"}), status=422).body
    assert refused["reason"] == "Invalid"


def test_secret_is_patched(here: Here) -> None:
    patch = {"data": {"k": "dwo="}}
    whole_life(here, "secrets", "v1", named("s", data={"k": "dgo="}), patch)


def test_a_secret_with_an_empty_key_is_refused(here: Here) -> None:
    here.move()
    here.ask("POST", here.path("secrets"), named("s", data={"": "dgo="}), status=422)


@pytest.mark.parametrize("kind", ["configmaps", "secrets"])
def test_immutable_data_stays(here: Here, kind: str) -> None:
    one = here.path(kind, "i")
    here.create(here.path(kind), named("i", data={"k": "dgo="}))
    here.patch(one, {"data": {"k": "dwo="}})
    here.patch(one, {"immutable": True})
    here.move()

    for change in ({"data": {"k": "eAo="}}, {"immutable": False}, {"data": {"new": "eAo="}}):
        refused = here.ask(
            "PATCH", one, change, media="application/merge-patch+json", status=422
        ).body
        assert refused["reason"] == "Invalid"
    here.patch(one, {"metadata": {"labels": {"still": "possible"}}})
    here.ask("DELETE", one)


def test_pod_templates(here: Here) -> None:
    patch = {"template": {"metadata": {"labels": {"app": "y"}}}}
    whole_life(here, "podtemplates", "v1", named("t", template=TEMPLATE), patch)


def test_events_of_both_groups_are_one_store(here: Here) -> None:
    about = {"kind": "Pod", "namespace": here.namespace, "name": "p"}
    core = named("e1", involvedObject=about, reason="R", message="m", type="Normal")
    whole_life(here, "events", "v1", core, {"message": "n"})
    new = named(
        "e2", regarding=about, reason="R", note="m", type="Normal", action="A",
        eventTime="2026-01-01T00:00:00.000000Z", reportingController="c", reportingInstance="i",
    )  # fmt: skip
    here.create(here.path("events", group="events.k8s.io/v1"), new)
    assert here.get(here.path("events", "e2"))["message"] == "m"
    here.ask("DELETE", here.path("events", "e2"))


def test_service_account_life_cycle(here: Here) -> None:
    patch = {"automountServiceAccountToken": False}
    whole_life(here, "serviceaccounts", "v1", named("s"), patch)


def test_reviews_of_access(here: Here) -> None:
    here.move()
    spec = {"resourceAttributes": {"verb": "get", "resource": "pods"}}
    for kind, more in (
        ("SelfSubjectAccessReview", {}), ("SubjectAccessReview", {"user": "somebody"}),
    ):  # fmt: skip
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": {**spec, **more}}
        path = f"/apis/authorization.k8s.io/v1/{kind.lower()}s"
        assert here.create(path, body)["status"]["allowed"] is True


@pytest.mark.parametrize(("kind", "plural"), [("Deployment", "deployments"),
                                               ("ReplicaSet", "replicasets"),
                                               ("StatefulSet", "statefulsets")])  # fmt: skip
def test_status_and_scale_of_workloads(here: Here, kind: str, plural: str) -> None:
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": TEMPLATE,
            **({"serviceName": "s"} if kind == "StatefulSet" else {})}  # fmt: skip
    one = here.path(plural, "w", "apps/v1")
    here.create(here.path(plural, group="apps/v1"), named("w", spec=spec))
    here.move()
    condition = {"type": "Own", "status": "True", "reason": "R", "message": "m"}
    here.patch(f"{one}/status", {"status": {"conditions": [condition]}})
    here.until(
        lambda: "Own" in [c["type"] for c in here.get(one)["status"].get("conditions", [])], "kept"
    )
    scale = here.get(f"{one}/scale")
    assert (scale["kind"], scale["spec"].get("replicas", 0)) == ("Scale", 0)
    here.patch(f"{one}/scale", {"spec": {"replicas": 1}})
    assert here.get(one)["spec"]["replicas"] == 1
    here.ask("DELETE", one)


def test_kubectl_api_versions_and_cluster_info(here: Here, kubectl: Kubectl) -> None:
    here.move()
    assert "apps/v1" in kubectl("api-versions")
    assert "is running at" in kubectl("cluster-info")
    assert "Server Version" in kubectl("version")


def test_kubectl_diff_and_replace(here: Here, kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=MAP % "one")
    here.move()
    here.until(lambda: here.exists(here.path("configmaps", "m")), "it is here too")
    assert "+  k: two" in kubectl("diff", "-f", "-", stdin=MAP % "two", status=1)
    assert "replaced" in kubectl("replace", "-f", "-", stdin=MAP % "two")
    assert kubectl("get", "cm", "m", "-o", "jsonpath={.data.k}") == "two"


def test_kubectl_label_and_patch(here: Here, kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=MAP % "one")
    here.move()
    here.until(lambda: here.exists(here.path("configmaps", "m")), "it is here too")
    kubectl("label", "cm", "m", "new=label")
    kubectl("patch", "cm", "m", "-p", '{"data": {"k": "patched"}}')
    assert "new=label" in kubectl("get", "cm", "m", "--show-labels")
    kubectl("label", "cm", "m", "new-")
    assert "new=label" not in kubectl("get", "cm", "m", "--show-labels")
    assert kubectl("get", "cm", "m", "-o", "jsonpath={.data.k}") == "patched"


def test_kubectl_server_side_dry_run_changes_nothing(here: Here, kubectl: Kubectl) -> None:
    here.move()
    kubectl("create", "--dry-run=server", "-f", "-", stdin=MAP % "one")
    assert not here.exists(here.path("configmaps", "m"))
    kubectl("create", "-f", "-", stdin=MAP % "one")
    patch = ("patch", "cm", "m", "-p", '{"data": {"k": "two"}}', "--dry-run=server")
    assert "patched" in kubectl(*patch)
    assert kubectl("get", "cm", "m", "-o", "jsonpath={.data.k}") == "one"


def test_kubectl_quota_and_get_of_several_kinds(here: Here, kubectl: Kubectl) -> None:
    here.move()
    kubectl("create", "quota", "q", "--hard=pods=2,services=1")
    quota = here.path("resourcequotas", "q")
    here.until(lambda: "hard" in here.get(quota).get("status", {}), "its status is counted")
    assert "pods" in kubectl("describe", "quota", "q")
    assert "quota" in kubectl("get", "quota,cm,svc").lower()
