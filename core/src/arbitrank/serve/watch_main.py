"""Main program of a service's watch: `python -m arbitrank.serve.watch_main`, its `WatchStart` on standard input.

A process of its own follows the log's folder, which all workers and hosts write to, so that nothing of it delays an
answer. It writes its report and its gauges into the service's folder, an event and a call of the webhook where a domain
begins to alarm, and ends with the supervisor, whose end it sees by the end of its input.
"""

from __future__ import annotations

import os
import select
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from time import monotonic, time
from typing import Any

import msgspec

from arbitrank.answerlog.period import begin
from arbitrank.errors import ArbitrankError
from arbitrank.exchanged import suites_now
from arbitrank.guard import Fault, guarded
from arbitrank.outcomes.suite_runs import SuiteRun
from arbitrank.packages import core_version
from arbitrank.registry import discover, loaded
from arbitrank.serve.event_log import EventLog
from arbitrank.serve.gauges import WorkerGauges, write_gauges
from arbitrank.serve.watch_process import ASKED, RELIABILITY, REPORT
from arbitrank.store.signing import open_keys
from arbitrank.store.store import Store, open_store
from arbitrank.watch.alarms import Commands
from arbitrank.watch.following import LogFollower
from arbitrank.watch.judging import judge
from arbitrank.watch.period import Known
from arbitrank.watch.reading import known_of
from arbitrank.watch.reliability import reliability_report
from arbitrank.watch.report import Alarm, Proposal, WatchReport
from arbitrank.watch.suites import with_suites

NAME = "watch"
"""Name of the process in the label `worker`, and of its gauges' file."""

_TIMEOUT = 10.0  # seconds of a call of the webhook
_PROPOSE = 3_600.0  # seconds after which proposals are made again: they rest on days
_STEP = 0.5  # seconds after which a look that is asked for begins
_NICE = 10  # by which it gives way to the workers


class WatchStart(msgspec.Struct, frozen=True):
    """Settings of a service's watch: the `log` that it reads `every` so many seconds, the service's `folder`.

    With `outcomes`, recalibrations are proposed by users' reactions.
    """

    log: str
    folder: str
    every: float
    since: str
    webhook: str | None = None
    store: str | None = None
    keys: str | None = None
    outcomes: bool = False


class ServiceWatch:
    """Watch of one service: the log read so far, and the alarms that were told."""

    def __init__(self, start: WatchStart, events: EventLog) -> None:
        self._start, self._events = start, events
        self._follower = LogFollower(Path(start.log))
        self._commands = Commands(start.log, start.since, start.store)
        self._known: dict[str, Known] = {}
        self._serving: dict[str, str] = {}
        self._stable: dict[str, str | None] = {}
        self._suites = SuiteRun(())
        self._alarming: set[tuple[str, str]] = set()
        self._unsent: dict[tuple[str, str], Alarm] = {}
        self._proposals: tuple[Proposal, ...] = ()
        self._proposed: float | None = None

    def look(self) -> None:
        """Read what is new in the log, judge, and tell what has changed."""
        self._follower.look()
        if self._follower.problem:
            self._events.write("watch", "error", problem=self._follower.problem)
        collected = self._follower.collected
        report = judge(collected, begin(self._start.since, collected.latest), self._known, self._commands)
        if self._outdated(report):
            report = judge(collected, begin(self._start.since, collected.latest), self._known, self._commands)
            self._serving = _serving(report)
        report = with_suites(report, self._suites, self._commands)
        if self._start.outcomes and collected.latest:  # something was logged
            report = self._with_proposals(report)
        self._write(REPORT, report)
        write_gauges(WorkerGauges(NAME, os.getpid(), time(), samples_of(report)), Path(self._start.folder), NAME)
        self._tell(report)
        self._write(RELIABILITY, reliability_report(collected))

    def _with_proposals(self, report: WatchReport) -> WatchReport:
        """The report with proposals, which are made again after a while: that reads all of the log that is watched."""
        if self._proposed is None or monotonic() - self._proposed >= _PROPOSE:
            found: tuple[Proposal, ...] = ()
            try:
                from arbitrank.watch.proposals import with_proposals

                found = with_proposals(report, Path(self._start.log), self._commands).proposals or ()
            except ArbitrankError as error:
                self._events.write("watch", "error", problem=str(error))
            except ModuleNotFoundError as error:
                text = f"--watch-outcomes needs the package {error.name}; run: pip install 'arbitrank[train]'"
                self._events.write("watch", "error", problem=text)
            for one in found:
                if one.domain not in {known.domain for known in self._proposals}:
                    self._events.write("watch proposal", domain=one.domain, next=one.next)
            self._proposals, self._proposed = found, monotonic()
        return msgspec.structs.replace(report, proposals=self._proposals)

    def _write(self, name: str, report: msgspec.Struct) -> None:
        """Write a report into the service's folder, at once and whole."""
        path = Path(self._start.folder) / name
        part = path.with_suffix(".new")
        part.write_bytes(msgspec.json.encode(report))
        part.replace(path)

    def _outdated(self, report: WatchReport) -> bool:
        """True where versions serve, or are stable in the store, whose cards were not read yet; they then are."""
        try:
            store = open_store(self._start.store, open_keys(self._start.keys))
            if _serving(report) == self._serving and _stable(store, self._known) == self._stable:
                return False
            domains = loaded(discover())
            self._known = known_of(domains, store)
            self._serving, self._stable = _serving(report), _stable(store, self._known)
            self._suites = suites_now(store, domains)
        except ArbitrankError as error:
            self._events.write("watch", "error", problem=str(error))
            return False
        return True

    def _tell(self, report: WatchReport) -> None:
        alarms = {(one.domain, one.kind): one for one in report.alarms}
        for key in sorted(self._alarming - alarms.keys()):
            self._events.write("watch quiet", domain=key[0], kind=key[1])
        for key in [key for key in alarms if key not in self._alarming]:
            one = alarms[key]
            self._events.write(
                "watch alarm", "warning", domain=one.domain, kind=one.kind, what=one.text, next=list(one.next)
            )
            if self._start.webhook:
                self._unsent[key] = one
        self._alarming = set(alarms)
        for key, one in list(self._unsent.items()):
            if self._sent(one):
                del self._unsent[key]

    def _sent(self, alarm: Alarm) -> bool:
        """True where the webhook took the alarm; else it is sent again by the next look."""
        assert self._start.webhook
        call = urllib.request.Request(
            self._start.webhook,
            msgspec.json.encode({"event": "watch alarm", "time": time(), "log": self._start.log, "alarm": alarm}),
            {"content-type": "application/json", "user-agent": f"arbitrank/{core_version()}"},
        )
        try:
            with urllib.request.urlopen(call, timeout=_TIMEOUT):
                return True
        except (OSError, ValueError, urllib.error.URLError) as error:
            self._events.write("webhook failed", "error", domain=alarm.domain, reason=type(error).__name__)
            return False


def _serving(report: WatchReport) -> dict[str, str]:
    """The version that serves each domain, and its recalibration."""
    return {name: one.serving for name, one in report.domains.items()}


def _stable(store: Store, names: Iterable[str]) -> dict[str, str | None]:
    """The store's stable version of each domain; None where it has none."""
    return {name: store.state(name)[1].stable for name in names}


def samples_of(report: WatchReport) -> dict[str, list[tuple[tuple[str, ...], float]]]:
    """The gauges of a report."""
    domains = report.domains
    alarming = {(one.domain, one.kind) for one in report.alarms}
    claims = [
        (name, claim, one)
        for name, watched in domains.items()
        for claim, one in (("mine", watched.mine), ("right", watched.right))
        if one is not None
    ]
    lost: list[Any] = [
        ((name, neighbour), loss.requests.mean)
        for name, one in domains.items()
        for neighbour, loss in one.takes_from.items()
    ]
    return {
        "watch_timestamp_seconds": [((), time())],
        "watch_requests": [((), report.requests)],
        "watch_alarm": [
            ((name, kind), float((name, kind) in alarming))
            for name in domains
            for kind in ("drift", "calibration", "features", "suite")
        ],
        "watch_claimed": [((name, claim), one.band.claimed) for name, claim, one in claims],
        "watch_seen": [((name, claim), one.band.seen.mean) for name, claim, one in claims],
        "watch_labelled": [((name,), one.labelled) for name, one in domains.items()],
        "watch_taken": lost,
    }


def main() -> None:
    """Look at the log again and again, until the input ends."""
    start = msgspec.json.decode(sys.stdin.buffer.readline(), type=WatchStart)
    os.nice(_NICE)
    events = EventLog()
    watch = ServiceWatch(start, events)
    while True:
        result = guarded(watch.look)
        if isinstance(result, Fault):  # the next look may succeed, and the failure shows
            events.failure("watch failed", result.error)
        if _ended(start):
            break
    events.close()


def _ended(start: WatchStart) -> bool:
    """Wait until the next look is due or asked for; true where the supervisor has ended."""
    asked, by = Path(start.folder) / ASKED, monotonic() + start.every
    while (left := by - monotonic()) > 0:
        if select.select([sys.stdin], [], [], min(left, _STEP))[0]:
            return True
        if asked.exists():
            asked.unlink(missing_ok=True)
            return False
    return False


if __name__ == "__main__":
    main()
