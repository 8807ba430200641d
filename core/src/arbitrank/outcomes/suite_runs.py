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
    demands the contrary.
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

    @property
    def broken(self) -> bool:
        """True for a case that passed before, fails now, and that another does not contradict."""
        return self.before is True and not self.passes and self.conflicts is None

    @property
    def text(self) -> str:
        """The case in words."""
        known = (self.date, None if self.owner is None else f"owner {self.owner}", self.reason)
        more = ", ".join(part for part in known if part)
        return f"{self.domain} {self.kind} {self.name}{f' ({more})' if more else ''}: answered {self.answered}"


class SuiteRun(NamedTuple):
    """Results of all cases, and remarks on pairs that conflict."""

    results: tuple[CaseResult, ...]
    notes: tuple[str, ...] = ()

    @property
    def failing(self) -> list[CaseResult]:
        """The cases that fail now and that no other contradicts."""
        return [one for one in self.results if not one.passes and one.conflicts is None]

    @property
    def broken(self) -> list[CaseResult]:
        """The cases that passed before and fail now."""
        return [one for one in self.results if one.broken]

    @property
    def text(self) -> str:
        """The numbers of cases that pass, and that a candidate breaks."""
        passing = sum(one.passes for one in self.results)
        return f"{passing} of {len(self.results)} cases of the suites pass, {len(self.broken)} that passed before fail"


def run_suites(cases: Sequence[Case], now: Answering, before: Answering | None = None) -> SuiteRun:
    """The results of the cases by what answers `now`, and `before` where it is asked too."""
    pairs = conflicts(cases)
    against = {id(one): other for one, other in pairs} | {id(other): one for one, other in pairs}
    results = [_result(case, now, before, against.get(id(case))) for case in cases]
    return SuiteRun(tuple(results), tuple(conflict_text(one, other) for one, other in pairs))


def _result(case: Case, now: Answering, before: Answering | None, other: Case | None) -> CaseResult:
    answer, notes = now(case.request), case.notes
    return CaseResult(
        case.domain, case.kind, notes.name or "", case.passes(answer), answer_text(answer),
        None if before is None else case.passes(before(case.request)), notes.date, notes.reason, notes.owner,
        None if other is None else other.name,
    )  # fmt: skip
