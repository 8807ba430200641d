"""Previews of a change of a domain or stage: the replay of requests with the version that would serve.

The changes are those of a store: promoting a version, going back to the previous one, and recalibrating the stable one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.policy import Policy
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.domain import Domain
from arbitrank.errors import ArtifactError, InputError
from arbitrank.evaluate.metrics import Calibration
from arbitrank.evaluate.reliability import ReliabilityCurve
from arbitrank.exchanged import exchanged, serving_now, suites_of
from arbitrank.impact.answered import StageExchange, answered_impact, answered_value
from arbitrank.impact.curves import answer_curves, own_curves
from arbitrank.impact.flips import SIDES, Side
from arbitrank.impact.gate import GateLimits, GateReason, judge, over_limit
from arbitrank.impact.plan import plan
from arbitrank.impact.recalibrating import fit
from arbitrank.impact.report import Impact, measure
from arbitrank.impact.suite_gate import suite_reasons
from arbitrank.impact.value_work import value_in
from arbitrank.promotion import consider
from arbitrank.registry import domain_named
from arbitrank.shortlist.hyprank import HypRank
from arbitrank.shortlist.shortlister import ShortlistSettings
from arbitrank.store.artifact import read_card
from arbitrank.store.kinds import DECISIONS, HYPRANK, train_command
from arbitrank.store.loading import present
from arbitrank.store.state import first_share
from arbitrank.store.store import Store

Verb = Literal["promote", "rollback", "shrink"]


class Preview(msgspec.Struct, frozen=True):
    """Effect of a change: the impact report, the gate's reasons against it, and the reliability of both sides.

    `change` is the number of the last change when it was computed. `curves` are of the answers' P(right), `own` of that
    of the domain's best reading of every request. `recalibration` is that after the change, None without one.
    `too_sure` says that the domain would claim too much, with the next command.
    """

    domain: str
    verb: Verb
    change: int
    impact: Impact
    reasons: tuple[GateReason, ...]
    curves: dict[Side, ReliabilityCurve]
    own: dict[Side, ReliabilityCurve]
    recalibration: Recalibration | None = None
    too_sure: str | None = None


def preview(
    store: Store,
    domains: Mapping[str, Domain],
    name: str,
    verb: Verb,
    path: Path,
    *,
    version: str | None = None,
    by: Recalibration | None = None,
    fitted: bool = False,
    since: float | None = None,
    called: str | None = None,
    log: Path | None = None,
    policy: Policy | None = None,
    decisions: DecisionSettings = DecisionSettings(),
    limits: GateLimits = GateLimits(),
) -> Preview:
    """The preview of a change on the requests of a file or log; nothing is changed.

    `version` is the one to promote, by default the candidate; where a `log` is given, it is valued by the reactions in
    that to answers under the `policy`, as in a promotion, and all domains' suites are run. `by` is the
    recalibration to shrink by; with `fitted` it is fitted to these requests. Raises `InputError` where there is no
    such version, `ArtifactError` for a damaged one.
    """
    number, _ = store.state(name)
    folder, card, by = _exchanged(store, domains, name, verb, version, by)
    replayed = plan(domains, store, name, folder, decisions=decisions, since=since, by=by, policy=policy)
    if verb == "shrink" and fitted:
        by = fit(replayed, path)[0].recalibration
        replayed = dataclasses.replace(replayed, candidate=dataclasses.replace(replayed.candidate, recalibration=by))
    impact, found = measure(replayed, path, card=card, called=called)
    if log is not None and impact.value is None:
        since = first_share(store.history(name), replayed.candidate.version)
        impact = replace(impact, value=value_in(log, replayed, since))
    suites = suites_of(store, domains, name, replayed.candidate.folder, decisions, by)
    impact = replace(impact, suites=suites.results, notes=[*impact.notes, *suites.notes])
    reasons = judge(impact, card, limits, domain=name) if verb == "promote" else _worse(impact, limits)
    reasons += suite_reasons(name, suites)
    return Preview(
        name, verb, number, impact, tuple(reasons), answer_curves(impact, found), own_curves(impact, found), by,
        over_limit(impact, limits, promoted=True),
    )  # fmt: skip


def _exchanged(
    store: Store, domains: Mapping[str, Domain], name: str, verb: Verb, version: str | None, by: Recalibration | None
) -> tuple[Path, Calibration | None, Recalibration | None]:
    """The artifact that would serve, its card where it is to be promoted or serves again, and its recalibration."""
    if verb == "shrink":
        return present(name, domain_named(name, domains), store).folder, None, by
    chosen = _chosen(store, name, verb, version)
    folder = store.fetch(name, chosen)
    if verb == "promote":
        return folder, read_card(folder), None
    served = (one.state.served_by for one in reversed(store.history(name)) if one.state.stable == chosen)
    return folder, read_card(folder), next(served, None)


def _chosen(store: Store, name: str, verb: Verb, version: str | None) -> str:
    """The version that would serve. Raises `InputError` where there is none."""
    _, state = store.state(name)
    chosen = state.previous if verb == "rollback" else version or state.candidate
    if chosen is None:
        missing = "previous version" if verb == "rollback" else "candidate"
        raise InputError(f"{name}: no {missing} in {store}; run: {train_command(name)}")
    return chosen


def stage_preview(
    store: Store,
    domains: Mapping[str, Domain],
    name: str,
    verb: Verb,
    path: Path,
    *,
    version: str | None = None,
    since: float | None = None,
    called: str | None = None,
    log: Path | None = None,
    policy: Policy | None = None,
    decisions: DecisionSettings = DecisionSettings(),
    limits: GateLimits = GateLimits(),
    shortlist: ShortlistSettings | None = None,
    hyprank: HypRank | None = None,
    seed: int = 0,
) -> Preview:
    """The preview of a change of the decision settings, the Shortlister or the HypRank, as `preview` has it.

    The requests are answered whole, with what serves now and with the change. The gate's reasons are those that a
    promotion of the version would have, by the audit set. `shortlist` are the settings of a service that has one, a
    `hyprank` sorts in the place of the store's. Raises `InputError` where there is no such version, or the change is
    none of a stage.
    """
    if verb == "shrink":
        raise InputError(f"{name}: a stage has no probabilities of its own to recalibrate")
    if name == HYPRANK and hyprank is not None:
        raise InputError(f"{name}: --hyprank names the one that sorts, so no version of the store does")
    number, state = store.state(name)
    chosen, notes = _chosen(store, name, verb, version), list[str]()
    judgement = consider(store, domains, name, chosen, limits=limits, decisions=decisions, note=notes.append)
    if judgement.problem is not None:
        raise ArtifactError(f"{name} {chosen}: {judgement.problem}")
    sides = exchanged(
        serving_now(store, domains, decisions, shortlist, hyprank), store, domains, name, store.fetch(name, chosen),
        decisions, shortlist=shortlist or ShortlistSettings(),
    )  # fmt: skip
    answering = {side: one.arbitrate for side, one in zip(SIDES, sides, strict=True)}
    exchange = StageExchange.of(name, state.stable, chosen, answering, policy)
    impact, found = answered_impact(path, exchange, since=since, called=called, seed=seed)
    if log is not None and impact.value is None:
        impact = replace(impact, value=answered_value(log, exchange, first_share(store.history(name), chosen)))
    judged = "on the audit set" if judgement.audit is not None else "on no request, as the store has no audit set"
    notes = [f"its gate judges it {judged}", *notes, *impact.notes]
    if name == DECISIONS and not found.labelled["unowned"].any():
        notes.append("no request is known to be out of scope, so the gate counts no decision none; this report does")
    impact = replace(impact, suites=judgement.suites, notes=notes)
    return Preview(name, verb, number, impact, judgement.reasons, answer_curves(impact, found), {})


def _worse(impact: Impact, limits: GateLimits) -> list[GateReason]:
    """The gate's reasons on answers alone: a version that has served, or serves, is not judged by its card."""
    return [one for one in judge(impact, None, limits, domain=impact.domain) if one.what not in ("card", "self-test")]
