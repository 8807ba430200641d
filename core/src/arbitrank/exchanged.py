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
from arbitrank.shortlist.hyprank import HypRank, read_hyprank
from arbitrank.shortlist.served import served_shortlisting
from arbitrank.shortlist.shortlister import Shortlisting, ShortlistSettings
from arbitrank.store.artifact import read_manifest
from arbitrank.store.decision_settings import load_decisions
from arbitrank.store.kinds import DECISIONS, HYPRANK, SHORTLIST
from arbitrank.store.loading import combined, load_domains, load_model, release_of, settled, with_stored
from arbitrank.store.store import Store


def serving_now(
    store: Store,
    domains: Mapping[str, Domain],
    decisions: DecisionSettings = DecisionSettings(),
    shortlist: ShortlistSettings | None = None,
    hyprank: HypRank | None = None,
) -> Arbitrator:
    """The arbitrator over the stable versions; `decisions` are the operator's, a `hyprank` sorts in the store's place.

    With `shortlist`, the settings of a service that has one, the stable Shortlister chooses the domains too.
    """
    served, stable, listing = load_domains(domains, store, decisions.scales), store.stable(HYPRANK), None
    order = read_hyprank(stable) if hyprank is None and stable is not None else hyprank
    if shortlist is not None:
        listing = _listing(store.stable(SHORTLIST), domains, store, shortlist)
    return Arbitrator(
        served, settled(decisions, store), hyprank=order, shortlisting=listing, fallback=baseline,
        profiles=profiles_of(domains),
    )  # fmt: skip


def _listing(
    folder: Path | None, domains: Mapping[str, Domain], store: Store, settings: ShortlistSettings
) -> Shortlisting | None:
    """The stage by the Shortlister in a folder, None without one."""
    if folder is None:
        return None
    return served_shortlisting(folder, read_manifest(folder).version, domains, store, settings)


def exchanged(
    now: Arbitrator,
    store: Store,
    domains: Mapping[str, Domain],
    name: str,
    folder: Path,
    decisions: DecisionSettings = DecisionSettings(),
    by: Recalibration | None = None,
    shortlist: ShortlistSettings = ShortlistSettings(),
) -> tuple[Arbitrator, Arbitrator]:
    """The arbitrators before and after the artifact in `folder` replaces what serves under a name.

    `by` is the recalibration of a domain's candidate, `shortlist` are the settings of a Shortlister that is exchanged,
    which then takes part.
    """
    if name == DECISIONS:
        return now, replace(now, decisions=combined(decisions, load_decisions(folder)))
    if name == HYPRANK:
        return now, replace(now, hyprank=read_hyprank(folder))
    if name == SHORTLIST:
        lists = (_listing(one, domains, store, shortlist) for one in (store.stable(SHORTLIST), folder))
        before, after = (replace(now, shortlisting=one) for one in lists)
        return before, after
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
        return SuiteRun(())
    before, after = exchanged(serving_now(store, domains, decisions), store, domains, name, folder, decisions, by)
    return run_suites(cases, after.answer, before.answer)


def suites_now(
    store: Store,
    domains: Mapping[str, Domain],
    decisions: DecisionSettings = DecisionSettings(),
    cases: Sequence[Case] | None = None,
    domain: str | None = None,
) -> SuiteRun:
    """The results of cases, by default all domains', by what serves now; with `domain` of its cases alone."""
    cases = stored_cases(store) if cases is None else cases
    if not any(domain in (None, case.domain) for case in cases):
        return SuiteRun(())
    return run_suites(cases, serving_now(store, domains, decisions).answer, domain=domain)
