"""arbitrank domains: installed domains, their status and their weights."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
import msgspec
from msgspec.structs import replace

from arbitrank.arbitration.arbitrator import Broken, Serving
from arbitrank.arbitration.hosted_domain import HostedDomain, RemoteRecogniser, ServiceDomain
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.cli import box_options, decision_options, options
from arbitrank.configuration import OperatorStatements, StatedScales
from arbitrank.errors import InputError, StoreError
from arbitrank.feature_names import change_in, note
from arbitrank.isolation.box import described
from arbitrank.registry import Disabled, Found, Loaded, Refused, loaded, survey
from arbitrank.store.loading import load_domains
from arbitrank.store.store import Store
from arbitrank.titles import display_names

if TYPE_CHECKING:
    from arbitrank.serve.messages import DomainRow

_TIMEOUT = 10.0  # seconds to wait for a service
_MAX_BYTES = 16 << 20  # of its answer


class Row(msgspec.Struct, frozen=True):
    """One domain: its package, and the weights that answer; `shrunk` is its temperature where that is not 1.

    `shift` is that of its log-odds where it is not 0. `title` is its display name, `notes` are remarks that do not keep
    it from answering. `release` is that of its code, where it is in an environment of its own, and `environment` what
    that runs with. `box` has the measures of its box: null where one is active, else the reason why it is missing; null
    without a box. `url` is that of a remote domain, whose package is `remote`. A row of the status `unreadable` is no
    domain, but a package whose metadata are damaged, or a name that no package has.
    """

    name: str
    status: str
    package: str
    package_version: str
    version: str | None = None
    weights: str | None = None
    reason: str | None = None
    shrunk: float | None = None
    title: str | None = None
    notes: tuple[str, ...] = ()
    shift: float | None = None
    release: str | None = None
    environment: str | None = None
    box: dict[str, str | None] | None = None
    url: str | None = None


@click.command("domains")
@options.store
@decision_options.operator
@box_options.boxing
@click.option(
    "--service",
    metavar="URL",
    help="Query a service instead, which also reports open circuit breakers; with the token in ARBITRANK_TOKEN.",
)
@options.as_json
def domains(boxing: None, store: Store, operator: OperatorStatements, service: str | None, as_json: bool) -> None:
    """List every installed domain: loaded, refused or disabled, why, and which weights answer.

    ARBITRANK_DOMAINS=a,b loads those domains alone; set and empty, it loads none.

    Example: arbitrank domains --store ./store
    """
    rows = _installed(store, operator.scales) if service is None else _served(service)
    if as_json:
        click.echo(msgspec.json.encode(rows))
        return
    _show(rows)
    if service is not None and (share := _followed(service)):
        click.echo(share)


def _installed(store: Store, scales: StatedScales) -> list[Row]:
    """The domains of this environment, then what is wrong in it beside them."""
    found, unreadable = survey()
    models = load_domains(loaded(found), store, scales)
    rows = [_row(one, models.get(one.name) if isinstance(one, Loaded) else None) for one in found]
    return rows + [Row(one.name, "unreadable", one.name, one.version, reason=one.reason) for one in unreadable]


def _served(url: str) -> list[Row]:
    """The domains of a service; of several workers, of the one that answers. Raises as `_called` does."""
    from arbitrank.serve.messages import DomainRow

    try:
        return [_row_of(one) for one in msgspec.json.decode(_called(url, "/v1/domains"), type=list[DomainRow])]
    except (ValueError, msgspec.MsgspecError) as error:
        raise InputError(f"--service {url}: its answer is no list of domains: {error}") from error


def _followed(url: str) -> str | None:
    """A line on the share of out-of-scope requests that the service follows; None where it follows none."""
    from arbitrank.serve.messages import Health

    try:
        share = msgspec.json.decode(_called(url, "/readyz", 200, 503), type=Health).out_of_scope
    except (ValueError, msgspec.MsgspecError):  # of another version
        return None
    if not share:
        return None
    return (
        f"out of scope: {100 * share.share:.2g} % of the traffic, followed on {share.n} requests from "
        f"{100 * share.tuned:.2g} %, between {100 * share.low:.2g} and {100 * share.high:.2g} %"
    )


def _called(url: str, path: str, *statuses: int) -> bytes:
    """The service's reply to GET. Raises `InputError` for a bad URL or a refusal, `StoreError` without a reply."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"--service {url!r}: no URL, expected one as in http://127.0.0.1:8080")
    import http.client  # here, as it loads TLS

    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    token = os.environ.get("ARBITRANK_TOKEN")
    try:
        connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", parts.path.rstrip("/") + path, headers=headers)
        reply = connection.getresponse()
        body = reply.read(_MAX_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise StoreError(f"--service {url}: cannot be reached: {error}; is it running? see: arbitrank serve") from error
    if reply.status not in (statuses or (200,)):
        raise InputError(f"--service {url}: answered {reply.status}: {body[:200].decode(errors='replace')}")
    return body


def _row_of(one: DomainRow) -> Row:
    by = None if one.state is None else one.state.served_by
    status = "let be" if one.status == "loaded" and one.breaker else one.status
    reason = one.breaker or one.problem
    return Row(
        one.name, status, one.package, one.package_version, one.version, one.origin, reason, _shrunk(by), one.title,
        one.notes, None if by is None else by.shift or None,
        one.release, one.release and f"the code of {one.release} answers", one.box, one.url,
    )  # fmt: skip


def _row(found: Found, model: Serving | Broken | None) -> Row:
    row = Row(found.name, "loaded", found.source.distribution, found.source.version)
    if isinstance(found, Refused | Disabled):
        return replace(row, status=type(found).__name__.lower(), reason=found.reason)
    change = change_in(found.domain, model.model) if isinstance(model, Serving) else None
    notes = (*found.notes, *([note(found.name, change)] if change else []))
    row = replace(row, title=display_names(found.name, found.domain).title, notes=notes)
    if isinstance(found.domain, ServiceDomain | RemoteRecogniser):
        row = replace(row, url=found.domain.address)
    if isinstance(found.domain, HostedDomain):
        from arbitrank.environments.release_domain import ReleaseDomain  # here, as few domains are

        versions = found.domain.versions if isinstance(found.domain, ReleaseDomain) else None
        row = replace(row, release=found.domain.release_name, environment=versions)
        if isinstance(found.domain, ReleaseDomain):
            row = replace(row, box=found.domain.host.measures or None)
    if isinstance(model, Broken):
        return replace(row, status="failed", reason=model.reason)
    if model is None:
        return row
    by = model.recalibration
    return replace(
        row,
        version=model.version,
        weights=model.origin,
        shrunk=_shrunk(by),
        shift=by.shift or None if by else None,
    )


def _shrunk(by: Recalibration | None) -> float | None:
    return None if by is None or by.scale == 1.0 else by.temperature


def _show(rows: list[Row]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from arbitrank.cli.terminal import print_table, terminal

    console = terminal()
    if not rows:
        console.print("no domain is installed; install one, as in: pip install arbitrank-NAME")
        return
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for header in ("domain", "status", "package", "weights"):
        table.add_column(header, no_wrap=True)
    colours = {"loaded": "green", "disabled": "dim", "let be": "yellow"}
    for row in rows:
        weights = f"{row.version} ({row.weights})" if row.version else ""
        if row.version and row.release:
            weights += f", code {row.release}"
        if row.shrunk:
            weights += f", shrunk by {row.shrunk:.2f}"
        if row.shift:
            weights += f", shifted by {row.shift:+.2f}"
        titled = row.title and row.title.casefold() != row.name.casefold()
        name = escape(row.name) + (f" [dim]({escape(row.title or '')})[/]" if titled else "")
        colour = colours.get(row.status, "red")
        table.add_row(
            name, f"[{colour}]{row.status}[/]", escape(f"{row.package} {row.package_version}".rstrip()), weights
        )
    print_table(console, table)
    for row in rows:
        if row.reason:
            console.print(f"{escape(row.name)} [{colours.get(row.status, 'red')}]{row.status}[/]: {escape(row.reason)}")
        if row.environment:
            console.print(f"[dim]{escape(row.name)}: {escape(row.environment)}[/]")
        if row.url:
            console.print(f"[dim]{escape(row.name)}: at {escape(row.url)}[/]")
        if row.box:
            console.print(f"[dim]{escape(row.name)}: {escape(described(row.box))}[/]")
        for text in row.notes:
            console.print(f"[dim]{escape(row.name)}: {escape(text)}[/]")
