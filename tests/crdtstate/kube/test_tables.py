"""Server-side printing: the cells that people know from kubectl."""

from typing import Any

import pytest

from crdtstate.kube.builtin import builtin_resources
from crdtstate.kube.durations import human, since
from crdtstate.kube.resources import Resource
from crdtstate.kube.schema import ANY, Schema
from crdtstate.kube.statuses import StatusError
from crdtstate.kube.tables import table

NOW_MS = 1_795_428_000_000  # 2026-11-23T10:00:00Z
EARLIER = "2026-11-23T09:55:00Z"
RESOURCES = {resource.stored_as: resource for resource in builtin_resources()}


def printed(stored_as: str, body: dict[str, Any], *, wide: bool = False) -> dict[str, Any]:
    """Return the cells of one object by the name of their column."""
    metadata = {"name": "a", "creationTimestamp": EARLIER} | body.get("metadata", {})
    found = table(RESOURCES[stored_as], [body | {"metadata": metadata}], NOW_MS)
    names = [
        c["name"] for c in found["columnDefinitions"] if wide or c["priority"] == 0
    ]  # fmt: skip
    shown = dict(
        zip([c["name"] for c in found["columnDefinitions"]], found["rows"][0]["cells"], strict=True)
    )
    return {name: shown[name] for name in names}


def pod(**status: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "c"}, {"name": "d"}]}, "status": status}


RUNNING = {"name": "c", "ready": True, "restartCount": 0, "state": {"running": {}}}


@pytest.mark.parametrize(
    ("body", "ready", "status", "restarts"),
    [
        ({}, "0/0", "Pending", "0"),
        (pod(phase="Running", containerStatuses=[RUNNING, RUNNING]), "2/2", "Running", "0"),
        (pod(phase="Running", containerStatuses=[
            RUNNING, {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 3,
                      "lastState": {"terminated": {"finishedAt": "2026-11-23T09:59:00Z"}}}]),
         "1/2", "CrashLoopBackOff", "3 (60s ago)"),
        (pod(phase="Failed", containerStatuses=[
            {"state": {"terminated": {"exitCode": 2}}, "restartCount": 1}]),
         "0/2", "ExitCode:2", "1"),
        (pod(phase="Running", containerStatuses=[
            RUNNING, {"state": {"terminated": {"reason": "Completed"}}}]), "1/2", "NotReady", "0"),
        (pod(phase="Pending", initContainerStatuses=[{"name": "i", "state": {"running": {}}}]),
         "0/2", "Init:0/0", "0"),
        (pod(phase="Pending", reason="Evicted"), "0/2", "Evicted", "0"),
        (pod(phase="Running") | {"metadata": {"deletionTimestamp": EARLIER}}, "0/2", "Terminating",
         "0"),
    ],
)  # fmt: skip
def test_a_pod_is_summed_up(body: dict[str, Any], ready: str, status: str, restarts: str) -> None:
    found = printed("/pods", body)

    assert found == {
        "Name": "a", "Ready": ready, "Status": status, "Restarts": restarts, "Age": "5m",
    }  # fmt: skip


def test_a_sidecar_counts_as_a_container() -> None:
    body = pod(
        phase="Running", containerStatuses=[RUNNING, RUNNING],
        initContainerStatuses=[{**RUNNING, "name": "s", "started": True}],
    )  # fmt: skip
    body["spec"]["initContainers"] = [{"name": "s", "restartPolicy": "Always"}]

    assert printed("/pods", body)["Ready"] == "3/3"


def test_wide_columns_stand_behind_a_priority() -> None:
    body = pod(podIPs=[{"ip": "10.0.0.1"}])
    body["spec"]["nodeName"] = "peer-1"

    wide = printed("/pods", body, wide=True)

    assert (wide["IP"], wide["Node"], wide["Readiness Gates"]) == ("10.0.0.1", "peer-1", "<none>")


TEMPLATE = {"spec": {"containers": [{"name": "c", "image": "i:1"}, {"name": "d", "image": "j"}]}}
SELECTOR = {"matchLabels": {"app": "web"}}


@pytest.mark.parametrize(
    ("stored_as", "body", "expected"),
    [
        ("apps/deployments", {
            "spec": {"replicas": 3, "template": TEMPLATE, "selector": SELECTOR},
            "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}},
         {"Ready": "1/3", "Up-to-date": 2, "Available": 1, "Containers": "c,d", "Images": "i:1,j",
          "Selector": "app=web"}),
        ("apps/deployments", {}, {"Ready": "0/1", "Up-to-date": 0, "Selector": "<none>"}),
        ("apps/replicasets", {"spec": {"replicas": 2}, "status": {"replicas": 1}},
         {"Desired": 2, "Current": 1, "Ready": 0}),
        ("apps/statefulsets", {"spec": {"replicas": 2}}, {"Ready": "0/2"}),
        ("apps/daemonsets", {"status": {"desiredNumberScheduled": 3, "numberReady": 2}},
         {"Desired": 3, "Ready": 2, "Node Selector": "<none>"}),
        ("batch/jobs", {"spec": {"completions": 3}, "status": {
            "succeeded": 3, "startTime": EARLIER, "completionTime": "2026-11-23T09:55:42Z",
            "conditions": [{"type": "Complete", "status": "True"}]}},
         {"Status": "Complete", "Completions": "3/3", "Duration": "42s"}),
        ("batch/jobs", {"spec": {"parallelism": 2}},
         {"Status": "Running", "Completions": "0/1 of 2", "Duration": ""}),
        ("batch/cronjobs", {"spec": {"schedule": "* * * * *", "suspend": False},
                            "status": {"active": [{}], "lastScheduleTime": EARLIER}},
         {"Schedule": "* * * * *", "Timezone": "<none>", "Suspend": "False", "Active": 1,
          "Last Schedule": "5m"}),
        ("/services", {"spec": {"clusterIP": "10.0.0.1", "ports": [
            {"port": 80}, {"port": 53, "protocol": "UDP", "nodePort": 30053}]}},
         {"Type": "ClusterIP", "Cluster-IP": "10.0.0.1", "External-IP": "<none>",
          "Port(s)": "80/TCP,53:30053/UDP"}),
        ("/services", {"spec": {"type": "LoadBalancer"}}, {"External-IP": "<pending>"}),
        ("/services", {"spec": {"type": "ExternalName", "externalName": "example.com"}},
         {"External-IP": "example.com", "Cluster-IP": "<none>", "Port(s)": "<none>"}),
        ("/endpoints", {"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "::1"}],
                                     "ports": [{"port": 80}, {"port": 81}]}]},
         {"Endpoints": "10.0.0.1:80,[::1]:80,10.0.0.1:81 + 1 more..."}),
        ("/endpoints", {}, {"Endpoints": "<none>"}),
        ("discovery.k8s.io/endpointslices", {"addressType": "IPv4", "ports": [{"port": 80}],
                                             "endpoints": [{"addresses": ["10.0.0.1"]}]},
         {"AddressType": "IPv4", "Ports": "80", "Endpoints": "10.0.0.1"}),
        ("networking.k8s.io/ingresses", {
            "spec": {"rules": [{"host": "a.com"}, {"host": "b.com"}], "tls": [{}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}},
         {"Class": "<none>", "Hosts": "a.com,b.com", "Address": "1.2.3.4", "Ports": "80, 443"}),
        ("/nodes", {
            "metadata": {"labels": {"node-role.kubernetes.io/peer": ""}},
            "spec": {"unschedulable": True},
            "status": {"conditions": [{"type": "Ready", "status": "Unknown"}],
                       "addresses": [{"type": "InternalIP", "address": "10.0.0.9"}],
                       "nodeInfo": {"kubeletVersion": "v1.35.0"}}},
         {"Status": "NotReady,SchedulingDisabled", "Roles": "peer", "Version": "v1.35.0",
          "Internal-IP": "10.0.0.9", "External-IP": "<none>", "OS-Image": "<unknown>"}),
        ("/events", {"type": "Warning", "reason": "Bad", "message": " x\n", "count": 4,
                     "involvedObject": {"kind": "Pod", "name": "p"}, "source": {"component": "k"},
                     "firstTimestamp": EARLIER, "lastTimestamp": "2026-11-23T09:59:30Z"},
         {"Last Seen": "30s", "Type": "Warning", "Object": "pod/p", "Message": "x",
          "First Seen": "5m", "Count": 4, "Source": "k"}),
        ("/namespaces", {"status": {"phase": "Terminating"}}, {"Status": "Terminating"}),
        ("/configmaps", {"data": {"a": "b"}, "binaryData": {"c": ""}}, {"Data": 2}),
        ("/secrets", {"data": {"a": "b"}, "type": "helm.sh/release.v1"},
         {"Type": "helm.sh/release.v1", "Data": 1}),
        ("/serviceaccounts", {}, {"Secrets": 0}),
        ("/resourcequotas", {"spec": {"hard": {"pods": "2", "limits.cpu": "1"}}},
         {"Request": "pods: 0/2", "Limit": "limits.cpu: 0/1"}),
        ("coordination.k8s.io/leases", {"spec": {"holderIdentity": "h"}}, {"Holder": "h"}),
        ("rbac.authorization.k8s.io/rolebindings", {
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [{"kind": "User", "name": "u"},
                         {"kind": "ServiceAccount", "namespace": "n", "name": "s"}]},
         {"Role": "Role/r", "Users": "u", "Groups": "", "ServiceAccounts": "n/s"}),
        ("rbac.authorization.k8s.io/roles", {}, {"Created At": EARLIER}),
        ("apiextensions.k8s.io/customresourcedefinitions", {}, {"Created At": EARLIER}),
        ("policy/poddisruptionbudgets", {"spec": {"minAvailable": "50%"}},
         {"Min Available": "50%", "Max Unavailable": "N/A", "Allowed Disruptions": 0}),
        ("autoscaling/horizontalpodautoscalers", {
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "minReplicas": 1,
                     "maxReplicas": 5, "metrics": [{"type": "Resource", "resource": {
                        "name": "cpu", "target": {"averageUtilization": 80}}}]},
            "status": {"currentReplicas": 2}},
         {"Reference": "Deployment/d", "Targets": "cpu: <unknown>/80%", "MinPods": "1",
          "MaxPods": 5, "Replicas": 2}),
        ("scheduling.k8s.io/priorityclasses", {"value": 7, "globalDefault": True},
         {"Value": 7, "Global-Default": True}),
    ],
)  # fmt: skip
def test_a_kind_is_printed_as_upstream_prints_it(
    stored_as: str, body: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = printed(stored_as, body, wide=True)

    assert {name: found[name] for name in expected} == expected


def full(schema: Schema, depth: int = 0) -> Any:
    """Return a value with every field set."""
    if schema.kind == "object" and depth < 12:
        named = {name: full(inner, depth + 1) for name, inner in schema.properties.items()}
        if schema.additional is not None:
            named["key"] = full(schema.additional, depth + 1)
        return named
    if schema.kind == "array":
        return [full(schema.items or ANY, depth + 1)] * 4 if depth < 8 else []
    kind = schema.raw.get("type", "string")
    kind = kind[0] if isinstance(kind, list) else kind
    return {"integer": 3, "number": 1.5, "boolean": True, "object": {}}.get(kind, "text")


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=lambda r: r.plural)
def test_whatever_the_schema_allows_is_printed(resource: Resource) -> None:
    whole = full(resource.schema)
    found = table(resource, [{}, {"metadata": {"name": "a"}}, whole], NOW_MS, include="Object")

    for row in found["rows"]:
        assert len(row["cells"]) == len(found["columnDefinitions"])
        for column, cell in zip(found["columnDefinitions"], row["cells"], strict=True):
            kinds = {"integer": int, "string": str, "boolean": bool}.get(column["type"], object)
            assert isinstance(cell, kinds), column


def widget(*columns: dict[str, Any]) -> Resource:
    return Resource(
        "demo.example.com", "v1", "Widget", "widgets", "widget", True, ANY, columns=columns,
        custom=True,
    )  # fmt: skip


WIDGET = {
    "metadata": {"name": "w", "creationTimestamp": EARLIER, "labels": {"a.b/c": "x"}},
    "spec": {"size": 3, "tags": ["a", "b"], "on": True},
    "status": {
        "conditions": [{"type": "Up", "status": "False"}, {"type": "Ready", "status": "True"}]
    },
}


@pytest.mark.parametrize(
    ("path", "kind", "cell"),
    [
        (".spec.size", "integer", 3),
        (".spec.size", "string", "3"),
        (".spec.absent", "string", None),
        (".spec.tags", "string", '["a","b"]'),
        (".spec.tags[1]", "string", "b"),
        (".spec.tags[-1]", "string", "b"),
        (".spec.tags[*]", "string", "a"),
        (".spec.on", "boolean", True),
        (".spec.on", "integer", None),
        ('.status.conditions[?(@.type=="Ready")].status', "string", "True"),
        ('.status.conditions[?(@.type == "None")].status', "string", None),
        (r".metadata.labels.a\.b/c", "string", "x"),
        (".metadata.labels['a\\.b/c']", "string", "x"),
        (".metadata.creationTimestamp", "date", "5m"),
        ("..size", "integer", 3),
        ("{.spec.size}", "number", 3),
        (".spec[", "string", None),
    ],
)  # fmt: skip
def test_a_printer_column_finds_its_value(path: str, kind: str, cell: Any) -> None:
    resource = widget({"name": "C", "type": kind, "jsonPath": path})

    assert table(resource, [WIDGET], NOW_MS)["rows"][0]["cells"] == ["w", cell]


def test_a_custom_kind_without_columns_shows_its_age() -> None:
    found = table(widget(), [WIDGET], NOW_MS)

    assert [c["name"] for c in found["columnDefinitions"]] == ["Name", "Age"]
    assert found["rows"][0]["cells"] == ["w", "5m"]


def test_a_row_brings_what_was_asked_for() -> None:
    by_include = {
        text: table(widget(), [WIDGET], NOW_MS, include=text)["rows"][0].get("object")
        for text in ("", "None", "Metadata", "Object")
    }

    meta = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": WIDGET["metadata"]}  # fmt: skip
    assert by_include == {"": meta, "Metadata": meta, "None": None, "Object": WIDGET}
    with pytest.raises(StatusError, match="includeObject"):
        table(widget(), [WIDGET], NOW_MS, include="All")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"), (0, "0s"), (119, "119s"), (120, "2m"), (200, "3m20s"), (1500, "25m"),
        (3 * 3600, "3h"), (7 * 3600 + 300, "7h5m"), (30 * 3600, "30h"), (5 * 86400 + 10800, "5d3h"),
        (400 * 86400, "400d"), (3 * 365 * 86400 + 86400 * 20, "3y20d"), (9 * 365 * 86400, "9y"),
    ],
)  # fmt: skip
def test_a_span_is_told_in_two_units_at_most(seconds: int, text: str) -> None:
    assert human(seconds * 1000) == text


def test_a_time_that_is_none_is_unknown() -> None:
    assert since("yesterday", NOW_MS) == since(None, NOW_MS) == "<unknown>"
    assert since("2026-11-23T11:55:00+02:00", NOW_MS) == "5m"
