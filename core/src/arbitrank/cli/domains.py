"""arbitrank domains: installed domains, their status and their weights."""

from __future__ import annotations

import http.client
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
import msgspec

from arbitrank.arbitration.arbitrator import Broken, Serving
from arbitrank.cli import options
from arbitrank.errors import InputError, StoreError
from arbitrank.registry import Disabled, Found, Loaded, Refused, discover, loaded
from arbitrank.store.loading import load_domains
from arbitrank.store.store import Store

if TYPE_CHECKING:
    from arbitrank.serve.messages import DomainRow

_TIMEOUT = 10.0  # seconds to wait for a service
_MAX_BYTES = 16 << 20  # of its answer


class Row(msgspec.Struct, frozen=True):
    """One domain: its package, and the weights that answer; `shrunk` is its temperature where that is not 1."""

    name: str
    status: str
    package: str
    package_version: str
    version: str | None = None
    weights: str | None = None
    reason: str | None = None
    shrunk: float | None = None


@click.command("domains")
@options.store
@click.option(
    "--service",
    metavar="URL",
    help="Query a service instead, which also reports open circuit breakers; with the token in ARBITRANK_TOKEN.",
)
@options.as_json
def domains(store: Store, service: str | None, as_json: bool) -> None:
    """List every installed domain: loaded, refused or disabled, why, and which weights answer.

    ARBITRANK_DOMAINS=a,b loads those domains alone; set and empty, it loads none.
    """
    rows = _installed(store) if service is None else _served(service)
    if as_json:
        click.echo(msgspec.json.encode(rows))
        return
    _show(rows)


def _installed(store: Store) -> list[Row]:
    """The domains of this environment."""
    found = discover()
    models = load_domains(loaded(found), store)
    return [_row(one, models.get(one.name) if isinstance(one, Loaded) else None) for one in found]


def _served(url: str) -> list[Row]:
    """The domains of a service; of several workers, of the one that answers.

    Raises `InputError` for a bad URL or a refusal, `StoreError` where the service cannot be reached.
    """
    from arbitrank.serve.messages import DomainRow

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"--service {url!r}: no URL, expected one as in http://127.0.0.1:8080")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    token = os.environ.get("ARBITRANK_TOKEN")
    try:
        connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", parts.path.rstrip("/") + "/v1/domains", headers=headers)
        reply = connection.getresponse()
        body = reply.read(_MAX_BYTES)
        if reply.status != 200:
            raise InputError(f"--service {url}: answered {reply.status}: {body[:200].decode(errors='replace')}")
        return [_row_of(one) for one in msgspec.json.decode(body, type=list[DomainRow])]
    except (OSError, http.client.HTTPException) as error:
        raise StoreError(f"--service {url}: cannot be reached: {error}; is it running? see: arbitrank serve") from error
    except (ValueError, msgspec.MsgspecError) as error:
        raise InputError(f"--service {url}: its answer is no list of domains: {error}") from error


def _row_of(one: DomainRow) -> Row:
    shrunk = one.state.temperature if one.state is not None and one.state.temperature != 1.0 else None
    status = "let be" if one.status == "loaded" and one.breaker else one.status
    reason = one.breaker or one.problem
    return Row(one.name, status, one.package, one.package_version, one.version, one.origin, reason, shrunk)


def _row(found: Found, model: Serving | Broken | None) -> Row:
    package = found.source.distribution, found.source.version
    match found, model:
        case Refused(reason=why), _:
            return Row(found.name, "refused", *package, reason=why)
        case Disabled(reason=why), _:
            return Row(found.name, "disabled", *package, reason=why)
        case _, Broken(reason=why):
            return Row(found.name, "failed", *package, reason=why)
        case _, Serving(version=version, origin=origin, temperature=temperature):
            shrunk = temperature if temperature != 1.0 else None
            return Row(found.name, "loaded", *package, version, origin, shrunk=shrunk)
    return Row(found.name, "loaded", *package)


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
    colours = {"loaded": "green", "disabled": "dim", "refused": "red", "failed": "red", "let be": "yellow"}
    for row in rows:
        weights = f"{row.version} ({row.weights})" if row.version else ""
        if row.shrunk:
            weights += f", shrunk by {row.shrunk:.2f}"
        package = f"{row.package} {row.package_version}"
        status = f"[{colours[row.status]}]{row.status}[/]"
        table.add_row(escape(row.name), status, escape(package), weights, escape(row.reason or ""))
    console.print(table)
