"""arbitrank impact: what a candidate would do to everybody."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.cli import decision_options, options
from arbitrank.errors import InputError
from arbitrank.registry import discover, loaded
from arbitrank.store.store import Store

if TYPE_CHECKING:
    from arbitrank.impact.gate import GateLimits


def _gate_limits(tolerance: float, max_ece: float, max_temperature: float) -> GateLimits:
    from arbitrank.impact.gate import GateLimits

    return GateLimits(tolerance / 100, max_ece / 100, max_temperature)


gate_limits = options.gathered(
    "limits",
    _gate_limits,
    click.option(
        "--tolerance",
        type=options.Share(0, 100),
        default=0.1,
        metavar="POINTS",
        help="The largest certain increase of IRER, of all requests and of each other domain's.",
    ),
    click.option(
        "--max-ece",
        type=options.Share(0, 100),
        default=5.0,
        metavar="PERCENT",
        help="The largest calibration error of a domain's claims.",
    ),
    click.option(
        "--max-temperature",
        type=options.Share(1, 1000),
        default=1.5,
        help="The largest certain temperature of its claims: the factor by which log-odds are too strong.",
    ),
)
"""The limits of the gate, which the verb receives as `limits: GateLimits`."""


@click.command("impact")
@click.argument("domain")
@click.option("--candidate", metavar="V|PATH", help="A version, or an artifact's folder; default: the candidate.")
@click.option(
    "--on",
    "path",
    type=options.PATH,
    help="Requests, in a log's folder or a file of them, logged or with truths; default: the store's audit set.",
)
@click.option("--against", metavar="stable|V", default="stable", help="The version to compare with.")
@decision_options.decisions(clarify=False)
@gate_limits
@options.seed
@options.jobs
@options.as_json
@click.option("--out", type=options.PATH, help="Write impact.json and impact.html here.")
@options.store
def impact(
    domain: str,
    candidate: str | None,
    path: Path | None,
    against: str,
    decisions: DecisionSettings,
    limits: GateLimits,
    seed: int,
    jobs: int,
    as_json: bool,
    out: Path | None,
    store: Store,
) -> None:
    """Replay requests with the model of DOMAIN exchanged: changed answers, and errors before and after.

    All domains' hypotheses are ranked twice, with the present version of DOMAIN and with its candidate. A candidate
    with another recogniser recognises the words again. Changes nothing, and prints the judgement of `promote`'s gate.

    Example: arbitrank impact podcasts --on log --out report
    """
    from arbitrank.cli.impact_tables import show_impact
    from arbitrank.impact.gate import judge, over_limit
    from arbitrank.impact.plan import plan
    from arbitrank.impact.report import measure
    from arbitrank.store.artifact import read_card

    on = options.requests(path, store)
    folder = _artifact(store, domain, candidate or "candidate")
    if out:  # before minutes of work, not after them
        from arbitrank.impact.page import report_folder

        report_folder(out)
    compared = None if against == "stable" else _artifact(store, domain, against)
    replayed = plan(loaded(discover()), store, domain, folder, against=compared, decisions=decisions)
    called = None if path else "the audit set"
    impact, found = measure(replayed, on, card=read_card(folder), jobs=jobs, seed=seed, called=called)
    reasons = judge(impact, impact.card, limits, domain=impact.domain)
    if out:
        from arbitrank.impact.page import write_impact

        write_impact(impact, found, replayed.decisions, out, reasons)
    if as_json:
        click.echo(msgspec.json.encode(impact))
        return
    show_impact(impact, reasons)
    if over := over_limit(impact, limits, now=True):
        click.echo(over)
    click.echo(f"written: {out}/impact.html" if out else "--out DIR writes this as JSON and as a page with plots")


def _artifact(store: Store, domain: str, named: str) -> Path:
    """The folder of an artifact: that of an alias or a version in the store, or a path."""
    _, state = store.state(domain)
    version = state.names().get(named)
    if version is None and named in ("stable", "previous", "candidate"):
        raise InputError(
            f"domain {domain}: no {named} in {store}; run: arbitrank train {domain}, or name a version or a folder"
        )
    if version is None and Path(named).is_dir():
        return Path(named)
    return store.fetch(domain, version or named)
