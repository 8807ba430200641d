"""A limit of risk, and the groups of requests that have thresholds of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.risk_bound import DOMAIN, group_of
from arbitrank.decisions.observed import Heads


class RiskLimit(NamedTuple):
    """At most the share `risk` of the accepted answers may be wrong, with probability `confidence`.

    `per` is None for one threshold, `domain`, or the key of the context by whose values there are several.
    """

    risk: float
    confidence: float = 0.95
    per: str | None = None


class Grouped(NamedTuple):
    """The groups of requests that have thresholds of their own: their `names`, and each list's number among them.

    −1 is the number of lists of no group.
    """

    names: tuple[str, ...]
    of: NDArray[np.int64]

    @classmethod
    def by(
        cls, limit: RiskLimit, heads: Heads, domains: Sequence[str], contexts: Sequence[Mapping[str, object]]
    ) -> Grouped:
        """The groups of a limit; `contexts` are those of the requests, which groups by domain do not need."""
        if limit.per is None:
            return cls((), np.full(len(heads.right), -1))
        if limit.per == DOMAIN:
            return cls(tuple(domains), heads.domain.astype(np.int64))
        values = [group_of(limit.per, "", context) for context in contexts]
        names = sorted({value for value in values if value is not None})
        number = {name: k for k, name in enumerate(names)}
        return cls(tuple(names), np.array([-1 if value is None else number[value] for value in values], np.int64))
