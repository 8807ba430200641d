"""arbitrank canary: let a domain's candidate answer a share of the requests."""

from __future__ import annotations

import click

from arbitrank.cli import options
from arbitrank.store.store import Store


@click.command("canary")
@options.name
@click.argument("share", type=options.Share(0, 1))
@click.option("--reason", metavar="TEXT", help="Why; it is kept in the history.")
@options.store
def command(domain: str, share: float, reason: str | None, store: Store) -> None:
    """Let every process that follows the store answer SHARE of the requests, 0 to 1, with DOMAIN's candidate.

    DOMAIN is a domain, .shortlist or .hyprank. A session keeps its version as long as the candidate stays, also when
    the share grows. 0 ends it; so does promoting the candidate or publishing another.
    """
    change = store.canary(domain, share, reason=reason)
    click.echo(f"{domain}: {change.state} (change {change.number})")
