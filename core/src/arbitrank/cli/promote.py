"""arbitrank promote: make a version stable, if it passes the gate."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.cli import decision_options, options
from arbitrank.cli.impact import gate_limits
from arbitrank.errors import InputError
from arbitrank.registry import discover, loaded
from arbitrank.store.kinds import RESERVED, train_command
from arbitrank.store.store import Store

if TYPE_CHECKING:
    from arbitrank.impact.gate import GateLimits
    from arbitrank.impact.report import Impact


@click.command("promote")
@options.name
@click.argument("version", required=False)
@click.option("--force", is_flag=True, help="Promote it although the gate refuses; needs --reason.")
@options.reason
@gate_limits
@decision_options.decisions(clarify=False)
@options.jobs
@options.store
def promote(
    domain: str,
    version: str | None,
    force: bool,
    reason: str | None,
    limits: GateLimits,
    decisions: DecisionSettings,
    jobs: int,
    store: Store,
) -> None:
    """Make VERSION of DOMAIN, by default its candidate, `stable`, and the stable one `previous`.

    DOMAIN is a domain, .shortlist, .hyprank or .decisions. First the version is self-tested, and the store's audit set
    is replayed with it. The gate refuses, with exit status 1, a version that fails the self-test or surely makes IRER
    worse, for all requests or for one neighbour; of a domain also one whose probabilities are less calibrated than its
    card or the limit allows; a Shortlister that surely lists fewer owners of requests. Passing resets the temperature
    to 1.

    Example: arbitrank promote podcasts --reason "learned from last week"
    """
    from arbitrank.cli.impact_tables import show_reasons
    from arbitrank.promotion import consider, promote

    if force and not (reason or "").strip():
        raise InputError("--force: no --reason; expected one, it is kept in the history")
    judgement = consider(
        store, loaded(discover()), domain, version, limits=limits, decisions=decisions, jobs=jobs, note=options.note
    )
    chosen, impact = judgement.version, judgement.impact
    if judgement.audit is None:
        click.echo(f"nothing was audited: no audit set in {store}; run: arbitrank audit-set FILE")
    if judgement.reasons or impact is not None or (domain in RESERVED and judgement.audit is not None):
        passes = f"lets {domain} {chosen} pass: {_in_short(impact)}" if impact else f"lets {domain} {chosen} pass"
        show_reasons(judgement.reasons, "refuses", passes)
    change = promote(store, judgement, force=force, reason=reason)
    if change is None:
        _print_next_step(domain, chosen, judgement.problem is None)
        sys.exit(1)
    click.echo(f"{domain}: {change.state} (change {change.number})")
    if impact is not None:
        _warn(impact, limits, change.state.temperature)


def _in_short(impact: Impact) -> str:
    if impact.pooled is None:
        return "no request has a truth"
    one = impact.pooled.difference["irer"]
    return (
        f"IRER {100 * impact.pooled.before.irer:.2f} → {100 * impact.pooled.after.irer:.2f} % "
        f"({100 * one.mean:+.2f} [{100 * one.low:+.2f}, {100 * one.high:+.2f}] points) on {impact.pooled.n} requests"
    )


def _print_next_step(domain: str, version: str, loads: bool) -> None:
    measured = loads and domain not in RESERVED
    look = f"look closer: arbitrank impact {domain} --candidate {version} --out DIR; " if measured else ""
    click.echo(
        f"not promoted; {look}train again: {train_command(domain)}; "
        f"or override the gate: arbitrank promote {domain} {version} --force --reason TEXT"
    )


def _warn(impact: Impact, limits: GateLimits, temperature: float) -> None:
    from arbitrank.impact.gate import over_limit

    if temperature == 1.0:
        if over := over_limit(impact, limits, promoted=True):
            click.echo(over)
    else:
        click.echo(
            f"its log-odds stay divided by {temperature:.2f}, as for the version before; fit that again: arbitrank "
            f"shrink {impact.domain}; or remove it: arbitrank shrink {impact.domain} --off"
        )
