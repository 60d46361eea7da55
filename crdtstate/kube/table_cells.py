"""What stands in the cells of a printed object: makers of cells, and those of single kinds.

Source: Kubernetes' printers (pkg/printers/internalversion).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, final

from crdtstate.kube.durations import between, since
from crdtstate.kube.selectors import selector_text

Body = Mapping[str, Any]
Cell = Callable[[Body, int], Any]
NONE, UNSET = "<none>", "<unset>"
SHOWN_MAX = 3


@final
class Column(NamedTuple):
    """A column. `priority` over 0: with -o wide only."""

    name: str
    cell: Cell
    priority: int = 0
    type: str = "string"
    format: str = ""
    description: str = ""

    def definition(self) -> dict[str, Any]:
        """Return the TableColumnDefinition."""
        return {
            "name": self.name, "type": self.type, "format": self.format,
            "description": self.description, "priority": self.priority,
        }  # fmt: skip


# -- making cells --------------------------------------------------------------------------------


def at(body: Any, path: str, default: Any = None) -> Any:
    for name in path.split("."):
        body = body.get(name) if isinstance(body, Mapping) else None
    return default if body is None or body == "" else body


def items(body: Any, path: str) -> list[Any]:
    found = at(body, path, [])
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def text(path: str, default: str = "") -> Cell:
    """Return a cell that shows a field as text."""
    return lambda body, _now: str(at(body, path, default))


def number(path: str, default: int = 0) -> Cell:
    """Return a cell that shows a field as a number."""

    def cell(body: Body, _now: int) -> int:
        found = at(body, path, default)
        return found if isinstance(found, int) else default

    return cell


def flag(path: str) -> Cell:
    """Return a cell that shows a field as true or false."""
    return lambda body, _now: at(body, path) is True


def size(*paths: str) -> Cell:
    """Return a cell that counts the members of some fields."""
    return lambda body, _now: sum(len(at(body, path, ())) for path in paths)


def ratio(ready: str, wanted: str, default: int = 0) -> Cell:
    """Return a cell such as 1/3."""
    return lambda body, _now: f"{at(body, ready, 0)}/{at(body, wanted, default)}"


def selector(path: str) -> Cell:
    """Return a cell that shows a selector."""
    return lambda body, _now: selector_text(at(body, path)) or NONE


def joined(values: Sequence[Any], empty: str = NONE) -> str:
    """Return values with commas between."""
    return ",".join(str(value) for value in values) or empty


def shortened(values: Sequence[str], empty: str) -> str:
    """Return the first values, and how many more there are."""
    shown = ",".join(values[:SHOWN_MAX])
    if len(values) > SHOWN_MAX:
        return f"{shown} + {len(values) - SHOWN_MAX} more..."
    return shown or empty


def age(body: Body, now_ms: int) -> str:
    """Show how long ago the object was created."""
    return since(at(body, "metadata.creationTimestamp"), now_ms)


def workload(template: str, chosen: str | None) -> tuple[Column, ...]:
    """Return the wide columns of what has a Pod template."""
    path = f"{template}.spec.containers"
    columns = [
        Column("Containers", lambda b, _: joined([c.get("name", "") for c in items(b, path)]), 1),
        Column("Images", lambda b, _: joined([c.get("image", "") for c in items(b, path)]), 1),
    ]
    if chosen is not None:
        columns.append(Column("Selector", selector(chosen), 1))
    return tuple(columns)


# -- cells of one kind ---------------------------------------------------------------------------


def job_status(body: Body, _now: int) -> str:
    true = {c.get("type") for c in items(body, "status.conditions") if c.get("status") == "True"}
    for kind, shown in (("Complete", "Complete"), ("Failed", "Failed")):
        if kind in true:
            return shown
    if at(body, "metadata.deletionTimestamp"):
        return "Terminating"
    for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if kind in true:
            return kind
    return "Running"


def job_completions(body: Body, _now: int) -> str:
    done, wanted = at(body, "status.succeeded", 0), at(body, "spec.completions")
    if wanted is not None:
        return f"{done}/{wanted}"
    parallel = at(body, "spec.parallelism", 0)
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def job_duration(body: Body, now_ms: int) -> str:
    start, end = at(body, "status.startTime"), at(body, "status.completionTime")
    if start is None:
        return ""
    return since(start, now_ms) if end is None else between(start, end)


def last_schedule(body: Body, now_ms: int) -> str:
    last = at(body, "status.lastScheduleTime")
    return NONE if last is None else since(last, now_ms)


def balancer(body: Body) -> list[str]:
    return sorted(
        {i.get("ip") or i.get("hostname") or "" for i in items(body, "status.loadBalancer.ingress")}
        - {""}
    )


def external_ip(body: Body, _now: int) -> str:
    given = [str(ip) for ip in at(body, "spec.externalIPs", ())]
    match at(body, "spec.type", "ClusterIP"):
        case "ExternalName":
            return str(at(body, "spec.externalName", ""))
        case "LoadBalancer":
            return joined([*balancer(body), *given], "<pending>")
        case _:
            return joined(given)


def service_ports(body: Body, _now: int) -> str:
    return joined([
        f"{p.get('port')}{':' + str(p['nodePort']) if p.get('nodePort') else ''}"
        f"/{p.get('protocol', 'TCP')}"
        for p in items(body, "spec.ports")
    ])  # fmt: skip


def endpoints(body: Body, _now: int) -> str:
    found: list[str] = []
    for subset in items(body, "subsets"):
        addresses = [a.get("ip", "") for a in items(subset, "addresses")]
        ports = [p.get("port") for p in items(subset, "ports")]
        found += addresses if not ports else [_host(a, p) for p in ports for a in addresses]
    return shortened(found, NONE)


def _host(address: str, port: Any) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def slice_ports(body: Body, _now: int) -> str:
    ports = items(body, "ports")
    return shortened([str(p.get("port") or p.get("name") or "*") for p in ports], UNSET)


def slice_endpoints(body: Body, _now: int) -> str:
    found = [a for e in items(body, "endpoints") for a in e.get("addresses") or ()]
    return shortened(found, UNSET)


def hosts(body: Body, _now: int) -> str:
    found = [rule["host"] for rule in items(body, "spec.rules") if rule.get("host")]
    return shortened(found, "*")


def node_status(body: Body, _now: int) -> str:
    ready = [c for c in items(body, "status.conditions") if c.get("type") == "Ready"]
    shown = "Unknown"
    if ready:
        shown = "Ready" if ready[-1].get("status") == "True" else "NotReady"
    return f"{shown},SchedulingDisabled" if at(body, "spec.unschedulable") is True else shown


def node_roles(body: Body, _now: int) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = at(body, "metadata.labels", {})
    roles = {key.removeprefix(prefix) for key in labels if key.startswith(prefix)}
    return joined(sorted((roles | {labels.get("kubernetes.io/role", "")}) - {""}))


def node_address(kind: str) -> Cell:
    def cell(body: Body, _now: int) -> str:
        addresses = items(body, "status.addresses")
        return next((a.get("address", "") for a in addresses if a.get("type") == kind), NONE)

    return cell


def event_first(body: Body, now_ms: int) -> str:
    first = at(body, "firstTimestamp") or at(body, "deprecatedFirstTimestamp")
    return since(first or at(body, "eventTime"), now_ms)


def event_last(body: Body, now_ms: int) -> str:
    series = at(body, "series.lastObservedTime")
    last = series or at(body, "lastTimestamp") or at(body, "deprecatedLastTimestamp")
    return since(last, now_ms) if last else event_first(body, now_ms)


def event_object(body: Body, _now: int) -> str:
    about = at(body, "involvedObject") or at(body, "regarding", {})
    kind, name = str(about.get("kind", "")).lower(), about.get("name")
    return f"{kind}/{name}" if name else kind


def event_source(body: Body, _now: int) -> str:
    source = at(body, "source") or at(body, "deprecatedSource", {})
    component = source.get("component") or at(body, "reportingComponent", "")
    return ", ".join(part for part in (component, source.get("host")) if part)


def event_field(body: Body, _now: int) -> str:
    return str(at(body, "involvedObject.fieldPath") or at(body, "regarding.fieldPath", ""))


def event_message(body: Body, _now: int) -> str:
    return str(at(body, "message") or at(body, "note", "")).strip()


def event_count(body: Body, _now: int) -> int:
    series = at(body, "series.count")
    if series is not None:
        return int(series) + 1
    return int(at(body, "count") or at(body, "deprecatedCount") or 1)


def subjects(kind: str) -> Cell:
    def cell(body: Body, _now: int) -> str:
        names = [
            f"{s.get('namespace')}/{s.get('name')}" if kind == "ServiceAccount" else s.get("name")
            for s in items(body, "subjects")
            if s.get("kind") == kind
        ]
        return ", ".join(str(name) for name in names)

    return cell
