"""One list of all domains' readings, best first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from arbitrank.domain import Scores
from arbitrank.values import Hypothesis, Ranked


class Voice(NamedTuple):
    """What one domain says to a request: its readings, their scores, and the version that scored them."""

    domain: str
    hypotheses: Sequence[Hypothesis]
    scores: Scores
    version: str | None = None
    why: Sequence[Mapping[str, float]] | None = None


def merge(voices: Iterable[Voice]) -> tuple[Ranked, ...]:
    """All readings by score = P(mine) · P(right), first whose request it is, then which reading.

    Equal scores fall by the domain's name, then by the order in which the domain gave its readings, so that the list
    does not depend on the order in which plugins were found.
    """
    entries = [(voice, i, voice.scores.mine * float(voice.scores.right[i])) for voice in voices for i in _places(voice)]
    entries.sort(key=lambda entry: (-entry[2], entry[0].domain, entry[1]))
    return tuple(_ranked(voice, i, score) for voice, i, score in entries)


def _places(voice: Voice) -> range:
    return range(len(voice.hypotheses))


def _ranked(voice: Voice, i: int, score: float) -> Ranked:
    hypothesis = voice.hypotheses[i]
    return Ranked(
        domain=voice.domain,
        intent=hypothesis.intent,
        slots=hypothesis.slots,
        score=score,
        domain_probability=voice.scores.mine,
        probability=float(voice.scores.right[i]),
        version=voice.version,
        skill=hypothesis.skill,
        why=dict(voice.why[i]) if voice.why is not None else None,
    )
