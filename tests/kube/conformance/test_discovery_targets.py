"""Conformance targets 1-7 and 13: what a peer says that it serves."""

from collections.abc import Callable

import pytest

from tests.kube.conformance.here import Here

pytestmark = pytest.mark.e2e
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
Make = Callable[..., str]


def groups(here: Here, path: str = "/apis") -> dict[str, dict[str, set[str]]]:
    """Return {group: {version: resources}} of an aggregated document."""
    answer = here.ask("GET", path, accept=AGGREGATED)
    assert answer.body["kind"] == "APIGroupDiscoveryList"
    return {
        item["metadata"].get("name", ""): {
            v["version"]: {r["resource"] for r in v["resources"]} for v in item["versions"]
        }
        for item in answer.body["items"]
    }


def test_01_aggregated_discovery_has_every_built_in_kind(here: Here) -> None:
    core = groups(here, "/api")[""]["v1"]
    here.move()
    found = groups(here)

    assert {"configmaps", "pods", "namespaces", "secrets", "nodes", "services"} <= core
    assert {"deployments", "replicasets", "statefulsets", "daemonsets"} <= found["apps"]["v1"]
    assert {"jobs", "cronjobs"} <= found["batch"]["v1"]
    assert "leases" in found["coordination.k8s.io"]["v1"]


def test_02_aggregated_discovery_has_a_crd(here: Here, crd: Make) -> None:
    group = crd()
    here.move()

    here.until(lambda: groups(here).get(group) == {"v1": {"widgets"}}, "the kind is listed")


def test_03_aggregated_discovery_only_when_it_is_asked_for(here: Here) -> None:
    plain = here.ask("GET", "/apis")
    here.move()
    asked = here.ask("GET", "/apis", accept=AGGREGATED)

    assert plain.body["kind"] == "APIGroupList"
    assert plain.headers["Content-Type"].split(";")[0] == "application/json"
    assert "as=" not in plain.headers["Content-Type"]
    kind = asked.headers["Content-Type"].replace(" ", "")
    assert all(part in kind for part in ("g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscovery"))


def test_04_a_raw_request_for_a_crd_has_its_verbs_and_scope(here: Here, crd: Make) -> None:
    group = crd(subresources={"status": {}})
    here.move()
    here.until(lambda: group in groups(here), "the group is listed")
    items = here.ask("GET", "/apis", accept=AGGREGATED).body["items"]
    (found,) = [i for i in items if i["metadata"].get("name") == group]
    (resource,) = found["versions"][0]["resources"]

    assert resource["responseKind"] == {"group": group, "version": "v1", "kind": "Widget"}
    assert resource["scope"] == "Namespaced"
    assert {"get", "list", "watch", "create", "delete"} <= set(resource["verbs"])
    assert [s["subresource"] for s in resource["subresources"]] == ["status"]


def test_05_every_group_version_has_resources(here: Here) -> None:
    listed = here.get("/apis")["groups"]
    here.move()
    for group in listed:
        for version in group["versions"]:
            found = here.get(f"/apis/{version['groupVersion']}")
            assert found["groupVersion"] == version["groupVersion"]
            assert all(r["name"] and r["kind"] and r["verbs"] for r in found["resources"])


def test_06_the_preferred_version_is_one_of_the_versions(here: Here) -> None:
    listed = here.get("/apis")["groups"]
    here.move()
    for group in listed:
        alone = here.get(f"/apis/{group['name']}")
        assert alone["preferredVersion"] in group["versions"]
        assert group["preferredVersion"] == alone["preferredVersion"]


def test_07_the_server_has_a_version(here: Here) -> None:
    here.move()
    version = here.get("/version")

    assert version["major"].isdigit()
    assert version["minor"].isdigit()
    assert version["gitVersion"].startswith("v1.")


def test_13_crds_are_in_the_discovery_documents(here: Here, crd: Make) -> None:
    own = crd()
    here.move()
    listed = {g["name"]: g for g in here.get("/apis")["groups"]}
    extensions = listed["apiextensions.k8s.io"]
    resources = here.get("/apis/apiextensions.k8s.io/v1")["resources"]

    assert extensions["preferredVersion"]["version"] == "v1"
    assert "customresourcedefinitions" in {r["name"] for r in resources}
    here.until(lambda: own in {g["name"] for g in here.get("/apis")["groups"]}, "own group")
    assert {r["name"] for r in here.get(f"/apis/{own}/v1")["resources"]} == {"widgets"}
