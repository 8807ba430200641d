"""The domains of an arbitrator: those that a request is sent to, and each one's status in the answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from arbitrank.arbitration.claims import group_remarks
from arbitrank.arbitration.competition import Served
from arbitrank.arbitration.decide import DecisionSettings, bound_remark
from arbitrank.arbitration.fallback import FallbackRole
from arbitrank.arbitration.outcomes import Answered, Failed, Outcome, Skipped
from arbitrank.arbitration.profiles import DomainProfile
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.arbitration.stages import ShortlistStage
from arbitrank.domain import Model
from arbitrank.values import Candidate, DomainReport, Hypothesis, Ranked, Request, Shortlist, Status


@dataclass(frozen=True)
class Serving:
    """A domain that is ready to answer: its model and version, and their origin (`store`, `package` or `remote`).

    `recalibration` is that of its probabilities, None without one. `note` is reported with its answers, e.g. that a
    newer version was refused. `release` is that of its code, where it is in an environment of its own.
    """

    model: Model = field(repr=False)
    version: str
    origin: str
    recalibration: Recalibration | None = None
    note: str | None = None
    release: str | None = None


@dataclass(frozen=True)
class Broken:
    """A domain that cannot answer, and the reason."""

    reason: str


class Selection(NamedTuple):
    """The domains to query, the hypotheses given for each, and those given of domains that are not installed."""

    queried: Mapping[str, Serving]
    given: Mapping[str, list[Hypothesis]] | None
    unserved: Mapping[str, list[Hypothesis]]
    candidates: tuple[Candidate, ...]
    none: float | UnsetType = UNSET


@dataclass(frozen=True)
class Lineup:
    """The installed domains, `unavailable` packages included, and their `role` as the fallback.

    `ranks_unserved`: hypotheses of domains that are not installed are ranked by R0.
    """

    domains: Mapping[str, Serving | Broken]
    profiles: Mapping[str, DomainProfile]
    unavailable: Mapping[str, DomainReport]
    role: FallbackRole
    shortlisting: ShortlistStage | None
    ranks_unserved: bool

    @cached_property
    def serving(self) -> Mapping[str, Serving]:
        """The domains that may be queried, by name."""
        return {
            name: one for name, one in self.domains.items() if isinstance(one, Serving) and name not in self.role.idle
        }

    @cached_property
    def unqueried(self) -> Mapping[str, DomainReport]:
        """The report of every installed domain for a request with which it is not queried, sorted by name."""
        reports = {name: self._titled(name, self._unqueried(name, one)) for name, one in self.domains.items()}
        return dict(sorted({**self.unavailable, **reports}.items()))

    @cached_property
    def intents(self) -> Mapping[str, Mapping[str, str]]:
        """The display names of intents, by the domains that state some."""
        return {name: profile.names.intents for name, profile in self.profiles.items() if profile.names.intents}

    @cached_property
    def titles(self) -> Mapping[str, str]:
        """The display names of the domains that state one."""
        names = {name: profile.names.title for name, profile in self.profiles.items()}
        return {name: title for name, title in names.items() if title != name}

    def select(self, request: Request) -> Selection:
        """All domains; or those whose hypotheses the request brings; or those of the shortlist."""
        if request.hypotheses is not None:
            given: dict[str, list[Hypothesis]] = {}
            for hypothesis in request.hypotheses:
                given.setdefault(hypothesis.domain, []).append(hypothesis)
            unserved = {
                name: found for name, found in given.items() if name not in self.domains and name not in request.refused
            }
            return Selection(self._served(given, request), given, unserved, ())
        if self.shortlisting is None:
            return Selection(self._served(self.serving, request) if request.refused else self.serving, None, {}, ())
        candidates, none = self.shortlisting(request)
        wanted = {one.domain for one in candidates} | self.shortlisting.always | {self.role.name or ""}
        return Selection(self._served(wanted, request), None, {}, candidates, none)

    def _served(self, names: Iterable[str], request: Request) -> Mapping[str, Serving]:
        """Those of the domains that may be queried; none whose hypotheses were refused."""
        serving, refused = self.serving, request.refused
        return {name: serving[name] for name in sorted(names) if name in serving and name not in refused}

    def reports(
        self,
        selection: Selection,
        outcomes: Mapping[str, Outcome],
        request: Request,
        ranked: Sequence[Ranked],
        unserved: Mapping[str, Outcome],
    ) -> dict[str, DomainReport]:
        """The status of each domain; with a shortlist, only of those that it names or that are always queried.

        `unserved` are the outcomes of domains that are not installed, where these are ranked.
        """
        if self.shortlisting is None or selection.given is not None:
            reports = dict(self.unqueried)
        else:
            missing = DomainReport("unserved", reason="not installed, but it owns a shortlisted skill")
            always = self.unqueried.keys() & {*self.shortlisting.always, self.role.name}
            names = {one.domain for one in selection.candidates}.union(always) - selection.queried.keys()
            reports = {name: self.unqueried.get(name, missing) for name in sorted(names)}
        intents = self._intents_of(ranked) if self.intents else {}
        for name, outcome in outcomes.items():
            title, own = self.titles.get(name, UNSET), intents.get(name, UNSET)
            serving = selection.queried[name]
            reports[name] = _report(name, serving, outcome, request, title, own)
            if serving.release is not None:
                reports[name] = replace(reports[name], release=serving.release)
        for name in sorted(selection.unserved):
            reports[name] = self._unserved(name)
            scored = unserved.get(name)
            if isinstance(scored, Failed):
                reports[name] = DomainReport("failed", reason=_reason(name, scored, request))
            elif isinstance(scored, Answered) and scored.scales:
                reports[name] = replace(reports[name], scales=scored.scales)
        for name, reason in request.refused.items():
            domain = self.domains.get(name)
            version = domain.version if isinstance(domain, Serving) else None
            reports[name] = self._titled(name, DomainReport("failed", version, reason=reason))
        return reports

    def shortlist(self, selection: Selection) -> Shortlist | UnsetType:
        """The shortlist of an answer, unset where none chose the domains."""
        if self.shortlisting is None or selection.given is not None:
            return UNSET
        skipped = len(self.serving) - len(selection.queried)
        listed = selection.candidates
        return Shortlist(listed, not listed, skipped, self.shortlisting.version, selection.none)

    def _unqueried(self, name: str, one: Serving | Broken) -> DomainReport:
        if isinstance(one, Broken):
            return DomainReport("failed", reason=one.reason)
        reason = self.role.idle.get(name, "the request brings no hypothesis of it")
        return DomainReport("skipped", one.version, reason=reason)

    def _unserved(self, name: str) -> DomainReport:
        """The report of a domain that the request brings hypotheses of and that is not installed, or not loaded."""
        if name == self.role.name:
            return DomainReport("unserved", reason="no installed domain has this name; it is the fallback")
        known = self.unavailable.get(name)
        if known is not None and not self.ranks_unserved:
            return known
        seen = "no installed domain has this name" if known is None else known.reason
        what = "ranked by R0" if self.ranks_unserved else "not ranked; run: arbitrank domains"
        return DomainReport("unserved", reason=f"{seen}; {what}")

    def _titled(self, name: str, report: DomainReport) -> DomainReport:
        return replace(report, title=self.titles[name]) if name in self.titles else report

    def _intents_of(self, ranked: Sequence[Ranked]) -> dict[str, dict[str, str]]:
        """The display name of the intent of each domain's first reading, which a question may be about."""
        found: dict[str, dict[str, str]] = {}
        seen: set[str] = set()
        for entry in ranked:
            if entry.domain in seen:
                continue
            seen.add(entry.domain)
            title = self.intents.get(entry.domain, {}).get(entry.intent)
            if title is not None:
                found[entry.domain] = {entry.intent: title}
        return found


def served(domains: Mapping[str, Serving | Broken]) -> dict[str, Served]:
    """The versions and recalibrations of the domains that are ready to answer."""
    return {name: (one.version, one.recalibration) for name, one in domains.items() if isinstance(one, Serving)}


def outdated(settings: DecisionSettings, served: Mapping[str, Served], beyond: Iterable[str] = ()) -> Iterator[str]:
    """Remarks on domains of groups that are not there, those that compete without slopes, and a bound not in force.

    `beyond` is what decides beyond the domains and the settings.
    """
    yield from group_remarks(settings.groups, served)
    if remark := bound_remark(settings, served, beyond):
        yield remark
    if settings.competition is None:
        return
    if changed := settings.competition.outdated(served):
        yield f"{', '.join(changed)}: another version was tuned on, so the claim competes as it is; run: arbitrank tune"
    if gone := sorted(settings.competition.terms.keys() - served.keys()):
        yield f"{', '.join(gone)}: tuned, and answers no longer"


def rounded(number: float, per: float = 1e4) -> float:
    """A number of at least 0, to four digits by default; `round` goes by way of a text, which takes longer."""
    return (per * number + 0.5) // 1.0 / per


def _report(
    name: str,
    serving: Serving,
    outcome: Outcome,
    request: Request,
    title: str | UnsetType,
    intents: dict[str, str] | UnsetType,
) -> DomainReport:
    if isinstance(outcome, Answered):
        ms, version = rounded(outcome.recognise_ms + outcome.rerank_ms), outcome.version or serving.version
        scales = outcome.scales or UNSET
        if (by := serving.recalibration) is None:
            return DomainReport("answered", version, ms, serving.note, None, scales, title, intents)
        shrunk, shift = (None if by.scale == 1.0 else by.temperature), (by.shift or UNSET)
        return DomainReport("answered", version, ms, serving.note, shrunk, scales, title, intents, shift)
    if isinstance(outcome, Skipped):
        return DomainReport("skipped", serving.version, reason=outcome.reason, title=title)
    status: Status = "failed" if isinstance(outcome, Failed) else "late"
    reason = _reason(name, outcome, request) if isinstance(outcome, Failed) else outcome.reason
    return DomainReport(status, serving.version, rounded(outcome.ms), reason, title=title)


def _reason(name: str, failed: Failed, request: Request) -> str:
    """The reason of a failure, in which a hypothesis is numbered as in the request; of an exception with the command
    that says where it arose."""
    if failed.unread is None or request.hypotheses is None:
        raised = failed.counts and failed.reason.partition(": ")[0].isidentifier()
        return f"{failed.reason}; run: arbitrank check {name}" if raised else failed.reason
    places = [i for i, h in enumerate(request.hypotheses) if h.domain == name]
    return f"hypotheses[{places[failed.unread]}]{failed.reason.removeprefix(f'hypotheses[{failed.unread}]')}"
