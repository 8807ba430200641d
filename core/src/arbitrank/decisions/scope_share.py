"""Share of out-of-scope requests in unlabelled traffic, by expectation maximisation for "no domain" alone.

Saerens, Latinne and Decaestecker (2002) re-estimate all classes; here the domains keep their shares among each other,
as re-estimating them too can collapse where domains resemble each other.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from msgspec.structs import replace

from arbitrank.arbitration.competition import Competition
from arbitrank.probability import CLIP, Floats, logit

_ROUNDS = 200
_Z = 1.96
_SHARES = 0.005, 0.9  # the least and the greatest share that is believed


class ScopeShare(msgspec.Struct, frozen=True):
    """The share of requests that no domain owns, its 95 % interval, and the number of requests it is estimated from."""

    share: float
    low: float
    high: float
    n: int


def estimate_share(none: Floats, before: float, weight: Floats | None = None, *, rounds: int = _ROUNDS) -> ScopeShare:
    """The most likely share of out-of-scope requests, from P(no domain) of each under the share `before`, in (0, 1).

    `weight` says how many requests each stands for, None counts each once.
    """
    odds = np.clip(none, CLIP, 1.0 - CLIP)
    odds = odds / (1.0 - odds) * (1.0 - before) / before  # the likelihood ratio of out of scope against in scope
    share = before
    for _ in range(rounds):
        chance = share * odds / (share * odds + 1.0 - share)
        new = float(np.clip(np.average(chance, weights=weight), CLIP, 1.0 - CLIP))
        if abs(new - share) < 1e-9:
            break
        share = new
    slopes = (odds - 1.0) / (share * odds + 1.0 - share)
    w = np.ones(len(slopes)) if weight is None else weight
    information = float((w * slopes**2).sum())
    error = _Z * math.sqrt(float(((w * slopes) ** 2).sum())) / information if information > 0.0 else 1.0
    return ScopeShare(share, max(0.0, share - error), min(1.0, share + error), len(none))


def with_share(competition: Competition, share: float) -> Competition:
    """A competition, which has a term for "no domain" and the share that this is for, for another share, in (0, 1).

    The share is kept between 0.5 and 90 %, so that some requests stay in scope and some out of scope.
    """
    if competition.null is None or competition.share is None:
        raise ValueError("the competition has no share of out-of-scope requests to replace")
    share = min(max(share, _SHARES[0]), _SHARES[1])
    null = float(np.clip(competition.null + shift(competition.share, share), -30.0, 30.0))
    return replace(competition, null=null, share=share)


def shift(before: float, after: float) -> float:
    """The change of the term for "no domain" by which a share of out-of-scope requests becomes another."""
    return logit(float(np.clip(after, CLIP, 1.0 - CLIP))) - logit(float(np.clip(before, CLIP, 1.0 - CLIP)))
