"""Rules of the built-in kinds beyond their schemas, by definition; pods are in `checks_pods`.

Source: Kubernetes 1.37, `pkg/apis/*/validation`.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from crdtstate.kube import causes as c
from crdtstate.kube import formats
from crdtstate.kube.causes import Cause
from crdtstate.kube.checks_pods import (
    POD_CHECKS,
    Check,
    duplicates,
    mount_causes,
    named,
    not_negative,
    one_of,
    port_cause,
)
from crdtstate.kube.crd_checks import crd_causes, crd_spec_causes
from crdtstate.kube.metadata import label_causes

__all__ = ["CHECKS", "Check"]

Value = Mapping[str, Any]
_OBJECT_BYTES_MAX = 1024 * 1024
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_KEYS_OF_TYPES: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def _data(value: Value, path: str, name: str) -> Iterator[Cause]:
    for key in value.get(name) or {}:
        if (wrong := formats.config_key(key)) is not None:
            yield c.invalid(f"{path}{name}[{key}]", key, wrong)


def _config_map(value: Value, path: str) -> Iterator[Cause]:
    yield from _data(value, path, "data")
    yield from _data(value, path, "binaryData")
    texts, blobs = value.get("data") or {}, value.get("binaryData") or {}
    for key in texts:
        if key in blobs:
            yield c.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    size = sum(len(text.encode()) for text in texts.values())
    size += sum(len(text) * 3 // 4 for text in blobs.values())
    if size > _OBJECT_BYTES_MAX:
        yield c.too_long("", _OBJECT_BYTES_MAX)


def _secret(value: Value, path: str) -> Iterator[Cause]:
    yield from _data(value, path, "data")
    data = value.get("data") or {}
    size = sum(len(text) * 3 // 4 for text in data.values())
    if size > _OBJECT_BYTES_MAX:
        yield c.too_long("data", _OBJECT_BYTES_MAX)
    kind = value.get("type", "")
    for key in _KEYS_OF_TYPES.get(kind, ()):
        if key not in data:
            yield c.required(f"data[{key}]")
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & data.keys():
        yield c.required("data[username]")
        yield c.required("data[password]")


def _selector(value: Value, path: str) -> Iterator[Cause]:
    yield from label_causes(value.get("matchLabels") or {}, f"{path}.matchLabels")
    for i, each in enumerate(value.get("matchExpressions") or []):
        at = f"{path}.matchExpressions[{i}]"
        operator, values = each.get("operator"), each.get("values") or []
        if operator is not None and operator not in _OPERATORS:
            yield c.invalid(f"{at}.operator", operator, "not a valid selector operator")
        elif operator in ("In", "NotIn") and not values:
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            yield c.required(f"{at}.values", text)
        elif operator in ("Exists", "DoesNotExist") and values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield c.forbidden(f"{at}.values", text)
        key = each.get("key")
        if key and (wrong := formats.qualified_name(key)) is not None:
            yield c.invalid(f"{at}.key", key, wrong)


def _workload(kind: str) -> Check:
    def check(spec: Value, path: str) -> Iterator[Cause]:
        yield from not_negative(spec, path, "replicas", "minReadySeconds", "revisionHistoryLimit")
        template = spec.get("template") or {}
        selector = spec.get("selector")
        labels = (template.get("metadata") or {}).get("labels") or {}
        if selector is None:
            return  # Its schema requires it.
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            text = f"empty selector is invalid for {kind}"
            yield c.invalid(f"{path}.selector", selector, text)
        elif not _matches(selector, labels):
            text = "`selector` does not match template `labels`"
            yield c.invalid(f"{path}.template.metadata.labels", labels, text)
        policy = (template.get("spec") or {}).get("restartPolicy", "Always")
        if policy != "Always":
            yield c.not_supported(f"{path}.template.spec.restartPolicy", policy, ["Always"])
        if kind != "statefulset":
            yield from mount_causes(template.get("spec") or {}, f"{path}.template.spec")

    return check


def _matches(selector: Value, labels: Mapping[str, Any]) -> bool:
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    for each in selector.get("matchExpressions") or []:
        value, values = labels.get(each.get("key")), each.get("values") or []
        fits = {
            "In": value is not None and value in values,
            "NotIn": value is None or value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not fits.get(each.get("operator"), True):
            return False
    return True


def _deployment(spec: Value, path: str) -> Iterator[Cause]:
    yield from _workload("deployment")(spec, path)
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds") or 0
    if isinstance(deadline, int) and deadline <= ready:
        text = "must be greater than minReadySeconds"
        yield c.invalid(f"{path}.progressDeadlineSeconds", deadline, text)


def _strategy(value: Value, path: str) -> Iterator[Cause]:
    yield from one_of(value, path, "type", ("Recreate", "RollingUpdate"))
    rolling = value.get("rollingUpdate")
    if value.get("type") == "Recreate" and rolling is not None:
        text = "may not be specified when strategy `type` is 'Recreate'"
        yield c.forbidden(f"{path}.rollingUpdate", text)
    if not isinstance(rolling, dict):
        return
    for name in ("maxUnavailable", "maxSurge"):
        yield from _count_or_percent(rolling.get(name), f"{path}.rollingUpdate.{name}")
    none = (0, "0%")
    if rolling.get("maxUnavailable") in none and rolling.get("maxSurge") in none:
        text = "may not be 0 when `maxSurge` is 0"
        yield c.invalid(
            f"{path}.rollingUpdate.maxUnavailable", rolling["maxUnavailable"], text
        )  # fmt: skip


def _count_or_percent(value: Any, path: str) -> Iterator[Cause]:
    if isinstance(value, int) and value < 0:
        yield c.invalid(path, value, "must be greater than or equal to 0")
    elif isinstance(value, str) and not re.fullmatch("[0-9]+%", value):
        text = (
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. "
            "'1%',  or '93%', regex used for validation is '[0-9]+%')"
        )
        yield c.invalid(path, value, text)


def _job(spec: Value, path: str) -> Iterator[Cause]:
    yield from not_negative(
        spec, path, "parallelism", "completions", "backoffLimit", "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
    )  # fmt: skip
    yield from one_of(spec, path, "completionMode", ("NonIndexed", "Indexed"))
    template = spec.get("template") or {}
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy not in ("OnFailure", "Never"):
        at = f"{path}.template.spec.restartPolicy"
        yield c.not_supported(at, policy, ["OnFailure", "Never"])
    yield from mount_causes(template.get("spec") or {}, f"{path}.template.spec")


def _cron_job(spec: Value, path: str) -> Iterator[Cause]:
    schedule = spec.get("schedule")
    if schedule == "":
        yield c.required(f"{path}.schedule")
    elif schedule and (wrong := formats.cron_schedule(schedule)) is not None:
        yield c.invalid(f"{path}.schedule", schedule, wrong)
    yield from one_of(spec, path, "concurrencyPolicy", ("Allow", "Forbid", "Replace"))
    yield from not_negative(
        spec, path, "startingDeadlineSeconds", "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
    )  # fmt: skip


def _service(spec: Value, path: str) -> Iterator[Cause]:
    kinds = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
    yield from one_of(spec, path, "type", kinds)
    yield from one_of(spec, path, "sessionAffinity", ("ClientIP", "None"))
    yield from label_causes(spec.get("selector") or {}, f"{path}.selector")
    ports, address = spec.get("ports") or [], spec.get("clusterIP") or ""
    external = spec.get("type") == "ExternalName"
    if not ports and not external and address != "None":
        yield c.required(f"{path}.ports")
    if external and not spec.get("externalName"):
        yield c.required(f"{path}.externalName")
    if address not in ("", "None") and not external:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            text = "must be empty, 'None', or a valid IP address"
            yield c.invalid(f"{path}.clusterIPs[0]", address, text)
    seen: set[tuple[Any, Any]] = set()
    for i, port in enumerate(ports):
        key = (port.get("port"), port.get("protocol", "TCP"))
        if key in seen:
            yield c.duplicate(f"{path}.ports[{i}]", {"port": key[0], "protocol": key[1]})
        seen.add(key)
        if len(ports) > 1 and not port.get("name"):
            yield c.required(f"{path}.ports[{i}].name")
    yield from duplicates(ports, f"{path}.ports", "name", set())


def _service_port(port: Value, path: str) -> Iterator[Cause]:
    yield from port_cause(port.get("port"), f"{path}.port")
    yield from port_cause(port.get("targetPort"), f"{path}.targetPort")
    yield from port_cause(port.get("nodePort"), f"{path}.nodePort", least=0)
    yield from one_of(port, path, "protocol", ("SCTP", "TCP", "UDP"))
    name = port.get("name")
    if name and (wrong := formats.dns_label(name)) is not None:
        yield c.invalid(f"{path}.name", name, wrong)


def _autoscaler(spec: Value, path: str) -> Iterator[Cause]:
    least, most = spec.get("minReplicas"), spec.get("maxReplicas")
    if isinstance(least, int) and least < 0:
        yield c.invalid(f"{path}.minReplicas", least, "must be greater than or equal to 0")
    if isinstance(most, int) and most < 1:
        yield c.invalid(f"{path}.maxReplicas", most, "must be greater than 0")
    elif isinstance(least, int) and isinstance(most, int) and most < least:
        text = "must be greater than or equal to `minReplicas`"
        yield c.invalid(f"{path}.maxReplicas", most, text)


def _disruption_budget(spec: Value, path: str) -> Iterator[Cause]:
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        text = "minAvailable and maxUnavailable cannot be both set"
        yield c.invalid(path, dict(spec), text)
    for name in ("minAvailable", "maxUnavailable"):
        yield from _count_or_percent(spec.get(name), f"{path}.{name}")


def _path_of_ingress(value: Value, path: str) -> Iterator[Cause]:
    kind = value.get("pathType")
    if kind == "":
        yield c.required(f"{path}.pathType", "pathType must be specified")
    yield from one_of(value, path, "pathType", ("Exact", "ImplementationSpecific", "Prefix"))
    if kind in ("Exact", "Prefix") and not str(value.get("path") or "").startswith("/"):
        yield c.invalid(f"{path}.path", value.get("path") or "", "must be an absolute path")


def _policy_rule(rule: Value, path: str) -> Iterator[Cause]:
    if rule.get("verbs") == []:
        yield c.required(f"{path}.verbs", "verbs must contain at least one value")
    if not rule.get("nonResourceURLs") and not rule.get("resources"):
        text = "resource rules must supply at least one resource"
        yield c.required(f"{path}.resources", text)


def _role_ref(value: Value, path: str) -> Iterator[Cause]:
    yield from one_of(value, path, "kind", ("ClusterRole", "Role"))
    yield from named(value, path, formats.path_segment)


def _subject(value: Value, path: str) -> Iterator[Cause]:
    yield from one_of(value, path, "kind", ("Group", "ServiceAccount", "User"))
    if value.get("name") == "":
        yield c.required(f"{path}.name")


def _claim(spec: Value, path: str) -> Iterator[Cause]:
    if not spec.get("accessModes"):
        yield c.required(f"{path}.accessModes", "at least 1 access mode is required")
    requests = (spec.get("resources") or {}).get("requests") or {}
    if "storage" not in requests:
        yield c.required(f"{path}.resources[storage]")


def _lease(spec: Value, path: str) -> Iterator[Cause]:
    duration = spec.get("leaseDurationSeconds")
    if isinstance(duration, int) and duration <= 0:
        yield c.invalid(f"{path}.leaseDurationSeconds", duration, "must be greater than 0")
    yield from not_negative(spec, path, "leaseTransitions")


def _slice(value: Value, path: str) -> Iterator[Cause]:
    yield from one_of(value, path, "addressType", ("FQDN", "IPv4", "IPv6"))


_CORE, _APPS = "io.k8s.api.core.v1.", "io.k8s.api.apps.v1."
_CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"
_RBAC = "io.k8s.api.rbac.v1."
CHECKS: Mapping[str, Check] = {
    **POD_CHECKS,
    _CORE + "ConfigMap": _config_map,
    _CORE + "PersistentVolumeClaimSpec": _claim,
    _CORE + "Secret": _secret,
    _CORE + "ServicePort": _service_port,
    _CORE + "ServiceSpec": _service,
    "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector": _selector,
    _APPS + "DaemonSetSpec": _workload("daemonset"),
    _APPS + "DeploymentSpec": _deployment,
    _APPS + "DeploymentStrategy": _strategy,
    _APPS + "ReplicaSetSpec": _workload("replicaset"),
    _APPS + "StatefulSetSpec": _workload("statefulset"),
    "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec": _autoscaler,
    "io.k8s.api.batch.v1.CronJobSpec": _cron_job,
    "io.k8s.api.batch.v1.JobSpec": _job,
    "io.k8s.api.coordination.v1.LeaseSpec": _lease,
    "io.k8s.api.discovery.v1.EndpointSlice": _slice,
    "io.k8s.api.networking.v1.HTTPIngressPath": _path_of_ingress,
    "io.k8s.api.policy.v1.PodDisruptionBudgetSpec": _disruption_budget,
    _RBAC + "PolicyRule": _policy_rule,
    _RBAC + "RoleRef": _role_ref,
    _RBAC + "Subject": _subject,
    _CRD: crd_causes,
    _CRD + "Spec": crd_spec_causes,
}
"""By definition: called wherever a value of that type stands that its schema finds right."""
