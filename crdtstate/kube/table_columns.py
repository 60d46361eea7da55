"""Columns of the built-in kinds, by name and in the order that people know from kubectl.

Source: Kubernetes' printers (pkg/printers/internalversion), as of 1.35. A kind that is not here
shows its name and when it was created, as there.
"""

from collections.abc import Mapping
from typing import Any

from crdtstate.kube import table_cells as cells
from crdtstate.kube.durations import UNKNOWN
from crdtstate.kube.resources import Resource
from crdtstate.kube.table_autoscaling import hpa_reference, hpa_targets
from crdtstate.kube.table_cells import (
    NONE,
    Body,
    Column,
    age,
    at,
    flag,
    items,
    joined,
    number,
    ratio,
    selector,
    size,
    text,
    workload,
)  # fmt: skip
from crdtstate.kube.table_pods import (
    pod_ip,
    pod_ready,
    pod_restarts,
    pod_status,
    readiness_gates,
)  # fmt: skip

__all__ = ["AGE", "COLUMNS", "CREATED", "NAME", "row_conditions"]

NAME = Column("Name", text("metadata.name"), 0, "string", "name")
AGE = Column("Age", age)
CREATED = Column("Created At", text("metadata.creationTimestamp"), 0, "date")


def row_conditions(resource: Resource, body: Body) -> list[dict[str, str]]:
    """Return what is to be said of a row as a whole: that a Pod has ended."""
    phase = at(body, "status.phase") if resource.stored_as == "/pods" else None
    if phase not in ("Succeeded", "Failed"):
        return []
    message = "The pod has completed successfully." if phase == "Succeeded" else "The pod failed."
    return [{"type": "Completed", "status": "True", "reason": phase, "message": message}]


def _binding() -> tuple[Column, ...]:
    def role(body: Body, _now: int) -> str:
        return f"{at(body, 'roleRef.kind', '')}/{at(body, 'roleRef.name', '')}"

    return (
        NAME, Column("Role", role), AGE, Column("Users", cells.subjects("User"), 1),
        Column("Groups", cells.subjects("Group"), 1),
        Column("ServiceAccounts", cells.subjects("ServiceAccount"), 1),
    )  # fmt: skip


def _volume_phase(body: Body, _now: int) -> str:
    ends = at(body, "metadata.deletionTimestamp") is not None
    return "Terminating" if ends else str(at(body, "status.phase", ""))


def _modes(path: str) -> Any:
    short = {
        "ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX",
        "ReadWriteOncePod": "RWOP",
    }  # fmt: skip
    return lambda body, _now: ",".join(short.get(mode, mode) for mode in at(body, path, ()))


def _claim(body: Body, _now: int) -> str:
    claim = at(body, "spec.claimRef")
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""


def _bound(path: str) -> Any:
    return lambda body, _now: at(body, path, "") if at(body, "spec.volumeName") else ""


def _storage_class(body: Body, _now: int) -> str:
    annotations = at(body, "metadata.annotations", {})
    default = annotations.get("storageclass.kubernetes.io/is-default-class") == "true"
    return f"{at(body, 'metadata.name', '')}{' (default)' if default else ''}"


def _quota(limits: bool) -> Any:
    def cell(body: Body, _now: int) -> str:
        hard, used = (
            at(body, "status.hard") or at(body, "spec.hard", {}),
            at(body, "status.used", {}),
        )
        chosen = sorted(key for key in hard if key.startswith("limits.") is limits)
        return ", ".join(f"{key}: {used.get(key, '0')}/{hard[key]}" for key in chosen)

    return cell


def _parameters(body: Body, _now: int) -> str:
    found = at(body, "spec.parameters")
    if not found:
        return NONE
    group = f".{found['apiGroup']}" if found.get("apiGroup") else ""
    return f"{found.get('kind', '')}{group}/{found.get('name', '')}"


def _controller(body: Body, _now: int) -> str:
    owners = [o for o in items(body, "metadata.ownerReferences") if o.get("controller") is True]
    if not owners:
        return NONE
    group = str(owners[0].get("apiVersion", "")).rpartition("/")[0]
    kind = str(owners[0].get("kind", "")).lower()
    return f"{kind}{'.' + group if group else ''}/{owners[0].get('name', '')}"


def _ingress_ports(body: Body, _now: int) -> str:
    return "80, 443" if at(body, "spec.tls") else "80"


def _param_kind(body: Body, _now: int) -> str:
    found = at(body, "spec.paramKind", {})
    return f"{found['apiVersion']}/{found['kind']}" if found else UNSET


def _param_ref(body: Body, _now: int) -> str:
    found = at(body, "spec.paramRef", {})
    if not found:
        return UNSET
    return f"{found.get('namespace', '*')}/{found.get('name', '*')}"


UNSET = cells.UNSET
_REPLICAS = (
    NAME, Column("Desired", number("spec.replicas", 1), 0, "integer"),
    Column("Current", number("status.replicas"), 0, "integer"),
    Column("Ready", number("status.readyReplicas"), 0, "integer"), AGE,
    *workload("spec.template", "spec.selector"),
)  # fmt: skip
_EVENTS = (
    Column("Last Seen", cells.event_last), Column("Type", text("type")),
    Column("Reason", text("reason")), Column("Object", cells.event_object),
    Column("Subobject", cells.event_field, 1), Column("Source", cells.event_source, 1),
    Column("Message", cells.event_message), Column("First Seen", cells.event_first, 1),
    Column("Count", cells.event_count, 1, "integer"),
    Column("Name", text("metadata.name"), 1, format="name"),
)  # fmt: skip

COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "/pods": (
        NAME, Column("Ready", pod_ready), Column("Status", pod_status),
        Column("Restarts", pod_restarts), AGE, Column("IP", pod_ip, 1),
        Column("Node", text("spec.nodeName", NONE), 1),
        Column("Nominated Node", text("status.nominatedNodeName", NONE), 1),
        Column("Readiness Gates", readiness_gates, 1),
    ),
    "/podtemplates": (
        NAME, *(c._replace(priority=0) for c in workload("template", None)),
        Column("Pod Labels", selector("template.metadata.labels")),
    ),
    "/replicationcontrollers": _REPLICAS,
    "apps/replicasets": _REPLICAS,
    "apps/deployments": (
        NAME, Column("Ready", ratio("status.readyReplicas", "spec.replicas", 1)),
        Column("Up-to-date", number("status.updatedReplicas"), 0, "integer"),
        Column("Available", number("status.availableReplicas"), 0, "integer"), AGE,
        *workload("spec.template", "spec.selector"),
    ),
    "apps/statefulsets": (
        NAME, Column("Ready", ratio("status.readyReplicas", "spec.replicas", 1)), AGE,
        *workload("spec.template", None),
    ),
    "apps/daemonsets": (
        NAME, Column("Desired", number("status.desiredNumberScheduled"), 0, "integer"),
        Column("Current", number("status.currentNumberScheduled"), 0, "integer"),
        Column("Ready", number("status.numberReady"), 0, "integer"),
        Column("Up-to-date", number("status.updatedNumberScheduled"), 0, "integer"),
        Column("Available", number("status.numberAvailable"), 0, "integer"),
        Column("Node Selector", selector("spec.template.spec.nodeSelector")), AGE,
        *workload("spec.template", "spec.selector"),
    ),
    "apps/controllerrevisions": (
        NAME, Column("Controller", _controller),
        Column("Revision", number("revision"), 0, "integer"), AGE,
    ),
    "batch/jobs": (
        NAME, Column("Status", cells.job_status), Column("Completions", cells.job_completions),
        Column("Duration", cells.job_duration), AGE, *workload("spec.template", "spec.selector"),
    ),
    "batch/cronjobs": (
        NAME, Column("Schedule", text("spec.schedule")),
        Column("Timezone", text("spec.timeZone", NONE)),
        Column("Suspend", lambda body, _now: str(at(body, "spec.suspend") is True)),
        Column("Active", size("status.active"), 0, "integer"),
        Column("Last Schedule", cells.last_schedule), AGE,
        *workload("spec.jobTemplate.spec.template", "spec.jobTemplate.spec.selector"),
    ),
    "/services": (
        NAME, Column("Type", text("spec.type", "ClusterIP")),
        Column("Cluster-IP", text("spec.clusterIP", NONE)),
        Column("External-IP", cells.external_ip), Column("Port(s)", cells.service_ports), AGE,
        Column("Selector", selector("spec.selector"), 1),
    ),
    "/endpoints": (NAME, Column("Endpoints", cells.endpoints), AGE),
    "discovery.k8s.io/endpointslices": (
        NAME, Column("AddressType", text("addressType")), Column("Ports", cells.slice_ports),
        Column("Endpoints", cells.slice_endpoints), AGE,
    ),
    "networking.k8s.io/ingresses": (
        NAME, Column("Class", text("spec.ingressClassName", NONE)), Column("Hosts", cells.hosts),
        Column("Address", lambda body, _now: joined(cells.balancer(body), "")),
        Column("Ports", _ingress_ports), AGE,
    ),
    "networking.k8s.io/ingressclasses": (
        NAME, Column("Controller", text("spec.controller")), Column("Parameters", _parameters), AGE,
    ),
    "networking.k8s.io/networkpolicies": (
        NAME, Column("Pod-Selector", selector("spec.podSelector")), AGE,
    ),
    "/nodes": (
        NAME, Column("Status", cells.node_status), Column("Roles", cells.node_roles), AGE,
        Column("Version", text("status.nodeInfo.kubeletVersion")),
        Column("Internal-IP", cells.node_address("InternalIP"), 1),
        Column("External-IP", cells.node_address("ExternalIP"), 1),
        Column("OS-Image", text("status.nodeInfo.osImage", UNKNOWN), 1),
        Column("Kernel-Version", text("status.nodeInfo.kernelVersion", UNKNOWN), 1),
        Column(
            "Container-Runtime", text("status.nodeInfo.containerRuntimeVersion", UNKNOWN), 1
        ),
    ),
    "/events": _EVENTS,
    "events.k8s.io/events": _EVENTS,
    "/namespaces": (NAME, Column("Status", text("status.phase", "Active")), AGE),
    "/configmaps": (NAME, Column("Data", size("data", "binaryData"), 0, "integer"), AGE),
    "/secrets": (
        NAME, Column("Type", text("type", "Opaque")),
        Column("Data", size("data"), 0, "integer"), AGE,
    ),
    "/serviceaccounts": (NAME, Column("Secrets", size("secrets"), 0, "integer"), AGE),
    "/resourcequotas": (
        NAME, Column("Request", _quota(False)), Column("Limit", _quota(True)), AGE,
    ),
    "/persistentvolumes": (
        NAME, Column("Capacity", text("spec.capacity.storage")),
        Column("Access Modes", _modes("spec.accessModes")),
        Column("Reclaim Policy", text("spec.persistentVolumeReclaimPolicy", "Retain")),
        Column("Status", _volume_phase), Column("Claim", _claim),
        Column("StorageClass", text("spec.storageClassName")),
        Column("VolumeAttributesClass", text("spec.volumeAttributesClassName", UNSET)),
        Column("Reason", text("status.reason")), AGE,
        Column("VolumeMode", text("spec.volumeMode", UNSET), 1),
    ),
    "/persistentvolumeclaims": (
        NAME, Column("Status", _volume_phase), Column("Volume", text("spec.volumeName")),
        Column("Capacity", _bound("status.capacity.storage")),
        Column("Access Modes", _modes("status.accessModes")),
        Column("StorageClass", text("spec.storageClassName")),
        Column("VolumeAttributesClass", text("spec.volumeAttributesClassName", UNSET)), AGE,
        Column("VolumeMode", text("spec.volumeMode", UNSET), 1),
    ),
    "storage.k8s.io/storageclasses": (
        Column("Name", _storage_class, format="name"), Column("Provisioner", text("provisioner")),
        Column("ReclaimPolicy", text("reclaimPolicy", "Delete")),
        Column("VolumeBindingMode", text("volumeBindingMode", "Immediate")),
        Column("AllowVolumeExpansion", flag("allowVolumeExpansion"), 0, "boolean"), AGE,
    ),
    "autoscaling/horizontalpodautoscalers": (
        NAME, Column("Reference", hpa_reference), Column("Targets", hpa_targets),
        Column("MinPods", text("spec.minReplicas", UNSET)),
        Column("MaxPods", number("spec.maxReplicas"), 0, "integer"),
        Column("Replicas", number("status.currentReplicas"), 0, "integer"), AGE,
    ),
    "policy/poddisruptionbudgets": (
        NAME, Column("Min Available", text("spec.minAvailable", "N/A")),
        Column("Max Unavailable", text("spec.maxUnavailable", "N/A")),
        Column("Allowed Disruptions", number("status.disruptionsAllowed"), 0, "integer"), AGE,
    ),
    "coordination.k8s.io/leases": (NAME, Column("Holder", text("spec.holderIdentity")), AGE),
    "scheduling.k8s.io/priorityclasses": (
        NAME, Column("Value", number("value"), 0, "integer"),
        Column("Global-Default", flag("globalDefault"), 0, "boolean"), AGE,
        Column("PreemptionPolicy", text("preemptionPolicy", "PreemptLowerPriority")),
    ),
    "rbac.authorization.k8s.io/rolebindings": _binding(),
    "rbac.authorization.k8s.io/clusterrolebindings": _binding(),
    "admissionregistration.k8s.io/validatingadmissionpolicies": (
        NAME, Column("Validations", size("spec.validations"), 0, "integer"),
        Column("ParamKind", _param_kind), AGE,
    ),
    "admissionregistration.k8s.io/validatingadmissionpolicybindings": (
        NAME, Column("PolicyName", text("spec.policyName")), Column("ParamRef", _param_ref), AGE,
    ),
}  # fmt: skip
