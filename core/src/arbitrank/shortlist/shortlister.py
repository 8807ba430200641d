"""The Shortlister: words, and what is known of the account, to the k skills most worth asking.

The index finds the survivors; the learned model, where there is one, scores them again (and finds its own, while there
are few enough skills to score them all); the calibration makes probabilities of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from arbitrank.domain import Domain, Skill
from arbitrank.errors import InputError
from arbitrank.shortlist.calibration import Calibration, Personal, features, personal
from arbitrank.shortlist.catalogue import Catalogue, sayings
from arbitrank.shortlist.index import Index
from arbitrank.shortlist.kernel import Candidate, Kernel
from arbitrank.values import Request

SURVIVORS = 32
"""Skills that come from the first stage into the second; more where a longer shortlist is asked for."""

TWO_STAGES = 10_000
"""Skills from which on the learned model scores only what the index found."""

_SURE = 700.0  # log-odds past which a number has no room for the probability


@dataclass(frozen=True, eq=False)
class Survivors:
    """What the first stage left: skills by number, and their features (`arbitrank.shortlist.calibration`)."""

    numbers: NDArray[np.int64]
    x: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shortlister:
    """Frozen: one with a skill more or less is another, and whoever uses this one meanwhile isn't disturbed."""

    catalogue: Catalogue
    index: Index
    calibration: Calibration = field(default=Calibration())
    learned: Kernel | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        if len(self.catalogue) != len(self.index):
            raise InputError(f"a catalogue of {len(self.catalogue)} skills, an index of {len(self.index)}")

    def shortlist(
        self, utterance: str | None, k: int = 10, *, known: Personal = Personal(), floor: float = 0.0
    ) -> tuple[Candidate, ...]:
        """The at most `k` best skills whose score is at least `floor`, best first; none where no word is known."""
        if k < 1 or not utterance:
            return ()
        found = self.survivors(utterance, k, known)
        z = self.calibration.log_odds(found.x)
        order = np.argsort(-z, kind="stable")[:k]
        scores = [1.0 / (1.0 + math.exp(-one)) if one > -_SURE else 0.0 for one in z.take(order).tolist()]
        best = zip(found.numbers.take(order).tolist(), scores, strict=True)
        return tuple(Candidate(*self.catalogue[number], score) for number, score in best if score >= floor)

    def survivors(self, utterance: str, k: int = 10, known: Personal = Personal()) -> Survivors:
        """What the first stage finds, enabled and used skills included where the words say anything at all."""
        many = max(k, SURVIVORS)
        numbers, scores = self.index.best(utterance, many)
        more: list[int] = []
        if len(numbers):
            more += [n for n in map(self.catalogue.number, (*known.enabled, *known.used)) if n is not None]
        if self.learned is not None and len(self.index) <= TWO_STAGES:
            more += [n for n in self.learned.best(utterance, many)[0].tolist() if n not in self.catalogue.gone]
        if more:
            numbers = np.union1d(numbers, np.array(more, np.int64))
            scores = self.index.scores(utterance, numbers)
            numbers, scores = numbers[~np.isnan(scores)], scores[~np.isnan(scores)]
        learned = self.learned.scores(utterance, numbers) if self.learned is not None else None
        skills = [self.catalogue[number] for number in numbers.tolist()] if known != Personal() else ()
        return Survivors(numbers, features(scores, scores - self.index.base[numbers], learned, skills, known))

    def with_skills(self, domain: str, skills: Sequence[Skill]) -> Shortlister:
        """The same with more skills of a domain, known by their sample phrases and descriptions; no training.

        Raises `InputError` where a skill has the name of one that is there.
        """
        return self._joined({domain: skills})

    def without(self, names: Iterable[str]) -> Shortlister:
        """The same without these skills. Raises `InputError` where one isn't there."""
        names = list(names)
        catalogue = self.catalogue.left(names)
        return replace(self, catalogue=catalogue, index=self.index.without(catalogue.gone - self.catalogue.gone))

    def serving(self, domains: Mapping[str, Domain]) -> Shortlister:
        """The same with those skills of the domains that it lacks, cold, as far as their names aren't taken."""
        return self.changed({name: _skills(name, domain) for name, domain in domains.items()})

    def changed(self, there: Mapping[str, Sequence[Skill]], gone: Iterable[str] = ()) -> Shortlister:
        """The same without the skills that are `gone`, and with those `there` that it lacks, by domain."""
        left = [name for name in gone if name in self.catalogue]
        if left:
            return self.without(left).changed(there)
        lacking: dict[str, list[Skill]] = {}
        taken: set[str] = set()
        for name, some in sorted(there.items()):
            found = {one.name: one for one in some}
            lacking[name] = [one for one in found.values() if one.name not in self.catalogue and one.name not in taken]
            taken.update(found)
        return self._joined(lacking) if any(lacking.values()) else self

    def _joined(self, skills: Mapping[str, Sequence[Skill]]) -> Shortlister:
        catalogue = self.catalogue
        for domain, some in skills.items():
            catalogue = catalogue.joined(domain, some)
        said = [sayings(one) for some in skills.values() for one in some]
        return replace(self, catalogue=catalogue, index=self.index.with_skills(said))


def _skills(name: str, domain: Domain) -> Sequence[Skill]:
    try:
        found = list(domain.skills)
    except Exception:  # the plugin's code may raise anything; the domain is then known by its name alone
        found = []
    return found if found and all(isinstance(one, Skill) for one in found) else (Skill(name),)


class ShortlistSettings(Struct, frozen=True):
    """`k`: skills of a shortlist, at least 1. `floor`: the score below which none is on it, in [0, 1].

    `always`: domains that are asked whatever is on it.
    """

    k: int = 10
    floor: float = 0.0
    always: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Shortlisting:
    """The stage of a request's life that chooses the domains to ask."""

    shortlister: Shortlister
    settings: ShortlistSettings = field(default=ShortlistSettings())

    def __call__(self, request: Request) -> tuple[Candidate, ...]:
        """The shortlist for a request, best first."""
        known, settings = personal(request), self.settings
        return self.shortlister.shortlist(request.utterance, settings.k, known=known, floor=settings.floor)
