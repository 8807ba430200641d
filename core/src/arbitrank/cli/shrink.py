"""arbitrank shrink: recalibrate the log-odds of an over-confident domain."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from arbitrank.answerlog.period import begin_in
from arbitrank.answerlog.reader import source
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.recalibration import Recalibration, recalibration
from arbitrank.cli import decision_options, options
from arbitrank.configuration import OperatorStatements
from arbitrank.errors import InputError
from arbitrank.registry import discover, domain_named, loaded
from arbitrank.store.kinds import train_command
from arbitrank.store.state import State, served_with
from arbitrank.store.store import Store


@click.command("shrink")
@click.argument("domain")
@click.option(
    "--on",
    "path",
    type=options.PATH,
    help="Fit it to these requests with their truths, a file or a log; default: the store's audit set.",
)
@options.since()
@click.option(
    "--outcomes",
    is_flag=True,
    help="Fit it to accepted and rejected answers too, not to known truths alone; --on a log.",
)
@click.option("--temperature", type=options.Share(1, 1000), help="Divide the log-odds by this instead of fitting.")
@click.option("--shift", type=options.Share(-20, 20), help="Then add this to them instead of fitting.")
@click.option("--off", is_flag=True, help="Remove the recalibration.")
@click.option("--force", is_flag=True, help="Accept a fitted one with which the ECE is greater.")
@options.reason
@options.jobs
@decision_options.operator
@options.changed_store
def shrink(
    domain: str,
    path: Path | None,
    begins: str | None,
    outcomes: bool,
    temperature: float | None,
    shift: float | None,
    off: bool,
    force: bool,
    reason: str | None,
    jobs: int,
    operator: OperatorStatements,
    store: Store,
) -> None:
    """Recalibrate DOMAIN's claims, so that it takes no requests from other domains: log-odds · scale + shift.

    The scale is at most 1. Both are fitted, towards doing nothing, and chosen by held-out parts of the requests: none,
    the scale alone (1 / a temperature), or both. They are kept in the store, are shown in answers and in `domains`, and
    hold until they are removed or a version passes the gate. Slopes of the decision settings apply after them. One
    that is fitted is refused, with exit status 1, where its ECE is greater, and beyond its band, than without it.

    With --outcomes a scale may be above 1, and the map replaces the one that serves, or removes it. It is refused where
    neighbours lose accepted answers, or claims become worse on the log's truths.

    Example: arbitrank shrink podcasts --on log --since 2d
    Example: arbitrank shrink podcasts --outcomes --on log --since 14d
    """
    stated = temperature is not None or shift is not None
    names = (("--on", path), ("--temperature", temperature), ("--shift", shift if temperature is None else None))
    given = [option for option, value in (*names, ("--off", off)) if value]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)}: expected one of them")
    number, state = store.state(domain)
    options.needs("--on", path, outcomes=outcomes)
    if outcomes:
        from arbitrank.cli.outcome_recalibration import from_outcomes

        assert path is not None
        chosen = from_outcomes(domain, path, begins, jobs, operator.scales, store, force=force)
        reason = reason or f"from outcomes in {path}"
    elif off or stated:
        options.needs("--on", None, since=begins)
        if force:
            raise InputError(f"--force: {given[0]} fits nothing; expected it where a recalibration is fitted")
        if state == State() and domain not in loaded(discover()):
            raise InputError(f"domain {domain!r} is neither installed nor in {store}; run: arbitrank domains")
        chosen = recalibration(1.0 / (temperature or 1.0), shift or 0.0)
    else:
        chosen = _fitted(domain, path, begins, jobs, operator.scales, store, force)
        if chosen is None:
            click.echo(f"{domain}: no recalibration surely helps")
    change = store.change(domain, "shrink", served_with(state, chosen), number, reason=reason)
    click.echo(f"{domain}: {change.state} (change {change.number})")


def _fitted(
    domain: str,
    path: Path | None,
    begins: str | None,
    jobs: int,
    scales: dict[str, dict[str, str]],
    store: Store,
    force: bool,
) -> Recalibration | None:
    from arbitrank.evaluate.metrics import band_text
    from arbitrank.impact.plan import plan
    from arbitrank.impact.recalibrating import fit
    from arbitrank.store.loading import present

    on = options.requests(path, store)
    domains = loaded(discover())
    now = present(domain, domain_named(domain, domains), store)
    since = None if begins is None else begin_in(begins, source(on))
    decisions = DecisionSettings(scales=scales)
    replayed = plan({domain: domains[domain]}, store, domain, now.folder, decisions=decisions, since=since)
    found, before, after = fit(replayed, on, jobs=jobs)
    by = found.recalibration or Recalibration()
    scale, shift = found.scale, found.shift
    click.echo(
        f"{domain} {now.manifest.version} on {found.n} requests: scale {by.scale:.2f} [{scale.low:.2f}, "
        f"{scale.high:.2f}] (temperature {by.temperature:.2f}), shift {by.shift:+.2f} [{shift.low:+.2f}, "
        f"{shift.high:+.2f}] takes NLL from {before.nll:.4f} to {after.nll:.4f}; before: "
        f"{band_text(before.ece, before.ece_band)}; with it: {band_text(after.ece, after.ece_band)}"
    )
    worse = after.ece > max(before.ece, after.ece_band[1])
    if worse and not force:
        click.echo(
            f"not shrunk: with it the ECE is greater. A domain that misses requests of its own needs data of their "
            f"wordings: {train_command(domain)}; or accept it with --force"
        )
        sys.exit(1)
    return found.recalibration
