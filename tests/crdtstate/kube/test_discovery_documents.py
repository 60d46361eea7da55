"""Discovery documents: what clients look for in them."""

from crdtstate.kube import discovery
from crdtstate.kube.resources import Registry, Resource
from crdtstate.kube.schema import ANY

BUILTIN = [
    Resource(
        "", "v1", "ConfigMap", "configmaps", "configmap", True, ANY, short_names=("cm",)
    ),
    Resource("", "v1", "Namespace", "namespaces", "namespace", False, ANY,
             subresources=("status", "finalize")),
    Resource("apps", "v1", "Deployment", "deployments", "deployment", True, ANY,
             short_names=("deploy",), categories=("all",), subresources=("status", "scale")),
]  # fmt: skip


def widget(version: str, *, served: bool = True) -> Resource:
    return Resource(
        "a.example.com", version, "Widget", "widgets", "widget", True, ANY, short_names=("wd",),
        subresources=("status", "scale"), custom=True, served=served,
    )  # fmt: skip


def registry_with_widgets() -> Registry:
    registry = Registry(BUILTIN)
    registry.set_custom(
        "widgets.a.example.com",
        [widget("v1alpha1"), widget("v2"), widget("v10"), widget("v3beta1", served=False)],
    )
    return registry


def test_the_version_has_digits_and_looks_like_one_that_charts_and_libraries_accept() -> None:
    found = discovery.version_document()

    assert (found["major"], found["minor"]) == ("1", "35")
    assert found["gitVersion"].startswith("v1.35.0+crdtstate-")


def test_groups_name_a_preferred_version_that_they_serve() -> None:
    groups = discovery.group_list(registry_with_widgets())["groups"]

    assert [g["name"] for g in groups] == [
        "apps", "authentication.k8s.io", "authorization.k8s.io", "a.example.com",
    ]  # fmt: skip
    for group in groups:
        assert group["preferredVersion"] in group["versions"]
    assert groups[-1]["preferredVersion"]["version"] == "v10"
    assert [v["version"] for v in groups[-1]["versions"]] == ["v10", "v2", "v1alpha1"]


def test_a_group_alone_is_the_one_of_the_list() -> None:
    registry = registry_with_widgets()
    group = discovery.group_of(registry, "a.example.com")

    assert (
        group
        == {"kind": "APIGroup", "apiVersion": "v1"} | (discovery.group_list(registry)["groups"][-1])
    )
    assert discovery.group_of(registry, "") is discovery.group_of(registry, "nope") is None


def test_a_resource_list_shows_short_names_categories_and_subresources() -> None:
    found = discovery.resource_list(Registry(BUILTIN), "apps", "v1")

    assert found is not None
    assert found["groupVersion"] == "apps/v1"
    rows = {row["name"]: row for row in found["resources"]}
    assert rows["deployments"]["shortNames"] == ["deploy"]
    assert rows["deployments"]["categories"] == ["all"]
    assert rows["deployments/status"]["kind"] == "Deployment"
    scale = rows["deployments/scale"]
    assert (scale["group"], scale["version"], scale["kind"]) == ("autoscaling", "v1", "Scale")


def test_what_is_not_served_is_in_no_document() -> None:
    registry = registry_with_widgets()

    assert discovery.resource_list(registry, "a.example.com", "v3beta1") is None
    assert "v3beta1" not in str(discovery.group_list(registry))
    assert "v3beta1" not in str(discovery.aggregated(registry, core=False))


def test_the_aggregated_form_says_what_the_plain_form_says() -> None:
    registry = registry_with_widgets()
    core = discovery.aggregated(registry, core=True)
    groups = discovery.aggregated(registry, core=False)

    assert [item["metadata"].get("name") for item in core["items"]] == [None]
    for item in [*core["items"], *groups["items"]]:
        name = item["metadata"].get("name", "")
        for version in item["versions"]:
            plain = discovery.resource_list(registry, name, version["version"])
            assert plain is not None
            assert {row["name"] for row in plain["resources"] if "/" not in row["name"]} == {
                row["resource"] for row in version["resources"]
            }
            for row in version["resources"]:
                assert row["responseKind"]["version"] == version["version"]
                inner = {
                    f"{row['resource']}/{s['subresource']}" for s in row.get("subresources", ())
                }
                assert inner <= {row["name"] for row in plain["resources"]}


def test_a_crd_that_goes_takes_its_group_with_it() -> None:
    registry = registry_with_widgets()
    before = registry.generation

    registry.set_custom("widgets.a.example.com", [])

    assert registry.generation > before
    assert discovery.group_of(registry, "a.example.com") is None
