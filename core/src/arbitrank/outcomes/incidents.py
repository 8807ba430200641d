"""Incidents: cases made of logged answers, and changes of one case among a domain's files."""

from __future__ import annotations

from arbitrank.errors import InputError
from arbitrank.outcomes.suite_cases import Case, CaseNotes, WrongReading, cases_of, encoded, request_of
from arbitrank.outcomes.suite_truths import slots_labelled
from arbitrank.store.suites import KINDS, Contents
from arbitrank.wire.requests import Logged


def incident_of(line: Logged, notes: CaseNotes, domain: str | None = None) -> Case:
    """The case of a logged answer: its truth is demanded where it is known, else another answer.

    It is the `domain`'s, by default that of the reading which was acted on, else of the truth. Raises `InputError`
    where the line has no answer, the answer was right, or it cannot be answered again.
    """
    if line.answer is None:
        raise InputError(f"{line.id}: no answer in the log; expected one, as a service logs it")
    chosen, truth = line.answer.chosen, line.truth
    owner = domain or (chosen.domain if chosen is not None else None) or next(iter(truth.owners if truth else ()), None)
    if owner is None:
        raise InputError(f"{line.id}: no domain was acted on and no truth names one; name it: --domain DOMAIN")
    request = request_of(line)
    if request.utterance is None and not request.hypotheses:
        raise InputError(f"{line.id}: the log keeps neither its words nor hypotheses, so it cannot be answered again")
    wrong = WrongReading() if chosen is None else WrongReading(chosen.domain, chosen.intent, chosen.slots)
    notes = CaseNotes(notes.name, notes.date, notes.reason, notes.owner, wrong)
    slots = () if truth is None else slots_labelled(truth)
    case = Case(owner, "incidents", request, notes, truth, line.utterance_hash, slots)
    if truth is not None and case.passes(line.answer):
        raise InputError(f"{line.id}: the answer was right by the truth in the log, so it is no incident")
    return case


def with_case(case: Case, before: Contents, *, known: bool = False) -> Contents:
    """A domain's files with a case; one of the same name is replaced, or kept where that is `known` already."""
    if known and any(one.notes.name == case.notes.name for one in cases_of(case.domain, before)):
        return before
    others = without_case(case.domain, before, case.notes.name or "", missing=True)
    return {**others, case.kind: others.get(case.kind, b"") + encoded(case)}


def without_case(domain: str, before: Contents, name: str, *, missing: bool = False) -> Contents:
    """A domain's files without the case of a name. Raises `InputError` without one, unless it may be missing."""
    cases = cases_of(domain, before)
    if not missing and all(case.notes.name != name for case in cases):
        known = ", ".join(case.notes.name or "" for case in cases) or "none"
        raise InputError(f"{domain}: no case {name!r} in its suites (known: {known}); run: arbitrank suite {domain}")
    return {
        kind: b"".join(encoded(case) for case in cases if case.kind == kind and case.notes.name != name)
        for kind in KINDS
    }
