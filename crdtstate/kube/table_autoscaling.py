"""What a HorizontalPodAutoscaler scales, and by what: the columns REFERENCE and TARGETS.

Source: Kubernetes' printHorizontalPodAutoscaler.
"""

from collections.abc import Mapping
from typing import Any

from crdtstate.kube.durations import UNKNOWN
from crdtstate.kube.table_cells import NONE, Body, at, items

__all__ = ["hpa_reference", "hpa_targets"]

SHOWN_MAX = 2
# The member of a metric that says what is measured, and the one that names it.
_SOURCES = {
    "Resource": ("resource", "name"), "ContainerResource": ("containerResource", "name"),
    "Pods": ("pods", "metric.name"), "Object": ("object", "metric.name"),
    "External": ("external", "metric.name"),
}  # fmt: skip


def hpa_reference(body: Body, _now: int) -> str:
    """Show kind and name of what is scaled."""
    return f"{at(body, 'spec.scaleTargetRef.kind', '')}/{at(body, 'spec.scaleTargetRef.name', '')}"


def hpa_targets(body: Body, _now: int) -> str:
    """Show current and wanted value of the first metrics."""
    metrics, current = items(body, "spec.metrics"), items(body, "status.currentMetrics")
    if not metrics:
        return NONE
    shown = [
        _target(metric, current[position] if position < len(current) else {})
        for position, metric in enumerate(metrics[:SHOWN_MAX])
    ]
    more = len(metrics) - SHOWN_MAX
    return ", ".join(shown) + (f" + {more} more..." if more > 0 else "")


def _target(metric: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    kind = str(metric.get("type"))
    if kind not in _SOURCES:
        return f"{UNKNOWN} type"
    member, named = _SOURCES[kind]
    wanted, now = at(metric, f"{member}.target", {}), at(current, f"{member}.current", {})
    if "averageUtilization" in wanted:
        have = now.get("averageUtilization")
        value = f"{UNKNOWN if have is None else f'{have}%'}/{wanted['averageUtilization']}%"
    elif wanted.get("averageValue") is not None:
        suffix = " (avg)" if kind in ("Object", "External") else ""
        value = f"{now.get('averageValue', UNKNOWN)}/{wanted['averageValue']}{suffix}"
    else:
        value = f"{now.get('value', UNKNOWN)}/{wanted.get('value', UNKNOWN)}"
    return f"{at(metric, f'{member}.{named}')}: {value}" if kind.endswith("Resource") else value
