"""Figures of systems on a contest: the same for ours and for anybody's, with paired 95 % bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from arbitrank.evaluate.intervals import bootstrap_means, interval
from arbitrank.evaluate.metrics import calibration
from arbitrank.probability import Floats, log_loss
from arbitrank.semer import entirely_right
from arbitrank.values import Hypothesis, Ranked, Truth
from benchmarks.open.answers import Answers
from benchmarks.open.contests import Contest, Measure
from benchmarks.overlap import Mask

UNANSWERED = 0.5
"""P(right) of a request that is not answered, so that leaving one out never helps a system's calibration."""


class Judged(NamedTuple):
    """Of each request 1.0 where the answer is right, by measure; `head` judges the best reading, whatever is decided.

    `probability` is that of the best reading being right, None where it is not told.
    """

    answers: Mapping[Measure, Floats]
    head: Floats
    probability: Floats | None


def judge(contest: Contest, answers: Answers) -> Judged:
    """The answers judged against the truth."""
    truths = [example.truth for example in contest.examples]
    none = answers.none & contest.none_counts
    found, head = {}, np.zeros(0)
    for measure in contest.measures:
        head = np.array([_right(contest, measure, h, t) for h, t in zip(answers.top, truths, strict=True)], np.float64)
        found[measure] = np.where(none, [truth.out_of_scope for truth in truths], head)
    return Judged(found, head, answers.probability)


def _right(contest: Contest, measure: Measure, given: Hypothesis | Ranked | None, truth: Truth) -> bool:
    if given is None:
        return False
    if contest.any_domain:
        return truth.intent is not None and given.intent == truth.intent
    if measure == "reading":
        return entirely_right(given, truth)
    return any(
        one.owned_by(given.domain) and (measure == "domain" or given.intent == (one.intent or given.domain))
        for one in truth.each
    )


def figures(contest: Contest, systems: Mapping[str, Answers], ours: str, seed: int = 0) -> dict[str, Any]:
    """The figures of each system, and its differences from `ours`; rates in [0, 1], NLL in nats.

    Requests that nobody should or can answer count where "none" is an answer; else in calibration alone.
    """
    truths = [example.truth for example in contest.examples]
    outside = np.array([truth.out_of_scope for truth in truths], bool)
    counted = ~outside | contest.none_counts
    judged = {name: judge(contest, one) for name, one in systems.items()}
    found: dict[str, Any] = {name: {"missing": one.missing, "against": {}} for name, one in systems.items()}
    columns: dict[tuple[str, str], Floats] = {}
    for name, one in judged.items():
        columns.update(((name, measure), own) for measure, own in one.answers.items())
    _means(found, columns, counted, ours, seed)
    losses = {
        (name, "nll"): log_loss(one.probability, one.head)
        for name, one in judged.items()
        if one.probability is not None
    }
    _means(found, losses, np.ones(len(truths), bool), ours, seed)
    for name, one in judged.items():
        if one.probability is not None:
            of = calibration(one.probability, one.head, seed=seed)
            found[name] |= {"ece": of.ece, "ece_floor": of.ece_floor, "ece_band": list(of.ece_band)}
        if contest.none_counts:
            last = one.answers[contest.measures[-1]]
            found[name] |= {"in_scope": float(last[~outside].mean()), "out_of_scope": float(last[outside].mean())}
    return {"n": int(counted.sum()), "without_owner": float(outside.mean()), "systems": found}


def _means(
    found: Mapping[str, Any], columns: Mapping[tuple[str, str], Floats], counted: Mask, ours: str, seed: int
) -> None:
    """Add the means of the columns, and their differences from those of `ours`, with intervals of one bootstrap."""
    if not columns:
        return
    values = np.column_stack(list(columns.values()))[counted]
    draws = bootstrap_means(values, seed)
    place = {key: k for k, key in enumerate(columns)}
    for (name, measure), k in place.items():
        found[name][measure] = [float(values[:, k].mean()), *interval(draws[:, k])]
        other = place.get((ours, measure))
        if other is not None and name != ours:
            change = values[:, k] - values[:, other]
            found[name]["against"][measure] = [float(change.mean()), *interval(draws[:, k] - draws[:, other])]
