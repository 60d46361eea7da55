"""What an update of a built-in kind may not change.

Source: Kubernetes 1.37, `pkg/apis/*/validation` (ValidateXUpdate).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from crdtstate.kube import causes as c
from crdtstate.kube.causes import Cause
from crdtstate.kube.resources import Resource
from crdtstate.kube.typed import same

__all__ = ["transition_causes"]

Body = Mapping[str, Any]
_IMMUTABLE = "field is immutable"
_WORKLOAD = ("spec.selector",)
_FIELDS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "Secret"): ("type",),
    ("apps", "ControllerRevision"): ("data",),
    ("apps", "DaemonSet"): _WORKLOAD,
    ("apps", "Deployment"): _WORKLOAD,
    ("apps", "ReplicaSet"): _WORKLOAD,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): (
        "spec.group", "spec.scope", "spec.names.plural", "spec.names.kind",
    ),
    ("batch", "Job"): ("spec.selector", "spec.completionMode", "spec.template"),
    ("discovery.k8s.io", "EndpointSlice"): ("addressType",),
    ("networking.k8s.io", "IngressClass"): ("spec.controller",),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io", "RoleBinding"): ("roleRef",),
    ("scheduling.k8s.io", "PriorityClass"): ("value", "preemptionPolicy"),
    ("storage.k8s.io", "StorageClass"): (
        "provisioner", "parameters", "reclaimPolicy", "volumeBindingMode",
    ),
}  # fmt: skip

_POD_MUTABLE = frozenset({
    "activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates",
    "ephemeralContainers",
})  # fmt: skip
_POD_TEXT = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set "
    "to 1 if it was previously negative)"
)
_SET_MUTABLE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip


def transition_causes(resource: Resource, new: Body, old: Body) -> list[Cause]:
    """Return what `new` changes and may not; both with their defaults."""
    key = (resource.group, resource.kind)
    found = []
    for path in _FIELDS.get(key, ()):
        before, after = _at(old, path), _at(new, path)
        if before is not None and not same(before, after):
            found.append(c.invalid(path, after, _IMMUTABLE))
    special = _SPECIAL.get(key)
    return found + list(special(new, old)) if special else found


def _at(body: Body, path: str) -> Any:
    value: Any = body
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _sealed(new: Body, old: Body) -> Iterator[Cause]:
    """Of ConfigMap and Secret: once immutable, always, and with it the data."""
    if old.get("immutable") is not True:
        return
    text = "field is immutable when `immutable` is set"
    if new.get("immutable") is not True:
        yield c.forbidden("immutable", text)
    for name in ("data", "binaryData"):
        if not same(new.get(name) or {}, old.get(name) or {}):
            yield c.forbidden(name, text)


def _pod(new: Body, old: Body) -> Iterator[Cause]:
    before, after = old.get("spec"), new.get("spec")
    if not before or not after or before == after:
        return
    if not same(_pod_fixed(before, after), _pod_fixed(after, before)):
        yield c.forbidden("spec", _POD_TEXT)
    known = before.get("tolerations") or []
    kept = after.get("tolerations") or []
    if any(each not in kept for each in known):
        yield c.forbidden("spec.tolerations", "existing toleration can not be modified")
    gates = before.get("schedulingGates") or []
    if any(gate not in gates for gate in after.get("schedulingGates") or []):
        text = "only deletion is allowed, but found new scheduling gate"
        yield c.forbidden("spec.schedulingGates", text)


def _pod_fixed(spec: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return what of a pod's spec is fixed; a node may be chosen once."""
    fixed = {name: each for name, each in spec.items() if name not in _POD_MUTABLE}
    if not spec.get("nodeName") or not other.get("nodeName"):
        fixed.pop("nodeName", None)
    for name in ("containers", "initContainers"):
        if isinstance(fixed.get(name), list):
            fixed[name] = [
                {
                    k: v
                    for k, v in each.items()
                    if k not in ("image", "imagePullPolicy", "resources")
                }
                for each in fixed[name]
                if isinstance(each, dict)
            ]
    return fixed


def _stateful_set(new: Body, old: Body) -> Iterator[Cause]:
    before = {k: v for k, v in (old.get("spec") or {}).items() if k not in _SET_MUTABLE}
    after = {k: v for k, v in (new.get("spec") or {}).items() if k not in _SET_MUTABLE}
    if not same(before, after):
        names = ", ".join(f"'{name}'" for name in _SET_MUTABLE[:-1])
        text = (
            f"updates to statefulset spec for fields other than {names} and "
            f"'{_SET_MUTABLE[-1]}' are forbidden"
        )
        yield c.forbidden("spec", text)


def _service(new: Body, old: Body) -> Iterator[Cause]:
    before, after = _at(old, "spec.clusterIP"), _at(new, "spec.clusterIP")
    external = "ExternalName" in (_at(old, "spec.type"), _at(new, "spec.type"))
    if before and after and before != after and not external:
        yield c.invalid("spec.clusterIPs[0]", [after], "may not change once set")


def _claim(new: Body, old: Body) -> Iterator[Cause]:
    mutable = ("resources", "volumeAttributesClassName", "volumeName")
    before = {k: v for k, v in (old.get("spec") or {}).items() if k not in mutable}
    after = {k: v for k, v in (new.get("spec") or {}).items() if k not in mutable}
    if not same(before, after):
        text = (
            "spec is immutable after creation except resources.requests and "
            "volumeAttributesClassName for bound claims"
        )
        yield c.forbidden("spec", text)


def _job(new: Body, old: Body) -> Iterator[Cause]:
    before, after = _at(old, "spec.completions"), _at(new, "spec.completions")
    indexed = _at(old, "spec.completionMode") == "Indexed"
    if after is not None and before != after and not indexed:
        yield c.invalid("spec.completions", after, _IMMUTABLE)


_SPECIAL: Mapping[tuple[str, str], Callable[[Body, Body], Iterator[Cause]]] = {
    ("", "ConfigMap"): _sealed,
    ("", "Secret"): _sealed,
    ("", "Pod"): _pod,
    ("", "Service"): _service,
    ("", "PersistentVolumeClaim"): _claim,
    ("apps", "StatefulSet"): _stateful_set,
    ("batch", "Job"): _job,
}
