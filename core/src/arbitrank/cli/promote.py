"""arbitrank promote: make a version stable, if it passes the gate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.policy import Policy
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.cli import decision_options, options
from arbitrank.cli.impact import gate_limits
from arbitrank.errors import InputError
from arbitrank.registry import discover, loaded
from arbitrank.store.kinds import RESERVED, train_command
from arbitrank.store.store import Store

if TYPE_CHECKING:
    from arbitrank.impact.gate import GateLimits
    from arbitrank.impact.report import Impact
    from arbitrank.promotion import Judgement


@click.command("promote")
@options.name
@click.argument("version", required=False)
@click.option(
    "--recalibrate",
    is_flag=True,
    help="Where the gate refuses its probabilities, fit a recalibration to the audit set, and judge again with it.",
)
@click.option(
    "--log",
    type=options.PATH,
    metavar="LOG",
    help="Judge it by users' reactions in a service's log too, since its first canary.",
)
@options.policy
@click.option("--force", is_flag=True, help="Promote it although the gate refuses; needs --reason.")
@options.reason
@gate_limits
@decision_options.decisions(clarify=False)
@options.jobs
@options.changed_store
def promote(
    domain: str,
    version: str | None,
    recalibrate: bool,
    log: Path | None,
    policy: Policy | None,
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
    card or the limit allows, and with --log one of whose answers users would surely accept fewer; a Shortlister that
    surely lists fewer owners of requests. Passing resets the recalibration, with --recalibrate to the one that it was
    judged with.

    Example: arbitrank promote podcasts --reason "learned from last week"
    """
    from arbitrank.cli.impact_tables import show_reasons
    from arbitrank.cli.value_tables import show_value
    from arbitrank.outcomes.suite_runs import SuiteRun
    from arbitrank.promotion import consider, promote

    if force and not (reason or "").strip():
        raise InputError("--force: no --reason; expected one, it is kept in the history")
    options.needs("--log", log is not None, policy=policy)
    judgement = consider(
        store, loaded(discover()), domain, version, limits=limits, decisions=decisions, jobs=jobs, note=options.note,
        recalibrate=recalibrate, log=log, policy=policy,
    )  # fmt: skip
    chosen, impact = judgement.version, judgement.impact
    if judgement.recalibrated is not None:
        click.echo(f"recalibrated on the audit set: {judgement.recalibrated.recalibration or 'no map surely helps'}")
    if judgement.value is not None:
        show_value(judgement.value)
    if judgement.audit is None:
        click.echo(f"nothing was audited: no audit set in {store}; run: arbitrank audit-set FILE")
    if judgement.suites:
        click.echo(SuiteRun(judgement.suites).text)
    if judgement.reasons or impact is not None or (domain in RESERVED and judgement.audit is not None):
        passes = f"lets {domain} {chosen} pass: {_in_short(impact)}" if impact else f"lets {domain} {chosen} pass"
        show_reasons(judgement.reasons, "refuses", passes)
    change = promote(store, judgement, force=force, reason=reason)
    if change is None:
        _print_next_step(domain, chosen, judgement.problem is None, _recalibrable(judgement))
        sys.exit(1)
    click.echo(f"{domain}: {change.state} (change {change.number})")
    if impact is not None:
        _warn(impact, limits, change.state.served_by, judgement)


def _in_short(impact: Impact) -> str:
    if impact.pooled is None:
        return "no request has a truth"
    one = impact.pooled.difference["irer"]
    return (
        f"IRER {100 * impact.pooled.before.irer:.2f} → {100 * impact.pooled.after.irer:.2f} % "
        f"({100 * one.mean:+.2f} [{100 * one.low:+.2f}, {100 * one.high:+.2f}] points) on {impact.pooled.n} requests"
    )


def _recalibrable(judgement: Judgement) -> bool:
    """True where the gate refuses probabilities, and no recalibration was tried."""
    return judgement.recalibrated is None and any(one.what in ("card", "limit") for one in judgement.reasons)


def _print_next_step(domain: str, version: str, loads: bool, may: bool) -> None:
    measured = loads and domain not in RESERVED
    recalibrate = f"recalibrate it: arbitrank promote {domain} {version} --recalibrate; " if may else ""
    look = f"look closer: arbitrank impact {domain} --candidate {version} --out DIR; " if measured else ""
    click.echo(
        f"not promoted; {look}{recalibrate}train again: {train_command(domain)}; "
        f"or override the gate: arbitrank promote {domain} {version} --force --reason TEXT"
    )


def _warn(impact: Impact, limits: GateLimits, by: Recalibration | None, judgement: Judgement) -> None:
    from arbitrank.impact.gate import over_limit

    if by is None:
        if over := over_limit(impact, limits, promoted=True):
            click.echo(over)
    elif judgement.recalibrated is None or judgement.reasons:
        click.echo(
            f"its recalibration stays that of the version before ({by}); fit that again: arbitrank "
            f"shrink {impact.domain}; or remove it: arbitrank shrink {impact.domain} --off"
        )
