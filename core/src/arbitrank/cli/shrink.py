"""arbitrank shrink: divide the log-odds of an over-confident domain by a temperature."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.cli import decision_options, options
from arbitrank.configuration import OperatorStatements
from arbitrank.errors import InputError
from arbitrank.registry import discover, domain_named, loaded
from arbitrank.store.state import State
from arbitrank.store.store import Store


@click.command("shrink")
@click.argument("domain")
@click.option(
    "--on",
    "path",
    type=options.PATH,
    help="Fit the temperature to these requests with their truths; default: the store's audit set.",
)
@click.option("--temperature", type=options.Share(1, 1000), help="Use this one instead of fitting one.")
@click.option("--off", is_flag=True, help="Remove the temperature.")
@options.reason
@options.jobs
@decision_options.operator
@options.store
def shrink(
    domain: str,
    path: Path | None,
    temperature: float | None,
    off: bool,
    reason: str | None,
    jobs: int,
    operator: OperatorStatements,
    store: Store,
) -> None:
    """Divide the log-odds of DOMAIN's claims by a temperature, so that it takes no requests from other domains.

    The temperature, at least 1, is the maximum-likelihood one, or the one given. It is kept in the store, is shown in
    answers and in `domains`, and holds until it is removed or a version passes the gate.

    Example: arbitrank shrink podcasts --on labelled.jsonl
    """
    given = [option for option, value in (("--on", path), ("--temperature", temperature), ("--off", off)) if value]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)}: expected one of them")
    number, state = store.state(domain)
    if off or temperature is not None:
        if state == State() and domain not in loaded(discover()):
            raise InputError(f"domain {domain!r} is neither installed nor in {store}; run: arbitrank domains")
        chosen = temperature or 1.0
    else:
        chosen = _fitted(domain, path, jobs, operator.scales, store)
        if chosen == 1.0:
            click.echo(f"{domain} is not over-confident")
    change = store.change(domain, "shrink", msgspec.structs.replace(state, temperature=chosen), number, reason=reason)
    click.echo(f"{domain}: {change.state} (change {change.number})")


def _fitted(domain: str, path: Path | None, jobs: int, scales: dict[str, dict[str, str]], store: Store) -> float:
    from arbitrank.evaluate.metrics import band_text
    from arbitrank.impact.plan import plan
    from arbitrank.impact.temperature import fit
    from arbitrank.store.loading import present

    on = options.requests(path, store)
    domains = loaded(discover())
    now = present(domain, domain_named(domain, domains), store)
    replayed = plan({domain: domains[domain]}, store, domain, now.folder, decisions=DecisionSettings(scales=scales))
    fitted, before, after = fit(replayed, on, jobs=jobs)
    click.echo(
        f"{domain} {now.manifest.version} on {before.n} requests: temperature {fitted.fitted:.2f} takes NLL from "
        f"{before.nll:.4f} to {after.nll:.4f}; before: {band_text(before.ece, before.ece_band)}; with it: "
        f"{band_text(after.ece, after.ece_band)}"
    )
    return round(fitted.fitted, 4)
