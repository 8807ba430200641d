"""From examples and the domains' skills to a sealed artifact: index, calibration, and what they are worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.domain import Domain, Skill
from arbitrank.errors import DataError, InputError
from arbitrank.evaluate.metrics import Calibration as Card
from arbitrank.evaluate.metrics import calibration as measured
from arbitrank.nlu.text import crc
from arbitrank.shortlist import calibration as calibrate
from arbitrank.shortlist.artifact import NAME, save
from arbitrank.shortlist.calibration import personal
from arbitrank.shortlist.catalogue import Catalogue, sayings
from arbitrank.shortlist.index import IndexSettings, train
from arbitrank.shortlist.kernel import Kernel
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.store.artifact import CARD, Manifest, digest, replacing, seal, write_durably
from arbitrank.values import Example, Request

_KEPT_BACK = 10  # one in so many utterances is kept back to calibrate on
_ENOUGH = 20  # utterances to calibrate on
_RANKS = (1, 5, 10)

Second = Callable[[Sequence["Said"], Sequence[int]], Kernel]
"""Trains the second kernel on utterances and the numbers of their skills."""


@dataclass(frozen=True)
class Said:
    """An utterance, the skill that it was said to, all that would have been acceptable, and the request it stood in."""

    utterance: str
    skill: str
    domain: str
    acceptable: frozenset[str]
    request: Request


@dataclass(frozen=True)
class Measured:
    """What a Shortlister is worth on utterances: the share with an acceptable skill among the best 1, 5 and 10.

    `missed` is the share of which no word is known; `card` the calibration of the best candidate's score.
    """

    n: int
    recall: Mapping[int, float]
    missed: float
    card: Card


@dataclass(frozen=True)
class Built:
    """A Shortlister that was trained, and what it was worth on what its calibration was learnt on, cross-fitted."""

    shortlister: Shortlister
    measured: Measured
    utterances: int
    digest: str


def said_in(example: Example, of: Literal["skill", "intent", "domain"] = "skill") -> Said | None:
    """What an example tells; None where it has no words, or doesn't say whose it is.

    The skill is the line's `skill` (the domain where it has none), its intent or its domain; `acceptable` on the line
    adds more.
    """
    request, truth = example.request, example.truth
    if not request.utterance or truth.domain is None:
        return None
    skill, others = example.extra.get("skill"), example.extra.get("acceptable")
    if of != "skill" or skill is None:
        skill = truth.intent if of == "intent" else truth.domain
    if not skill or not isinstance(skill, str):
        return None
    more = [one for one in others if isinstance(one, str)] if isinstance(others, list) else []
    return Said(request.utterance, skill, truth.domain, frozenset([skill, *more]), request)


def catalogue(lines: Iterable[Said], domains: Mapping[str, Domain] = {}) -> tuple[Catalogue, dict[str, Skill]]:
    """The skills of the domains and of the lines, and what is known of them besides the lines.

    Raises `InputError` where two domains have a skill of one name, or one has the Shortlister's own.
    """
    found: dict[str, Skill] = {}
    owners: dict[str, str] = {}
    skills = [(name, skill) for name, domain in sorted(domains.items()) for skill in domain.skills]
    for domain, skill in [*skills, *((line.domain, Skill(line.skill)) for line in lines)]:
        if domain == NAME:
            raise InputError(f"skill {skill.name!r}: its domain is {NAME!r}, a name that no domain may have; rename it")
        owner = owners.setdefault(skill.name, domain)
        if owner != domain:
            raise InputError(f"skill {skill.name!r}: domain {domain!r} and domain {owner!r} have one; rename one")
        found.setdefault(skill.name, skill)
    return Catalogue(tuple(found), tuple(owners[name] for name in found)), found


def build(
    lines: Sequence[Said],
    domains: Mapping[str, Domain] = {},
    settings: IndexSettings = IndexSettings(),
    second: Second | None = None,
) -> Built:
    """Train a Shortlister: calibrated on the part that is kept back, its kernels then trained on everything.

    Raises `DataError` where there is no skill at all.
    """
    skills, known = catalogue(lines, domains)
    if not len(skills):
        raise DataError("no skill: neither a line nor an installed domain has one; see docs/shortlist.md")
    held = np.array([crc(line.utterance) % _KEPT_BACK == 0 for line in lines], np.bool_)
    part = _trained([line for line, back in zip(lines, held, strict=True) if not back], skills, known, settings, second)
    kept = [line for line, back in zip(lines, held, strict=True) if back]
    halves = [[line for line in kept if crc(line.utterance) // _KEPT_BACK % 2 == side] for side in (0, 1)]
    crossed = [_asked(replace(part, calibration=fitted(part, halves[1 - side])), halves[side]) for side in (0, 1)]
    whole = _trained(lines, skills, known, settings, second)
    said = digest("\n".join(f"{line.skill}\t{line.utterance}" for line in lines).encode("utf-8", "surrogatepass"))
    return Built(replace(whole, calibration=fitted(part, kept)), _measured(*crossed), len(lines), said)


def fitted(shortlister: Shortlister, lines: Sequence[Said]) -> calibrate.Calibration:
    """The calibration that fits lines best which its kernels weren't trained on; the default one for too few."""
    if len(lines) < _ENOUGH:
        return calibrate.Calibration()
    rows, right = [], []
    for line in lines:
        found = shortlister.survivors(line.utterance, known=personal(line.request))
        rows.append(found.x)
        right.append([shortlister.catalogue[number][0] in line.acceptable for number in found.numbers.tolist()])
    return calibrate.fit(np.concatenate(rows), np.concatenate(right).astype(np.bool_))


def measure(shortlister: Shortlister, lines: Sequence[Said]) -> Measured:
    """What a Shortlister is worth on lines."""
    return _measured(_asked(shortlister, lines))


def write(built: Built, folder: Path, *, seed: int = 0, model: str = "index") -> Manifest:
    """Write a sealed artifact into `folder`, which is new, empty or an artifact to replace."""
    with replacing(folder) as work:
        save(built.shortlister, work)
        write_durably(work / CARD, msgspec.json.format(msgspec.json.encode(built.measured.card), indent=1))
        return seal(
            work,
            Manifest(
                domain=NAME,
                package="arbitrank",
                package_version=version("arbitrank"),
                features=calibrate.FEATURES,
                model=model,
                seed=seed,
                rows=built.utterances,
                data_digest=built.digest,
            ),
        )


def _asked(shortlister: Shortlister, lines: Sequence[Said]) -> NDArray[np.float64]:
    """Of each line the rank of the first acceptable skill (infinite where none is there), and the best one's score."""
    told = np.zeros((len(lines), 2))
    for row, line in enumerate(lines):
        found = shortlister.shortlist(line.utterance, max(_RANKS), known=personal(line.request))
        rank = next((rank for rank, one in enumerate(found) if one.skill in line.acceptable), np.inf)
        told[row] = rank, found[0].score if found else np.nan
    return told


def _measured(*told: NDArray[np.float64]) -> Measured:
    ranks, scores = np.concatenate(told).T
    n, missed = len(ranks), np.isnan(scores)
    recall = {k: float((ranks < k).mean()) if n else 0.0 for k in _RANKS}
    card = measured(np.where(missed, 0.0, scores), (ranks == 0).astype(np.float64))
    return Measured(n, recall, float(missed.sum()) / max(1, n), card)


def _trained(
    lines: Sequence[Said],
    skills: Catalogue,
    known: Mapping[str, Skill],
    settings: IndexSettings,
    second: Second | None,
) -> Shortlister:
    """Kernels over the lines and what the skills say of themselves; only lines count as uses."""
    said = [skills.number(line.skill) or 0 for line in lines]
    cold = [(one, number) for number, name in enumerate(skills.names) for one in sayings(known[name])]
    numbers: NDArray[np.int64] = np.array([*said, *(number for _, number in cold)], np.int64)
    words = (*(line.utterance for line in lines), *(one for one, _ in cold))
    uses = np.bincount(np.array(said, np.int64), minlength=len(skills))
    index = train(words, numbers, len(skills), settings, uses=uses)
    return Shortlister(skills, index, learned=second(lines, said) if second else None)
