"""The life of a request: shortlist, recognise, rerank, merge, decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from time import perf_counter

from msgspec import UNSET

from arbitrank.arbitration import dispatch
from arbitrank.arbitration.breaker import Breakers
from arbitrank.arbitration.decide import DecisionSettings, decide
from arbitrank.arbitration.dispatch import Answered, Failed, Outcome, Skipped
from arbitrank.arbitration.merge import Voice, after_winning, merge, out_of_scope, shrunk
from arbitrank.domain import Model
from arbitrank.learn.features import FeatureSpec
from arbitrank.learn.rerankers import R0
from arbitrank.shortlist.hyprank import HypRank
from arbitrank.shortlist.shortlister import Shortlisting
from arbitrank.values import Answer, Candidate, DomainReport, Hypothesis, Request, Shortlist, Status


@dataclass(frozen=True)
class Serving:
    """A domain that is ready to answer: its model, its version, and where that came from (`store` or `package`).

    `temperature` is what the log-odds of its claims are divided by; above 1 for one that claims too much. `note` is
    what users should know of it although it answers: that a newer version was refused, say.
    """

    model: Model
    version: str
    origin: str
    temperature: float = 1.0
    note: str | None = None


@dataclass(frozen=True)
class Broken:
    """A domain that cannot answer at all, and why."""

    reason: str


@dataclass(frozen=True, eq=False)
class Arbitration:
    """An answer with the outcome of every queried domain, by name: what a log keeps beside the answer."""

    answer: Answer
    outcomes: Mapping[str, Outcome]

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """All readings of the domains that answered, with the confidences that an answer leaves out."""
        return tuple(h for one in self.outcomes.values() if isinstance(one, Answered) for h in one.hypotheses)


@dataclass(frozen=True)
class Arbitrator:
    """Decides which domain should answer a request.

    `domains` holds every domain that may be queried, by name; `decisions` order and decide the merged list. `breakers`
    skip domains that fail repeatedly, None queries every domain each time. `hyprank`, where there is one, sorts the
    merged list by the account and the dialogue. With `shortlisting`, only the domains whose skills are on the request's
    shortlist are queried, so that a request's cost does not depend on the number of domains; hypotheses that the caller
    brings need none.
    """

    domains: Mapping[str, Serving | Broken]
    decisions: DecisionSettings = field(default=DecisionSettings())
    breakers: Breakers | None = None
    hyprank: HypRank | None = None
    shortlisting: Shortlisting | None = None

    def answer(self, request: Request, *, explain: bool = False) -> Answer:
        """The ranked readings of all domains, the decision and each domain's status; never raises a plugin's error."""
        return self.arbitrate(request, explain=explain).answer

    def arbitrate(self, request: Request, *, explain: bool = False) -> Arbitration:
        """The answer together with each queried domain's outcome; never raises a plugin's error."""
        began = perf_counter()
        given = _by_domain(request.hypotheses)
        listing = None if given is not None else self.shortlisting
        candidates = listing(request) if listing else ()
        asked = self._listed(listing, candidates) if listing else self._asked(given)
        listed = perf_counter()
        models = {name: serving.model for name, serving in asked.items()}
        outcomes = dispatch.ask_all(models, request, given, explain=explain, breakers=self.breakers)
        voices = [
            Voice(
                name,
                outcome.hypotheses,
                shrunk(outcome.scores, asked[name].temperature),
                asked[name].version,
                outcome.why,
            )
            for name, outcome in outcomes.items()
            if isinstance(outcome, Answered)
        ]
        unserved = {name: found for name, found in (given or {}).items() if name not in self.domains}
        if self.decisions.rank_unserved:
            voices += [self._baseline(request, name, found, explain) for name, found in unserved.items()]
        merging = perf_counter()
        ranked = merge(self._measured(voices))
        merged = perf_counter()
        if self.hyprank is not None:
            ranked = self.hyprank.sort(request, ranked, {one.skill: one.score for one in candidates})
        sorted_ = perf_counter()
        decision = decide(ranked, self.decisions, out_of_scope=out_of_scope(voice.scores for voice in voices))
        done = perf_counter()
        answered = [outcome for outcome in outcomes.values() if isinstance(outcome, Answered)]
        answer = Answer(
            id=request.id,
            decision=decision,
            ranked=ranked,
            domains=self._reports(
                self._absent(listing, candidates) if listing else self._silent, asked, outcomes, unserved
            ),
            ms={
                "shortlist": _ms(listed - began),
                "recognise": round(sum(outcome.recognise_ms for outcome in answered), 4),
                "rerank": round(sum(outcome.rerank_ms for outcome in answered), 4),
                "merge": _ms(done - merging - (sorted_ - merged)),
                **({} if self.hyprank is None else {"hyprank": _ms(sorted_ - merged)}),
            },
            shortlist=self._told(listing, candidates, asked) if listing else UNSET,
        )
        return Arbitration(answer, outcomes)

    def prepare(self) -> None:
        """Make now what the first answer would otherwise wait for."""
        _ = self._silent

    def with_others(self, chosen: Mapping[str, Serving]) -> Arbitrator:
        """The same with other models in the places of some."""
        return replace(self, domains={**self.domains, **chosen})

    def with_shortlisting(self, stage: Shortlisting | None) -> Arbitrator:
        """The same with another stage that chooses the domains to ask, or with none."""
        other = replace(self, shortlisting=stage)
        vars(other).update({name: vars(self)[name] for name in ("_silent", "_serving") if name in vars(self)})
        return other

    @cached_property
    def _serving(self) -> Mapping[str, Serving]:
        return {name: one for name, one in self.domains.items() if isinstance(one, Serving)}

    @cached_property
    def _silent(self) -> Mapping[str, DomainReport]:
        """How every domain fares with a request for which it isn't asked, sorted by name."""
        return {
            name: DomainReport("failed", reason=one.reason)
            if isinstance(one, Broken)
            else DomainReport("skipped", one.version, reason="the request brings no hypothesis of it")
            for name, one in sorted(self.domains.items())
        }

    def _measured(self, voices: Sequence[Voice]) -> Sequence[Voice]:
        """The voices, their claims measured against one another where the arbitrator is to; silent ones have none."""
        if not self.decisions.normalise:
            return voices
        speaking = [voice for voice in voices if voice.hypotheses]
        scores = after_winning([voice.scores for voice in speaking], self.decisions.independence)
        return [voice._replace(scores=one) for voice, one in zip(speaking, scores, strict=True)]

    def _listed(self, listing: Shortlisting, candidates: Sequence[Candidate]) -> Mapping[str, Serving]:
        """The domains to ask: those of a shortlist's skills, and those that are always asked."""
        wanted = {one.domain for one in candidates} | listing.settings.always
        return {name: self._serving[name] for name in sorted(wanted) if name in self._serving}

    def _absent(self, listing: Shortlisting, candidates: Iterable[Candidate]) -> dict[str, DomainReport]:
        """How the domains fare that should be asked and can't be: those that are broken, or gone since the listing."""
        gone = DomainReport(
            "unserved", reason="a skill of it is on the shortlist, but no installed domain has its name"
        )
        names = {one.domain for one in candidates} | {name for name in listing.settings.always if name in self.domains}
        return {name: self._silent.get(name, gone) for name in sorted(names - self._serving.keys())}

    def _told(
        self, listing: Shortlisting, candidates: tuple[Candidate, ...], asked: Mapping[str, Serving]
    ) -> Shortlist:
        skipped = len(self._serving) - len(asked)
        return Shortlist(candidates, not candidates, skipped, listing.shortlister.version)

    def _asked(self, given: Mapping[str, list[Hypothesis]] | None) -> Mapping[str, Serving]:
        """The domains to ask: all, or those of which the caller brings hypotheses."""
        if given is None:
            return self._serving
        return {name: self._serving[name] for name in sorted(given) if name in self._serving}

    def _baseline(self, request: Request, name: str, found: list[Hypothesis], explain: bool) -> Voice:
        own = Request(utterance=request.utterance, context=request.context, hypotheses=tuple(found))
        model = R0(FeatureSpec(name))
        return Voice(name, found, model.rerank(own), "r0", model.explain(own) if explain else None)

    def _reports(
        self,
        silent: Mapping[str, DomainReport],
        asked: Mapping[str, Serving],
        outcomes: Mapping[str, Outcome],
        unserved: Iterable[str],
    ) -> dict[str, DomainReport]:
        reports = dict(silent)
        for name, outcome in outcomes.items():
            reports[name] = _report(asked[name], outcome)
        for name in sorted(unserved):
            ranked = "ranked by R0" if self.decisions.rank_unserved else "not ranked"
            reports[name] = DomainReport("unserved", reason=f"no installed domain has this name; {ranked}")
        return reports


def _report(serving: Serving, outcome: Outcome) -> DomainReport:
    if isinstance(outcome, Answered):
        shrunk_by = serving.temperature if serving.temperature != 1.0 else None
        ms = round(outcome.recognise_ms + outcome.rerank_ms, 4)
        return DomainReport("answered", serving.version, ms, serving.note, shrunk_by)
    if isinstance(outcome, Skipped):
        return DomainReport("skipped", serving.version, reason=outcome.reason)
    status: Status = "failed" if isinstance(outcome, Failed) else "late"
    return DomainReport(status, serving.version, round(outcome.ms, 4), outcome.reason)


def _by_domain(hypotheses: Iterable[Hypothesis] | None) -> dict[str, list[Hypothesis]] | None:
    if hypotheses is None:
        return None
    grouped: dict[str, list[Hypothesis]] = {}
    for hypothesis in hypotheses:
        grouped.setdefault(hypothesis.domain, []).append(hypothesis)
    return grouped


def _ms(seconds: float) -> float:
    return round(1e3 * seconds, 4)
