"""Table of the service's metrics, from which the page of `/metrics` and its reference in the docs are made.

Counters and histograms are sums over all workers of a service. A metric whose first label is `worker` has one series a
worker, named by its process; any other gauge is the same in all workers once they have read the same state.

No label holds anything of a request: routes are templates, domains installed ones, arms, actions and kinds fixed words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PREFIX = "arbitrank_"

CALL_BOUNDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper bounds of the buckets for calls, in seconds; the last bucket has none."""

DOMAIN_BOUNDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0)
"""Upper bounds of the buckets for one domain's share of a call, in seconds."""


@dataclass(frozen=True)
class Metric:
    """A metric: its name without the prefix and, for a counter, without `_total`; `bounds` are a histogram's."""

    name: str
    kind: Literal["counter", "gauge", "histogram", "info"]
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """The name on the page, as in a query."""
        name = self.name if self.name.startswith("process_") else PREFIX + self.name
        return name + {"counter": "_total", "info": "_info"}.get(self.kind, "")

    @property
    def by_worker(self) -> bool:
        """True where each worker has series of its own."""
        return self.labels[:1] == ("worker",)


METRICS = (
    Metric("calls", "counter", "Calls, by route and status.", ("route", "status")),
    Metric("call_seconds", "histogram", "Seconds from a call's arrival to its reply.", ("route",), CALL_BOUNDS),
    Metric("refused", "counter", "Calls refused for lack of a token or scope.", ("status",)),
    Metric("limited", "counter", "Calls refused as their token's rate or quota is used up, by the token's name.",
           ("limit", "token")),
    Metric("answers", "counter", "Answers, by decision.", ("action",)),
    Metric("policy", "counter", "Answers whose decision the policy changed."),
    Metric("explored", "counter", "Answers that act on another reading than the head, by the head's domain.",
           ("domain",)),
    Metric("shortlist_misses", "counter", "Requests whose shortlist was empty."),
    Metric("feedback", "counter", "Feedback accepted."),
    Metric("feedback_unmatched", "counter", "Feedback on answers that no worker remembers, so of no domain below."),
    Metric("domain_answers", "counter", "Requests that a domain answered, with a reading or without.",
           ("domain", "arm")),
    Metric("domain_wins", "counter", "Answers whose best reading is the domain's, by decision.",
           ("domain", "arm", "action")),
    Metric("domain_seconds", "histogram", "Seconds that a domain took to recognise and score a request.",
           ("domain", "arm"), DOMAIN_BOUNDS),
    Metric("domain_failures", "counter", "Requests that a domain did not answer, by kind of failure.",
           ("domain", "arm", "kind")),
    Metric("domain_troubles", "counter", "Requests that a domain failed or was late for.", ("domain", "status")),
    Metric("domain_feedback", "counter", "Reactions to answers whose best reading is the domain's.",
           ("domain", "arm", "outcome")),
    Metric("domain_truths", "counter", "True owners of requests whose answer's best reading is the domain's: "
           "itself (own), another domain (other), or none.", ("domain", "arm", "owner")),
    Metric("stage_answers", "counter", "Answers beside a candidate Shortlister, HypRank or decision settings.",
           ("stage", "arm", "action")),
    Metric("reloads", "counter", "Readings of a file that had changed, or at SIGHUP, by whether it was accepted.",
           ("file", "result")),
    Metric("worker_ends", "counter", "Workers that ended unasked, or were ended, and were replaced."),
    Metric("build", "info", "Version of arbitrank and of Python.", ("version", "python")),
    Metric("domain", "info", "Versions that answer for a domain or stage, and the package of its code.",
           ("domain", "arm", "version", "origin", "package", "package_version")),
    Metric("canary_share", "gauge", "Share of the requests that the candidate is to answer.", ("domain",)),
    Metric("ready", "gauge", "1 where the worker is ready to answer, else 0.", ("worker",)),
    Metric("problem", "gauge", "1 for each kind of problem that the worker reports at /readyz.", ("worker", "kind")),
    Metric("updated_timestamp_seconds", "gauge", "When the worker last reported its gauges, in Unix time.",
           ("worker",)),
    Metric("pending", "gauge", "Requests waiting or being answered.", ("worker",)),
    Metric("shed", "counter", "Requests refused because too many were pending.", ("worker",)),
    Metric("cut", "counter", "Connections closed by the service, by reason.", ("worker", "why")),
    Metric("swaps", "counter", "Changes of the versions that answer.", ("worker",)),
    Metric("store_age_seconds", "gauge", "Seconds since the store last answered for all names, or since the start.",
           ("worker",)),
    Metric("domain_up", "gauge", "1 where a domain answers, else 0.", ("worker", "domain")),
    Metric("domain_breaker_open", "gauge", "1 where a domain is skipped as it failed repeatedly, else 0.",
           ("worker", "domain")),
    Metric("out_of_scope_share", "gauge",
           "Share of out-of-scope requests that is followed: in use, tuned, and its bounds.", ("worker", "which")),
    Metric("out_of_scope_counted", "gauge", "Requests from which it was followed.", ("worker",)),
    Metric("log_written", "counter", "Lines written to the folder of --log.", ("worker",)),
    Metric("log_lost", "counter", "Lines of --log that were lost, by cause.", ("worker", "why")),
    Metric("shadow_written", "counter", "Lines written to the folder of --shadow.", ("worker",)),
    Metric("shadow_lost", "counter", "Lines of --shadow that were lost, by cause.", ("worker", "why")),
    Metric("shadow_skipped", "counter", "Requests that were not compared with the other version for lack of time.",
           ("worker",)),
    Metric("shadow_waiting", "gauge", "Requests that wait to be answered by the other version too.", ("worker",)),
    Metric("events_lost", "counter", "Lines of the event log that were not written.", ("worker",)),
    Metric("watch_timestamp_seconds", "gauge", "Time of the watch's last report, in Unix time."),
    Metric("watch_requests", "gauge", "Requests of the log that the watch's report is on."),
    Metric("watch_alarm", "gauge", "1 where the watch raises an alarm on a domain, by its kind, else 0.",
           ("domain", "kind")),
    Metric("watch_claimed", "gauge", "Mean of a domain's P(mine) and P(right) where the truth is known.",
           ("domain", "claim")),
    Metric("watch_seen", "gauge", "Share of the requests in which that came true.", ("domain", "claim")),
    Metric("watch_labelled", "gauge", "Requests of known truth that a domain answered.", ("domain",)),
    Metric("watch_taken", "gauge", "Requests that a neighbour lost to a domain beyond those before.",
           ("domain", "neighbour")),
    Metric("process_cpu_seconds", "counter", "Processor time of the user and of the system.", ("worker",)),
    Metric("process_resident_memory_bytes", "gauge", "Resident memory.", ("worker",)),
    Metric("process_virtual_memory_bytes", "gauge", "Virtual memory.", ("worker",)),
    Metric("process_start_time_seconds", "gauge", "Start of the process, in Unix time.", ("worker",)),
    Metric("process_open_fds", "gauge", "Open file descriptors.", ("worker",)),
    Metric("process_max_fds", "gauge", "Most file descriptors that it may open.", ("worker",)),
)  # fmt: skip
"""All metrics, in the order of the page. `process_*` are of each worker and of the supervisor."""

BY_NAME = {metric.name: metric for metric in METRICS}

FAILURE_KINDS = {
    "raised": "its code raised an exception",
    "contract": "it returned what the contract does not allow",
    "late": "it did not answer by its deadline",
    "crashed": "it ended its worker process",
    "skipped": "its circuit is open",
    "unavailable": "its worker process is being replaced, or it is remote and cannot be reached",
    "unloaded": "no version of it is loaded",
    "request": "the caller's hypotheses or context cannot be read",
}
"""Values of the label `kind`, with their meanings."""
