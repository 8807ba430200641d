"""Several wordings of one utterance, as a speech recogniser returns them: each is recognised, and the readings merged.

P(reading) = Σ P(wording) · P(reading | wording), and P(mine) likewise: the law of total probability over the wordings,
whose confidences, divided by their sum, are taken for P(wording).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from arbitrank.domain import Scores
from arbitrank.explanation import exact_log_odds
from arbitrank.probability import CLIP
from arbitrank.scores import identity
from arbitrank.values import Hypothesis, Request, Wording

MOST = 5
"""Wordings of an utterance that are recognised, the best ones."""


class Scored(NamedTuple):
    """Readings of one wording with their scores, and their contributions where these were asked for."""

    hypotheses: Sequence[Hypothesis]
    scores: Scores
    why: Sequence[Mapping[str, float]] | None


def each_wording(request: Request) -> list[Request]:
    """One request for each of the best wordings."""
    return [replace(request, utterance=one.text, utterances=()) for one in request.utterances[:MOST]]


def probabilities(wordings: Sequence[Wording]) -> list[float]:
    """P(wording), from their confidences; where one has none, by rank: 1, 1/2, 1/3 … to their sum."""
    given = [one.confidence for one in wordings]
    weights = [1.0 / (i + 1) if None in given else max(one or 0.0, CLIP) for i, one in enumerate(given)]
    return [weight / sum(weights) for weight in weights]


def over_wordings(request: Request, parts: Sequence[Scored]) -> Scored:
    """The distinct readings of all wordings, those of the best wording first, scored over all of them.

    Each has the confidence of the first wording that it was read from as the feature `wording`. Offsets stay where they
    cut the slot's value from the best wording, which stands for the utterance.
    """
    wordings = request.utterances[: len(parts)]
    shares = probabilities(wordings)
    places: dict[object, int] = {}
    hypotheses: list[Hypothesis] = []
    right: list[float] = []
    best: list[tuple[float, float, Mapping[str, float]]] = []  # P(wording) · P(right), P(right), why
    for wording, share, part in zip(wordings, shares, parts, strict=True):
        for i, hypothesis in enumerate(part.hypotheses):
            place = places.setdefault(identity(hypothesis), len(hypotheses))
            if place == len(hypotheses):
                hypotheses.append(_of(request.utterance or "", wording, hypothesis))
                right.append(0.0)
                best.append((-1.0, 0.0, {}))
            own = float(part.scores.right[i])
            right[place] += share * own
            if share * own > best[place][0]:
                best[place] = share * own, own, part.why[i] if part.why else {}
    mine = sum(share * part.scores.mine for share, part in zip(shares, parts, strict=True))
    scores = Scores(min(mine, 1.0), np.array(right))
    if any(part.why is None for part in parts):
        return Scored(hypotheses, scores, None)
    why = [_with_wordings(row, own, mixed) for (_, own, row), mixed in zip(best, right, strict=True)]
    return Scored(hypotheses, scores, why)


def _of(text: str, wording: Wording, hypothesis: Hypothesis) -> Hypothesis:
    """The hypothesis with its wording's confidence, and without offsets that are of another text."""
    slots = tuple(
        slot
        if slot.start is None or slot.end is None or text[slot.start : slot.end] == slot.value
        else replace(slot, start=None, end=None)
        for slot in hypothesis.slots
    )
    features = hypothesis.features
    if wording.confidence is not None:
        features = {**features, "wording": wording.confidence}
    return replace(hypothesis, slots=slots, features=features)


def _with_wordings(row: Mapping[str, float], own: float, mixed: float) -> Mapping[str, float]:
    """The contributions to the log-odds in one wording, and what the other wordings add to them."""
    return {**row, "wordings": exact_log_odds(mixed) - exact_log_odds(own)}
