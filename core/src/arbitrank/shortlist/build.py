"""Building of a Shortlister: index, optional classifier, calibration and their evaluation, from labelled utterances."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain, compress
from pathlib import Path
from typing import Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import Domain
from arbitrank.errors import DataError, InputError
from arbitrank.evaluate.metrics import Calibration, calibration
from arbitrank.nlu.text import crc
from arbitrank.packages import core_version
from arbitrank.shortlist.artifact import NAME, save_catalogue, save_shortlister
from arbitrank.shortlist.calibration import FEATURES, CandidateCalibration, account_profile
from arbitrank.shortlist.calibration_fitting import HeldRequest, fit
from arbitrank.shortlist.catalogue import SkillCatalogue
from arbitrank.shortlist.classifier import SkillClassifier
from arbitrank.shortlist.cold_fitting import fit_cold
from arbitrank.shortlist.embedding import Encoder, embed_skills
from arbitrank.shortlist.gathering import GatheredSkills, ListedSkills, gather_skills
from arbitrank.shortlist.kernels import with_kernels
from arbitrank.shortlist.labels import LabelledLines, RemovedLabels, SkillLabels, labelled_lines
from arbitrank.shortlist.left_out import left_out
from arbitrank.shortlist.linear import LinearKernel
from arbitrank.shortlist.out_of_scope import ScopeExamples, out_of_scope
from arbitrank.shortlist.ranking_grams import RankingGrams, ranking_grams
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.store.artifact import CARD, Manifest, digest, replacing, seal, write_durably
from arbitrank.store.catalogue_log import SkillKey
from arbitrank.values import Example, Request
from arbitrank.wire.catalogue_lines import CatalogueSkill

_HELD_OUT = 10  # one in so many utterances is held out for the calibration
_ENOUGH = 20  # utterances to calibrate on
_RANKS = (1, 5, 10)

ClassifierTrainer = Callable[[Sequence["SkillUtterance"], Sequence[int]], SkillClassifier]
"""Trains the classifier on utterances and the numbers of their skills."""


class LinearTrainer(Protocol):
    """Training of the linear kernel."""

    def __call__(
        self, utterances: Sequence[str], numbers: Sequence[int], *, grams: Callable[[str], RankingGrams]
    ) -> LinearKernel:
        """The kernel, from utterances and the numbers of their skills; `grams` returns the grams of a text."""


@dataclass(frozen=True)
class SkillUtterance:
    """An utterance with its skill, all acceptable skills, and the request that it comes from."""

    utterance: str
    skill: str
    domain: str
    acceptable: frozenset[str]
    request: Request


@dataclass(frozen=True)
class ShortlistQuality:
    """Figures on `n` utterances: `recall`, the share with an acceptable skill among the best 1, 5 and 10.

    `missed` is the share without a known word; `card` the calibration of the best candidate's score.
    """

    n: int
    recall: Mapping[int, float]
    missed: float
    card: Calibration


@dataclass(frozen=True)
class TrainedShortlister:
    """A Shortlister with its cross-fitted quality on the held-out utterances, and the digest of its training data.

    `skills` are those that it knows, `labelled` the lines that it was trained on.
    """

    shortlister: Shortlister
    quality: ShortlistQuality
    utterances: int
    digest: str
    skills: GatheredSkills
    labelled: LabelledLines


def skill_utterance(example: Example, of: Literal["skill", "intent", "domain"] = "skill") -> SkillUtterance | None:
    """The utterance of an example with its skill; None where it has no text or no owner.

    The skill is the line's `skill` (its domain where it has none), its intent or its domain; the line's `acceptable`
    and further truths add more.
    """
    request, truth = example.request, example.truth
    if not request.utterance or not truth.owners:
        return None
    skill, others = example.extra.get("skill"), example.extra.get("acceptable")
    more = [name for name in others if isinstance(name, str)] if isinstance(others, list) else []
    if of != "skill" or skill is None:
        named = [one.intent for one in truth.each if one.intent] if of == "intent" else [*truth.owners]
        skill, more = (named[0] if named else None), [*named[1:], *more]
    if not skill or not isinstance(skill, str):
        return None
    return SkillUtterance(request.utterance, skill, truth.owners[0], frozenset([skill, *more]), request)


def catalogue(
    lines: Sequence[SkillUtterance], domains: Mapping[str, Domain] = {}, listed: ListedSkills = ListedSkills()
) -> tuple[GatheredSkills, LabelledLines]:
    """The skills of a catalogue, of the domains and of the lines, each once, and the lines labelled with their names.

    Raises `InputError` where a domain has the reserved name.
    """
    of_domains = (
        (f"domain {name}", CatalogueSkill.of(name, skill))
        for name, domain in sorted(domains.items())
        for skill in domain.skills
        if SkillKey(name, skill.name) not in listed.removed
    )
    found = gather_skills(chain(listed.skills, of_domains))
    labels = SkillLabels.of(found if lines else GatheredSkills())
    removed = RemovedLabels(listed.removed, labels)
    every, lines = len(lines), [line for line in lines if not removed.mean(line.skill, line.domain)]
    new = dict.fromkeys((one.skill, one.domain) for one in lines if not labels.find(one.skill, one.domain))
    if new:
        found = found.with_skills(CatalogueSkill(*pair) for pair in new)
        labels = SkillLabels.of(found)
    if NAME in found.domains:
        name = found.skills[found.domains.index(NAME)].name
        raise InputError(f"skill {name!r}: its domain is {NAME!r}, a name that no domain may have; rename it")
    return found, labelled_lines(lines, labels)._replace(removed=every - len(lines))


def build(
    lines: Sequence[SkillUtterance],
    domains: Mapping[str, Domain] = {},
    classifier: ClassifierTrainer | None = None,
    listed: ListedSkills = ListedSkills(),
    check: Callable[[SkillCatalogue], None] = lambda skills: None,
    unowned: Sequence[str] = (),
    linear: LinearTrainer | None = None,
    encoder: Encoder | None = None,
) -> TrainedShortlister:
    """Train a Shortlister: calibrated on held-out utterances, its kernels then trained on all.

    `listed` are the skills of a catalogue, beside those of the domains and of the lines. `check` receives all of them
    before the training. `unowned` are utterances that fit no skill. `linear` trains the linear kernel. `encoder`
    makes vectors of the skills. Raises `DataError` where there is no skill at all.
    """
    gathered, labelled = catalogue(lines, domains, listed)
    if not len(gathered):
        raise DataError("no skill: no line, no catalogue and no installed domain has one; see docs/shortlist.md")
    skills, known, lines = SkillCatalogue.of(gathered), gathered.skills, labelled.lines
    check(skills)
    embedding = embed_skills(encoder, list(enumerate(known))) if encoder is not None else None
    of_texts = partial(linear, grams=cache(ranking_grams)) if linear else None  # shared by up to three trainings
    trained = partial(
        with_kernels, skills=skills, known=known, classifier=classifier, linear=of_texts, embedding=embedding
    )
    # Where the linear kernel has the work, two cores share it: liblinear leaves Python's lock to others.
    with ThreadPoolExecutor(1) as beside:
        whole = beside.submit(trained, lines) if linear else None
        rest, held = _held_out(lines)
        without = left_out(partial(trained, classifier=None), rest, held)
        found = CandidateCalibration(), np.empty((0, 2))
        if held:
            part = trained(rest)
            scoped = out_of_scope(part, without, rest, held, unowned)
            found = _calibrated(part, held, scoped, {} if without is None else without.shared)
            del part  # the indexes of very many skills are not all in memory at once
        weights = fit_cold(without.cold, found[0].alone) if without is not None and without.cold is not None else None
        shortlister = whole.result() if whole else trained(lines)
    cold = shortlister.cold
    if cold is not None and weights is not None:
        cold = replace(cold, weights=weights)
    return TrainedShortlister(
        replace(shortlister, calibration=found[0], change=listed.change, cold=cold),
        _quality(found[1]),
        len(lines),
        data_digest(lines),
        gathered,
        labelled,
    )


def data_digest(lines: Sequence[SkillUtterance]) -> str:
    """The digest of labelled lines, which the manifest of what is trained on them states."""
    return digest("\n".join(f"{line.skill}\t{line.utterance}" for line in lines).encode("utf-8", "surrogatepass"))


def _held_out(lines: Sequence[SkillUtterance]) -> tuple[Sequence[SkillUtterance], Sequence[SkillUtterance]]:
    """The lines to train on and those held out."""
    held = [crc(line.utterance) % _HELD_OUT == 0 for line in lines]
    return [line for line, out in zip(lines, held, strict=True) if not out], list(compress(lines, held))


def _calibrated(
    part: Shortlister, held: Sequence[SkillUtterance], scoped: ScopeExamples, shared: Mapping[int, HeldRequest]
) -> tuple[CandidateCalibration, NDArray[np.float64]]:
    """The calibration fitted to held-out lines, on which the kernels of `part` were not trained, and their outcomes.

    The outcomes of one half of the lines are with a calibration fitted to the other half. `shared` are those, by their
    places, of skills left out of another training that others serve as well.
    """
    side_of = [crc(one.utterance) // _HELD_OUT % 2 for one in held]
    halves = [[one for one, of in zip(held, side_of, strict=True) if of == side] for side in (0, 1)]
    seen = [seen_by(part, half) for half in halves]
    also = [[one for place, one in shared.items() if side_of[place] == side and len(one.x)] for side in (0, 1)]
    outcomes = [np.empty((0, 2))]
    for side in (0, 1):
        calibration = _fitted(seen[1 - side], scoped.half(1 - side), also[1 - side])
        outcomes.append(_outcomes(replace(part, calibration=calibration), halves[side]))
    return _fitted([*seen[0], *seen[1]], scoped, [*also[0], *also[1]]), np.concatenate(outcomes)


def seen_by(shortlister: Shortlister, lines: Sequence[SkillUtterance]) -> list[HeldRequest]:
    """The candidates of lines, with the acceptable ones, and their signs; lines without a candidate are left out."""
    held = []
    for line in lines:
        numbers, x, signs = shortlister.first_stage(line.utterance, profile=account_profile(line.request))
        right = [shortlister.catalogue[number][0] in line.acceptable for number in numbers.tolist()]
        if right:
            held.append(HeldRequest(x, np.array(right, np.bool_), signs))
    return held


def fitted(
    shortlister: Shortlister, lines: Sequence[SkillUtterance], scoped: ScopeExamples = ScopeExamples()
) -> CandidateCalibration:
    """The calibration that best fits lines on which the kernels were not trained; the default one for too few."""
    return _fitted(seen_by(shortlister, lines), scoped)


def _fitted(
    held: Sequence[HeldRequest], scoped: ScopeExamples, shared: Sequence[HeldRequest] = ()
) -> CandidateCalibration:
    if len(held) < _ENOUGH:
        return CandidateCalibration()
    return fit(held, scoped.outside(), scoped.inside(), shared)


def quality(shortlister: Shortlister, lines: Sequence[SkillUtterance]) -> ShortlistQuality:
    """The figures of a Shortlister on lines."""
    return _quality(_outcomes(shortlister, lines))


def write(trained: TrainedShortlister, folder: Path, *, seed: int = 0, model: str = "index") -> Manifest:
    """Write a sealed artifact into `folder`, which must be new, empty or an artifact to replace."""
    with replacing(folder) as work:
        save_shortlister(trained.shortlister, work)
        save_catalogue(trained.skills.skills, work)
        write_durably(work / CARD, msgspec.json.format(msgspec.json.encode(trained.quality.card), indent=1))
        manifest = Manifest(
            domain=NAME,
            package="arbitrank",
            package_version=core_version(),
            features=FEATURES,
            model=model,
            seed=seed,
            rows=trained.utterances,
            data_digest=trained.digest,
        )
        return seal(work, manifest)


def _outcomes(shortlister: Shortlister, lines: Sequence[SkillUtterance]) -> NDArray[np.float64]:
    """The rank of each line's first acceptable skill, infinite for none, and the best candidate's score: (n, 2)."""
    outcomes = np.zeros((len(lines), 2))
    for row, line in enumerate(lines):
        candidates = shortlister.shortlist(line.utterance, max(_RANKS), profile=account_profile(line.request))
        rank = next((rank for rank, candidate in enumerate(candidates) if candidate.skill in line.acceptable), np.inf)
        outcomes[row] = rank, candidates[0].score if candidates else np.nan
    return outcomes


def _quality(outcomes: NDArray[np.float64]) -> ShortlistQuality:
    ranks, scores = outcomes.T
    n, missed = len(ranks), np.isnan(scores)
    recall = {k: float((ranks < k).mean()) if n else 0.0 for k in _RANKS}
    card = calibration(np.where(missed, 0.0, scores), (ranks == 0).astype(np.float64))
    return ShortlistQuality(n, recall, float(missed.sum()) / max(1, n), card)
