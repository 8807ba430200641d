"""Readings of domains in a log: each domain's claims and best reading as they were when the request was answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from arbitrank.arbitration.fallback import merged
from arbitrank.arbitration.merge import BestReadings
from arbitrank.arbitration.recalibration import Recalibration, as_reported
from arbitrank.impact.batch_scores import DomainReadings
from arbitrank.impact.plan import DomainVersion
from arbitrank.values import Ranked
from arbitrank.wire.requests import Logged


class LoggedClaim(NamedTuple):
    """P(mine) and P(right) of a domain's best reading before the domains' competition, and that reading."""

    mine: float
    right: float
    reading: Ranked


def logged_claims(line: Logged) -> dict[str, LoggedClaim] | None:
    """The claims of all domains that had a reading, by name; None where the log does not hold them.

    A domain that is not installed has those of its readings in the answer. A fallback that acted has none.
    """
    if line.answer is None or (line.answer.ranked and not line.claims):
        return None
    claims, found = line.claims, dict[str, LoggedClaim]()
    for entry in merged(line.answer):
        name = entry.domain
        if name not in found:  # merged lists have each domain's most probable reading first
            known = claims.get(name)
            mine, right = known or (entry.domain_probability or 0.0, entry.probability or 0.0)
            found[name] = LoggedClaim(mine, right, entry)
    return found


def answered_by(line: Logged, name: str, version: DomainVersion | None) -> bool:
    """True where a version of a domain, with its recalibration, answered a logged request."""
    report = line.answer.domains.get(name) if line.answer is not None else None
    if report is None or version is None or report.status != "answered" or report.version != version.version:
        return False
    return _same(as_reported(report), version.recalibration)


def put_logged(readings: DomainReadings, claims: Mapping[int, LoggedClaim]) -> None:
    """Fill in the logged claims of the requests at these places."""
    places = list(claims)
    if not places:
        return
    best, found = readings.best, claims.values()
    best.mine[places], best.right[places] = [one.mine for one in found], [one.right for one in found]
    best.best[places], best.total[places] = 0, best.right[places]
    for place, one in claims.items():
        readings.readings[place] = (one.reading,)


def nothing_read(n: int) -> DomainReadings:
    """A domain without a reading of any of n requests, to be filled in."""
    return DomainReadings(BestReadings.empty(n), [()] * n, [], {})


def names_in(claims: Iterable[Mapping[str, LoggedClaim] | None]) -> list[str]:
    """The names of all domains that have a claim, sorted."""
    return sorted({name for one in claims if one is not None for name in one})


def _same(one: Recalibration | None, other: Recalibration | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one.scale - other.scale) < 1e-9 and abs(one.shift - other.shift) < 1e-9
