"""Counting of one worker: calls, answers, and each domain's part in them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

from arbitrank.answerlog.feedback import Feedback
from arbitrank.arbitration.outcomes import Answered, Arbitration, Failed, Outcome, ServedArm, Skipped
from arbitrank.serve.answered_ids import REACTION, TRUTH, AnsweredIds, mark_of
from arbitrank.serve.counters import Counters
from arbitrank.serve.metric_table import CALL_BOUNDS, DOMAIN_BOUNDS, METRICS
from arbitrank.store.kinds import RESERVED
from arbitrank.values import Answer

_ACTIONS = ("accept", "clarify", "none")
_SUM = len(DOMAIN_BOUNDS) + 1  # place of a histogram's sum, behind its buckets
_CALL_SUM = len(CALL_BOUNDS) + 1


class Metrics:
    """Counters of one worker, whose `number` no other running worker of the service has.

    `folder` is the service's own, private to the user. Raises `OSError` where it has no room.
    """

    def __init__(self, folder: Path, number: int | str = 0) -> None:
        self._counters = Counters(folder, number)
        self._ids = AnsweredIds(folder, number)
        self._cells = self._counters.cells
        place = self._counters.place
        self._actions = {action: place("answers", action) for action in _ACTIONS}
        self._ranked = place("calls", "/v1/rank", "200")
        self._rank_seconds = place("call_seconds", "/v1/rank")
        self._domains: dict[ServedArm, dict[str, int]] = {"stable": {}, "canary": {}}
        self._wins: dict[tuple[str, str, ServedArm], tuple[int, int]] = {}
        self._marks: dict[int, tuple[str, ServedArm]] = {}
        self._named: frozenset[str] = frozenset()
        for metric in METRICS:
            if metric.kind == "counter" and not metric.labels:
                place(metric.name)  # shown as 0 before the first

    def count(self, metric: str, *labels: str) -> None:
        """Add one to a counter."""
        self._counters.add(metric, *labels)

    def ranked(self, seconds: float) -> None:
        """Count a rank call that was answered."""
        cells, first = self._cells, self._rank_seconds
        cells[self._ranked] += 1
        cells[first + bisect_left(CALL_BOUNDS, seconds)] += 1
        cells[first + _CALL_SUM] += seconds

    def called(self, route: str, status: int, seconds: float) -> None:
        """Count any other call."""
        cells, first = self._cells, self._counters.place("call_seconds", route)
        cells[self._counters.place("calls", route, str(status))] += 1
        cells[first + bisect_left(CALL_BOUNDS, seconds)] += 1
        cells[first + _CALL_SUM] += seconds

    def answered(self, arbitration: Arbitration, answer: Answer) -> None:
        """Count an answer, which is the arbitration's or the policy's, and each domain's part in it."""
        cells, arms, action = self._cells, arbitration.arms, answer.decision.action
        cells[self._actions[action]] += 1
        if answer.shortlist and answer.shortlist.miss:
            self.count("shortlist_misses")
        domains, outcomes = self._domains["stable"], arbitration.outcomes
        for name, outcome in outcomes.items():
            if arms:
                domains = self._domains[arms.get(name, "stable")]
            if type(outcome) is Answered:
                first = domains.get(name) or self._domain(name, arms.get(name, "stable"))
                seconds = 0.001 * (outcome.recognise_ms + outcome.rerank_ms)
                cells[first + bisect_left(DOMAIN_BOUNDS, seconds)] += 1
                cells[first + _SUM] += seconds
            else:
                self._failed(name, arms.get(name, "stable"), failure_kind(outcome))
        chosen = answer.chosen or answer.best
        if chosen is not None and chosen.domain in outcomes:
            key = chosen.domain, action, arms.get(chosen.domain, "stable") if arms else "stable"
            place, mark = self._wins.get(key) or self._win(*key)
            cells[place] += 1
            if answer.id is not None and action != "none":
                self._ids.add(answer.id, mark)
        for name in RESERVED & arms.keys() if arms else ():
            self.count("stage_answers", name, arms[name], action)

    def unqueried(self, names: Iterable[str], kind: str) -> None:
        """Count installed domains that could not be queried for a request."""
        for name in names:
            self._failed(name, "stable", kind)

    def feedback(self, feedback: Feedback, domains: Iterable[str]) -> None:
        """Count feedback, for the domain that the answer chose, which is one of the installed `domains`."""
        self.count("feedback")
        if (named := frozenset(domains)) != self._named:
            self._named = named
            arms: tuple[ServedArm, ...] = ("stable", "canary")
            self._marks = {mark_of(name, arm): (name, arm) for name in named for arm in arms}
        matched = False
        if feedback.outcome is not None and (found := self._marks.get(self._ids.report(feedback.id, REACTION))):
            matched = True
            self.count("domain_feedback", *found, feedback.outcome)
        if feedback.truth is not None and (found := self._marks.get(self._ids.report(feedback.id, TRUTH))):
            matched = True
            owners = feedback.truth.owners
            self.count("domain_truths", *found, "own" if found[0] in owners else "other" if owners else "none")
        if not matched:
            self.count("feedback_unmatched")

    def close(self) -> None:
        """Close the files of the counters."""
        self._counters.close()

    def _domain(self, name: str, arm: ServedArm) -> int:
        return self._domains[arm].setdefault(name, self._counters.place("domain_seconds", name, arm))

    def _win(self, name: str, action: str, arm: ServedArm) -> tuple[int, int]:
        found = self._counters.place("domain_wins", name, arm, action), mark_of(name, arm)
        return self._wins.setdefault((name, action, arm), found)

    def _failed(self, name: str, arm: ServedArm, kind: str) -> None:
        self.count("domain_failures", name, arm, kind)
        if kind != "skipped":
            self.count("domain_troubles", name, "late" if kind == "late" else "failed")


def failure_kind(outcome: Outcome) -> str:
    """The kind of a failure, a key of `FAILURE_KINDS`."""
    if isinstance(outcome, Skipped):
        return "skipped"
    return outcome.kind if isinstance(outcome, Failed) else "late"
