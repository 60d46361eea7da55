"""The official Python client: typed objects, watches, patches, collections, custom objects."""

import sys

import pytest
from kubernetes import client, config, watch

NAMESPACE = sys.argv[1]


def main() -> None:
    """Raise when anything is not as it should be."""
    config.load_kube_config()
    core, apps = client.CoreV1Api(), client.AppsV1Api()
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
    metadata = client.V1ObjectMeta(name="py", labels={"app": "x"})
    made = core.create_namespaced_config_map(
        NAMESPACE, client.V1ConfigMap(metadata=metadata, data={"a": "b"})
    )
    patched = core.patch_namespaced_config_map("py", NAMESPACE, {"data": {"c": "d"}})
    assert patched.data == {"a": "b", "c": "d"}
    assert int(patched.metadata.resource_version) > int(made.metadata.resource_version)
    patched.data["e"] = "f"
    put = core.replace_namespaced_config_map("py", NAMESPACE, patched)
    assert put.data["e"] == "f"
    with pytest.raises(client.ApiException, match="Conflict"):
        core.replace_namespaced_config_map("py", NAMESPACE, made)
    follow_a_watch(core, put.metadata.resource_version)
    scale_a_deployment(apps)
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="app=x")
    assert not core.list_namespaced_config_map(NAMESPACE).items
    page = core.list_namespace(limit=2)
    assert len(page.items) == 2
    assert core.list_namespace(limit=2, _continue=page.metadata._continue).items


def follow_a_watch(core: client.CoreV1Api, version: str) -> None:
    """A watch that goes on from a version sees what happened after it."""
    core.patch_namespaced_config_map("py", NAMESPACE, {"data": {"g": "h"}})
    events = watch.Watch().stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version=version, timeout_seconds=20
    )
    event = next(iter(events))
    assert event["type"] == "MODIFIED"
    assert event["object"].data["g"] == "h"


def scale_a_deployment(apps: client.AppsV1Api) -> None:
    """Typed replies are strict: one missing field would raise."""
    labels = {"app": "web"}
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels),
        spec=client.V1PodSpec(containers=[client.V1Container(name="c", image="i")]),
    )
    spec = client.V1DeploymentSpec(
        selector=client.V1LabelSelector(match_labels=labels), template=template
    )
    body = client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec)
    apps.create_namespaced_deployment(NAMESPACE, body)
    apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 3}})
    assert apps.read_namespaced_deployment("web", NAMESPACE).spec.replicas == 3
    apps.patch_namespaced_deployment_status("web", NAMESPACE, {"status": {"replicas": 3}})
    assert apps.list_namespaced_deployment(NAMESPACE).items[0].status.replicas == 3


main()
