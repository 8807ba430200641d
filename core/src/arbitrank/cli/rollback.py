"""arbitrank rollback: take the last promotion of a domain back."""

from __future__ import annotations

import click

from arbitrank.cli import options
from arbitrank.store.kinds import kind_of
from arbitrank.store.store import Store


@click.command("rollback")
@options.name
@click.option(
    "--to-package",
    is_flag=True,
    help="Serve the weights in the domain's package, no version of the store.",
)
@click.option("--reason", metavar="TEXT", help="Why; it is kept in the history.")
@options.store
def command(domain: str, to_package: bool, reason: str | None, store: Store) -> None:
    """Make the `previous` version of DOMAIN stable again, and the stable one `previous`.

    DOMAIN is a domain, .shortlist, .hyprank or .decisions. Nothing is trained and no code of the domain runs.
    """
    change = store.rollback(domain, to_package=to_package, reason=reason)
    serves = "" if change.state.stable else f"; {kind_of(domain).fallback}"
    click.echo(f"{domain}: {change.state} (change {change.number}){serves}")
