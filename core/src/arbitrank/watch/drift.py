"""Drift of a domain's confidences and claims, without any label: their distribution against that of the time before.

Traffic changes without any domain's fault: on weekends people ask for other things. Then the distribution of a domain's
confidence changes, but not given whose request it is. So the null hypothesis is every mixture, in whatever shares, of
the distributions before given the owner, who is known by P(domain) in the answers. What no mixture explains is drift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.probability import Floats, log_odds
from arbitrank.watch.columns import Columns
from arbitrank.watch.evidence import surprise

LEAST = 200
"""Requests, before and now, below which no distribution is compared."""

_TAILS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.995)  # quantiles before that bound the cells
_MOST = 5_000.0  # requests that count at most: a difference that only more would show is of no consequence
_DEPENDENT = 0.5  # power of the e-value, which forgives requests that come in bursts
_FEW = 5.0  # expected requests of an owner below which it is one of the rest
_QUANTILES = np.linspace(0.05, 0.95, 19)


class Drift(msgspec.Struct, frozen=True):
    """The drift of one number of a domain: `evidence` in nats, which is an alarm from `level` on.

    `slope` and `shift` are of the log-odds now by those before, by their quantiles: 1 and 0 where nothing changed; of
    numbers outside [0, 1] as they are. `before` and `now` are the requests compared. Numbers that are not its `own`
    depend on the other domains.
    """

    stream: str
    evidence: float
    level: float
    slope: float
    shift: float
    before: int
    now: int
    own: bool

    @property
    def alarms(self) -> bool:
        """True where the evidence reaches the level."""
        return self.evidence >= self.level


class OwnersBefore(NamedTuple):
    """P(owner) of the requests before, shape (owners, n): domains and, last, none and those that own few."""

    names: tuple[str, ...]
    chances: Floats


def owners_before(before: Columns) -> OwnersBefore:
    """The owners of the requests before, as the answers had them."""
    n = len(before.time)
    named = {name: chance for name, chance in before.chances.items() if chance.sum() >= _FEW}
    table = np.stack([*named.values(), np.zeros(n)])
    total = table.sum(axis=0)
    table = table / np.maximum(total, 1.0)
    table[-1] = np.maximum(1.0 - total, 1e-3)
    return OwnersBefore(tuple(named), table)


def drift(
    stream: str, name: str, before: Columns, now: Sequence[Columns], owners: OwnersBefore, level: float
) -> Drift | None:
    """The drift of a domain's numbers with the most evidence of all of `now`; None where there are too few numbers."""
    one = before.domains.get(name)
    if one is None or len(one.places) < LEAST:
        return None
    x = getattr(one, stream)
    known = x[~np.isnan(x)]
    if len(known) < LEAST:
        return None
    edges = np.unique(np.quantile(known, _TAILS))
    parts = _parts(_cells(x, edges), owners.chances[:, one.places], len(edges) + 2)
    quantiles = np.quantile(known, _QUANTILES)
    found: list[Drift] = []
    for other in [columns.domains[name] for columns in now if name in columns.domains]:
        y = getattr(other, stream)
        if len(y) < LEAST:
            continue
        counts = np.bincount(_cells(y, edges), minlength=len(edges) + 2).astype(np.float64)
        evidence, _ = surprise(counts, parts)
        power = min(_DEPENDENT, _MOST / len(y), len(x) / len(y))
        own = stream != "mine" or bool(one.own.all() and other.own.all())
        moved = _moved(quantiles, y[~np.isnan(y)])
        found.append(Drift(stream, max(0.0, power * evidence), level, *moved, len(x), len(y), own))
    return max(found, key=lambda each: each.evidence, default=None)


class ShareShift(msgspec.Struct, frozen=True):
    """Share of the traffic that is a domain's, before and now, by P(domain) in the answers; no domain's fault."""

    before: float
    now: float


def share_shifts(before: Columns, now: Columns) -> dict[str, ShareShift]:
    """The shares of traffic of the domains."""
    names = sorted({*before.chances, *now.chances})
    return {name: ShareShift(_mean(before.chances.get(name)), _mean(now.chances.get(name))) for name in names}


def shifted(shares: Mapping[str, ShareShift], n: int) -> list[str]:
    """The domains whose share of `n` requests has surely changed by a quarter or more, the most changed first."""
    found = []
    for name, one in shares.items():
        error = np.sqrt(max(one.before, one.now) / max(n, 1))
        change = abs(one.now - one.before)
        if change > 4.0 * error and change > 0.25 * max(one.before, one.now):
            found.append((-change, name))
    return [name for _, name in sorted(found)]


def _mean(chance: Floats | None) -> float:
    return 0.0 if chance is None or not len(chance) else float(chance.mean())


def _cells(x: Floats, edges: Floats) -> NDArray[np.int64]:
    """The cell of each number; the first is that of requests without one."""
    return np.where(np.isnan(x), 0, 1 + np.searchsorted(edges, x, side="right"))


def _parts(cells: NDArray[np.int64], chances: Floats, size: int) -> Floats:
    """The distribution over the cells given each owner, pulled to that of all requests by one of them."""
    every = np.bincount(cells, minlength=size) + 0.5
    every = every / every.sum()
    found = np.stack([np.bincount(cells, weights=each, minlength=size) for each in chances]) + every
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _moved(one: Floats, now: Floats) -> tuple[float, float]:
    """Slope and intercept of the quantiles now by those before, in log-odds where both are probabilities."""
    if len(now) < 2:
        return 1.0, 0.0
    other = np.quantile(now, _QUANTILES)
    if min(one[0], other[0]) >= 0.0 and max(one[-1], other[-1]) <= 1.0:
        one, other = log_odds(one), log_odds(other)
    spread = float(((one - one.mean()) ** 2).sum())
    if spread <= 0.0:
        return 1.0, float(other.mean() - one.mean())
    slope = float(((one - one.mean()) * (other - other.mean())).sum()) / spread
    return slope, float(other.mean() - slope * one.mean())
