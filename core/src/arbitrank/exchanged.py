"""Arbitrators over what a store serves, and with one artifact exchanged; the suites are run by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from arbitrank.arbitration.arbitrator import Arbitrator, Broken, Serving
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.profiles import profiles_of
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.domain import Domain
from arbitrank.errors import message
from arbitrank.guard import Fault, guarded
from arbitrank.learn.rerankers import baseline
from arbitrank.outcomes.suite_cases import Case, stored_cases
from arbitrank.outcomes.suite_runs import SuiteRun, run_suites
from arbitrank.shortlist.artifact import load_shortlister
from arbitrank.shortlist.hyprank import read_hyprank
from arbitrank.shortlist.shortlister import Shortlisting
from arbitrank.store.artifact import read_manifest
from arbitrank.store.decision_settings import load_decisions
from arbitrank.store.kinds import DECISIONS, HYPRANK, SHORTLIST
from arbitrank.store.loading import combined, load_domains, load_model, release_of, settled, with_stored
from arbitrank.store.store import Store


def serving_now(
    store: Store, domains: Mapping[str, Domain], decisions: DecisionSettings = DecisionSettings()
) -> Arbitrator:
    """The arbitrator over the stable versions, with the stable HypRank; `decisions` are the operator's."""
    served, hyprank = load_domains(domains, store, decisions.scales), store.stable(HYPRANK)
    order = None if hyprank is None else read_hyprank(hyprank)
    return Arbitrator(
        served, settled(decisions, store), hyprank=order, fallback=baseline, profiles=profiles_of(domains)
    )


def exchanged(
    now: Arbitrator,
    store: Store,
    domains: Mapping[str, Domain],
    name: str,
    folder: Path,
    decisions: DecisionSettings = DecisionSettings(),
    by: Recalibration | None = None,
) -> tuple[Arbitrator, Arbitrator]:
    """The arbitrators before and after the artifact in `folder` replaces what serves under a name.

    A Shortlister takes part where it is what is exchanged. `by` is the recalibration of a domain's candidate.
    """
    if name == DECISIONS:
        return now, replace(now, decisions=combined(decisions, load_decisions(folder)))
    if name == HYPRANK:
        return now, replace(now, hyprank=read_hyprank(folder))
    if name == SHORTLIST:
        stable = store.stable(SHORTLIST)
        listing = None if stable is None else Shortlisting(load_shortlister(stable))
        return replace(now, shortlisting=listing), replace(now, shortlisting=Shortlisting(load_shortlister(folder)))
    scales = with_stored(decisions.scales, store).get(name, {})
    model = guarded(load_model, domains[name], folder, scales)
    candidate: Serving | Broken
    if isinstance(model, Fault):
        candidate = Broken(message(model))
    else:
        version = read_manifest(folder).version
        candidate = Serving(model, version, "store", by, release=release_of(domains[name]))
    return now, replace(now, domains={**now.domains, name: candidate})


def suites_of(
    store: Store,
    domains: Mapping[str, Domain],
    name: str,
    folder: Path,
    decisions: DecisionSettings = DecisionSettings(),
    by: Recalibration | None = None,
) -> SuiteRun:
    """The results of all domains' cases by the candidate in `folder`, and by what serves; none without cases."""
    cases = stored_cases(store)
    if not cases:
        return SuiteRun((), ())
    before, after = exchanged(serving_now(store, domains, decisions), store, domains, name, folder, decisions, by)
    return run_suites(cases, after.answer, before.answer)


def suites_now(
    store: Store,
    domains: Mapping[str, Domain],
    decisions: DecisionSettings = DecisionSettings(),
    cases: Sequence[Case] | None = None,
) -> SuiteRun:
    """The results of cases, by default all domains', by what serves now."""
    cases = stored_cases(store) if cases is None else cases
    return run_suites(cases, serving_now(store, domains, decisions).answer) if cases else SuiteRun((), ())
