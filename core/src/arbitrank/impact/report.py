"""Impact report: flips, errors and calibration on replayed requests before and after a version is replaced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.decide import ACTIONS, DecisionSettings
from arbitrank.evaluate.intervals import Estimate, differences
from arbitrank.evaluate.metrics import Calibration
from arbitrank.evaluate.results import MEASURES, SystemResults, measured
from arbitrank.impact.flips import KINDS, SIDES, Flip, Rows, Side, flips, judged
from arbitrank.impact.plan import ReplayPlan
from arbitrank.impact.replay import replay
from arbitrank.impact.replayed import Replayed
from arbitrank.impact.risk_kept import RiskKept, risk_kept
from arbitrank.impact.segmenting import SegmentImpact, segment_impact
from arbitrank.impact.temperature import Temperature, calibration_of, own_calibration, temperature
from arbitrank.impact.valued import ValueReport, value_of
from arbitrank.outcomes.suite_runs import CaseResult

if TYPE_CHECKING:
    from arbitrank.impact.cluster import Cluster

_SLICE = 30  # requests below which a device is not reported


class Rates(msgspec.Struct, frozen=True):
    """Means over requests: rates in [0, 1], NLL in nats, and the Brier score of P(right)."""

    domain_accuracy: float
    irer: float
    semer: float
    nll: float
    brier: float


class Slice(msgspec.Struct, frozen=True):
    """`n` requests with a truth, before and after, and the paired differences after − before with 95 % intervals.

    `right_to_wrong` and `wrong_to_right` count changed answers. The calibrations of a domain are those of the requests
    whose list it heads (None where there are none), all others those of the slice's requests.
    """

    n: int
    before: Rates
    after: Rates
    difference: dict[str, Estimate]
    right_to_wrong: int
    wrong_to_right: int
    calibration_before: Calibration | None
    calibration_after: Calibration | None


class FlipCount(msgspec.Struct, frozen=True):
    """Number of flips from the domain `before` to the domain `after`, None being out of scope.

    They are the same domain where another of its readings won.
    """

    before: str | None
    after: str | None
    n: int
    right_to_wrong: int
    wrong_to_right: int
    other: int
    no_truth: int


class OwnCalibration(msgspec.Struct, frozen=True):
    """Calibration of the exchanged domain's best reading of every request that it has one for, as on a card.

    The temperatures are those that its log-odds would have to be divided by, above 1 where it is over-confident.
    """

    before: Calibration | None
    after: Calibration | None
    temperature_before: Temperature | None
    temperature_after: Temperature | None


class DecisionShares(msgspec.Struct, frozen=True):
    """Shares of the decisions on all requests, and of those on which the fallback domain acts, in [0, 1]."""

    accept: float
    clarify: float
    none: float
    fallback: float


class Impact(msgspec.Struct, frozen=True, kw_only=True):
    """Effect of replacing version `before` of `domain` by `after` on `n` requests, `labelled` of them with a truth.

    `none_counts` says that the decision "none" counts as an answer, as there are out-of-scope requests. `flips` counts
    the requests that are answered differently, `pairs` counts them by the domains involved, `worst` has those that
    matter most. `per_domain` goes by the true owners of a request. `card` is the candidate's own. `decisions` are those
    of a service, before and after. `value` is that by users' reactions, None without any.
    """

    domain: str
    before: str | None
    after: str
    on: str
    n: int
    labelled: int
    bad_lines: int
    none_counts: bool
    temperature: float
    notes: list[str]
    flips: int
    pairs: list[FlipCount]
    pooled: Slice | None
    per_domain: dict[str, Slice]
    per_device: dict[str, Slice]
    claims: OwnCalibration
    card: Calibration | None
    failures: dict[str, int]
    worst: list[Flip]
    decisions: dict[Side, DecisionShares] = {}
    value: ValueReport | None = None
    suites: tuple[CaseResult, ...] = ()
    segments: SegmentImpact | None = None
    risk: RiskKept | None = None


def measure(
    plan: ReplayPlan,
    path: Path,
    *,
    card: Calibration | None = None,
    jobs: int = 1,
    seed: int = 0,
    called: str | None = None,
    cluster: Cluster | None = None,
) -> tuple[Impact, Replayed]:
    """Replay a file, in processes here or on a cluster: the report, and the rows that it was computed from.

    In the report the file goes by its own name, or by `called`.
    """
    found = replay(plan, path, jobs=jobs, cluster=cluster)
    before = None if plan.name in found.broken else plan.parts.get(plan.name)
    on = called or path.name
    impact = impact_of(
        found, plan.decisions, plan.name, (before.version if before else None, plan.candidate.version), on, seed
    )
    return msgspec.structs.replace(
        impact,
        temperature=before.recalibration.temperature if before and before.recalibration else 1.0,
        notes=list(_notes(plan, found)),
        card=card,
        value=value_of(found, plan.exchanged, on) if found.left_out or (found.rows["reaction"] >= 0).any() else None,
    ), found


def impact_of(
    found: Replayed,
    settings: DecisionSettings,
    name: str,
    versions: tuple[str | None, str],
    on: str,
    seed: int = 0,
    *,
    none_counts: bool = False,
) -> Impact:
    """The report on replayed requests by their rows alone; `versions` of `name` are those before and after.

    `settings` are those that the rows are decided by. With `none_counts` the decision "none" is an answer whatever
    requests there are.
    """
    rows = found.rows
    decisions = settings if none_counts else _counting(rows, settings)
    flipped, kind = flips(rows, decisions)
    comparison = _Comparison(found, decisions, seed)
    labelled = comparison.rows
    devices = labelled["device"]
    owned = {name: found.owned(name) for name in sorted({name for names in found.owners for name in names})}
    return Impact(
        domain=name,
        before=versions[0],
        after=versions[1],
        on=on,
        n=len(rows),
        labelled=len(labelled),
        bad_lines=found.bad_lines,
        none_counts=decisions is not None,
        temperature=1.0,
        notes=[],
        flips=int(flipped.sum()),
        pairs=_flip_counts(rows[flipped], kind[flipped], [*found.names], decisions),
        pooled=comparison.slice(np.ones(len(labelled), np.bool_)) if len(labelled) else None,
        per_domain={
            name: comparison.slice(own, headed_by=found.names.get(name, -2)) for name, own in owned.items() if own.any()
        },
        per_device={
            name: comparison.slice(devices == number)
            for name, number in sorted(found.devices.items())
            if (devices == number).sum() >= _SLICE
        },
        claims=OwnCalibration(
            own_calibration(labelled["before"], seed),
            own_calibration(labelled["after"], seed),
            temperature(labelled["before"], found.owned(name)),
            temperature(labelled["after"], found.owned(name)),
        ),
        segments=segment_impact(labelled, [*found.situations], seed),
        risk=risk_kept(labelled, settings),
        card=None,
        failures={name: reasons.total() for name, reasons in sorted(found.failures.items())},
        worst=found.worst[decisions is not None],
        decisions={side: _shares(judged(rows, side, settings)) for side in SIDES} if len(rows) else {},
    )


def results(found: Replayed, decisions: DecisionSettings) -> dict[str, SystemResults]:
    """Both sides' results on the labelled requests, without the readings: what plots and metrics are made of."""
    return {side: judged(found.labelled, side, _counting(found.rows, decisions)) for side in SIDES}


def _counting(rows: Rows, decisions: DecisionSettings) -> DecisionSettings | None:
    """The settings where some request is known to be out of scope, so that the decision "none" can be right."""
    return decisions if (rows["labelled"] & (rows["unowned"])).any() else None


class _Comparison:
    """Both sides of the requests with a truth, and each request's measures."""

    def __init__(self, found: Replayed, decisions: DecisionSettings | None, seed: int) -> None:
        self.rows, self.seed = found.labelled, seed
        self.results = [judged(self.rows, side, decisions) for side in SIDES]
        self.columns = [np.ascontiguousarray(measured(one).T) for one in self.results]

    def slice(self, chosen: NDArray[np.bool_], headed_by: int | None = None) -> Slice:
        """The slice of the chosen requests; calibration of those whose list a domain heads, where one is named."""
        before, after = (columns[chosen] for columns in self.columns)
        was, now = (one.answer_right[chosen] > 0.0 for one in self.results)
        calibrations = []
        for side in SIDES:
            one = self.rows[side]
            one = one[chosen] if headed_by is None else one[one["head"] == headed_by]
            calibrations.append(calibration_of(one["probability"], one["right"], self.seed))
        return Slice(
            int(chosen.sum()),
            Rates(*map(float, before.mean(axis=0))),
            Rates(*map(float, after.mean(axis=0))),
            dict(zip(MEASURES, differences(after - before, self.seed), strict=True)),
            int((was & ~now).sum()),
            int((~was & now).sum()),
            *calibrations,
        )


def _shares(one: SystemResults) -> DecisionShares:
    shares = {action: float((one.actions == code).mean()) for code, action in enumerate(ACTIONS)}
    return DecisionShares(**shares, fallback=float(one.fallback.mean()))


def _flip_counts(
    rows: Rows, kind: NDArray[np.int64], names: list[str], decisions: DecisionSettings | None
) -> list[FlipCount]:
    """The flips by the domains involved, the largest number first."""
    heads = [np.where(judged(rows, side, decisions).none, -1, rows[side]["head"]).tolist() for side in SIDES]
    table: dict[tuple[int, int], list[int]] = {}
    for before, after, k in zip(*heads, kind.tolist(), strict=True):
        table.setdefault((before, after), [0] * len(KINDS))[k] += 1
    domains = [*names, None]
    pairs = [FlipCount(domains[a], domains[b], sum(of_kind), *of_kind) for (a, b), of_kind in table.items()]
    return sorted(pairs, key=lambda pair: (-pair.n, pair.before or "", pair.after or ""))


def _notes(plan: ReplayPlan, found: Replayed) -> Iterator[str]:
    if found.unserved:
        ranked = "ranked by R0, the product of their confidences" if plan.decisions.rank_unserved else "not ranked"
        yield f"not installed and {ranked}: {', '.join(sorted(found.unserved))}"
    for name, reason in sorted({**plan.silent, **found.broken}.items()):
        yield f"{name} cannot answer and was left out: {reason}"
    if plan.name not in plan.parts or plan.name in found.broken:
        yield f"{plan.name} does not answer now: every request that it wins is new"
    if plan.again:
        note = "the candidate has another recogniser: it read each request's utterance again"
        missing = f", except for {found.unread} without one, whose hypotheses it scored" if found.unread else ""
        yield note + missing
    if found.from_log:
        yield f"{found.from_log} scores of other domains were taken from the log's answers"
    for name, reasons in sorted(found.failures.items()):
        reason, _ = reasons.most_common(1)[0]
        yield f"{name} failed on {reasons.total()} requests: {reason}"
    if found.bad_lines:
        yield f"{found.bad_lines} lines could not be read, among them {found.bad[0].where}: {found.bad[0].reason}"
