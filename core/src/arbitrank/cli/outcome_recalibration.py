"""Recalibration from outcomes on a terminal: what was fitted to what, and what the gate says."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from arbitrank.answerlog.period import begin_in
from arbitrank.answerlog.reader import UnreadableLines, source
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.recalibration import Recalibration, alike
from arbitrank.cli import options
from arbitrank.impact.outcome_recalibration import logged, outcome_reasons, outcome_recalibrations
from arbitrank.impact.plan import plan
from arbitrank.outcomes.recalibrating import LEAST, OutcomeRecalibration
from arbitrank.registry import discover, domain_named, loaded
from arbitrank.store.loading import present
from arbitrank.store.store import Store


def from_outcomes(
    domain: str,
    path: Path,
    begins: str | None,
    jobs: int,
    scales: dict[str, dict[str, str]],
    store: Store,
    *,
    force: bool,
) -> Recalibration | None:
    """The recalibration of a domain by a log's outcomes, None for none; the process ends where none is to be set."""
    domains = loaded(discover())
    now = present(domain, domain_named(domain, domains), store)
    since = None if begins is None else begin_in(begins, source(path))
    version = now.manifest.version
    unreadable = UnreadableLines()
    found = outcome_recalibrations(logged(path, since, unreadable), [domain], {domain: version})[domain]
    if unreadable.n:
        options.note(unreadable)
    click.echo(f"{domain} {version} {words(found)}")
    if found.weight < LEAST:
        click.echo(f"nothing is changed: outcomes and truths that weigh {LEAST} are needed")
        sys.exit(0)
    if alike(found.recalibration, now.recalibration):
        click.echo("nothing is changed: it is what serves")
        sys.exit(0)
    decisions = DecisionSettings(scales=scales)
    replayed = plan(domains, store, domain, now.folder, decisions=decisions, by=found.recalibration)
    reasons = outcome_reasons(replayed, found.recalibration, lambda: logged(path, since), jobs=jobs)
    for one in reasons:
        click.echo(f"refused: {one.text}")
    if reasons and not force:
        sys.exit(1)
    return found.recalibration


def words(found: OutcomeRecalibration) -> str:
    """A recalibration from outcomes as a sentence."""
    by = found.recalibration or Recalibration()
    gain = found.gain
    text = (
        f"by {found.n} outcomes and truths of {found.clients} clients, which weigh {found.weight:.0f}: scale "
        f"{by.scale:.2f}, shift {by.shift:+.2f}; a drift has probability {found.drifted:.2f}; held-out clients' gain "
        f"{gain.mean:+.4f} nats each [{gain.low:+.4f}, {gain.high:+.4f}]; {100 * found.spurious:.0f} % of right "
        f"answers are rejected, {100 * found.missed:.0f} % of wrong ones accepted"
    )
    if found.distrusted:
        text += f"; {found.distrusted} clients' outcomes have nothing to do with the answers"
    if found.nameless:
        text += f"; {found.nameless} outcomes name neither account nor session and count as one client's"
    return text
