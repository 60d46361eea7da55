"""Default values of the built-in kinds that do not depend on anything else, by definition.

They are shown and validated, never stored (`defaulting`). Those that depend on another field are
functions there.

Source: Kubernetes 1.37, `pkg/apis/*/v1/defaults.go`.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["DEFAULTS"]

_APPS = "io.k8s.api.apps.v1."
_BATCH = "io.k8s.api.batch.v1."
_CORE = "io.k8s.api.core.v1."
_ADMISSION = "io.k8s.api.admissionregistration.v1."
_HALF = 420  # 0644, the mode of projected files.

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    _CORE + "ContainerPort": {"protocol": "TCP"},
    _CORE + "ServicePort": {"protocol": "TCP"},
    _CORE + "EndpointPort": {"protocol": "TCP"},
    "io.k8s.api.discovery.v1.EndpointPort": {"protocol": "TCP", "name": ""},
    _CORE + "PodSpec": {
        "restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
        "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler",
        "securityContext": {}, "enableServiceLinks": True,
    },
    _CORE + "Container": {
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        "resources": {},
    },
    _CORE + "EphemeralContainer": {
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
    },
    _CORE + "Probe": {
        "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
    },
    _CORE + "HTTPGetAction": {"path": "/", "scheme": "HTTP"},
    _CORE + "GRPCAction": {"service": ""},
    _CORE + "ObjectFieldSelector": {"apiVersion": "v1"},
    _CORE + "SecretVolumeSource": {"defaultMode": _HALF},
    _CORE + "ConfigMapVolumeSource": {"defaultMode": _HALF},
    _CORE + "DownwardAPIVolumeSource": {"defaultMode": _HALF},
    _CORE + "ProjectedVolumeSource": {"defaultMode": _HALF},
    _CORE + "ServiceAccountTokenProjection": {"expirationSeconds": 3600},
    _CORE + "HostPathVolumeSource": {"type": ""},
    _CORE + "ServiceSpec": {
        "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
    },
    _CORE + "Secret": {"type": "Opaque"},
    _CORE + "PersistentVolumeSpec": {
        "persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem",
    },
    _CORE + "PersistentVolumeClaimSpec": {"volumeMode": "Filesystem"},
    _CORE + "ReplicationControllerSpec": {"replicas": 1},
    _APPS + "DeploymentSpec": {
        "replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600, "strategy": {},
    },
    _APPS + "DeploymentStrategy": {"type": "RollingUpdate"},
    _APPS + "RollingUpdateDeployment": {"maxUnavailable": "25%", "maxSurge": "25%"},
    _APPS + "ReplicaSetSpec": {"replicas": 1},
    # Counts that upstream always writes, being plain numbers in Go: a status of which only a
    # condition is known is whole with them.
    _APPS + "ReplicaSetStatus": {"replicas": 0},
    _APPS + "StatefulSetStatus": {"replicas": 0, "availableReplicas": 0},
    _APPS + "DaemonSetStatus": {
        "currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0,
        "numberReady": 0,
    },
    _CORE + "ReplicationControllerStatus": {"replicas": 0},
    "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus": {"desiredReplicas": 0},
    "io.k8s.api.policy.v1.PodDisruptionBudgetStatus": {
        "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0,
    },
    _APPS + "StatefulSetSpec": {
        "replicas": 1, "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady",
        "updateStrategy": {},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    },
    _APPS + "StatefulSetUpdateStrategy": {"type": "RollingUpdate"},
    _APPS + "RollingUpdateStatefulSetStrategy": {"partition": 0},
    _APPS + "DaemonSetSpec": {"revisionHistoryLimit": 10, "updateStrategy": {}},
    _APPS + "DaemonSetUpdateStrategy": {"type": "RollingUpdate"},
    _APPS + "RollingUpdateDaemonSet": {"maxUnavailable": 1, "maxSurge": 0},
    _BATCH + "JobSpec": {
        "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": False,
        "manualSelector": False,
    },
    _BATCH + "CronJobSpec": {
        "concurrencyPolicy": "Allow", "suspend": False, "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    },
    "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec": {"minReplicas": 1},
    "io.k8s.api.storage.v1.StorageClass": {
        "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate",
    },
    "io.k8s.api.scheduling.v1.PriorityClass": {"preemptionPolicy": "PreemptLowerPriority"},
    "io.k8s.api.rbac.v1.RoleRef": {"apiGroup": "rbac.authorization.k8s.io"},
    _ADMISSION + "ValidatingAdmissionPolicySpec": {"failurePolicy": "Fail"},
    _ADMISSION + "MatchResources": {"matchPolicy": "Equivalent"},
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec": {
        "conversion": {"strategy": "None"},
    },
}  # fmt: skip
