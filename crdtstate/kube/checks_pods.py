"""Rules of pods and of what carries a pod template, beyond their schemas.

Source: Kubernetes 1.37, `pkg/apis/core/validation` (ValidatePodSpec and below).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from crdtstate.kube import causes as c
from crdtstate.kube import formats
from crdtstate.kube.causes import Cause
from crdtstate.kube.metadata import label_causes

__all__ = [
    "POD_CHECKS",
    "Check",
    "duplicates",
    "mount_causes",
    "named",
    "not_negative",
    "one_of",
    "port_cause",
]

Value = Mapping[str, Any]
Check = Callable[[Value, str], Iterator[Cause]]
"""(value, path) to faults; the value has passed its schema."""

_PULL = ("Always", "IfNotPresent", "Never")
_RESTART = ("Always", "Never", "OnFailure")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_HOST_PATHS = (
    "", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice",
    "BlockDevice",
)  # fmt: skip


def not_negative(value: Value, path: str, *names: str) -> Iterator[Cause]:
    """Integers that may not be below 0."""
    for name in names:
        number = value.get(name)
        if isinstance(number, int) and number < 0:
            yield c.invalid(f"{path}.{name}", number, "must be greater than or equal to 0")


def one_of(value: Value, path: str, name: str, allowed: tuple[str, ...]) -> Iterator[Cause]:
    """A text from a list, if it is there."""
    found = value.get(name)
    if found is not None and found not in allowed:
        yield c.not_supported(f"{path}.{name}" if path else name, found, allowed)


def named(value: Value, path: str, check: Callable[[str], str | None]) -> Iterator[Cause]:
    """A field `name` that its schema requires, and that must not be empty."""
    name = value.get("name")
    if name == "":
        yield c.required(f"{path}.name")
    elif name and (wrong := check(name)) is not None:
        yield c.invalid(f"{path}.name", name, wrong)


def duplicates(items: list[Any], path: str, name: str, seen: set[Any]) -> Iterator[Cause]:
    """A field that no two items may share, where it is there."""
    for i, each in enumerate(items):
        value = each.get(name)
        if value in seen:
            yield c.duplicate(f"{path}[{i}].{name}", value)
        if value is not None:
            seen.add(value)


def port_cause(number: Any, path: str, *, least: int = 1) -> Iterator[Cause]:
    """The number of a port."""
    if isinstance(number, int) and not least <= number <= 65535:
        yield c.invalid(path, number, f"must be between {least} and 65535, inclusive")


def _pod_spec(spec: Value, path: str) -> Iterator[Cause]:
    containers = spec.get("containers")
    if containers == []:
        yield c.required(f"{path}.containers")
    seen: set[Any] = set()
    for group in ("initContainers", "containers", "ephemeralContainers"):
        yield from duplicates(spec.get(group) or [], f"{path}.{group}", "name", seen)
    yield from duplicates(spec.get("volumes") or [], f"{path}.volumes", "name", set())
    yield from one_of(spec, path, "restartPolicy", _RESTART)
    yield from one_of(spec, path, "dnsPolicy", _DNS)
    yield from not_negative(spec, path, "terminationGracePeriodSeconds")
    deadline = spec.get("activeDeadlineSeconds")
    if isinstance(deadline, int) and deadline < 1:
        yield c.invalid(
            f"{path}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive"
        )
    account = spec.get("serviceAccountName")
    if account and (wrong := formats.dns_subdomain(account)) is not None:
        yield c.invalid(f"{path}.serviceAccountName", account, wrong)
    yield from label_causes(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")


def mount_causes(spec: Value, path: str) -> Iterator[Cause]:
    """Mounts of a pod's containers; not of a StatefulSet's, whose claims are volumes too."""
    volumes = {each.get("name") for each in spec.get("volumes") or []}
    for group in ("initContainers", "containers"):
        for i, container in enumerate(spec.get(group) or []):
            at = f"{path}.{group}[{i}].volumeMounts"
            paths: set[Any] = set()
            for j, mount in enumerate(container.get("volumeMounts") or []):
                name, where = mount.get("name"), mount.get("mountPath")
                if name and name not in volumes:
                    shown = c.shown(name)
                    yield Cause("FieldValueNotFound", f"Not found: {shown}", f"{at}[{j}].name")
                if where in paths:
                    yield c.invalid(f"{at}[{j}].mountPath", where, "must be unique")
                paths.add(where)


def _container(container: Value, path: str) -> Iterator[Cause]:
    yield from named(container, path, formats.dns_label)
    if not container.get("image"):
        yield c.required(f"{path}.image")
    elif container["image"] != container["image"].strip():
        text = "must not have leading or trailing whitespace"
        yield c.invalid(f"{path}.image", container["image"], text)
    yield from one_of(container, path, "imagePullPolicy", _PULL)
    yield from one_of(
        container, path, "terminationMessagePolicy", ("FallbackToLogsOnError", "File")
    )
    yield from duplicates(container.get("ports") or [], f"{path}.ports", "name", set())


def _container_port(port: Value, path: str) -> Iterator[Cause]:
    yield from port_cause(port.get("containerPort"), f"{path}.containerPort")
    yield from port_cause(port.get("hostPort"), f"{path}.hostPort", least=0)
    yield from one_of(port, path, "protocol", _PROTOCOLS)
    name = port.get("name")
    if name and (wrong := formats.port_name(name)) is not None:
        yield c.invalid(f"{path}.name", name, wrong)


def _env_var(variable: Value, path: str) -> Iterator[Cause]:
    yield from named(variable, path, formats.env_name)
    source = variable.get("valueFrom")
    if source is None:
        return
    if variable.get("value"):
        text = "may not be specified when `value` is not empty"
        yield c.invalid(f"{path}.valueFrom", "", text)
    if len(source) != 1:
        text = (
            "may not have more than one field specified at a time"
            if source
            else "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or "
            "`secretKeyRef`"
        )
        yield c.invalid(f"{path}.valueFrom", "", text)


def _volume(volume: Value, path: str) -> Iterator[Cause]:
    yield from named(volume, path, formats.dns_label)
    sources = [name for name in volume if name != "name"]
    yield from (
        c.forbidden(f"{path}.{extra}", "may not specify more than 1 volume type")
        for extra in sources[1:]
    )


def _volume_mount(mount: Value, path: str) -> Iterator[Cause]:
    for name in ("name", "mountPath"):
        if mount.get(name) == "":
            yield c.required(f"{path}.{name}")


def _probe(probe: Value, path: str) -> Iterator[Cause]:
    handlers = [name for name in _HANDLERS if probe.get(name) is not None]
    if not handlers:
        yield c.required(path, "must specify a handler type")
    yield from (
        c.forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")
        for extra in handlers[1:]
    )
    yield from not_negative(
        probe, path, "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold",
        "failureThreshold",
    )  # fmt: skip


def _handler(handler: Value, path: str) -> Iterator[Cause]:
    found = [name for name in _HANDLERS if handler.get(name) is not None]
    if not found:
        yield c.required(path, "must specify a handler type")
    yield from (
        c.forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")
        for extra in found[1:]
    )


def _exec(action: Value, path: str) -> Iterator[Cause]:
    if not action.get("command"):
        yield c.required(f"{path}.command")


def _http_get(action: Value, path: str) -> Iterator[Cause]:
    yield from one_of(action, path, "scheme", ("HTTP", "HTTPS"))
    yield from port_cause(action.get("port"), f"{path}.port")


def _host_path(source: Value, path: str) -> Iterator[Cause]:
    if source.get("path") == "":
        yield c.required(f"{path}.path")
    yield from one_of(source, path, "type", _HOST_PATHS)


def _quantity(value: Any, path: str) -> Iterator[Cause]:
    if isinstance(value, str) and not formats.is_quantity(value):
        text = (
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
        yield c.invalid(path, value, text)


def _resources(value: Value, path: str) -> Iterator[Cause]:
    limits, requests = value.get("limits") or {}, value.get("requests") or {}
    for name, quantities in (("limits", limits), ("requests", requests)):
        for resource, quantity in quantities.items():
            amount = formats.quantity(quantity)
            if amount is not None and amount < 0:
                text = "must be greater than or equal to 0"
                yield c.invalid(f"{path}.{name}[{resource}]", quantity, text)
    for resource, quantity in requests.items():
        asked, most = formats.quantity(quantity), formats.quantity(limits.get(resource))
        if asked is not None and most is not None and asked > most:
            text = f"must be less than or equal to {resource} limit of {limits[resource]}"
            yield c.invalid(f"{path}.requests[{resource}]", quantity, text)


def _pod(pod: Value, path: str) -> Iterator[Cause]:
    if "spec" in pod:
        yield from mount_causes(pod["spec"], f"{path}spec")


def _template(template: Value, path: str) -> Iterator[Cause]:
    metadata = template.get("metadata") or {}
    yield from label_causes(metadata.get("labels") or {}, f"{path}.metadata.labels")
    if "spec" not in template:
        yield c.required(f"{path}.spec.containers")


_CORE = "io.k8s.api.core.v1."
POD_CHECKS: Mapping[str, Check] = {
    _CORE + "Container": _container,
    _CORE + "ContainerPort": _container_port,
    _CORE + "EnvVar": _env_var,
    _CORE + "EphemeralContainer": _container,
    _CORE + "ExecAction": _exec,
    _CORE + "HTTPGetAction": _http_get,
    _CORE + "HostPathVolumeSource": _host_path,
    _CORE + "LifecycleHandler": _handler,
    _CORE + "Pod": _pod,
    _CORE + "PodSpec": _pod_spec,
    _CORE + "PodTemplateSpec": _template,
    _CORE + "Probe": _probe,
    _CORE + "ResourceRequirements": _resources,
    _CORE + "Volume": _volume,
    _CORE + "VolumeMount": _volume_mount,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": _quantity,
}
"""By definition: called wherever a value of that type stands."""
