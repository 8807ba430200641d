"""Reactions to answers as columns: who reacted to which domain's reading, what the domain had claimed, and how old.

A reaction counts for the reading that the answer acted on. What is known for certain (a truth) counts in its place. A
client is an account, else a session; reactions with neither are all one client's, whose share is capped like another's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import time as clock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.recalibration import Recalibration, as_reported
from arbitrank.probability import Floats, log_odds
from arbitrank.semer import entirely_right
from arbitrank.values import Answer, Ranked
from arbitrank.wire.requests import Logged, identity

DAY = 86_400.0
_READINGS = 6  # of a domain that are kept of an answer

HALF_LIFE = 7.0
"""Days after which a reaction counts half."""


@dataclass(frozen=True)
class Reactions:
    """n reactions; `domains` and `clients` are the names that the numbers in `domain` and `client` stand for.

    `readings` are the log-odds of the domain's own P(right) of its readings, without any recalibration, that of the
    answer first, −∞ where there are fewer, shape (n, k), and `mine` those of P(mine); `beside` is what its
    competitors added to the former in the answer; `accepted` are the reactions, meaningless where `right`, 1 or 0
    where the truth is known and NaN elsewhere, says more. `weight` falls with age; shapes (n,).
    """

    domains: tuple[str, ...]
    clients: tuple[str, ...]
    domain: NDArray[np.int64]
    client: NDArray[np.int64]
    readings: Floats
    mine: Floats
    beside: Floats
    accepted: NDArray[np.bool_]
    right: Floats
    reacted: NDArray[np.bool_]
    weight: Floats

    def __len__(self) -> int:
        return len(self.mine)

    def of(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Reactions:
        """Those of a mask, or at these places, with the same numbers."""
        return Reactions(
            self.domains,
            self.clients,
            self.domain[chosen],
            self.client[chosen],
            self.readings[chosen],
            self.mine[chosen],
            self.beside[chosen],
            self.accepted[chosen],
            self.right[chosen],
            self.reacted[chosen],
            self.weight[chosen],
        )

    @property
    def known(self) -> NDArray[np.bool_]:
        """The mask of answers of known truth."""
        return ~np.isnan(self.right)

    @property
    def nameless(self) -> int:
        """The number of reactions without account and session."""
        return int((self.reacted & (self.client == 0)).sum())


class _ReactionRow(NamedTuple):
    domain: int
    client: int
    readings: tuple[float, ...]
    mine: float
    beside: float
    accepted: bool
    right: float
    reacted: bool
    time: float


@dataclass
class ReactionRows:
    """Reactions of a log's lines, gathered one by one; `places` are the lines' numbers.

    Of a domain in `versions` only reactions to that version count.
    """

    versions: Mapping[str, str] | None = None
    places: list[int] = field(default_factory=list)
    _domains: dict[str, int] = field(default_factory=dict)
    _clients: dict[str, int] = field(default_factory=lambda: {"": 0})
    _rows: list[_ReactionRow] = field(default_factory=list)

    def add(self, line: Logged, place: int = 0) -> None:
        """Add a line, where its answer acted on a reading and it has a reaction or a truth."""
        if line.answer is None or (line.outcome is None and line.truth is None):
            return
        reading = line.answer.chosen
        if reading is None or reading.probability is None:
            return
        name, client = reading.domain, client_of(line) or ""
        report = line.answer.domains.get(name)
        if self.versions and name in self.versions and (report is None or self.versions[name] != report.version):
            return
        outcome = None if line.called is not None else line.outcome  # what was called is not what was acted on
        known = line.truth is not None and (line.truth.intent is not None or not line.truth.owners)
        right = float(entirely_right(reading, line.truth)) if known and line.truth is not None else np.nan
        if outcome is None and not known:
            return
        self.places.append(place)
        row = _ReactionRow(
            self._domains.setdefault(name, len(self._domains)), self._clients.setdefault(client, len(self._clients)),
            *_log_odds_of(line, line.answer, reading),
            outcome == "accepted", right, outcome is not None, line.time or 0.0,
        )  # fmt: skip
        self._rows.append(row)

    def reactions(self, *, now: float | None = None, half_life: float = HALF_LIFE) -> Reactions:
        """The reactions; ages are counted from `now`, in days of `half_life`, and what is later weighs nothing.

        By default `now` is the latest reaction that is not of a day to come.
        """
        empty = _ReactionRow(0, 0, (0.0,), 0.0, 0.0, False, 0.0, False, 0.0)
        domain, client, readings, mine, beside, accepted, right, reacted, time = zip(*self._rows, empty, strict=True)
        widest = max(map(len, readings))
        times = np.array(time[:-1], np.float64)
        past = times[times <= clock() + DAY]
        latest = float(past.max(initial=0.0)) if now is None else now
        return Reactions(
            tuple(self._domains),
            tuple(self._clients),
            np.array(domain[:-1], np.int64),
            np.array(client[:-1], np.int64),
            np.array([one + (-np.inf,) * (widest - len(one)) for one in readings], np.float64)[:-1],
            np.array(mine[:-1], np.float64),
            np.array(beside[:-1], np.float64),
            np.array(accepted[:-1], bool),
            np.array(right[:-1], np.float64),
            np.array(reacted[:-1], bool),
            np.where(times <= latest, 0.5 ** (np.maximum(latest - times, 0.0) / DAY / half_life), 0.0),
        )


def client_of(line: Logged) -> str | None:
    """The account that a request came from, else its session; None where it names neither."""
    for kind, given in (("account", line.account), ("session", line.session)):
        if (text := identity(given)) is not None:
            return f"{kind} {text}"
    return None


def _log_odds_of(line: Logged, answer: Answer, head: Ranked) -> tuple[tuple[float, ...], float, float]:
    """Bare log-odds of the domain's readings, the head first, and of P(mine); and what the competition added to them.

    A recalibration that served is taken off; what it scaled down to keep the readings below P(mine) is not known.
    """
    name = head.domain
    answered = [head, *(one for one in answer.ranked if one.domain == name and one is not head)][:_READINGS]
    right = log_odds(np.array([one.probability or 0.0 for one in answered]))
    claim = line.claims.get(name)
    mine, own = (head.domain_probability or 0.0, right[0]) if claim is None else (claim[0], _logit(claim[1]))
    beside = float(right[0] - own)
    by = as_reported(answer.domains[name]) if name in answer.domains else None
    by = by or Recalibration()
    bare = (right - beside - by.shift) / by.scale
    return tuple(bare.tolist()), (_logit(mine) - by.shift) / by.scale, beside


def _logit(p: float) -> float:
    return float(log_odds(np.array(p)))
