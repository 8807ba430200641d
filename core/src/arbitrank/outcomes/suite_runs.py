"""Runs of the suites: which cases pass by what answers now, and by a candidate in its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from arbitrank.outcomes.suite_cases import Case, answer_text, conflict_text, conflicts
from arbitrank.values import Answer, Request

Answering = Callable[[Request], Answer]


class CaseResult(msgspec.Struct, frozen=True):
    """One case: its name without a word of the request, whether it passes, and what is answered.

    `before` says whether what served before passes it, None where that was not asked. `conflicts` names a case that
    demands the contrary. `differs` says of a case that fails in what the answer differs from its truth: domain, intent
    or slots, by their names.
    """

    domain: str
    kind: str
    name: str
    passes: bool
    answered: str
    before: bool | None = None
    date: str | None = None
    reason: str | None = None
    owner: str | None = None
    conflicts: str | None = None
    differs: tuple[str, ...] = ()

    @property
    def broken(self) -> bool:
        """True for a case that passed before, fails now, and that another does not contradict."""
        return self.before is True and not self.passes and self.conflicts is None

    @property
    def outcome(self) -> str:
        """The answer in words, with what differs from the truth, and the case that demands the contrary."""
        differs = f"; differs in {' and '.join(self.differs)}" if self.differs else ""
        contrary = "" if self.conflicts is None else f"; in conflict with {self.conflicts}"
        return f"answered {self.answered}{differs}{contrary}"

    @property
    def text(self) -> str:
        """The case in words."""
        known = (self.date, None if self.owner is None else f"owner {self.owner}", self.reason)
        more = ", ".join(part for part in known if part)
        return f"{self.domain} {self.kind} {self.name}{f' ({more})' if more else ''}: {self.outcome}"


class SuiteRun(NamedTuple):
    """Results of all cases, and remarks on pairs that conflict."""

    results: tuple[CaseResult, ...]
    notes: tuple[str, ...] = ()

    @property
    def failing(self) -> list[CaseResult]:
        """The cases that fail now, those in conflict with others included."""
        return [one for one in self.results if not one.passes]

    @property
    def undisputed(self) -> list[CaseResult]:
        """The cases that fail now and that no other contradicts."""
        return [one for one in self.failing if one.conflicts is None]

    @property
    def broken(self) -> list[CaseResult]:
        """The cases that passed before and fail now, and that no other contradicts."""
        return [one for one in self.results if one.broken]

    @property
    def text(self) -> str:
        """The numbers of cases that pass, that a candidate breaks, and that fail in conflict with others."""
        passing, disputed = len(self.results) - len(self.failing), len(self.failing) - len(self.undisputed)
        text = f"{passing} of {len(self.results)} cases of the suites pass, {len(self.broken)} that passed before fail"
        return f"{text}, {disputed} in conflict with others fail" if disputed else text


def run_suites(
    cases: Sequence[Case], now: Answering, before: Answering | None = None, domain: str | None = None
) -> SuiteRun:
    """The results of the cases by what answers `now`, and `before` where it is asked too.

    With `domain` the results are of its cases alone, which those of the others may contradict.
    """
    pairs = [pair for pair in conflicts(cases) if domain is None or domain in (pair[0].domain, pair[1].domain)]
    against = {id(one): other for one, other in pairs} | {id(other): one for one, other in pairs}
    results = [
        _result(case, now, before, against.get(id(case))) for case in cases if domain is None or case.domain == domain
    ]
    return SuiteRun(tuple(results), tuple(conflict_text(one, other) for one, other in pairs))


def _result(case: Case, now: Answering, before: Answering | None, other: Case | None) -> CaseResult:
    answer, notes = now(case.request), case.notes
    passes = case.passes(answer)
    return CaseResult(
        case.domain, case.kind, notes.name or "", passes, answer_text(answer),
        None if before is None else case.passes(before(case.request)), notes.date, notes.reason, notes.owner,
        None if other is None else other.name, () if passes else case.differences(answer),
    )  # fmt: skip
