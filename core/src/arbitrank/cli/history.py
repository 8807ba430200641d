"""arbitrank history: what was done to a domain."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import msgspec

from arbitrank.cli import options
from arbitrank.store.artifact_checks import printable
from arbitrank.store.kinds import train_command
from arbitrank.store.state import Change
from arbitrank.store.store import Store


@click.command("history")
@options.name
@options.store
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def command(domain: str, store: Store, as_json: bool) -> None:
    """List every change of DOMAIN, oldest first: its number, when, by whom, what, and the state after it."""
    changes = store.history(domain)
    if as_json:
        click.echo(msgspec.json.encode(changes))
        return
    for change in changes:
        click.echo(_line(change))
    if not changes:
        click.echo(f"{domain} has no history in {store}; run: {train_command(domain)}")


def _line(change: Change) -> str:
    try:
        when = f"{datetime.fromtimestamp(change.time, UTC):%Y-%m-%d %H:%M:%S}Z"
    except (OverflowError, ValueError, OSError):
        when = "at no time"
    verb = f"{change.verb} (forced)" if change.forced else change.verb
    why = f"; {change.reason}" if change.reason else ""
    said = f"{printable(verb)}: {change.state}{printable(why)}"
    return f"{change.number:4}  {when}  {printable(change.by)}  {said}"
