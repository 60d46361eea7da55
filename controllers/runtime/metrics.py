"""What a controller counts, and how Prometheus reads it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["ControllerMetrics", "ManagerCollector"]


@final
@dataclass
class ControllerMetrics:
    """Counts of one controller; only it adds to them."""

    name: str
    reconciles: int = 0
    failures: int = 0
    conflicts: int = 0
    """Reconciles that saw something too old."""
    waits: int = 0
    """Reconciles that waited for their own writes to come back."""
    held: int = 0
    """Reconciles that a policy did not allow."""
    writes: int = 0
    busy_ms: int = 0
    ready: int = 0
    """Keys that wait for a worker now."""


_COUNTERS = (
    ("reconciles", "Reconciles that were begun."),
    ("failures", "Reconciles that raised."),
    ("conflicts", "Reconciles that saw something too old, and were tried again."),
    ("waits", "Reconciles put off until the caches show the controller's own writes."),
    ("held", "Reconciles that the policy of the object did not allow."),
    ("writes", "Requests that change something."),
)


@final
class ManagerCollector(Collector):
    """Shows the counts of all controllers of one process."""

    def __init__(self, read: Callable[[], Sequence[ControllerMetrics]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Yield one family for each count."""
        found = self._read()
        for field, text in _COUNTERS:
            counter = CounterMetricFamily(f"controller_{field}", text, labels=["controller"])
            for metrics in found:
                counter.add_metric([metrics.name], getattr(metrics, field))
            yield counter
        busy = CounterMetricFamily(
            "controller_busy_seconds", "Time spent in reconciles.", labels=["controller"]
        )
        ready = GaugeMetricFamily(
            "controller_queue_ready", "Keys that wait for a worker.", labels=["controller"]
        )
        for metrics in found:
            busy.add_metric([metrics.name], metrics.busy_ms / 1000)
            ready.add_metric([metrics.name], metrics.ready)
        yield busy
        yield ready
