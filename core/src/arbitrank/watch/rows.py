"""Rows: the numbers that a watch keeps of one logged request, without a word of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from arbitrank.semer import entirely_right, same_reading
from arbitrank.values import DomainReport, Hypothesis, Ranked, Truth
from arbitrank.wire.requests import Logged, identity

CONTEXT = ("device", "has_screen", "locale")
"""Context keys by whose values claims are broken down."""

FirstReading: TypeAlias = tuple[float, Hypothesis | Ranked]
"""A reading that is put first, with the probability that it is entirely right."""

_UNKNOWN: Mapping[str, bool] = {}

ANSWER, R0 = "answer", "R0"
"""Names of the first reading of an answer, and of that which the product of the confidences would have put first."""

_WANTED = 0.5  # claim from which on a domain wants a request
_LONGEST = 60  # characters of a value of the context, of a name of a feature
_NAN = math.nan


class DomainNumbers(NamedTuple):
    """One domain in one request: its recogniser's confidences, its claims, and the reading that it would answer.

    `confidence` and `intent` are those of its hypotheses with the greatest product, in whatever unit they have; NaN
    where missing. `mine` and `right` are its own P(mine) and P(right), where the log has them (`own`), else those of
    the answer, which depend on the other domains. `version` names what served: the version, and its recalibration;
    `canary` says that it was a canary's candidate.
    """

    confidence: float
    intent: float
    mine: float
    right: float
    own: bool
    version: str
    best: Ranked | None
    features: tuple[str, ...]
    canary: bool = False


@dataclass(slots=True)
class WatchedRow:
    """One logged request: when it was answered, by which domains, and who won; its truth as soon as that is known.

    `chances` are P(domain) in the answer; `wanted` names the domains that claim it whatever the others do. `first`
    is the answer's first reading, `baseline` that of R0 with the product of its confidences; `rights` says which of
    these, by name, are entirely right. `told` is when the truth was reported, as far as is known.
    """

    id: str | None
    time: float
    domains: Mapping[str, DomainNumbers]
    chances: Mapping[str, float]
    head: str | None
    wanted: tuple[str, ...]
    context: Mapping[str, Any]
    truth: Truth | None = None
    outcomes: dict[str, tuple[bool, bool | None]] = field(default_factory=dict)
    length: int | None = None
    first: Ranked | None = None
    baseline: FirstReading | None = None
    rights: Mapping[str, bool] = field(default_factory=lambda: _UNKNOWN)
    session: str | None = None
    told: float | None = None

    @property
    def readings(self) -> dict[str, FirstReading]:
        """The first readings of the answer and of R0, those that there are, each with its claim."""
        found: dict[str, FirstReading] = {}
        if self.first is not None and self.first.probability is not None:
            found[ANSWER] = self.first.probability, self.first
        if self.baseline is not None:
            found[R0] = self.baseline
        return found

    def learn(self, truth: Truth) -> None:
        """Note the truth: of each domain, whether the request is its own, and whether its reading is entirely right.

        The latter is not known where the truth names no intent.
        """
        known = truth.intent is not None or not truth.owners
        self.truth = truth
        self.outcomes = {
            name: (truth.owned_by(name), (one.best is not None and entirely_right(one.best, truth)) if known else None)
            for name, one in self.domains.items()
        }
        self.rights = {name: entirely_right(one, truth) for name, (_, one) in self.readings.items()} if known else {}


def row_of(line: Logged) -> WatchedRow | None:
    """The row of a line of a log; None where it has no answer or no time."""
    answer = line.answer
    if answer is None or line.time is None:
        return None
    grouped: dict[str, list[Hypothesis]] = {}
    for h in line.hypotheses or ():
        grouped.setdefault(h.domain, []).append(h)
    best: dict[str, Ranked] = {}
    chances: dict[str, float] = {}
    for one in answer.ranked:
        kept = best.get(one.domain)
        if kept is None or (one.probability or 0.0) > (kept.probability or 0.0):
            best[one.domain] = one
        chances[one.domain] = max(chances.get(one.domain, 0.0), one.domain_probability or 0.0)
    chosen = answer.chosen
    canaries = {name for name, arm in (line.arms or {}).items() if arm == "canary"}
    domains = {
        name: _domain_row(grouped.get(name, ()), report, best.get(name), line.claims.get(name), name in canaries)
        for name, report in answer.domains.items()
        if report.status == "answered"
    }
    row = WatchedRow(
        id=line.id, time=line.time, domains=domains, chances=chances, head=None if chosen is None else chosen.domain,
        wanted=tuple(name for name, one in domains.items() if _wants(one)), context=_context(line.context),
        length=line.length, first=answer.best, baseline=_baseline(line, best),
        session=identity(line.session),
    )  # fmt: skip
    if line.truth is not None:
        row.learn(line.truth)
    return row


def _baseline(line: Logged, kept: Mapping[str, Ranked]) -> FirstReading | None:
    """The first reading of R0; None where confidences are missing or in other units.

    `kept` are readings that the row keeps anyway, by domain: the same one serves, else one without its features.
    """
    best, top = None, -1.0
    for h in line.hypotheses or ():
        stated = [x for x in (h.domain_confidence, h.intent_confidence, h.reading_confidence) if x is not None]
        product = math.prod(stated)
        if not stated or not all(0.0 <= x <= 1.0 for x in stated):
            return None
        if product > top:
            best, top = h, product
    if best is None:
        return None
    one = kept.get(best.domain)
    if one is not None and same_reading(best, one):
        return top, one
    return top, Hypothesis(best.domain, best.intent, slots=best.slots)


def _wants(one: DomainNumbers) -> bool:
    """True where a domain claims a request by its own numbers: its P(mine), else its recogniser's confidence."""
    claim = one.confidence if not one.own and 0.0 <= one.confidence <= 1.0 else one.mine
    return claim >= _WANTED


def _domain_row(
    readings: Iterable[Hypothesis],
    report: DomainReport,
    best: Ranked | None,
    claim: tuple[float, float] | None,
    canary: bool,
) -> DomainNumbers:
    confidence, intent, top = _NAN, _NAN, -float("inf")
    names: set[str] = set()
    for h in readings:
        names.update(name[:_LONGEST] for name in h.features)
        first = _NAN if h.domain_confidence is None else h.domain_confidence
        second = _NAN if h.intent_confidence is None else h.intent_confidence
        product = math.prod(x for x in (first, second) if not math.isnan(x))
        if product > top:
            confidence, intent, top = first, second, product
    served = f"{report.version or 'none'}"
    if report.shrunk is not None:
        served += f" shrunk {report.shrunk:g}"
    if claim is not None:
        mine, right, own = *claim, True
    elif best is not None:
        mine, right, own = best.domain_probability or 0.0, best.probability or 0.0, False
    else:
        mine, right, own = _NAN, _NAN, False
    return DomainNumbers(confidence, intent, mine, right, own, served, best, tuple(sorted(names)), canary)


def _context(context: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a request's context that are texts or booleans; no preferences, which are the users' own."""
    return {
        key: value
        for key, value in context.items()
        if (isinstance(value, bool) or (isinstance(value, str) and len(value) <= _LONGEST))
        and not key.startswith("preference.")
        and len(key) <= _LONGEST
    }
