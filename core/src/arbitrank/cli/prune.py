"""arbitrank prune: remove old versions that nothing names."""

from __future__ import annotations

import click

from arbitrank.cli import options
from arbitrank.store.prune import GRACE, prune
from arbitrank.store.store import Store


@click.command("prune")
@click.argument("domains", metavar="[DOMAIN …]", nargs=-1)
@options.store
@click.option(
    "--keep",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Keep what an alias named after any of so many last changes.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=GRACE,
    show_default=True,
    help="Keep what arrived less than so many seconds ago: it may be being published.",
)
def command(domains: tuple[str, ...], store: Store, keep: int, grace: float) -> None:
    """Remove versions of each DOMAIN (all by default) that no alias names or named lately. The history stays."""
    for domain in domains or store.domains():
        removed = prune(store, domain, keep=keep, grace=grace)
        click.echo(f"{domain}: removed {', '.join(removed) or 'nothing'}")
