"""Training of the order of tools: LightGBM under a softmax over each shortlist, on requests whose tool is known.

A list says that some of its tools are right, or that the one that was called is not: its call failed, or was refused.
The loss is −log of the probability of what it says. Outcomes of calls count from one list to the next, so that trees
learn from the rates that were known when a list was made.

Where lists name one right tool each, others may fit as well: the order is fitted to the named ones, and the scale of
its probability to what the Shortlister's probabilities say of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.learn.lightgbm import lightgbm
from arbitrank.probability import fit_logistic, log_odds, softmax
from arbitrank.shortlist.hyprank_features import MOST
from arbitrank.shortlist.hyprank_training import RISING, ROUNDS
from arbitrank.shortlist.list_boosting import grown
from arbitrank.shortlist.tool_order import (
    TOOL_FEATURES,
    ToolOrder,
    as_shortlisted,
    corrections,
    expected,
    tool_features,
)
from arbitrank.shortlist.tool_outcomes import OutcomeTally
from arbitrank.shortlist.tool_words import ToolWords
from arbitrank.values import Candidate, Request

__all__ = ["ToolList", "counted_outcomes", "train_tools"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.int64]

_ENOUGH = 200  # lists below which no tree is grown
_FOLDS = 3
_PRIOR, _PULL = np.array([0.0, 1.0, 1.0]), 20.0
_BOUNDS = (-10.0, 10.0)


@dataclass(frozen=True)
class ToolList:
    """A shortlist to train on: the request, the candidates, and what is known of them.

    `right` are the acceptable tools; None where only the `called` one is known, whose call `failed` or did not. `when`:
    in seconds since 1970. Lists of one `group` are in the same fold.
    """

    request: Request
    candidates: Sequence[Candidate]
    right: frozenset[str] | None
    called: str | None = None
    failed: bool = False
    when: float | None = None
    group: int = 0


class _Block(NamedTuple):
    """One list: p0 and the features of its tools, those that may be right, and P(it fits, and its call succeeds).

    This is NaN where nothing tells it.
    """

    p0: Floats
    x: Floats
    may: Flags
    fits: Floats


def counted_outcomes(lists: Sequence[ToolList], tally: OutcomeTally = OutcomeTally()) -> OutcomeTally:
    """A tally with the outcomes of the calls of lists."""
    for one in lists:
        tally = _with_outcome(tally, one)
    return tally


def train_tools(
    lists: Sequence[ToolList], words: ToolWords = ToolWords(), *, seed: int = 0, rounds: int = ROUNDS
) -> ToolOrder:
    """The order fitted to lists, which are in the order of time; without trees where they are too few for these."""
    blocks, tally = [], OutcomeTally()
    single = not any(len(one.right or ()) > 1 for one in lists)
    for one in lists:
        blocks.append(_block(one, tally, words, single))
        tally = _with_outcome(tally, one)
    useful = np.array([bool(block.may.any() and not block.may.all()) for block in blocks], bool)
    order = ToolOrder(tally, words, lists=len(lists), kept=int(useful.sum()))
    if useful.sum() < _ENOUGH:
        return order
    try:
        odds = _odds(blocks, useful, np.array([one.group for one in lists]), seed, rounds)
        text = _grown([block for block, use in zip(blocks, useful, strict=True) if use], seed, rounds).model_to_string()
    except lightgbm().basic.LightGBMError:  # no tree can be grown: the lists tell nothing apart
        return order
    return ToolOrder(tally, words, odds, len(lists), int(useful.sum()), text)


def _with_outcome(tally: OutcomeTally, one: ToolList) -> OutcomeTally:
    return tally if one.called is None else tally.after(one.called, failed=one.failed, when=one.when)


def _block(one: ToolList, tally: OutcomeTally, words: ToolWords, single: bool) -> _Block:
    """The block of a list; `single` says that lists name one right tool, whatever others would have been."""
    chosen = as_shortlisted(one.candidates)[:MOST]
    success = np.array([tally.success(candidate.skill) for candidate in chosen])
    called = np.array([candidate.skill == one.called for candidate in chosen], bool)
    p0 = expected(chosen, success)
    if one.right is not None:
        may = np.array([candidate.skill in one.right for candidate in chosen], bool)
        fits = np.where(may, 1.0, _fits_too(p0) if single else 0.0)
    else:
        may = ~called if one.failed else called
        fits = np.where(called, float(not one.failed), np.nan)
    return _Block(p0, tool_features(one.request, chosen, success, words), may, fits)


def _fits_too(p0: Floats) -> Floats:
    """P(a tool fits) where another one is known as the right one, of which a list names one only.

    Probabilities that add up to more than 1 say that several fit. With l = p0 / max(1, Σ p0), the probability of being
    the one that is named, P(fits) = p0 = l + (1 − l) · P(fits | not named).
    """
    named = p0 / max(1.0, float(p0.sum()))
    return (p0 - named) / (1.0 - named)


def _grown(blocks: Sequence[_Block], seed: int, rounds: int) -> Any:
    """Trees for the loss −log Σ p of the tools that may be right."""
    starts = np.cumsum([0, *(len(one.p0) for one in blocks[:-1])])
    x, p0 = np.concatenate([one.x for one in blocks]), np.concatenate([one.p0 for one in blocks])
    may = np.concatenate([one.may for one in blocks])
    sizes = np.diff(np.append(starts, len(x)))

    def slopes(z: Floats) -> tuple[Floats, Floats]:
        p = softmax(z, starts)
        kept = np.where(may, p, 0.0)
        target = kept / np.maximum(np.repeat(np.add.reduceat(kept, starts), sizes), 1e-12)
        return p - target, np.maximum(p * (1.0 - p), 1e-4)

    rising = [name in (*RISING, "success") for name in TOOL_FEATURES]
    return grown(x, np.log(p0), slopes, rising, rounds=rounds, seed=seed)


def _odds(blocks: Sequence[_Block], useful: Flags, groups: Rows, seed: int, rounds: int) -> tuple[float, float, float]:
    """a, b and c, fitted to lists that their trees did not see."""
    members = np.unique(groups)
    fold = np.random.default_rng(seed).permutation(len(members))[np.searchsorted(members, groups)] % _FOLDS
    rows, named, fits = [], [], []
    for f in range(_FOLDS):
        part = [block for block, use, of in zip(blocks, useful, fold, strict=True) if use and of != f]
        seen = [block for block, of in zip(blocks, fold, strict=True) if of == f and len(block.p0)]
        if not part or not seen:
            continue
        booster = _grown(part, seed, rounds)
        raw = booster.predict(np.concatenate([one.x for one in seen]), raw_score=True, num_threads=1)
        for one, own in zip(seen, np.split(raw, np.cumsum([len(one.p0) for one in seen])[:-1]), strict=True):
            delta = corrections(one.p0, own)
            known = ~np.isnan(one.fits)
            rows.append(np.stack([np.ones(len(own)), log_odds(one.p0), delta], axis=1)[known])
            named.append(one.may[known].astype(np.float64))
            fits.append(one.fits[known])
    if not rows:
        return (0.0, 1.0, 1.0)
    # The order is fitted to the tools that are named, its scale to all that fit.
    x = np.concatenate(rows)
    a, b, c = fit_logistic(x, np.concatenate(named), _PRIOR, _PULL, bounds=_BOUNDS)
    a, b, c = float(a), max(float(b), 1e-3), max(float(c), 0.0)
    scaled = np.column_stack([x[:, 0], x @ (a, b, c)])
    shift, slope = fit_logistic(scaled, np.concatenate(fits), _PRIOR[:2], _PULL, bounds=_BOUNDS).tolist()
    slope = max(slope, 1e-3)
    return shift + slope * a, slope * b, slope * c
