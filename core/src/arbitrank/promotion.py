"""To promote a version: what the gate makes of it, and the change where it may. The command and the service share this.

judgement = consider(store, domains, "weather")
change = promote(store, judgement)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.domain import Domain
from arbitrank.errors import InputError
from arbitrank.impact.gate import Limits, Reason, judge
from arbitrank.impact.report import Impact, measure, plan
from arbitrank.selftest import selftest
from arbitrank.shortlist.recall_gate import recall_reasons
from arbitrank.store.artifact import read_card
from arbitrank.store.kinds import SHORTLIST, checked_name
from arbitrank.store.state import Change
from arbitrank.store.store import Store


def _silent(note: str) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Judgement:
    """What was found of a version that somebody wants to serve; `reasons` are why it may not, none where it may.

    `number` is the domain's last change when it was looked at. `impact` is what the audit set's replay showed, None
    where there is no audit set (`audit`) or the version failed its self-test (`problem`).
    """

    domain: str
    version: str
    number: int
    limits: Limits
    audit: Path | None
    problem: str | None
    impact: Impact | None
    reasons: tuple[Reason, ...]


def consider(
    store: Store,
    domains: Mapping[str, Domain],
    domain: str,
    version: str | None = None,
    *,
    limits: Limits = Limits(),
    decisions: DecisionSettings = DecisionSettings(),
    jobs: int = 1,
    note: Callable[[str], None] = _silent,
) -> Judgement:
    """Try a version of a domain, by default its candidate, replay the audit set with it, and have the gate judge.

    `decisions` are the settings that the service decides by. Raises `InputError` where there is no candidate,
    `ArtifactError` where the version isn't sound.
    """
    domain = checked_name(domain)
    number, state = store.state(domain)
    chosen = version or state.candidate
    if chosen is None:
        train = "shortlist train" if domain == SHORTLIST else f"train {domain}"
        raise InputError(f"domain {domain}: no candidate in {store}; run: arbitrank {train}, or name a version")
    folder = store.fetch(domain, chosen)
    problem = selftest(folder, domain)
    audit = store.audit_set()
    impact = None
    if domain == SHORTLIST:
        stable = None if audit is None or problem else store.stable(domain)
        against = tuple(judge(None, None, limits, problem=problem))
        if audit is not None and problem is None:
            against = recall_reasons(folder, stable, audit, limits)
        return Judgement(domain, chosen, number, limits, audit, problem, None, against)
    if audit is not None and problem is None:
        replayed = plan(domains, store, domain, folder, decisions=decisions)
        impact, _ = measure(replayed, audit, card=read_card(folder), jobs=jobs, called="the audit set")
        for one in impact.notes:
            note(one)
    reasons = tuple(judge(impact, read_card(folder), limits, problem=problem))
    return Judgement(domain, chosen, number, limits, audit, problem, impact, reasons)


def promote(store: Store, judgement: Judgement, *, force: bool = False, reason: str | None = None) -> Change | None:
    """Make the version stable, or None where the gate refuses and nobody forces it; a forced one says what it overrode.

    Whom the gate lets pass is not shrunk any more. Raises `Conflict` where the domain was changed since it was judged.
    """
    if judgement.reasons:
        if not force:
            return None
        reason = f"{reason} (overrode: {'; '.join(one.text for one in judgement.reasons)})"
    passed = judgement.impact is not None and not judgement.reasons
    return store.promote(
        judgement.domain,
        judgement.version,
        expected=judgement.number,
        reason=reason,
        forced=bool(judgement.reasons),
        temperature=1.0 if passed else None,
    )


def check_reason(force: bool, reason: str | None) -> None:
    """Raise `InputError` where somebody forces without saying why."""
    if force and not (reason or "").strip():
        raise InputError("--force: no --reason; promised one, it is kept in the history")
