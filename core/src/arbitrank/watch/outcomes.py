"""Claims of a domain against outcomes: P(mine) and P(right) where the truth is known, as a whole and by context."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.evaluate.intervals import Estimate, wilson
from arbitrank.evaluate.metrics import Calibration, calibration
from arbitrank.evaluate.segment_calibration import segment_calibration
from arbitrank.evaluate.segment_report import SegmentCalibration
from arbitrank.evaluate.segments import SegmentTable, situation
from arbitrank.probability import Floats, fit_logistic, log_odds
from arbitrank.watch.evidence import miscalibration
from arbitrank.watch.rows import CONTEXT, DomainNumbers, WatchedRow

Claim = Literal["mine", "right"]

FEW = 30
"""Labelled requests below which figures say next to nothing, which is said beside them."""

_PULL = 20.0  # the prior of the identity counts as much as so many outcomes
_DRAWS = 100  # of the intervals


class Band(msgspec.Struct, frozen=True):
    """A claim on `n` labelled requests: its mean, and the share in which it came true, with its 95 % interval."""

    n: int
    claimed: float
    seen: Estimate

    @property
    def few(self) -> bool:
        """True where this says next to nothing."""
        return self.n < FEW


class Claims(msgspec.Struct, frozen=True):
    """A claim of a domain against outcomes: the `band`, its calibration, and the `evidence` in nats against it.

    `slope` and `bias` are those by which its log-odds would be right, pulled to 1 and 0. With `own` these are the
    domain's own claims, which depend on no other domain; else those of the answer. `contexts` are bands by `KEY=VALUE`.
    """

    claim: Claim
    band: Band
    calibration: Calibration
    evidence: float
    level: float
    slope: float
    bias: float
    own: bool
    contexts: dict[str, Band]

    @property
    def alarms(self) -> bool:
        """True where the evidence reaches the level."""
        return self.evidence >= self.level

    @property
    def too_high(self) -> bool:
        """True for claims that are more often wrong than they say."""
        return self.band.claimed > self.band.seen.mean


def claims(claim: Claim, name: str, starts: Sequence[Sequence[WatchedRow]], level: float) -> Claims | None:
    """A domain's claim in rows with a truth, the first of `starts`; None where it has made none.

    The evidence is the greatest of all `starts`, the later ones being ends of the first.
    """
    p, y = _pairs(claim, name, starts[0])
    if not len(p):
        return None
    evidence = max(miscalibration(*_pairs(claim, name, rows)) for rows in starts)
    z = log_odds(p)
    x = np.stack([z, np.ones_like(z)], axis=1)
    slope, bias = fit_logistic(x, y.astype(np.float64), np.array([1.0, 0.0]), _PULL)
    own = all(row.domains[name].own for row in _stating(name, starts[0]))
    return Claims(
        claim, _band(p, y), calibration(p, y.astype(np.float64), draws=_DRAWS), max(0.0, evidence), level,
        float(slope), float(bias), own, _by_context(claim, name, starts[0]),
    )  # fmt: skip


def _by_context(claim: Claim, name: str, rows: Sequence[WatchedRow]) -> dict[str, Band]:
    values: dict[str, list[WatchedRow]] = {}
    for row in rows:
        for key in CONTEXT:
            if key in row.context:
                values.setdefault(f"{key}={_text(row.context[key])}", []).append(row)
    bands = {text: _pairs(claim, name, each) for text, each in sorted(values.items())}
    return {text: _band(*pair) for text, pair in bands.items() if len(pair[0])}


def segmented(name: str, rows: Iterable[WatchedRow]) -> SegmentCalibration | None:
    """The calibration of P(right) over segments of rows with a truth; None where no segment has enough of them."""
    stating = [row for row in _stating(name, rows) if row.outcomes[name][1] is not None]
    p = np.array([row.domains[name].right for row in stating], np.float64)
    y = np.array([row.outcomes[name][1] for row in stating], np.float64)
    bests = [row.domains[name].best for row in stating]
    known = [
        situation(row.context, row.length, None if best is None else best.intent)
        for row, best in zip(stating, bests, strict=True)
    ]
    found = segment_calibration(p, y, SegmentTable.of(known)) if len(p) else None
    return found if found is not None and found.worst is not None else None


def _stating(name: str, rows: Iterable[WatchedRow]) -> list[WatchedRow]:
    """The rows in which the domain claims anything and its truth is known."""
    return [
        row
        for row in rows
        if name in row.outcomes and (one := row.domains[name]).best is not None and not math.isnan(one.mine)
    ]


def _pairs(claim: Claim, name: str, rows: Iterable[WatchedRow]) -> tuple[Floats, NDArray[np.bool_]]:
    stating = [row for row in _stating(name, rows) if claim == "mine" or row.outcomes[name][1] is not None]
    p = np.array([getattr(row.domains[name], claim) for row in stating], np.float64)
    return p, np.array([row.outcomes[name][claim == "right"] for row in stating], np.bool_)


def slots_known(rows: Iterable[WatchedRow]) -> bool:
    """True unless no truth has slots although readings have some: they are then not labelled."""
    rows = list(rows)
    read = any(one.best is not None and one.best.slots for row in rows for one in row.domains.values())
    return not read or any(row.truth is not None and row.truth.slots for row in rows)


def _band(p: Floats, y: NDArray[np.bool_]) -> Band:
    return Band(len(p), float(p.mean()), wilson(y.astype(np.float64)))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def served_rows(name: str, version: str, rows: Iterable[WatchedRow]) -> list[WatchedRow]:
    """The rows with a truth that a version of a domain answered."""
    return [row for row in rows if row.truth is not None and _version(row.domains, name) == version]


def _version(domains: Mapping[str, DomainNumbers], name: str) -> str | None:
    return domains[name].version if name in domains else None
