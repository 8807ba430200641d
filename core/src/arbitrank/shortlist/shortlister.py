"""The Shortlister: from an utterance and the account's profile to the k skills most worth querying.

The index finds the candidates; the linear kernel and the classifier, where there is one, score them again and add their
own (the classifier only where there are few enough skills to score all); the calibration turns the scores into
probabilities, that of no skill included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from msgspec import UNSET, Struct, UnsetType
from numpy.typing import NDArray

from arbitrank.domain import Domain, Skill
from arbitrank.errors import InputError
from arbitrank.shortlist.calibration import (
    AccountProfile,
    CandidateCalibration,
    account_profile,
    features,
    needed,
    request_signs,
)
from arbitrank.shortlist.catalogue import SkillCatalogue, descriptive_texts, skills_of
from arbitrank.shortlist.classifier import SkillClassifier
from arbitrank.shortlist.cold import ColdStart, Described
from arbitrank.shortlist.index import Index, lookup, top
from arbitrank.shortlist.linear import LinearKernel
from arbitrank.values import Candidate, Request
from arbitrank.wire.catalogue_lines import CatalogueSkill

__all__ = ["FIRST_STAGE", "TWO_STAGES", "ShortlistSettings", "Shortlister", "Shortlisting"]

FIRST_STAGE = 32
"""Candidates of the first stage; more where a longer shortlist is requested."""

TWO_STAGES = 10_000
"""Skills from which on the classifier scores only the candidates that the index found."""

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]


class _Found(NamedTuple):
    """Candidates by number, scores and evidence of the index, logits of the linear kernel, the request's signs."""

    numbers: Numbers
    scores: Floats
    evidence: Floats
    linear: Floats | None
    signs: Floats


@dataclass(frozen=True, eq=False)
class Shortlister:
    """A frozen value: adding or removing skills gives a new one and does not affect requests that use this one.

    `change` is the number of the last change of the store's catalogue log that it has.
    """

    catalogue: SkillCatalogue
    index: Index
    calibration: CandidateCalibration = field(default=CandidateCalibration())
    classifier: SkillClassifier | None = None
    version: str | None = None
    change: int = 0
    linear: LinearKernel | None = None
    cold: ColdStart | None = None

    def __post_init__(self) -> None:
        if len(self.catalogue) != len(self.index):
            raise InputError(f"a catalogue of {len(self.catalogue)} skills, an index of {len(self.index)}")

    def __repr__(self) -> str:
        return f"Shortlister({len(self.catalogue)} skills, version {self.version})"

    def shortlist(
        self,
        utterance: str | None,
        k: int = 10,
        *,
        profile: AccountProfile = AccountProfile(),
        floor: float = 0.0,
        mass: float = 1.0,
        outside: float | None = None,
    ) -> tuple[Candidate, ...]:
        """The at most `k` best skills with a score of at least `floor`, best first; empty where no word is known.

        With a `mass` below 1, no more than are needed for that share of the probability, that of none included: a list
        may then be empty. `outside` is the share of requests that fit no skill, by default that of the training.
        """
        return self.judge(utterance, k, profile=profile, floor=floor, mass=mass, outside=outside)[0]

    def judge(
        self,
        utterance: str | None,
        k: int = 10,
        *,
        profile: AccountProfile = AccountProfile(),
        floor: float = 0.0,
        mass: float = 1.0,
        outside: float | None = None,
    ) -> tuple[tuple[Candidate, ...], float]:
        """The shortlist, as `shortlist` gives it, and P(no skill fits): 1 where no word is known."""
        if k < 1 or not utterance:
            return (), 1.0
        seen = self._see(utterance)
        numbers, x, signs = self._candidates(
            utterance, k, profile, seen, self.tells_none or self.calibration.signs is not None
        )
        if not len(numbers):
            return (), 1.0
        none = self._none(signs, seen, outside)
        p = (1.0 - none) * self.calibration.probabilities(x, signs)
        order = np.argsort(-p, kind="stable")
        order = order[: min(k, needed(p[order], none, mass))]
        best = zip(numbers.take(order).tolist(), p.take(order).tolist(), strict=True)
        return tuple(Candidate(*self.catalogue[number], score) for number, score in best if score >= floor), none

    def first_stage(
        self, utterance: str, k: int = 10, profile: AccountProfile = AccountProfile()
    ) -> tuple[Numbers, Floats, Floats]:
        """The candidates by number, their features, and the signs that a skill fits at all.

        The account's skills are candidates too if any word is known.
        """
        return self._candidates(utterance, k, profile, self._see(utterance))

    def _candidates(
        self, utterance: str, k: int, profile: AccountProfile, seen: Described | None, none: bool = True
    ) -> tuple[Numbers, Floats, Floats]:
        found = self._found(utterance, k, profile, seen, none or seen is not None)
        numbers, scores, evidence = found.numbers, found.scores, found.evidence
        if self.cold is not None and seen is not None and len(numbers):
            without = self.without_requests(numbers)
            own = self.cold.scores(seen, numbers, without, found.signs, evidence)
            scores[without] = self.index.base[numbers[without]] + own
        learned = self.classifier.scores(utterance, numbers) if self.classifier is not None else None
        skills = [self.catalogue[number] for number in numbers.tolist()] if profile != AccountProfile() else ()
        return numbers, features(scores, evidence, learned, found.linear, skills, profile), found.signs

    @cached_property
    def _gone(self) -> Numbers:
        return np.array(sorted(self.catalogue.gone), np.int64)

    def _see(self, utterance: str) -> Described | None:
        return None if self.cold is None else self.cold.see(utterance).without(self._gone)

    def candidate_scores(self, utterance: str) -> tuple[Numbers, Floats, Floats]:
        """The candidates by number, the signs that a skill fits at all, and the index's scores of the candidates."""
        seen = self._see(utterance)
        found = self._found(utterance, FIRST_STAGE, AccountProfile(), seen)
        return found.numbers, found.signs, found.scores

    def _found(
        self, utterance: str, k: int, profile: AccountProfile, seen: Described | None, signs: bool = True
    ) -> _Found:
        """The candidates that the kernels find; the request's signs are left out where nothing is told by them."""
        many = max(k, FIRST_STAGE)
        matches = self.index.matches(utterance)
        numbers, scores = self.index.best(utterance, many, matches)
        more: list[int] = []
        if len(numbers):
            more += [n for n in map(self.catalogue.number, (*profile.enabled, *profile.used)) if n is not None]
        if self.classifier is not None and len(self.index) <= TWO_STAGES:
            more += self.classifier.best(utterance, many)[0].tolist()
        logits = self.linear.logits(utterance, self._gone) if self.linear is not None else None
        if self.linear is not None and logits is not None:
            more += self.linear.skills.take(top(logits, many)).tolist()
        if seen is not None:
            more += seen.best(many).tolist()
        more = [n for n in more if n not in self.catalogue.gone]
        if more:
            numbers = np.union1d(numbers, np.array(more, np.int64))
            scores = self.index.scores(utterance, numbers, matches)
            numbers, scores = numbers[~np.isnan(scores)], scores[~np.isnan(scores)]
        linear = None
        if self.linear is not None and logits is not None:
            at, known = lookup(self.linear.skills, numbers)
            linear = np.where(known, logits[at] - logits.max(), np.nan)
        evidence = scores - self.index.base[numbers]
        if not signs:
            return _Found(numbers, scores, evidence, linear, np.empty(0))
        highest = 0.0 if logits is None else float(logits.max())
        own = request_signs(evidence, linear, highest, self.index.known_words(utterance), seen is not None)
        return _Found(numbers, scores, evidence, linear, own)

    def without_requests(self, numbers: Numbers) -> NDArray[np.bool_]:
        """Those skills that no request was labelled with in training."""
        # One use raises the share of the usage by log 2.
        return self.index.base[numbers] < self.index.unused + 0.5 * self.index.settings.prior

    @property
    def tells_none(self) -> bool:
        """True where P(no skill fits) was fitted, or is told from descriptions."""
        return self.calibration.fits is not None or (self.cold is not None and self.cold.knows)

    def _none(self, signs: Floats, seen: Described | None, outside: float | None) -> float:
        """P(no skill fits): none of those with requests, and none of those without."""
        none = self.calibration.none(signs, outside)
        if self.cold is None or seen is None or not self.cold.knows:
            return none
        cold = self.cold.none(seen, outside)
        return none * cold if self.calibration.fits is not None else cold

    def with_skills(self, skills: Mapping[str, Sequence[Skill]]) -> Shortlister:
        """As `with_owned`, by domain."""
        return self.with_owned((domain, skill) for domain, own in skills.items() for skill in own)

    def with_owned(self, skills: Iterable[tuple[str, Skill]]) -> Shortlister:
        """A copy with more skills, each with its domain, known by their texts, without training.

        A name that another domain has is qualified, as `domain/name`. A skill that the domain has already is replaced,
        unless it was trained on utterances, which tell more than its description.
        """
        new = [(domain, skill) for domain, skill in skills if not self._used(domain, skill.name)]
        if not new:
            return self
        catalogue = self.catalogue.with_skills(new)
        index = self.index.with_skills([descriptive_texts(skill) for _, skill in new])
        if gone := catalogue.gone - self.catalogue.gone:
            index = index.without(gone)
        numbered = [(number, CatalogueSkill.of(*one)) for number, one in enumerate(new, len(self.catalogue))]
        cold = self.cold.with_skills(numbered) if self.cold is not None else None
        return replace(self, catalogue=catalogue, index=index, cold=cold)

    def _used(self, domain: str, name: str) -> bool:
        """True for a present skill that utterances were labelled with in training."""
        number = self.catalogue.number_of(domain, name)
        if number is None or number >= len(self.catalogue.names):
            return False
        return not self.without_requests(np.array([number]))[0]

    def without(self, names: Iterable[str]) -> Shortlister:
        """A copy without these skills. Raises `InputError` where one is not present."""
        catalogue = self.catalogue.without(names)
        return replace(self, catalogue=catalogue, index=self.index.without(catalogue.gone - self.catalogue.gone))

    def serving(self, domains: Mapping[str, Domain]) -> Shortlister:
        """A copy with the domains' skills that it lacks, but for those that were removed."""
        known = self.catalogue
        removed = {(known[number][1], known.own.get(number, known[number][0])) for number in known.gone}
        lacking = [
            (name, one)
            for name, domain in sorted(domains.items())
            for one in skills_of(name, domain)
            if known.number_of(name, one.name) is None and (name, one.name) not in removed
        ]
        if not lacking:
            return self
        found, installed = self.with_owned(lacking), known.installed.union((name, one.name) for name, one in lacking)
        return replace(found, catalogue=replace(found.catalogue, installed=installed))


class ShortlistSettings(Struct, frozen=True):
    """`k`: skills per shortlist, at least 1. `floor`: the lowest score of a listed skill, in [0, 1].

    `always`: domains that are queried for every request. `mass`: the share of the probability, that of no skill
    included, for which a list needs no more skills; 1 fills it up to `k`. `outside`: the share of requests that fit no
    skill, None for that of the training.
    """

    k: int = 10
    floor: float = 0.0
    always: frozenset[str] = frozenset()
    mass: float = 1.0
    outside: float | None = None


@dataclass(frozen=True)
class Shortlisting:
    """Stage of a request's life that chooses the domains to query."""

    shortlister: Shortlister
    settings: ShortlistSettings = field(default=ShortlistSettings())

    @property
    def version(self) -> str | None:
        """The version of the Shortlister."""
        return self.shortlister.version

    @property
    def always(self) -> frozenset[str]:
        """Domains that are queried for every request."""
        return self.settings.always

    def __call__(self, request: Request) -> tuple[tuple[Candidate, ...], float | UnsetType]:
        """The shortlist for a request, best first, and P(no skill fits), unset where nothing tells it."""
        text, profile, of = request.utterance, account_profile(request), self.settings
        found, none = self.shortlister.judge(
            text, of.k, profile=profile, floor=of.floor, mass=of.mass, outside=of.outside
        )
        return found, none if self.shortlister.tells_none else UNSET
