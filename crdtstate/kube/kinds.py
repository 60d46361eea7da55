"""The built-in kinds that a peer serves: names, scope, sub-resources, policies.

Schemas are found by (group, version, kind) in `builtin`.

Source: Kubernetes 1.37's discovery documents and the strategies of its kinds.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple, final

__all__ = ["KINDS", "SCALE", "SELECTABLE", "Row"]

SCALE: Mapping[str, str] = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".spec.selector",
}
"""Of the built-in workloads. The selector there is a LabelSelector, not yet text."""


@final
class Row(NamedTuple):
    """One kind in one version; `flags`: n namespaced, g has a generation, a in category `all`."""

    group_version: str
    kind: str
    plural: str
    flags: str
    short_names: str = ""
    subresources: str = ""
    policy: Literal["fields", "whole"] = "fields"


_ADMISSION = "admissionregistration.k8s.io/v1"
_RBAC = "rbac.authorization.k8s.io/v1"

KINDS: tuple[Row, ...] = (
    Row("v1", "ConfigMap", "configmaps", "n", "cm"),
    Row("v1", "Endpoints", "endpoints", "n", "ep"),
    Row("v1", "Event", "events", "n", "ev", policy="whole"),
    Row("v1", "LimitRange", "limitranges", "n", "limits"),
    Row("v1", "Namespace", "namespaces", "", "ns", "status finalize"),
    Row("v1", "Node", "nodes", "", "no", "status"),
    Row("v1", "PersistentVolume", "persistentvolumes", "", "pv", "status"),
    Row("v1", "PersistentVolumeClaim", "persistentvolumeclaims", "n", "pvc", "status"),
    Row("v1", "Pod", "pods", "nga", "po", "status ephemeralcontainers"),
    Row("v1", "PodTemplate", "podtemplates", "n"),
    Row("v1", "ReplicationController", "replicationcontrollers", "nga", "rc", "status scale"),
    Row("v1", "ResourceQuota", "resourcequotas", "n", "quota", "status"),
    Row("v1", "Secret", "secrets", "n"),
    Row("v1", "Service", "services", "na", "svc", "status"),
    Row("v1", "ServiceAccount", "serviceaccounts", "n", "sa"),
    Row("apps/v1", "ControllerRevision", "controllerrevisions", "n"),
    Row("apps/v1", "DaemonSet", "daemonsets", "nga", "ds", "status"),
    Row("apps/v1", "Deployment", "deployments", "nga", "deploy", "status scale"),
    Row("apps/v1", "ReplicaSet", "replicasets", "nga", "rs", "status scale"),
    Row("apps/v1", "StatefulSet", "statefulsets", "nga", "sts", "status scale"),
    Row(
        "autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "na", "hpa",
        "status",
    ),
    Row("batch/v1", "CronJob", "cronjobs", "nga", "cj", "status"),
    Row("batch/v1", "Job", "jobs", "nga", "", "status"),
    Row("coordination.k8s.io/v1", "Lease", "leases", "n", policy="whole"),
    Row("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", "ng"),
    Row("events.k8s.io/v1", "Event", "events", "n", "ev", policy="whole"),
    Row("networking.k8s.io/v1", "Ingress", "ingresses", "ng", "ing", "status"),
    Row("networking.k8s.io/v1", "IngressClass", "ingressclasses", "g"),
    Row("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", "ng", "netpol"),
    Row("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", "ng", "pdb", "status"),
    Row(_RBAC, "ClusterRole", "clusterroles", ""),
    Row(_RBAC, "ClusterRoleBinding", "clusterrolebindings", ""),
    Row(_RBAC, "Role", "roles", "n"),
    Row(_RBAC, "RoleBinding", "rolebindings", "n"),
    Row("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", "g", "pc"),
    Row("storage.k8s.io/v1", "StorageClass", "storageclasses", "", "sc"),
    Row(_ADMISSION, "ValidatingAdmissionPolicy", "validatingadmissionpolicies", "g", "", "status"),
    Row(_ADMISSION, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", "g"),
    Row(
        "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", "g",
        "crd crds", "status",
    ),
)  # fmt: skip

SELECTABLE: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "Event"): (
        "involvedObject.apiVersion", "involvedObject.fieldPath", "involvedObject.kind",
        "involvedObject.name", "involvedObject.namespace", "involvedObject.resourceVersion",
        "involvedObject.uid", "reason", "reportingComponent", "source", "type",
    ),
    ("events.k8s.io", "Event"): (
        "regarding.apiVersion", "regarding.fieldPath", "regarding.kind", "regarding.name",
        "regarding.namespace", "regarding.resourceVersion", "regarding.uid", "reason",
        "reportingController", "type",
    ),
    ("", "Namespace"): ("status.phase",),
    ("", "Node"): ("spec.unschedulable",),
    ("", "Pod"): (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
        "spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName",
    ),
    ("", "ReplicationController"): ("status.replicas",),
    ("", "Secret"): ("type",),
    ("", "Service"): ("spec.clusterIP", "spec.type"),
    ("apps", "ReplicaSet"): ("status.replicas",),
    ("batch", "Job"): ("status.successful",),
}  # fmt: skip
"""Field selectors beyond metadata.name and metadata.namespace."""
