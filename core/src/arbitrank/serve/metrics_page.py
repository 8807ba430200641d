"""Page of the metrics in Prometheus' format, made from the service's folder: the same whichever process makes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from arbitrank.serve.counters import summed
from arbitrank.serve.gauges import WorkerGauges, read_gauges
from arbitrank.serve.metric_table import METRICS, Metric

TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricsCollector(Collector):
    """Collector of all metrics of the service whose processes share a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def collect(self) -> Iterable[Family]:
        """The metrics now, in the order of the table."""
        totals: dict[str, list[tuple[tuple[str, ...], list[float]]]] = {}
        for (name, labels), values in sorted(summed(self.folder).items()):
            totals.setdefault(name, []).append((labels, values))
            if name == "domain_seconds":
                totals.setdefault("domain_answers", []).append((labels, [sum(values[:-1])]))
        gauges = read_gauges(self.folder)
        processes = process_samples(gauges)
        for metric in METRICS:
            if metric.name.startswith("process_"):
                samples: Iterable[tuple[tuple[str, ...], float]] = processes.get(metric.name, ())
            elif metric.bounds:
                yield _histogram(metric, totals.get(metric.name, ()))
                continue
            elif metric.name in totals:
                samples = ((labels, value) for labels, (value,) in totals[metric.name])
            else:
                samples = _gauges(metric, gauges)
            yield _family(metric, samples)


def page(folder: Path) -> bytes:
    """All metrics as text."""
    registry = CollectorRegistry()
    registry.register(MetricsCollector(folder))
    return generate_latest(registry)


def _family(metric: Metric, samples: Iterable[tuple[tuple[str, ...], float]]) -> Family:
    """The metric with its series, if it has any yet."""
    family: CounterMetricFamily | GaugeMetricFamily
    if metric.kind == "counter":
        family = CounterMetricFamily(metric.full_name, metric.text, labels=metric.labels)
    else:
        family = GaugeMetricFamily(metric.full_name, metric.text, labels=metric.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _histogram(metric: Metric, series: Sequence[tuple[tuple[str, ...], list[float]]]) -> Family:
    family = HistogramMetricFamily(metric.full_name, metric.text, labels=metric.labels)
    bounds = [*map(floatToGoString, metric.bounds), "+Inf"]
    for labels, (*counts, total) in series:
        family.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
    return family


def _gauges(metric: Metric, gauges: Sequence[WorkerGauges]) -> Iterable[tuple[tuple[str, ...], float]]:
    """The series of each worker; those of all workers together are shown once."""
    found = {
        (one.worker, *labels) if metric.by_worker else labels: value
        for one in gauges
        for labels, value in one.samples.get(metric.name, ())
    }
    return sorted(found.items())


def process_samples(gauges: Sequence[WorkerGauges]) -> Mapping[str, list[tuple[tuple[str, ...], float]]]:
    """The measurements of the system of each process, by metric."""
    found: dict[str, list[tuple[tuple[str, ...], float]]] = {}
    for one in gauges:
        for family in ProcessCollector(pid=partial(int, one.process), registry=None).collect():
            found.setdefault(family.name, []).append(((one.worker,), family.samples[0].value))
    return found
