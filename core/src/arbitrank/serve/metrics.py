"""Metrics of the service in Prometheus' format.

With several workers, counters and histograms are sums over all of them, whichever replies: each worker keeps its own in
a file in the folder PROMETHEUS_MULTIPROC_DIR, which is set before this module is first imported. Gauges are those of
the replying worker, labelled with its process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from arbitrank.answerlog.settings import LogStatus
from arbitrank.live.status import LiveStatus
from arbitrank.serve.http_protocol import LoadCounters
from arbitrank.serve.settings import SHARED
from arbitrank.values import Answer

TYPE = "text/plain; version=0.0.4; charset=utf-8"

_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """Counters of one worker."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"arbitrank_{name}", text, labels, registry=registry)

        self.calls = counter("calls", "Calls, by route and status.", "route", "status")
        self.seconds = Histogram(
            "arbitrank_call_seconds", "Seconds from a call's arrival to its reply.", ["route"],
            buckets=_BUCKETS, registry=registry,
        )  # fmt: skip
        decisions = counter("answers", "Answers, by decision.", "action")
        self.policy = counter("policy", "Answers whose decision the policy changed.")
        self.troubled = counter("domain_troubles", "Requests that a domain failed or was late for.", "domain", "status")
        self.missed = counter("shortlist_misses", "Requests whose shortlist was empty.")
        self.feedback = counter("feedback", "Feedback accepted.")
        self.refused = counter("refused", "Calls refused for lack of a token or scope.", "status")
        self._ranked = self.calls.labels("/v1/rank", "200")
        self._rank_seconds = self.seconds.labels("/v1/rank")
        self._decisions = {action: decisions.labels(action) for action in ("accept", "clarify", "none")}

    def ranked(self, seconds: float) -> None:
        """Count a rank call that was answered."""
        self._ranked.inc()
        self._rank_seconds.observe(seconds)

    def answered(self, answer: Answer) -> None:
        """Count an answer, and the domains that failed or were late for it."""
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

    def page(self, load: LoadCounters, live: LiveStatus | None, logs: Mapping[str, LogStatus]) -> bytes:
        """All metrics as text; `logs` are the logs that are kept, by name."""
        registry = self._registry
        if SHARED in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry) + generate_latest(_Gauges(load, live, logs))


class _Gauges(Collector):
    """Current values of one worker."""

    def __init__(self, load: LoadCounters, live: LiveStatus | None, logs: Mapping[str, LogStatus]) -> None:
        self.load, self.live, self.logs = load, live, logs

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        load, live = self.load, self.live
        yield _labelled(GaugeMetricFamily, "pending", "Requests waiting or being answered.", load.pending)
        yield _labelled(CounterMetricFamily, "shed", "Requests refused because too many were pending.", load.shed)
        yield _labelled(CounterMetricFamily, "cut", "Connections closed by the service, by reason.", why=load.cut)
        if live is not None:
            yield _labelled(CounterMetricFamily, "swaps", "Changes of the versions that answer.", live.swaps)
            if live.age is not None:
                text = "Seconds since the store last answered."
                yield _labelled(GaugeMetricFamily, "store_age_seconds", text, live.age)
            up = {name: float(domain.version is not None) for name, domain in live.domains.items()}
            yield _labelled(GaugeMetricFamily, "domain_up", "1 where a domain answers, else 0.", domain=up)
        if live is not None and "shadow" in self.logs:
            text = "Requests that were not compared with the other version for lack of time."
            yield _labelled(CounterMetricFamily, "shadow_skipped", text, live.dropped)
        if live is not None and live.share is not None:
            share = {name: getattr(live.share, name) for name in ("share", "tuned", "low", "high")}
            text = "Share of out-of-scope requests that is followed: in use, tuned, and its bounds."
            yield _labelled(GaugeMetricFamily, "out_of_scope_share", text, which=share)
            text = "Requests from which it was followed."
            yield _labelled(GaugeMetricFamily, "out_of_scope_counted", text, live.share.n)
        for name, log in self.logs.items():
            text = f"Lines written to the folder of --{name}."
            yield _labelled(CounterMetricFamily, f"{name}_written", text, log.written)
            lost = {why: getattr(log, why) for why in ("dropped", "refused", "failed")}
            yield _labelled(CounterMetricFamily, f"{name}_lost", "Lines lost, by cause.", why=lost)


def _labelled(
    kind: type[GaugeMetricFamily] | type[CounterMetricFamily],
    name: str,
    text: str,
    value: float | None = None,
    **values: dict[str, float] | dict[str, int],
) -> Metric:
    """A metric labelled with this process: one value, or one per value of a further label."""
    worker = str(os.getpid())
    family = kind(f"arbitrank_{name}", text, labels=["worker", *values])
    if value is not None:
        family.add_metric([worker], value)
    for each in values.values():
        for label, number in sorted(each.items()):
            family.add_metric([worker, label], number)
    return family
