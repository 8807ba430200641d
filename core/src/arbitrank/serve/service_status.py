"""Status of a service: its workers, and what each domain has done in all of them, from the service's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import msgspec

from arbitrank.isolation.groups import GroupStatus
from arbitrank.packages import core_version
from arbitrank.serve.counters import Series, summed
from arbitrank.serve.gauges import SUPERVISOR, WorkerGauges, read_gauges
from arbitrank.serve.metric_table import BY_NAME
from arbitrank.serve.metrics_page import process_samples
from arbitrank.serve.watch_process import RELIABILITY


class Latency(msgspec.Struct, frozen=True):
    """Seconds of `n` calls: their mean, and quantiles to within a bucket of the histogram, null above the last."""

    n: int
    mean: float
    p50: float | None
    p99: float | None


class WorkerStatus(msgspec.Struct, frozen=True):
    """A process of the service: when it was started and last reported, in seconds since 1970, and its memory in bytes.

    `worker` is its name in metrics. `ready`, `problems` (kinds of the runbook), `pending` and `shed` are of workers.
    """

    worker: str
    process: int
    started: float | None
    reported: float
    memory: float | None
    ready: bool | None
    problems: tuple[str, ...]
    pending: int
    shed: int


class ArmCounts(msgspec.Struct, frozen=True):
    """Requests that a version of a domain answered, won by decision, and failed by kind of failure."""

    answers: int
    wins: dict[str, int]
    failures: dict[str, int]
    seconds: Latency | None


class ServiceStatus(msgspec.Struct, frozen=True):
    """Status of a service by its processes; its counts are from `since` on, in seconds since 1970, as all times here.

    `version` is its release, `watched` the time of the watch's last report, null before the first and without --log.
    `decisions` counts the answers by action, `calls` are those of `POST /v1/rank`, `ends` the workers that ended
    unasked. `domains` has the counts of each by arm, `stable` or `canary`, `groups` are processes of isolated domains.
    """

    version: str
    time: float
    since: float | None
    watched: float | None
    workers: tuple[WorkerStatus, ...]
    ends: int
    decisions: dict[str, int]
    calls: Latency | None
    domains: dict[str, dict[str, ArmCounts]]
    groups: dict[str, GroupStatus]


def service_status(folder: Path, groups: Mapping[str, GroupStatus]) -> ServiceStatus:
    """The status of the service whose processes share a folder. Raises `OSError` where that cannot be read."""
    gauges, totals = read_gauges(folder), summed(folder)
    processes = process_samples(gauges)
    starts = {labels[0]: value for labels, value in processes.get("process_start_time_seconds", ())}
    memory = {labels[0]: value for labels, value in processes.get("process_resident_memory_bytes", ())}
    workers = tuple(_worker(one, starts.get(one.worker), memory.get(one.worker)) for one in gauges)
    rank = totals.get(("call_seconds", ("/v1/rank",)))
    return ServiceStatus(
        version=core_version(),
        time=max((one.time for one in gauges), default=0.0),
        since=starts.get(SUPERVISOR, min(starts.values(), default=None)),
        watched=written(folder / RELIABILITY),
        workers=workers,
        ends=int(sum(value for (name, _), (value, *_) in totals.items() if name == "worker_ends")),
        decisions={labels[0]: int(value) for labels, value in _series(totals, "answers")},
        calls=None if rank is None else _latency("call_seconds", rank),
        domains=_domains(totals),
        groups=dict(groups),
    )


def written(path: Path) -> float | None:
    """When a file was written last; None where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _worker(one: WorkerGauges, started: float | None, memory: float | None) -> WorkerStatus:
    def value(metric: str) -> float | None:
        found = one.samples.get(metric)
        return found[0][1] if found else None

    ready = value("ready")
    return WorkerStatus(
        worker=one.worker,
        process=one.process,
        started=started,
        reported=one.time,
        memory=memory,
        ready=None if ready is None else ready > 0.0,
        problems=tuple(labels[0] for labels, _ in one.samples.get("problem", ())),
        pending=int(value("pending") or 0),
        shed=int(value("shed") or 0),
    )


def _domains(totals: Mapping[Series, Sequence[float]]) -> dict[str, dict[str, ArmCounts]]:
    wins: dict[tuple[str, str], dict[str, int]] = {}
    failures: dict[tuple[str, str], dict[str, int]] = {}
    for metric, found in (("domain_wins", wins), ("domain_failures", failures)):
        for (name, arm, kind), value in _series(totals, metric):
            found.setdefault((name, arm), {})[kind] = int(value)
    seconds = {labels: values for (metric, labels), values in totals.items() if metric == "domain_seconds"}
    domains: dict[str, dict[str, ArmCounts]] = {}
    for key in sorted({*wins, *failures, *((name, arm) for name, arm in seconds)}):
        latency = _latency("domain_seconds", seconds[key]) if key in seconds else None
        counts = ArmCounts(latency.n if latency else 0, wins.get(key, {}), failures.get(key, {}), latency)
        domains.setdefault(key[0], {})[key[1]] = counts
    return domains


def _series(totals: Mapping[Series, Sequence[float]], metric: str) -> Iterator[tuple[tuple[str, ...], float]]:
    """The labels and values of a counter."""
    return ((labels, values[0]) for (name, labels), values in sorted(totals.items()) if name == metric)


def _latency(metric: str, cells: Sequence[float]) -> Latency | None:
    """The latency of a histogram's cells: its buckets, and the sum; None where it is empty."""
    *counts, total = cells
    n = int(sum(counts))
    if not n:
        return None
    bounds = BY_NAME[metric].bounds
    return Latency(n, total / n, _quantile(0.5, bounds, counts), _quantile(0.99, bounds, counts))


def _quantile(share: float, bounds: Sequence[float], counts: Sequence[float]) -> float | None:
    """The quantile by linear interpolation within its bucket; None in the last bucket, which has no upper bound."""
    wanted = share * sum(counts)
    for i, (bound, reached) in enumerate(zip(bounds, accumulate(counts), strict=False)):
        if reached >= wanted:
            low = bounds[i - 1] if i else 0.0
            return low + (bound - low) * (wanted - (reached - counts[i])) / counts[i]
    return None
