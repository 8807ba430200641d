"""The arbitrator: select the domains, query them, merge their readings, sort, decide."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from arbitrank.arbitration.breaker import Breakers
from arbitrank.arbitration.decide import DecisionSettings, decide, p_out_of_scope
from arbitrank.arbitration.dispatch import Answered, Failed, Outcome, Skipped, query_all
from arbitrank.arbitration.merge import Contribution, after_winning, merge, temperature_scaled
from arbitrank.arbitration.stages import FallbackScorer, ShortlistStage, SortStage
from arbitrank.domain import Model
from arbitrank.errors import InputError
from arbitrank.values import Answer, Candidate, Context, DomainReport, Hypothesis, Request, Shortlist


@dataclass(frozen=True)
class Serving:
    """A domain that is ready to answer: its model and version, and their origin (`store` or `package`).

    The log-odds of its probabilities are divided by `temperature`, above 1 for an over-confident domain. `note` is
    reported with its answers, e.g. that a newer version was refused.
    """

    model: Model = field(repr=False)
    version: str
    origin: str
    temperature: float = 1.0
    note: str | None = None


@dataclass(frozen=True)
class Broken:
    """A domain that cannot answer, and the reason."""

    reason: str


@dataclass(frozen=True, eq=False, repr=False)
class Arbitration:
    """An answer with the outcome of every queried domain, by name."""

    answer: Answer
    outcomes: Mapping[str, Outcome]

    def __repr__(self) -> str:
        return f"Arbitration({self.answer!r})"

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """All readings of the domains that answered, with the confidences that an answer leaves out: for a log."""
        return tuple(h for one in self.outcomes.values() if isinstance(one, Answered) for h in one.hypotheses)


class _Selection(NamedTuple):
    """The domains to query, the hypotheses given for each, and those given of domains that are not installed."""

    queried: Mapping[str, Serving]
    given: Mapping[str, list[Hypothesis]] | None
    unserved: Mapping[str, list[Hypothesis]]
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, repr=False)
class Arbitrator:
    """Decides which domain should answer a request. Safe to use from any thread.

    `domains` holds every domain that may be queried, by name; `decisions` order and decide the merged list. `breakers`
    skip domains that fail repeatedly; None queries every domain each time. `hyprank` sorts the merged list by the
    account and the dialogue. With `shortlisting`, only the domains whose skills are on the request's shortlist are
    queried, so that a request's cost does not depend on the number of domains; a request with hypotheses needs no
    shortlist. `fallback` scores, by name, the hypotheses of domains that are not installed; the setting `rank_unserved`
    needs one, else `InputError` is raised.
    """

    domains: Mapping[str, Serving | Broken]
    decisions: DecisionSettings = field(default=DecisionSettings())
    breakers: Breakers | None = None
    hyprank: SortStage | None = None
    shortlisting: ShortlistStage | None = None
    fallback: Callable[[str], FallbackScorer] | None = None

    def __post_init__(self) -> None:
        if self.decisions.rank_unserved and self.fallback is None:
            raise InputError("rank_unserved: no fallback scorer, expected one, as arbitrank.learn.rerankers.baseline")

    def __repr__(self) -> str:
        return f"Arbitrator({len(self.domains)} domains: {', '.join(sorted(self.domains)[:10])})"

    @classmethod
    def from_installed(
        cls,
        *,
        store: str | Path | None = None,
        only: Collection[str] | None = None,
        keys: str | Path | None = None,
        decisions: DecisionSettings | None = None,
    ) -> Arbitrator:
        """An arbitrator over the installed domains, with the weights of a store, else those that their packages ship.

        `store` is a folder or a URL, None for ARBITRANK_STORE, else the user's data folder. `only` names the domains to
        load, None loads all. `keys` is a folder of public keys, whose signatures are then required. `decisions` are by
        default those of the operator's configuration (`arbitrank.configuration`), which also states the scales and the
        fallback where they do not. Domains that cannot be loaded are reported in each answer. Raises `InputError` where
        the configuration cannot be read, where one of `only` is not installed, or where keys
        are given and cryptography is not installed.
        """
        from arbitrank.store.loading import load_installed

        domains, fallback, settings = load_installed(store, only=only, keys=keys, decisions=decisions)
        return cls(domains, settings, fallback=fallback)

    def answer(
        self,
        request: str | Request,
        *,
        context: Context | None = None,
        device: str | None = None,
        explain: bool = False,
    ) -> Answer:
        """The ranked readings of all domains, the decision and each domain's status; never raises a plugin's error.

        `request` is an utterance or a `Request`; `context` and `device` are added to its context. With `explain`, every
        reading has its `why`.
        """
        return self.arbitrate(as_request(request, context, device), explain=explain).answer

    def arbitrate(self, request: Request, *, explain: bool = False) -> Arbitration:
        """The answer together with each queried domain's outcome; never raises a plugin's error."""
        began = perf_counter()
        selection = self._select(request)
        if request.refused:
            readable = {name: one for name, one in selection.queried.items() if name not in request.refused}
            selection = selection._replace(queried=readable)
        selected = perf_counter()
        models = {name: serving.model for name, serving in selection.queried.items()}
        outcomes = query_all(models, request, selection.given, explain=explain, breakers=self.breakers)
        contributions = self._contributions(selection, outcomes, request, explain)
        queried = perf_counter()
        ranked = merge(self._conditioned(contributions))
        merged = perf_counter()
        if self.hyprank is not None:
            ranked = self.hyprank.sort(request, ranked, {one.skill: one.score for one in selection.candidates})
        sorted_ = perf_counter()
        exclusive = self.decisions.normalise or self.hyprank is not None
        out_of_scope = p_out_of_scope(one.scores.mine for one in contributions)
        decision = decide(ranked, self.decisions, out_of_scope=out_of_scope, exclusive=exclusive)
        done = perf_counter()
        answered = [outcome for outcome in outcomes.values() if isinstance(outcome, Answered)]
        ms = {
            "shortlist": _ms(selected - began),
            "recognise": round(sum(outcome.recognise_ms for outcome in answered), 4),
            "rerank": round(sum(outcome.rerank_ms for outcome in answered), 4),
            "merge": _ms(done - queried - (sorted_ - merged)),
        }
        if self.hyprank is not None:
            ms["hyprank"] = _ms(sorted_ - merged)
        reports, shortlist = self._reports(selection, outcomes, request), self._shortlist(selection)
        return Arbitration(Answer(request.id, decision, ranked, reports, ms, shortlist), outcomes)

    @property
    def models(self) -> list[Model]:
        """The models that answer."""
        return [serving.model for serving in self._serving.values()]

    def prepare(self) -> None:
        """Compute now what the first answer would otherwise compute."""
        _ = self._unqueried

    # -------------------------------------------------------------------------------------------------- the stages

    @cached_property
    def _serving(self) -> Mapping[str, Serving]:
        return {name: one for name, one in self.domains.items() if isinstance(one, Serving)}

    @cached_property
    def _unqueried(self) -> Mapping[str, DomainReport]:
        """The report of every domain for a request with which it is not queried, sorted by name."""
        return {
            name: DomainReport("failed", reason=one.reason)
            if isinstance(one, Broken)
            else DomainReport("skipped", one.version, reason="the request brings no hypothesis of it")
            for name, one in sorted(self.domains.items())
        }

    def _select(self, request: Request) -> _Selection:
        """All domains; or those whose hypotheses the request brings; or those of the shortlist."""
        if request.hypotheses is not None:
            given: dict[str, list[Hypothesis]] = {}
            for hypothesis in request.hypotheses:
                given.setdefault(hypothesis.domain, []).append(hypothesis)
            unserved = {name: found for name, found in given.items() if name not in self.domains}
            return _Selection(self._served(given), given, unserved, ())
        if self.shortlisting is None:
            return _Selection(self._serving, None, {}, ())
        candidates = self.shortlisting(request)
        wanted = {one.domain for one in candidates} | self.shortlisting.always
        return _Selection(self._served(wanted), None, {}, candidates)

    def _served(self, names: Iterable[str]) -> Mapping[str, Serving]:
        return {name: self._serving[name] for name in sorted(names) if name in self._serving}

    def _contributions(
        self, selection: _Selection, outcomes: Mapping[str, Outcome], request: Request, explain: bool
    ) -> list[Contribution]:
        """The parts of the merged list: of domains that answered, and of unserved ones where these are ranked."""
        contributions = []
        for name, outcome in outcomes.items():
            if isinstance(outcome, Answered):
                serving = selection.queried[name]
                scores = temperature_scaled(outcome.scores, serving.temperature)
                contributions.append(Contribution(name, outcome.hypotheses, scores, serving.version, outcome.why))
        if self.decisions.rank_unserved and self.fallback is not None:
            for name, found in selection.unserved.items():
                own = Request(utterance=request.utterance, context=request.context, hypotheses=tuple(found))
                scorer = self.fallback(name)
                why = scorer.explain(own) if explain else None
                contributions.append(Contribution(name, found, scorer.rerank(own), "r0", why))
        return contributions

    def _conditioned(self, contributions: Sequence[Contribution]) -> Sequence[Contribution]:
        """The contributions, conditioned on one domain owning the request where the settings say so."""
        if not self.decisions.normalise:
            return contributions
        reading = [one for one in contributions if one.hypotheses]
        scores = after_winning([one.scores for one in reading], self.decisions.independence)
        return [one._replace(scores=conditioned) for one, conditioned in zip(reading, scores, strict=True)]

    def _reports(
        self, selection: _Selection, outcomes: Mapping[str, Outcome], request: Request
    ) -> dict[str, DomainReport]:
        """The status of each domain; with a shortlist, only of those that it names or that are always queried."""
        if self.shortlisting is None or selection.given is not None:
            reports = dict(self._unqueried)
        else:
            missing = DomainReport("unserved", reason="not installed, but it owns a shortlisted skill")
            always = [name for name in self.shortlisting.always if name in self.domains]
            names = {one.domain for one in selection.candidates}.union(always) - self._serving.keys()
            reports = {name: self._unqueried.get(name, missing) for name in sorted(names)}
        for name, outcome in outcomes.items():
            reports[name] = _report(name, selection.queried[name], outcome, request)
        for name in sorted(selection.unserved):
            ranked = "ranked by R0" if self.decisions.rank_unserved else "not ranked"
            reports[name] = DomainReport("unserved", reason=f"no installed domain has this name; {ranked}")
        for name, reason in request.refused.items():
            reports[name] = DomainReport("failed", reason=reason)
        return reports

    def _shortlist(self, selection: _Selection) -> Shortlist | UnsetType:
        if self.shortlisting is None or selection.given is not None:
            return UNSET
        skipped = len(self._serving) - len(selection.queried)
        return Shortlist(selection.candidates, not selection.candidates, skipped, self.shortlisting.version)


def as_request(request: str | Request, context: Context | None = None, device: str | None = None) -> Request:
    """The request of an utterance, or a request as it is, with more context."""
    if isinstance(request, str):
        request = Request(utterance=request)
    if context is None and device is None:
        return request
    own = {} if device is None else {"device": device}
    return replace(request, context={**request.context, **(context or {}), **own})


def _report(name: str, serving: Serving, outcome: Outcome, request: Request) -> DomainReport:
    if isinstance(outcome, Answered):
        temperature = serving.temperature if serving.temperature != 1.0 else None
        ms = round(outcome.recognise_ms + outcome.rerank_ms, 4)
        return DomainReport("answered", serving.version, ms, serving.note, temperature, outcome.scales or UNSET)
    if isinstance(outcome, Skipped):
        return DomainReport("skipped", serving.version, reason=outcome.reason)
    if isinstance(outcome, Failed):
        return DomainReport("failed", serving.version, round(outcome.ms, 4), _reason(name, outcome, request))
    return DomainReport("late", serving.version, round(outcome.ms, 4), outcome.reason)


def _reason(name: str, failed: Failed, request: Request) -> str:
    """The reason of a failure, in which a hypothesis is numbered as in the request."""
    if failed.unread is None or request.hypotheses is None:
        return failed.reason
    places = [i for i, h in enumerate(request.hypotheses) if h.domain == name]
    return f"hypotheses[{places[failed.unread]}]{failed.reason.removeprefix(f'hypotheses[{failed.unread}]')}"


def _ms(seconds: float) -> float:
    return round(1e3 * seconds, 4)
