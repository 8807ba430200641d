"""Calibration and accuracy of systems under shift, as their settings were tuned before, and re-estimated.

Re-estimated is what is possible without other labels than the domain's own. Where requests count otherwise, it is the
share of out-of-scope ones, from the shifted requests without their truths: in the competition of the settings; of
settings without one, by tuning again with these requests as the traffic, where the share is what shifts. Where one
domain's scores are bent, it is this domain's calibration, as its training would choose it on half of the requests, for
the other half. A competition's slope and bias of such a domain do not hold for it any more, as in a service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from arbitrank.arbitration.competition import IDENTITY
from arbitrank.arbitration.decide import ACTIONS, DecisionSettings
from arbitrank.arbitration.following import with_share
from arbitrank.arbitration.merge import BestReadings, merge_heads, terms_of
from arbitrank.decisions.observed import Observed
from arbitrank.decisions.scope_share import estimate_share
from arbitrank.evaluate.intervals import interval
from arbitrank.evaluate.metrics import calibrated_eces, ece, in_band
from arbitrank.evaluate.shifts import Shift
from arbitrank.learn.calibration import IDENTITY as UNCHANGED
from arbitrank.learn.calibration_fitting import choose
from arbitrank.learn.gains import Gain
from arbitrank.probability import Floats, log_loss

MEASURES = ("domain_accuracy", "irer", "nll")
"""The means over requests that are reported; lower is better, except for the accuracy."""

_NAMED = 5  # shifts that a remark names, the worst first

Part = tuple[NDArray[np.int64], DecisionSettings]

Retuned = tuple[DecisionSettings, float]
"""Settings for traffic, and the share of out-of-scope requests that was estimated in it."""


class ShiftedSystem(NamedTuple):
    """One system's readings of the held-out requests, and of these as they were changed, by the name of the change.

    `parts` are the settings that decide, by the places of the requests; `fallback` is the number of the fallback domain
    of all of them. `retune` gives settings for traffic without truths, None where none are better.
    """

    observed: Observed
    parts: Sequence[Part]
    changed: Mapping[str, Observed]
    fallback: int | None = None
    retune: Callable[[Sequence[BestReadings]], Retuned | None] | None = None


class Outcomes(NamedTuple):
    """Outcomes of one system on n requests: P(right) of the heads, and 1 where head, answer and domain are right.

    `shares` are the re-estimated shares of out-of-scope requests, one for each part.
    """

    probability: Floats
    right: Floats
    answer: Floats
    domain: Floats
    shares: tuple[float, ...] = ()

    @property
    def columns(self) -> Floats:
        """Each request's value of each of `MEASURES`, shape (3, n)."""
        return np.stack([self.domain, 1.0 - self.answer, log_loss(self.probability, self.right)])


def under_shift(
    systems: Mapping[str, ShiftedSystem], shifts: Sequence[Shift], baseline: str, *, seed: int = 0
) -> list[dict[str, Any]]:
    """The figures of each shift: those of each system, differences from the `baseline` system, and re-estimated."""
    found = [_Measured(name, system, shifts, seed) for name, system in systems.items()]
    references = next(one for one in found if one.name == baseline)
    rows = []
    for k, one in enumerate(shifts):
        reference = references.before[k].columns
        figures = {each.name: each.figures(k, None if each.name == baseline else reference) for each in found}
        described = {"kind": one.kind, "shift": one.name, "effective_n": one.effective}
        rows.append({**described, "baseline": baseline, "systems": figures})
    return rows


class _Measured:
    """The outcomes of one system under every shift, with the bands of their ECEs."""

    def __init__(self, name: str, system: ShiftedSystem, shifts: Sequence[Shift], seed: int) -> None:
        self.name, self._shifts = name, shifts
        plain = outcomes(system, shifts[0])
        self.before = [plain if _same_scores(one) else outcomes(system, one) for one in shifts]
        self.after = [re_estimated(system, one, seed=seed) for one in shifts]
        self._floors: dict[tuple[int, bool], Floats] = {}
        weights: dict[int, list[tuple[int, bool]]] = {}
        every = {(k, False): one for k, one in enumerate(self.before)}
        every |= {(k, True): one for k, one in enumerate(self.after) if one is not None}
        for key, one in every.items():
            weights.setdefault(id(one), []).append(key)
        for keys in weights.values():
            drawn = calibrated_eces(
                every[keys[0]].probability, [shifts[k].weight for k, _ in keys], np.random.default_rng(seed)
            )
            self._floors |= dict(zip(keys, drawn, strict=True))

    def figures(self, k: int, reference: Floats | None) -> dict[str, Any]:
        """The figures under the k-th shift, with the differences from a reference's columns where there is one."""
        after = self.after[k]
        again = None if after is None else self._figures(after, k, reference, again=True)
        return {**self._figures(self.before[k], k, reference, again=False), "re_estimated": again}

    def _figures(self, one: Outcomes, k: int, reference: Floats | None, *, again: bool) -> dict[str, Any]:
        weight, floor, columns = self._shifts[k].weight, self._floors[k, again], one.columns
        error, band = ece(one.probability, one.right, weight=weight), interval(floor)
        deltas = [] if reference is None else [Gain.of(delta, weight) for delta in columns - reference]
        return {
            **{name: float(np.average(own, weights=weight)) for name, own in zip(MEASURES, columns, strict=True)},
            "ece": error,
            "ece_floor": float(floor.mean()),
            "ece_band": band,
            "ece_in_band": in_band(error, band),
            "over_confidence": float(np.average(one.probability - one.right, weights=weight)),
            "against_baseline": dict(zip(MEASURES, deltas, strict=False)),
            **({"out_of_scope_shares": one.shares} if one.shares else {}),
        }


def _same_scores(one: Shift) -> bool:
    return one.bend is None and one.change is None


def _assumes_share(settings: DecisionSettings) -> bool:
    """True where the settings are for a share of out-of-scope requests, which can be estimated again."""
    competition = settings.competition
    return competition is not None and competition.null is not None and competition.share is not None


def outcomes(system: ShiftedSystem, one: Shift) -> Outcomes:
    """The outcomes under a shift by the tuned settings."""
    return _decided(system, _bent(system, one), one, system.parts)


def re_estimated(system: ShiftedSystem, one: Shift, *, seed: int = 0) -> Outcomes | None:
    """The outcomes under a shift with what is re-estimated; None where nothing is."""
    observed = _bent(system, one)
    if one.domain is not None:
        return _decided(system, recalibrated(observed, one.domain, seed=seed), one, system.parts)
    if any(_assumes_share(settings) for _, settings in system.parts):
        found = [
            _of_traffic(observed.at(places), settings, system.fallback, one.weight[places])
            if _assumes_share(settings)
            else (settings, None)
            for places, settings in system.parts
        ]
        parts = [(places, settings) for (places, _), (settings, _) in zip(system.parts, found, strict=True)]
        return _decided(system, observed, one, parts, [share for _, share in found if share is not None])
    if system.retune is None or len(system.parts) > 1 or one.kind not in ("none", "out of scope"):
        return None
    chosen = np.random.default_rng(seed).choice(len(one.weight), len(one.weight), p=one.weight / one.weight.sum())
    again = system.retune([readings.at(chosen) for readings in observed.readings])
    return None if again is None else _decided(system, observed, one, [(system.parts[0][0], again[0])], [again[1]])


def _bent(system: ShiftedSystem, one: Shift) -> Observed:
    observed = system.observed if one.change is None else system.changed[one.change]
    if one.bend is None or one.domain is None:
        return observed
    return _with_mine(observed, one.domain, one.bend(observed.readings[one.domain].mine))


def _decided(
    system: ShiftedSystem, observed: Observed, one: Shift, parts: Sequence[Part], shares: Sequence[float] = ()
) -> Outcomes:
    found = [_outcomes(observed.at(places), settings, system.fallback, one.domain) for places, settings in parts]
    order = np.argsort(np.concatenate([places for places, _ in parts]), kind="stable")
    p, right, answer, domain = (np.concatenate(each)[order] for each in zip(*found, strict=True))
    return Outcomes(p, right, answer, domain, tuple(shares))


def _of_traffic(
    observed: Observed, settings: DecisionSettings, fallback: int | None, weight: Floats
) -> tuple[DecisionSettings, float]:
    """The settings for the most likely share of out-of-scope requests, by these requests without truths; the share."""
    competition = settings.competition
    assert competition is not None
    assert competition.share is not None
    none = _merged(observed, settings, fallback, None).out_of_scope
    share = estimate_share(none, competition.share, weight).share
    return replace(settings, competition=with_share(competition, share)), share


def _merged(observed: Observed, settings: DecisionSettings, fallback: int | None, changed: int | None) -> Any:
    terms = terms_of(settings, observed.domains)
    if terms is not None and changed is not None:
        group = terms[changed][2:]
        own = (*IDENTITY, 0.0, *group[1:]) if group else IDENTITY
        terms = [
            own if k == changed else term for k, term in enumerate(terms)
        ]  # they are valid only for the version that they were fitted on
    return merge_heads(observed.readings, settings, fallback, terms)


def _outcomes(
    observed: Observed, settings: DecisionSettings, fallback: int | None, changed: int | None
) -> tuple[Floats, Floats, Floats, Floats]:
    heads = _merged(observed, settings, fallback, changed)
    at, first, empty = np.arange(len(heads.domain)), np.maximum(heads.domain, 0), heads.domain < 0
    right, owned = observed.right[at, first] & ~empty, observed.owners[at, first] & ~empty
    none = heads.actions(settings) == ACTIONS.index("none")
    answer, domain = (np.where(none, observed.out_of_scope, one) for one in (right, owned))
    p, y, a, d = (np.asarray(one, np.float64) for one in (heads.probability, right, answer, domain))
    return p, y, a, d


def _with_mine(observed: Observed, domain: int, mine: Floats) -> Observed:
    """The readings with other P(mine) of one domain; its P(right | mine) stay."""
    one = observed.readings[domain]
    has = one.best >= 0
    scale = np.where(has, mine / np.maximum(np.maximum(one.mine, one.total), 1e-300), 0.0)
    bent = BestReadings(np.where(has, mine, 0.0), one.right * scale, one.best, one.total * scale, one.keys)
    return observed._replace(readings=(*observed.readings[:domain], bent, *observed.readings[domain + 1 :]))


def recalibrated(observed: Observed, domain: int, *, seed: int = 0) -> Observed:
    """The readings with the domain's P(mine) through a map that its training would choose on the other half of them."""
    one, has = observed.readings[domain], observed.readings[domain].best >= 0
    owned, mine = observed.owners[:, domain].astype(np.float64), one.mine.copy()
    half = np.random.default_rng(seed).permutation(len(mine)) % 2 == 0
    for part in (half, ~half):
        learnt = choose(one.mine[~part & has], owned[~part & has], seed=seed)
        if learnt != UNCHANGED and (part & has).any():
            mine[part & has] = learnt(one.mine[part & has])
    return _with_mine(observed, domain, mine)


# ----------------------------------------------------------------------------------------------------------- for people


def distinct_systems(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The systems by their names, each with the first one that has the same figures everywhere, mostly itself."""
    figures = {name: [_own(row["systems"][name]) for row in rows] for name in rows[0]["systems"]}
    return {name: next(other for other in figures if figures[other] == own) for name, own in figures.items()}


def _own(one: Mapping[str, Any]) -> list[Any]:
    """The figures of a system that do not depend on the baseline, before and after re-estimation."""
    own = [one[name] for name in (*MEASURES, "ece")]
    again = one["re_estimated"]
    return own if again is None else [*own, *_own({**again, "re_estimated": None})]


def remarks(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Sentences on each system: where its ECE leaves its band, and where it is surely worse than the baseline."""
    baseline = rows[0]["baseline"]
    for system, same in distinct_systems(rows).items():
        if same != system:
            yield f"{system}: as {same}"
            continue
        figures = [(row["shift"], row["systems"][system]) for row in rows]
        out = [(name, one) for name, one in figures if not one["ece_in_band"]]
        out.sort(key=lambda each: each[1]["ece_band"][1] - each[1]["ece"])
        if out:
            named = _named([f"{name} {_above(one)}" for name, one in out])
            yield f"{system}: ECE is above its band in {len(out)} of {len(rows)} rows: {named}"
        else:
            yield f"{system}: ECE is in its band in all {len(rows)} rows"
        for measure, title, sign in (("domain_accuracy", "domain accuracy", 1.0), ("irer", "IRER", -1.0)):
            against = [(name, one["against_baseline"][measure]) for name, one in figures if system != baseline]
            worse = [f"{name} {_points(gain)}" for name, gain in against if max(sign * gain.low, sign * gain.high) < 0]
            if worse:
                yield f"{system}: {title} is surely worse than that of {baseline} in {len(worse)}: {_named(worse)}"


def _named(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return "; ".join(texts[:_NAMED]) + more


def _points(gain: Gain) -> str:
    return f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"


def _above(one: Mapping[str, Any]) -> str:
    text, again = f"{100 * one['ece']:.1f} > {100 * one['ece_band'][1]:.1f} %", one["re_estimated"]
    if again is None or again["ece"] == one["ece"]:
        return text
    sign = "≤" if again["ece_in_band"] else ">"
    return f"{text} (re-estimated {100 * again['ece']:.1f} {sign} {100 * again['ece_band'][1]:.1f})"
