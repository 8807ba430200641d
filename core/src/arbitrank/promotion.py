"""Promotion of a version: its self-test, the gate of its kind, and the change. The command and the service share it.

judgement = consider(store, domains, "weather")
change = promote(store, judgement)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from arbitrank.arbitration.arbitrator import Arbitrator
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.lineup import outdated
from arbitrank.arbitration.policy import Policy
from arbitrank.arbitration.profiles import profiles_of
from arbitrank.domain import Domain
from arbitrank.errors import DataError, InputError
from arbitrank.evaluate.metrics import Calibration
from arbitrank.exchanged import suites_of
from arbitrank.impact.gate import GateLimits, GateReason, judge, value_reasons
from arbitrank.impact.observation import observe
from arbitrank.impact.plan import ReplayPlan, plan
from arbitrank.impact.recalibrating import FittedRecalibration, fit
from arbitrank.impact.report import Impact, measure
from arbitrank.impact.settings_gate import settings_reasons
from arbitrank.impact.suite_gate import suite_reasons
from arbitrank.impact.value_work import value_in
from arbitrank.impact.valued import ValueReport
from arbitrank.learn.rerankers import baseline
from arbitrank.outcomes.suite_runs import CaseResult, SuiteRun
from arbitrank.selftest import selftest
from arbitrank.shortlist.artifact import load_shortlister
from arbitrank.shortlist.gates import catalogue_reasons, order_reasons, recall_reasons, tool_reasons
from arbitrank.shortlist.hyprank import read_hyprank
from arbitrank.store.artifact import read_card
from arbitrank.store.decision_settings import load_decisions, load_tuning
from arbitrank.store.kinds import DECISIONS, HYPRANK, RESERVED, SHORTLIST, checked_name, train_command
from arbitrank.store.loading import combined, load_domains, release_of, settled, with_stored
from arbitrank.store.state import Change, first_share
from arbitrank.store.store import Store

_OF_CALIBRATION = ("card", "limit")  # reasons of the gate that a recalibration can remove


@dataclass(frozen=True)
class Judgement:
    """The judgement of a version that is to be promoted; `reasons` are the gate's against it, none where it passes.

    `number` is that of the last change when it was judged. `impact` is a domain's replay of the audit set. It is None
    for a stage, without an audit set (`audit`) and where the version failed its self-test (`problem`). It was
    `recalibrated` where that was allowed and needed. `code` is the release of the domain's environment, where it has
    one, that the version was tested with. `suites` are the results of the cases of all domains' suites, `value` is that
    by users' reactions, where it was judged by a log too.
    """

    domain: str
    version: str
    number: int
    audit: Path | None
    problem: str | None
    impact: Impact | None
    reasons: tuple[GateReason, ...]
    recalibrated: FittedRecalibration | None = None
    code: str | None = None
    suites: tuple[CaseResult, ...] = ()
    value: ValueReport | None = None


def consider(
    store: Store,
    domains: Mapping[str, Domain],
    name: str,
    version: str | None = None,
    *,
    limits: GateLimits = GateLimits(),
    decisions: DecisionSettings = DecisionSettings(),
    jobs: int = 1,
    note: Callable[[str], None] = lambda text: None,
    recalibrate: bool = False,
    log: Path | None = None,
    policy: Policy | None = None,
) -> Judgement:
    """Self-test a version of a domain or stage, by default its candidate, and judge it on the audit set by its gate.

    With `recalibrate`, a domain whose probabilities the gate refuses is judged again with the recalibration that the
    audit set chooses. `decisions` are the settings of the service; with its `log`, a domain is judged by users'
    reactions too, to answers under its `policy`. The version is verified once, as it is copied into a private
    folder. Raises `InputError` where there is no candidate, `ArtifactError` where a check fails.
    """
    name = checked_name(name)
    number, state = store.state(name)
    chosen = version or state.candidate
    if chosen is None:
        raise InputError(f"{name}: no candidate in {store}; run: {train_command(name)}, or name a version")
    impact = fitted = value = None
    reasons: Sequence[GateReason]
    with store.checked_out(name, chosen) as folder:
        scales = with_stored(decisions.scales, store).get(name, {})
        problem, audit = selftest(folder, name, scales=scales), store.audit_set()
        card = None if name in RESERVED else read_card(folder)
        if audit is None or problem:
            reasons = judge(None, card, limits, problem=problem, domain=name)
        elif name == SHORTLIST:
            reasons = recall_reasons(folder, store.stable(name), audit, limits)
        elif name == HYPRANK:
            reasons = _hyprank_reasons(store, domains, folder, audit, decisions, limits)
        elif name == DECISIONS:
            reasons = _settings_reasons(store, domains, folder, audit, decisions, limits, note)
        else:
            exchanged = plan(domains, store, name, folder, checked=True, decisions=decisions)
            impact, fitted, reasons = _audited(exchanged, audit, card, limits, jobs, note, recalibrate)
        if log is not None and name not in RESERVED and not problem:
            exchanged = plan(domains, store, name, folder, checked=True, decisions=decisions, policy=policy)
            value = value_in(log, exchanged, first_share(store.history(name), chosen), jobs=jobs)
            reasons = (*reasons, *value_reasons(value, limits))
        if name == SHORTLIST and not problem:
            reasons = (*reasons, *catalogue_reasons(folder, store.stable(name)))
        suites = SuiteRun(())
        if not problem:
            by = None if fitted is None else fitted.recalibration
            suites = suites_of(store, domains, name, folder, decisions, by)
            reasons = (*reasons, *suite_reasons(name, suites))
            for one in suites.notes:
                note(one)
    code = release_of(domains[name]) if name in domains else None
    results = suites.results
    return Judgement(name, chosen, number, audit, problem, impact, tuple(reasons), fitted, code, results, value)


def _audited(
    replayed: ReplayPlan,
    audit: Path,
    card: Calibration | None,
    limits: GateLimits,
    jobs: int,
    note: Callable[[str], None],
    recalibrate: bool,
) -> tuple[Impact, FittedRecalibration | None, Sequence[GateReason]]:
    """A domain's replay of the audit set and the gate's reasons by it, perhaps with a fitted recalibration."""
    fitted = None
    impact, _ = measure(replayed, audit, card=card, jobs=jobs, called="the audit set")
    for one in impact.notes:
        note(one)
    reasons = judge(impact, card, limits, domain=replayed.name)
    if recalibrate and any(one.what in _OF_CALIBRATION for one in reasons):
        fitted, _, _ = fit(replayed, audit, jobs=jobs)
        mapped = dataclasses.replace(replayed.candidate, recalibration=fitted.recalibration)
        replayed = dataclasses.replace(replayed, candidate=mapped)
        impact, _ = measure(replayed, audit, card=card, jobs=jobs, called="the audit set")
        reasons = judge(impact, card, limits, domain=replayed.name)
    return impact, fitted, reasons


def _hyprank_reasons(
    store: Store,
    domains: Mapping[str, Domain],
    folder: Path,
    audit: Path,
    decisions: DecisionSettings,
    limits: GateLimits,
) -> Sequence[GateReason]:
    """The reasons of the gate against a HypRank: by its order of readings, and of the stable Shortlister's tools."""
    stable, shortlist = store.stable(HYPRANK), store.stable(SHORTLIST)
    before, after = None if stable is None else read_hyprank(stable), read_hyprank(folder)
    reasons: list[GateReason] = []
    if after.sorts_readings or (before is not None and before.sorts_readings):
        served, profiles = load_domains(domains, store, decisions.scales), profiles_of(domains)
        answer = Arbitrator(served, settled(decisions, store), fallback=baseline, profiles=profiles).answer
        reasons += order_reasons(before, after, audit, answer, limits)
    if shortlist is not None and (after.tools or (before is not None and before.tools)):
        reasons += tool_reasons(before, after, audit, load_shortlister(shortlist), limits)
    return reasons


def _settings_reasons(
    store: Store,
    domains: Mapping[str, Domain],
    folder: Path,
    audit: Path,
    operator: DecisionSettings,
    limits: GateLimits,
    note: Callable[[str], None],
) -> Sequence[GateReason]:
    """The reasons of the gate against decision settings, which complete those of the operator."""
    before, after = settled(operator, store), combined(operator, load_decisions(folder))
    try:
        observation = observe(domains, store, audit, after)
    except DataError as error:
        note(f"{DECISIONS}: not judged on the audit set: {error}")
        return ()
    for text in dict.fromkeys((*observation.notes, *outdated(after, observation.served))):
        note(text)
    return settings_reasons(observation, before, after, limits, load_tuning(folder), note)


def promote(
    store: Store, judgement: Judgement, *, force: bool = False, reason: str | None = None, by: str | None = None
) -> Change | None:
    """Make the version stable; None where the gate refuses and `force` does not override it, which the history records.

    `by` is the name of the token of a caller over HTTP. Passing the gate resets the recalibration to the one that it
    was judged with. Raises `Conflict` after a change since the judgement.
    """
    if judgement.reasons and not force:
        return None
    passed = judgement.impact is not None and not judgement.reasons
    recalibration = None if judgement.recalibrated is None else judgement.recalibrated.recalibration
    return store.promote(
        judgement.domain,
        judgement.version,
        expected=judgement.number,
        reason=reason,
        forced=bool(judgement.reasons),
        overrode=[one.text for one in judgement.reasons],
        recalibration=recalibration if passed else "kept",
        by=by,
        checked=True,
        code=judgement.code,
    )
