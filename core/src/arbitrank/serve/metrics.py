"""What is counted and timed, as Prometheus reads it.

With several workers, counters and histograms are those of all of them, whichever is asked: each keeps its own in a file
in the folder that PROMETHEUS_MULTIPROC_DIR names, which is set before this module is first imported. Gauges are of the
worker that answers, and named for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from arbitrank.answerlog.settings import LogStatus
from arbitrank.live.live import Status
from arbitrank.serve.http_protocol import Gate
from arbitrank.values import Answer

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that names the folder in which several workers keep what they count."""

TYPE = "text/plain; version=0.0.4; charset=utf-8"

_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """The counters of one worker."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.calls = Counter("arbitrank_calls", "Calls, by route and status.", ["route", "status"], registry=registry)
        seconds = Histogram(
            "arbitrank_call_seconds", "Seconds from a call's arrival to its answer.", ["route"],
            buckets=_BUCKETS, registry=registry,
        )  # fmt: skip
        decisions = Counter("arbitrank_answers", "Answers, by what was decided.", ["action"], registry=registry)
        self.policy = Counter("arbitrank_policy", "Answers whose decision the policy changed.", registry=registry)
        self.troubled = Counter(
            "arbitrank_domain_troubles", "Requests that a domain failed or came late for.", ["domain", "status"],
            registry=registry,
        )  # fmt: skip
        self.missed = Counter("arbitrank_shortlist_misses", "Requests whose shortlist was empty.", registry=registry)
        self.feedback = Counter("arbitrank_feedback", "Feedback that was taken.", registry=registry)
        self.refused = Counter(
            "arbitrank_refused", "Calls that a token was lacking for.", ["status"], registry=registry
        )
        self._ranked = self.calls.labels("/v1/rank", "200")
        self._rank_seconds = seconds.labels("/v1/rank")
        self._decisions = {action: decisions.labels(action) for action in ("accept", "clarify", "none")}
        self.seconds = seconds
        self._registry = registry

    def ranked(self, seconds: float) -> None:
        """Count a call that was ranked."""
        self._ranked.inc()
        self._rank_seconds.observe(seconds)

    def answered(self, answer: Answer) -> None:
        """Count an answer, and the domains that it was made without."""
        self._decisions[answer.decision.action].inc()
        if answer.shortlist and answer.shortlist.miss:
            self.missed.inc()
        for name, report in answer.domains.items():
            if report.status in ("failed", "late"):
                self.troubled.labels(name, report.status).inc()

    def called(self, route: str, status: int, seconds: float) -> None:
        """Count any other call."""
        self.calls.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def page(self, gate: Gate, live: Status | None, log: LogStatus | None) -> bytes:
        """What Prometheus is given."""
        registry = self._registry
        if SHARED in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        here = CollectorRegistry()
        here.register(_Here(gate, live, log))
        return generate_latest(registry) + generate_latest(here)


class _Here(Collector):
    """What is so in this worker at this moment."""

    def __init__(self, gate: Gate, live: Status | None, log: LogStatus | None) -> None:
        self.gate, self.live, self.log = gate, live, log

    def collect(self) -> Iterable[Metric]:
        """The metrics."""
        worker = str(os.getpid())
        yield _gauge("arbitrank_pending", "Requests that wait or are answered.", worker, self.gate.pending)
        yield _count(
            "arbitrank_shed", "Requests that were turned away because too many waited.", worker, self.gate.shed
        )
        cut = CounterMetricFamily("arbitrank_cut", "Clients that were cut off, by why.", labels=["worker", "why"])
        for why, n in sorted(self.gate.cut.items()):
            cut.add_metric([worker, why], n)
        yield cut
        if self.live is not None:
            yield _count("arbitrank_swaps", "How often who answers was changed.", worker, self.live.swaps)
            if self.live.age is not None:
                age = "Seconds since the store last answered."
                yield _gauge("arbitrank_store_age_seconds", age, worker, self.live.age)
            up = GaugeMetricFamily("arbitrank_domain_up", "Whether a domain answers.", labels=["worker", "domain"])
            for name, one in sorted(self.live.domains.items()):
                up.add_metric([worker, name], float(one.version is not None))
            yield up
        if self.log is not None:
            yield _count("arbitrank_log_written", "Lines written to the log.", worker, self.log.written)
            lost = CounterMetricFamily("arbitrank_log_lost", "Lines lost, by why.", labels=["worker", "why"])
            for why in ("dropped", "refused", "failed"):
                lost.add_metric([worker, why], getattr(self.log, why))
            yield lost


def _gauge(name: str, text: str, worker: str, value: float) -> Metric:
    gauge = GaugeMetricFamily(name, text, labels=["worker"])
    gauge.add_metric([worker], value)
    return gauge


def _count(name: str, text: str, worker: str, value: float) -> Metric:
    counter = CounterMetricFamily(name, text, labels=["worker"])
    counter.add_metric([worker], value)
    return counter
