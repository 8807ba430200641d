"""arbitrank domains: what was found, and what became of it."""

from __future__ import annotations

import click
import msgspec

from arbitrank.arbitrator import Broken, Serving, load_domains
from arbitrank.cli import options
from arbitrank.registry import Disabled, Found, Loaded, Refused, discover, loaded
from arbitrank.store.store import Store


class Row(msgspec.Struct, frozen=True):
    """What is known of one domain: the package it comes from, and the weights that would answer.

    `shrunk` is the temperature by which the log-odds of its claims are divided, where the operator has it so.
    """

    name: str
    status: str
    package: str
    package_version: str
    version: str | None
    weights: str | None
    reason: str | None
    shrunk: float | None = None


@click.command("domains")
@options.store
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def command(store: Store, as_json: bool) -> None:
    """List every domain that is installed: loaded, refused or disabled, why, and which weights would answer.

    ARBITRANK_DOMAINS=a,b loads those domains alone; set and empty, it loads none.
    """
    found = discover()
    models = load_domains(loaded(found), store)
    rows = [_row(one, models.get(one.name) if isinstance(one, Loaded) else None) for one in found]
    if as_json:
        click.echo(msgspec.json.encode(rows))
        return
    _show(rows)


def _row(found: Found, model: Serving | Broken | None) -> Row:
    source = found.source
    version, origin, reason, shrunk = None, None, None, None
    match found:
        case Refused(reason=why):
            status, reason = "refused", why
        case Disabled(reason=why):
            status, reason = "disabled", why
        case Loaded():
            status = "loaded"
    match model:
        case Serving():
            version, origin = model.version, model.origin
            shrunk = model.temperature if model.temperature != 1.0 else None
        case Broken():
            status, reason = "failed", model.reason
    return Row(found.name, status, source.distribution, source.version, version, origin, reason, shrunk)


def _show(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    if not rows:
        console.print("no domain is installed; install one, as in: pip install arbitrank-NAME")
        return
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for header in ("domain", "status", "package", "weights", "reason"):
        table.add_column(header, overflow="fold")
    colours = {"loaded": "green", "disabled": "dim", "refused": "red", "failed": "red"}
    for row in rows:
        weights = f"{row.version} ({row.weights})" if row.version else ""
        if row.shrunk:
            weights += f", shrunk by {row.shrunk:.2f}"
        package = f"{row.package} {row.package_version}"
        status = f"[{colours[row.status]}]{row.status}[/]"
        table.add_row(escape(row.name), status, escape(package), weights, escape(row.reason or ""))
    console.print(table)
