"""Defaulting: what a reader sees where nobody wrote anything. Defaults are never stored.

Source: apiextensions-apiserver `defaulting`; Kubernetes 1.37, `pkg/apis/*/v1/defaults.go`.

Invariants:
    DEF-1  Defaulting changes nothing that is there, except a null that may not be null.
    DEF-2  Defaulting twice gives what defaulting once gives.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from crdtstate.kube.schema import ANY, Schema

__all__ = ["apply_defaults"]


def apply_defaults(schema: Schema, body: dict[str, Any]) -> dict[str, Any]:
    """Return the body with its defaults. The result shares with `body`: change neither."""
    filled = _fill(schema, body)
    assert isinstance(filled, dict)
    return filled


def _fill(schema: Schema, value: Any) -> Any:
    if isinstance(value, dict):
        if schema.kind == "object":
            return _fill_object(schema, value)
    elif isinstance(value, list) and schema.kind == "array" and schema.items is not None:
        items = schema.items
        if items.kind == "object" or items.kind == "array":
            filled = [_fill(items, each) for each in value]
            if any(a is not b for a, b in zip(filled, value, strict=True)):
                return filled
    return value


def _fill_object(schema: Schema, value: dict[str, Any]) -> dict[str, Any]:
    result = value
    for name, below in schema.properties.items():
        if not below.has_default:
            continue
        if name not in value or (value[name] is None and not below.nullable):
            if result is value:
                result = dict(value)
            result[name] = deepcopy(below.default)
    dependent = _DEPENDENT.get(schema.definition)
    if dependent is not None:
        extra = {k: v for k, v in dependent(result).items() if k not in result}
        if extra:
            result = {**result, **extra}
    properties, additional = schema.properties, schema.additional or ANY
    for name, each in result.items():
        if isinstance(each, dict | list):
            filled = _fill(properties.get(name) or additional, each)
            if filled is not each:
                if result is value:
                    result = dict(value)
                result[name] = filled
    return result


# The rest: defaults of built-in kinds that depend on another field of the same type.

_Dependent = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def _container(value: Mapping[str, Any]) -> Mapping[str, Any]:
    image = value.get("image")
    if not isinstance(image, str) or not image:
        return {"imagePullPolicy": "IfNotPresent"}
    name = image.rpartition("/")[2]
    latest = "@" not in name and (":" not in name or name.endswith(":latest"))
    return {"imagePullPolicy": "Always" if latest else "IfNotPresent"}


def _pod_spec(value: Mapping[str, Any]) -> Mapping[str, Any]:
    # Two names of one field; each shows what the other says.
    account = value.get("serviceAccountName") or value.get("serviceAccount")
    return {"serviceAccountName": account, "serviceAccount": account} if account else {}


def _volume(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return {} if value.keys() - {"name"} else {"emptyDir": {}}


def _service_port(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"targetPort": value["port"]} if "port" in value else {}


def _map(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a map, empty where there is none: what is defaulted is not validated yet."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _rolling(field: Mapping[str, Any]) -> _Dependent:
    def dependent(value: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"rollingUpdate": dict(field)} if value.get("type") == "RollingUpdate" else {}

    return dependent


def _pod_template_owner(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without a selector, a ReplicationController selects by its template's labels."""
    labels = _map(_map(_map(value, "template"), "metadata"), "labels")
    return {"selector": dict(labels)} if labels else {}


def _job_spec(value: Mapping[str, Any]) -> Mapping[str, Any]:
    if value.get("completions") is None and value.get("parallelism") is None:
        return {"completions": 1, "parallelism": 1}
    return {"parallelism": 1}


def _subject(value: Mapping[str, Any]) -> Mapping[str, Any]:
    group = "rbac.authorization.k8s.io" if value.get("kind") in ("User", "Group") else ""
    return {"apiGroup": group} if group else {}


def _namespace(value: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = _map(value, "metadata")
    phase = "Terminating" if metadata.get("deletionTimestamp") else "Active"
    return {"status": {"phase": phase}}


def _names(value: Mapping[str, Any]) -> Mapping[str, Any]:
    kind = value.get("kind")
    if not isinstance(kind, str) or not kind:
        return {}
    return {"singular": kind.lower(), "listKind": kind + "List"}


def _policy_types(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"policyTypes": ["Ingress", "Egress"] if value.get("egress") else ["Ingress"]}


def _limits(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Requests that nobody states are the limits."""
    limits = _map(value, "limits")
    return {"requests": dict(limits)} if limits else {}


_CORE = "io.k8s.api.core.v1."
_CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_DEPENDENT: Mapping[str, _Dependent] = {
    _CORE + "Container": _container,
    _CORE + "EphemeralContainer": _container,
    _CORE + "Namespace": _namespace,
    _CORE + "PodSpec": _pod_spec,
    _CORE + "ReplicationControllerSpec": _pod_template_owner,
    _CORE + "ResourceRequirements": _limits,
    _CORE + "ServicePort": _service_port,
    _CORE + "Volume": _volume,
    _CRD + "CustomResourceDefinitionNames": _names,
    "io.k8s.api.apps.v1.DaemonSetUpdateStrategy": _rolling({}),
    "io.k8s.api.apps.v1.DeploymentStrategy": _rolling({}),
    "io.k8s.api.apps.v1.StatefulSetUpdateStrategy": _rolling({"partition": 0}),
    "io.k8s.api.batch.v1.JobSpec": _job_spec,
    "io.k8s.api.networking.v1.NetworkPolicySpec": _policy_types,
    "io.k8s.api.rbac.v1.Subject": _subject,
}
