"""Negative feedback: a skill that answered "I don't know that one" was the wrong one for that utterance.

Fine-tuning lowers the confidence in that one label and says nothing of others. How far is Bayes' rule: where a share ρ
of the feedback is wrong, a label that had probability p and was refused n times more often than it was confirmed has

    log-odds(p) − n · log((1 − ρ) / ρ)

so one correction moves what the model is sure of only a little. The training data are rehearsed beside it, so that a
correction of one utterance doesn't punish the skill everywhere.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from arbitrank.errors import InputError
from arbitrank.probability import log_odds, sigmoid
from arbitrank.shortlist.epochs import Trained

__all__ = ["Corrections", "Feedback", "Negative", "corrections", "fine_tune", "posterior"]

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Negative:
    """`wrong`, in (0, 0.5), is the share of feedback taken to be wrong; `weight` is that of a correction beside a row
    of the training data, `epochs` how long is fine-tuned and `slower` how much smaller the steps are.
    """

    wrong: float = 0.1
    weight: float = 1.0
    epochs: int = 2
    slower: float = 4.0

    def __post_init__(self) -> None:
        if not 0.0 < self.wrong < 0.5 or self.weight <= 0.0 or self.epochs < 1 or self.slower <= 0.0:
            raise InputError(f"{self}: promised wrong in (0, 0.5), a positive weight and slower, at least one epoch")


@dataclass(frozen=True)
class Feedback:
    """What came of one request: the skill that was asked, and whether it could answer."""

    request: str
    skill: str
    answered: bool


@dataclass(frozen=True)
class Corrections:
    """Net refusals: `utterances[i]` was refused by `skills[i]` `times[i]` times more than it was answered.

    `unknown` counts feedback for requests or skills that nobody knows, `contradictory` pairs whose feedback cancels
    out.
    """

    utterances: tuple[str, ...]
    skills: tuple[str, ...]
    times: tuple[int, ...]
    unknown: int = 0
    contradictory: int = 0


def corrections(feedback: Iterable[Feedback], asked: Mapping[str, str], skills: Iterable[str]) -> Corrections:
    """What feedback says of pairs of an utterance and a skill; `asked` gives the utterance of each known request.

    Confirmations alone are nothing to correct. Pairs come in the order in which they were first heard of.
    """
    known, net, refused, unknown = set(skills), Counter[tuple[str, str]](), set[tuple[str, str]](), 0
    for one in feedback:
        if one.request not in asked or one.skill not in known:
            unknown += 1
            continue
        pair = (asked[one.request], one.skill)
        net[pair] += -1 if one.answered else 1
        if not one.answered:
            refused.add(pair)
    left = [(pair, n) for pair, n in net.items() if n > 0]
    contradictory = len(refused) - len(left)
    return Corrections(
        tuple(pair[0] for pair, _ in left),
        tuple(pair[1] for pair, _ in left),
        tuple(n for _, n in left),
        unknown,
        contradictory,
    )


def posterior(p: NDArray[np.float64], times: NDArray[np.float64] | float, wrong: float) -> NDArray[np.float64]:
    """The probabilities after so many net refusals of which a share `wrong` is wrong, of p's shape."""
    return sigmoid(log_odds(p) - times * math.log((1.0 - wrong) / wrong))


def fine_tune(
    trained: Trained,
    x: csr_array,
    corrected: csr_array,
    columns: Rows,
    rule: Negative = Negative(),
    times: Rows | None = None,
) -> Trained:
    """The same network, in place, after some epochs on the training inputs `x` and the `corrected` ones.

    Row i of `corrected` was refused by the skill of column `columns[i]`, `times[i]` times (once). The rows of `x` are
    the first that it was trained on; of others, which it labelled itself, nothing is rehearsed.
    """
    if not len(columns):
        return trained
    rows, skills = x.shape[0], trained.labels.shape[1]
    p = sigmoid(trained.log_odds(corrected)[np.arange(len(columns)), columns].astype(np.float64))
    after = posterior(p, 1.0 if times is None else times.astype(np.float64), rule.wrong)
    place = (np.arange(len(columns)), columns)
    shape = (len(columns), skills)
    target = csr_array((after.astype(np.float32), place), shape=shape)
    alone = csr_array((np.full(len(columns), rule.weight, np.float32), place), shape=shape)
    everything = csr_array(vstack([x, corrected]))
    targets = csr_array(vstack([trained.labels[:rows], target]))
    only = csr_array(vstack([csr_array((rows, skills), dtype=np.float32), alone]))
    told = trained.told(everything)
    rate = trained.network.shape.rate / rule.slower
    for _ in range(rule.epochs):
        order = np.arange(rows + len(columns))
        trained.network.epoch(everything, targets, order, only=only, told=told, rate=rate)
    return trained
