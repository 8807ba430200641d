"""The noise of a reaction: how likely it is after a right and after a wrong answer, and what it says of the answer.

A right answer is rejected with probability `spurious`, a wrong one accepted with probability `missed`, whoever reacts;
P(right) of a domain's answers has the log-odds scale · own + shift + beside, its readings together at most P(mine).
A client's share of a domain's weight is capped.
"""

from __future__ import annotations

import numpy as np

from arbitrank.outcomes.client_cap import PRIOR, capped_weights
from arbitrank.outcomes.reactions import Reactions
from arbitrank.probability import Floats, log_odds, sigmoid

SCALES = (1 / 3, 3.0)
SHIFTS = (-4.0, 4.0)
"""Bounds of a map."""


def claimed(reactions: Reactions, scale: float, shift: float) -> Floats:
    """P(right) of the answers with a map, shape (n,): readings that sum to more than P(mine) are scaled down."""
    right = sigmoid(scale * reactions.readings + shift) * np.isfinite(reactions.readings)
    mine = sigmoid(scale * reactions.mine + shift)
    own = right[:, 0] * np.minimum(1.0, mine / np.maximum(right.sum(axis=1), 1e-300))
    return sigmoid(log_odds(own) + reactions.beside)


def likelihoods(reactions: Reactions, spurious: float, missed: float) -> tuple[Floats, Floats]:
    """Probabilities of each reaction where the answer was right, and where it was wrong; 1 where there is none."""
    yes = reactions.accepted
    if_right, if_wrong = np.where(yes, 1.0 - spurious, spurious), np.where(yes, missed, 1.0 - missed)
    return np.where(reactions.reacted, if_right, 1.0), np.where(reactions.reacted, if_wrong, 1.0)


def posterior(reactions: Reactions, p: Floats, spurious: float, missed: float) -> Floats:
    """P(right | reaction) from P(right) before it, the truth in its place where that is known: shape (n,)."""
    if_right, if_wrong = likelihoods(reactions, spurious, missed)
    found = p * if_right / np.maximum(p * if_right + (1.0 - p) * if_wrong, 1e-300)
    return np.where(reactions.known, reactions.right, found)


def capped(own: Reactions, weight: Floats) -> Floats:
    """The weights of reactions to one domain, scaled down so that no client has more than its share, shape (n,).

    All weight includes that of the prior and of truths, which are nobody's: with few clients each has next to none.
    """
    found, theirs = weight.copy(), ~own.known
    certain = PRIOR + float(weight[own.known].sum())
    found[theirs] = capped_weights(own.client[theirs], weight[theirs], certain)
    return found
