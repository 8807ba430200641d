"""Results of systems: the heads of merged lists, judged against the truth, and their metrics with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.decide import ACTIONS, DecisionSettings
from arbitrank.arbitration.merge import MergedHeads
from arbitrank.evaluate.intervals import Estimate, bootstrap_means, interval
from arbitrank.evaluate.metrics import Calibration, calibration
from arbitrank.probability import Floats, log_loss
from arbitrank.semer import semer
from arbitrank.values import Example, Hypothesis, Ranked, Slot, Truth

MEASURES = ("domain_accuracy", "irer", "semer", "nll", "brier")
"""The means over requests that are reported, in this order; lower is better, except for the accuracy."""

BY_SYSTEM = "by system, all domains"
"""Key, among the seconds by stage, of those of each system."""

_SLICE = 30  # requests below which a slice is not reported


@dataclass(frozen=True)
class SystemResults:
    """Results of one system on R held-out requests, in their order.

    `top` is the best merged hypothesis, None where no domain has one; `probability` its P(right); `right` is 1.0 where
    it is entirely right. `out_of_scope` is P(no domain owns the request). `answer_right`, `domain_right` and `semer`
    judge the system's answer, which is "none" where `none` is true. `actions` are the decisions by their number in
    `arbitrank.arbitration.decide.ACTIONS`, `fallback` marks the requests on which the fallback domain acts. `found` is
    the share of an utterance's truths among the contenders, for those that have several, else NaN.
    """

    top: tuple[Hypothesis | None, ...]
    probability: Floats
    right: Floats
    out_of_scope: Floats
    none: NDArray[np.bool_]
    answer_right: Floats
    domain_right: Floats
    semer: Floats
    actions: NDArray[np.int64]
    fallback: NDArray[np.bool_]
    found: Floats | None = None

    @classmethod
    def together(cls, parts: Sequence[SystemResults], places: Sequence[NDArray[np.int64]]) -> SystemResults:
        """The results on parts of the requests, in the order of the requests; without `found`."""
        order = np.argsort(np.concatenate(places), kind="stable")
        columns = zip(*(_arrays(part) for part in parts), strict=True)
        top = [hypothesis for part in parts for hypothesis in part.top]
        return cls(tuple(top[i] for i in order.tolist()), *(np.concatenate(each)[order] for each in columns))


def _arrays(one: SystemResults) -> tuple[NDArray[Any], ...]:
    """The columns of the results, in the order of the fields."""
    return tuple(getattr(one, field.name) for field in fields(one) if field.name not in ("top", "found"))


def judge(
    heads: MergedHeads,
    top: Sequence[Hypothesis | None],
    truths: Sequence[Truth],
    decisions: DecisionSettings | None,
) -> SystemResults:
    """The results of the heads of merged lists, `top` being their hypotheses.

    With `decisions`, deciding "none" is an answer: right for requests out of scope and wrong for all others. With None,
    the best hypothesis is the answer.
    """
    domain_right = np.array([float(h is not None and t.owned_by(h.domain)) for h, t in zip(top, truths, strict=True)])
    errors = np.array([1.0 if h is None else semer(h, truth) for h, truth in zip(top, truths, strict=True)])
    unowned = np.array([truth.out_of_scope for truth in truths], bool)
    right = (errors == 0.0).astype(np.float64)
    return decided(heads, right, domain_right, errors, unowned, decisions, tuple(top))


def decided(
    heads: MergedHeads,
    right: Floats,
    domain_right: Floats,
    errors: Floats,
    unowned: NDArray[np.bool_],
    decisions: DecisionSettings | None,
    top: tuple[Hypothesis | None, ...] = (),
) -> SystemResults:
    """The results where "none" is decided by `decisions`; with None, only where a list is empty.

    `right`, `domain_right` and `errors` judge the heads; `unowned` marks the requests that are out of scope.
    """
    empty, none_code = heads.domain < 0, ACTIONS.index("none")
    actions = np.where(empty, none_code, 0) if decisions is None else heads.actions(decisions)
    none = actions == none_code
    return SystemResults(
        top,
        heads.probability,
        right,
        heads.out_of_scope,
        none,
        np.where(none, unowned, right),
        np.where(none, unowned, domain_right),
        np.where(none, ~unowned, errors),
        actions,
        heads.fallback,
    )


def text(reading: Hypothesis | Ranked | Truth | None) -> str:
    """A reading, or all that would be right, for people."""
    if isinstance(reading, Truth):
        return ", or ".join(map(_truth_text, reading.each))
    return "out of scope" if reading is None else _reading_text(reading.domain, reading.intent, reading.slots)


def _truth_text(truth: Truth) -> str:
    if truth.domain is None:
        return "out of scope" if truth.domains is None else f"no domain: {truth.intent}"
    names = " or ".join(name or "out of scope" for name in truth.domains or (truth.domain,))
    return _reading_text(names, truth.intent or truth.domain, truth.slots)


def _reading_text(domain: str, intent: str, given: Sequence[Slot]) -> str:
    slots = ", ".join(f"{slot.name} “{slot.value}”" for slot in given)
    return f"{domain}: {intent}" + (f" ({slots})" if slots else "")


def summarise(
    results: Mapping[str, SystemResults],
    held: Sequence[Example],
    *,
    against: Sequence[str],
    untuned: Mapping[str, str] = {},
    seed: int = 0,
) -> dict[str, Any]:
    """The metrics of each system, and its paired differences from each system named in `against`.

    A system in `untuned` is compared with the one that is named there, too. Rates are in [0, 1], NLL in nats. `ci`
    holds 95 % bootstrap intervals over requests. `per_domain` has accuracy and errors over the requests that the domain
    owns, and calibration over those that it wins.
    """
    columns = {system: measured(one) for system, one in results.items()}
    place = {system: slice(k * len(MEASURES), (k + 1) * len(MEASURES)) for k, system in enumerate(columns)}
    drawn = bootstrap_means(np.ascontiguousarray(np.vstack(list(columns.values())).T), seed).T
    alone: dict[int, dict[str, Any]] = {}
    found = {}
    for system, one in results.items():
        if id(one) not in alone:  # settings that are as untuned give the same results
            alone[id(one)] = _figures(one, columns[system], drawn[place[system]], held, seed)
        others = dict.fromkeys([*against, *([untuned[system]] if system in untuned else [])])
        found[system] = alone[id(one)] | {
            "against": {
                other: differences_of(columns[system] - columns[other], drawn[place[system]] - drawn[place[other]])
                for other in others
                if other in results and other != system
            }
        }
    return found


def _figures(one: SystemResults, columns: Floats, drawn: Floats, held: Sequence[Example], seed: int) -> dict[str, Any]:
    """The metrics of one system, the differences apart."""
    return {
        **dict(zip(MEASURES, map(float, columns.mean(axis=1)), strict=True)),
        **calibration_of(calibration(one.probability, one.right, seed=seed)),
        "decisions": _decisions(one),
        **_found(one),
        "ci": dict(zip(MEASURES, map(interval, drawn), strict=True)),
        "against": {},
        "per_domain": dict(_per_domain(one, held, seed)),
        "per_context": dict(_per_context(columns, held)),
    }


def measured(one: SystemResults) -> Floats:
    """Each request's value of each of `MEASURES`, shape (5, n)."""
    nll, brier = log_loss(one.probability, one.right), (one.probability - one.right) ** 2
    return np.stack([one.domain_right, 1.0 - one.answer_right, one.semer, nll, brier])


def cost(metrics: Mapping[str, Any]) -> str:
    """The seconds by stage, those of each system summed over the domains, and the peak memory where it is known."""
    stages = dict(metrics["seconds"])
    by_system = stages.pop(BY_SYSTEM)
    text = f"{sum(stages.values()):.0f} s: {_seconds(stages)}; {BY_SYSTEM}: {_seconds(by_system)}"
    held = metrics["peak_memory_bytes"]
    return text if held is None else f"{text}; at most {held / 1e9:.2f} GB of memory"


def _seconds(stages: Mapping[str, float]) -> str:
    return ", ".join(f"{stage} {spent:.1f}" for stage, spent in stages.items())


def differences_of(delta: Floats, drawn: Floats) -> dict[str, Estimate]:
    """The mean differences of `MEASURES`, shape (5, n), with the intervals of their bootstrap means."""
    return {
        name: Estimate(float(mean), *interval(draws))
        for name, mean, draws in zip(MEASURES, delta.mean(axis=1), drawn, strict=True)
    }


def calibration_of(figures: Calibration) -> dict[str, Any]:
    """The figures of calibration as they are reported."""
    ece = {name: getattr(figures, name) for name in ("ece", "ece_interval", "ece_floor", "ece_band")}
    return {**ece, "ece_in_band": figures.in_band, "over_confidence": figures.over}


def _decisions(one: SystemResults) -> dict[str, float | None]:
    """The share of each decision, of the fallback domain's and of `none` in scope; the rates of what is accepted."""
    accepted = one.actions == ACTIONS.index("accept")
    return {
        **{action: float((one.actions == code).mean()) for code, action in enumerate(ACTIONS)},
        "fallback": float(one.fallback.mean()),
        "none_in_scope": float((one.none & (one.answer_right == 0.0)).mean()),
        "accepted_domain_accuracy": _mean(one.domain_right[accepted]),
        "accepted_irer": _mean(1.0 - one.answer_right[accepted]),
    }


def _found(one: SystemResults) -> dict[str, float | None]:
    """The mean share of truths found, of utterances with several; nothing where there is no such utterance."""
    if one.found is None or np.isnan(one.found).all():
        return {}
    return {"found": _mean(one.found[~np.isnan(one.found)])}


def _per_domain(one: SystemResults, held: Sequence[Example], seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    owners = [example.truth.owners for example in held]
    winner = np.array([hypothesis.domain if hypothesis else "" for hypothesis in one.top])
    for name in sorted({*winner, *(name for names in owners for name in names)} - {""}):
        own, won = np.array([name in names for names in owners]), winner == name
        yield (
            str(name),
            {
                "n": int(own.sum()),
                "domain_accuracy": _mean(one.domain_right[own]),
                "irer": _mean(1.0 - one.answer_right[own]),
                "won": int(won.sum()),
                **calibration_of(calibration(one.probability[won], one.right[won], seed=seed)),
            },
        )


def _per_context(columns: Floats, held: Sequence[Example]) -> Iterator[tuple[str, dict[str, Any]]]:
    seen = Counter(
        (key, value) for e in held for key, value in e.request.context.items() if isinstance(value, str | bool)
    )
    for (key, value), n in sorted(seen.items(), key=str):
        if _SLICE <= n < len(held):
            mask = np.array([e.request.context.get(key) == value for e in held])
            yield f"{key}={value}", {"n": n, **dict(zip(MEASURES, map(_mean, columns[:, mask]), strict=True))}


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None
