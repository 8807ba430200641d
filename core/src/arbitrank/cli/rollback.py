"""arbitrank rollback: take the last promotion of a domain back."""

from __future__ import annotations

import click

from arbitrank.cli import options
from arbitrank.store.kinds import checked_name, kind_of
from arbitrank.store.store import Store


@click.command("rollback")
@click.argument("domain")
@click.option("--to-package", is_flag=True, help="Serve the weights in the domain's package, no version of the store.")
@click.option("--reason", metavar="TEXT", help="Why; it is kept in the history.")
@options.store
def command(domain: str, to_package: bool, reason: str | None, store: Store) -> None:
    """Make the version of DOMAIN that served before serve again. What is stable becomes `previous`.

    Nothing is trained and no code of the domain runs.
    """
    change = store.rollback(domain, to_package=to_package, reason=reason)
    serves = "" if change.state.stable else f"; {kind_of(checked_name(domain)).fallback}"
    click.echo(f"{domain}: {change.state} (change {change.number}){serves}")
