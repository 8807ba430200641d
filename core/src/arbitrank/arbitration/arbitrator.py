"""The arbitrator: select the domains, query them, merge their readings, sort, decide."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import cast

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from arbitrank.arbitration.breaker import Breakers
from arbitrank.arbitration.claims import group_numbers
from arbitrank.arbitration.competition import DomainTerm, Served
from arbitrank.arbitration.conditioning import after_winning, competing
from arbitrank.arbitration.decide import DecisionSettings, decide, p_out_of_scope, stated_in_answers
from arbitrank.arbitration.dispatch import query, query_all
from arbitrank.arbitration.fallback import fall_back, fallback_role, no_fallback, scored_reading, unscored_reading
from arbitrank.arbitration.lineup import Broken, Lineup, Selection, Serving, rounded
from arbitrank.arbitration.merge import Contribution, agreements, merge
from arbitrank.arbitration.outcomes import Answered, Arbitration, Outcome
from arbitrank.arbitration.profiles import DomainProfile
from arbitrank.arbitration.recalibration import recalibrated
from arbitrank.arbitration.risk_bound import beyond
from arbitrank.arbitration.scaled_model import scaled
from arbitrank.arbitration.stages import FallbackScorer, ShortlistStage, SortStage
from arbitrank.domain import Model
from arbitrank.errors import InputError
from arbitrank.explanation import all_staged
from arbitrank.scales import domain_scales
from arbitrank.values import Answer, AnswerRisk, Context, DomainReport, Ranked, Request
from arbitrank.wire.built import as_from_json
from arbitrank.wire.notices import unnoticed
from arbitrank.wire.request_checks import checked

__all__ = ["Arbitration", "Arbitrator", "Broken", "Serving", "as_request"]


@dataclass(frozen=True, repr=False)
class Arbitrator:
    """Decides which domain should answer a request. Safe to use from any thread.

    `domains` holds every domain that may be queried, by name, `profiles` the facts that they state of themselves, and
    `unavailable` the reports of packages that were refused or disabled. `decisions` order and decide the merged list.
    `breakers` skip domains that fail repeatedly; None queries every domain each time. `hyprank` sorts the merged list
    by the account and the dialogue, and the shortlist. With `shortlisting`, only the domains whose skills are on the
    request's shortlist are queried, so that a request's cost does not depend on the number of domains; a request with
    hypotheses needs none. `fallback` scores, by name, the hypotheses of domains that are not installed; the setting
    `rank_unserved` needs one, else `InputError` is raised. `follows_share`: answers name the share of out-of-scope
    requests in use.
    """

    domains: Mapping[str, Serving | Broken]
    decisions: DecisionSettings = field(default=DecisionSettings())
    breakers: Breakers | None = None
    hyprank: SortStage | None = None
    shortlisting: ShortlistStage | None = None
    fallback: Callable[[str], FallbackScorer] | None = None
    profiles: Mapping[str, DomainProfile] = field(default_factory=dict)
    unavailable: Mapping[str, DomainReport] = field(default_factory=dict)
    follows_share: bool = False

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
        the configuration cannot be read, one of `only` is not installed, or keys are given without cryptography.
        """
        from arbitrank.store.loading import load_installed

        parts, baseline, settings = load_installed(store, only=only, keys=keys, decisions=decisions)
        return cls(decisions=settings, fallback=baseline, **parts._asdict())

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
        reading has its `why`. Raises `InputError` for a request with neither an utterance nor hypotheses.
        """
        return self.arbitrate(as_request(request, context, device), explain=explain).answer

    def arbitrate(self, request: Request, *, explain: bool = False) -> Arbitration:
        """The answer together with each queried domain's outcome; never raises a plugin's error."""
        lineup, began = self._lineup, perf_counter()
        selection = lineup.select(request)
        listed = self._sorted_tools(request, selection)
        selected = perf_counter()
        models = {name: serving.model for name, serving in selection.queried.items()}
        outcomes = query_all(models, request, selection.given, explain=explain, breakers=self.breakers)
        unserved = self._unserved(selection, request, explain)
        contributions = self._contributions(selection, outcomes, unserved)
        queried = perf_counter()
        conditioned, out_of_scope = self._conditioned(contributions)
        ranked = merge(conditioned)
        merged = perf_counter()
        if self._sort is not None:
            ranked = self._sort(request, ranked, {one.skill: one.score for one in selection.candidates})
        sorted_ = perf_counter()
        decision = decide(
            ranked, self.decisions, out_of_scope=out_of_scope, exclusive=self._exclusive, context=request.context
        )
        if decision.action == "none" and (reading := self._fallback_reading(selection, outcomes)) is not None:
            ranked, decision = fall_back(ranked, reading)
        done = perf_counter()
        answered = [outcome for outcome in outcomes.values() if isinstance(outcome, Answered)]
        ms = {
            "shortlist": rounded(1e3 * (selected - began)),
            "recognise": rounded(sum([outcome.recognise_ms for outcome in answered])),
            "rerank": rounded(sum([outcome.rerank_ms for outcome in answered])),
            "merge": rounded(1e3 * (done - queried - (sorted_ - merged))),
        }
        if self._sort is not None:
            ms["hyprank"] = rounded(1e3 * (sorted_ - merged))
        reports = lineup.reports(selection, outcomes, request, ranked, unserved)
        if decision.action == "none" and (name := lineup.role.name) is not None:
            decision = no_fallback(name, reports.get(name))
        # No bound is of a fallback.
        stated = self._settings if decision.reason is UNSET else (*self._settings[:2], UNSET)
        answer = Answer(request.id, decision, ranked, reports, ms, lineup.shortlist(listed), *stated)
        return Arbitration(answer, outcomes, self.decisions, out_of_scope)

    @property
    def by_name(self) -> dict[str, Model]:
        """The models that answer, by domain."""
        return {name: serving.model for name, serving in self._lineup.serving.items()}

    @cached_property
    def broken(self) -> frozenset[str]:
        """The domains that cannot answer."""
        return frozenset(name for name, one in self.domains.items() if isinstance(one, Broken))

    @cached_property
    def beyond_bound(self) -> tuple[str, ...]:
        """The parts that decide beyond the domains and the settings, with which no bound on risk was tested."""
        follows = self.follows_share and self.decisions.share is not None
        return beyond(shortlists=self.shortlisting is not None, sorts=self._sort is not None, follows_share=follows)

    def prepare(self) -> None:
        """Compute now what the first answer would otherwise compute."""
        lineup = self._lineup
        _ = lineup.serving, lineup.unqueried, lineup.intents, lineup.titles, self._terms

    @cached_property
    def _lineup(self) -> Lineup:
        """The domains, and what each of them may do."""
        role = fallback_role(self.profiles, self.decisions)
        unserved = self.decisions.rank_unserved
        return Lineup(self.domains, self.profiles, self.unavailable, role, self.shortlisting, unserved)

    @cached_property
    def _sort(self) -> Callable[[Request, tuple[Ranked, ...], Mapping[str, float]], tuple[Ranked, ...]] | None:
        """The sorting of merged lists, None where they stay as they are."""
        return self.hyprank.sort if self.hyprank is not None and self.hyprank.sorts_readings else None

    def _sorted_tools(self, request: Request, selection: Selection) -> Selection:
        """The selection with the shortlist in the order of the HypRank."""
        if self.hyprank is None or not selection.candidates:
            return selection
        return selection._replace(candidates=self.hyprank.sort_tools(request, selection.candidates))

    def _contributions(
        self, selection: Selection, outcomes: Mapping[str, Outcome], unserved: Mapping[str, Outcome]
    ) -> list[Contribution]:
        """The parts of the merged list: of domains that answered, and of unserved ones where these are ranked."""
        fallback = self._lineup.role.name
        contributions = [
            self._contribution(name, selection.queried[name], outcome)
            for name, outcome in outcomes.items()
            if isinstance(outcome, Answered) and name != fallback
        ]
        for name, outcome in unserved.items():
            if isinstance(outcome, Answered):
                contributions.append(Contribution(name, outcome.hypotheses, outcome.scores, "r0", outcome.why))
        return contributions

    def _unserved(self, selection: Selection, request: Request, explain: bool) -> dict[str, Outcome]:
        """The scores of domains that are not installed, where these are ranked."""
        if not self.decisions.rank_unserved or self.fallback is None:
            return {}
        outcomes: dict[str, Outcome] = {}
        for name, found in selection.unserved.items():
            if name != self._lineup.role.name:
                stated = domain_scales(self.decisions.scales.get(name, {}))
                scorer = scaled(cast("Model", self.fallback(name)), stated)  # all that it has to do is to score
                outcomes[name] = query(name, scorer, request, found, explain=explain)
        return outcomes

    def _contribution(self, name: str, serving: Serving, outcome: Answered) -> Contribution:
        scores = outcome.scores
        if serving.recalibration is not None:
            scores = recalibrated(scores, serving.recalibration)
        why = outcome.why and all_staged(outcome.why, "temperature", outcome.scores.right, scores.right)
        return Contribution(name, outcome.hypotheses, scores, outcome.version or serving.version, why)

    def _conditioned(self, contributions: Sequence[Contribution]) -> tuple[Sequence[Contribution], float]:
        """The contributions, conditioned on one another where the settings say so, and P(no domain)."""
        if not self._conditions:
            return contributions, p_out_of_scope([one.scores.mine for one in contributions])
        settings = self.decisions
        reading = [one for one in contributions if one.hypotheses]
        scores = [one.scores for one in reading]
        claims = agreements(reading, self._groups) if settings.groups else None
        if settings.competition is None:
            out_of_scope = p_out_of_scope(one.mine for one in scores)
        else:
            terms = [self._terms.get(one.domain, _NO_TERM) for one in reading]
            one = settings.competition
            scores, out_of_scope = competing(
                scores, terms, one.null, claims, overlapping=one.overlapping, winner=one.winner
            )
        if settings.normalise:
            scores = after_winning(scores, settings.independence, claims)
        conditioned = [
            one._replace(scores=new, why=all_staged(one.why, "other_domains", one.scores.right, new.right))
            for one, new in zip(reading, scores, strict=True)
        ]
        return conditioned, out_of_scope

    @cached_property
    def _exclusive(self) -> bool:
        return self.decisions.exclusive or self._sort is not None

    @cached_property
    def _conditions(self) -> bool:
        return self.decisions.conditions

    @cached_property
    def _groups(self) -> Mapping[str, int]:
        """The number of its group, by domain."""
        return group_numbers(self.decisions.groups)

    @cached_property
    def _settings(self) -> tuple[str | UnsetType, float | UnsetType, AnswerRisk | UnsetType]:
        """The version of the settings, where they are an artifact's, the share that is followed, the bound on risk."""
        followed = self.decisions.share if self.follows_share else None
        return stated_in_answers(self.decisions, self._served, followed, self.beyond_bound)

    @cached_property
    def _served(self) -> Mapping[str, Served]:
        """The versions and recalibrations of the domains that may be queried."""
        return {name: (one.version, one.recalibration) for name, one in self._lineup.serving.items()}

    @cached_property
    def _terms(self) -> Mapping[str, DomainTerm]:
        """Slope and bias of each domain in the competition, where they were fitted on the version that serves."""
        if (competition := self.decisions.competition) is None:
            return {}
        versions = self._served
        terms = competition.domain_terms(versions, self.decisions.groups, versions)
        return dict(zip(versions, terms, strict=True))

    def _fallback_reading(self, selection: Selection, outcomes: Mapping[str, Outcome]) -> Ranked | None:
        """The reading of the fallback, None where there is none."""
        name = self._lineup.role.name
        if name is None:
            return None
        outcome = outcomes.get(name)
        if isinstance(outcome, Answered):
            return scored_reading(self._contribution(name, selection.queried[name], outcome))
        return unscored_reading(name, selection.unserved.get(name, ()))


_NO_TERM = DomainTerm()


def as_request(request: str | Request, context: Context | None = None, device: str | None = None) -> Request:
    """The request of an utterance, or a request, with more context. Raises `InputError` where that is empty."""
    request = as_from_json(Request(utterance=request) if isinstance(request, str) else request, unnoticed)
    if context is not None or device is not None:
        own = {} if device is None else {"device": device}
        request = replace(request, context={**request.context, **(context or {}), **own})
    return checked(request, unnoticed)
