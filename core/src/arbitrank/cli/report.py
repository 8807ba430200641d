"""arbitrank report: how good one domain is alone."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click
import msgspec

from arbitrank.cli import decision_options, options
from arbitrank.cli.progress import shown
from arbitrank.configuration import OperatorStatements
from arbitrank.context_keys import named_for
from arbitrank.extras import required
from arbitrank.registry import discover
from arbitrank.store.store import Store
from arbitrank.wire.offsets import Offsets


@click.command("report")
@click.argument("domain", metavar="NAME")
@click.option(
    "--on",
    "path",
    type=options.PATH,
    metavar="HYPOTHESES|LOG",
    help="Labelled requests: a file of hypotheses, a log's folder, or a corpus; default: the domain's own examples.",
)
@click.option(
    "--curve",
    type=click.Choice(["quick", "full", "none"]),
    default="quick",
    help="The learning curve: trained on few examples, on up to a half of all, or left out.",
)
@options.as_json
@click.option("--page", type=options.PATH, metavar="FILE", help="Write the report as a page with plots.")
@click.option("--out", type=options.PATH, metavar="DIR", help="Write report.json and report.html here.")
@decision_options.operator
@options.offsets
@options.seed
@options.store
def report(
    domain: str,
    path: Path | None,
    curve: Literal["quick", "full", "none"],
    as_json: bool,
    page: Path | None,
    out: Path | None,
    operator: OperatorStatements,
    offsets: Offsets,
    seed: int,
    store: Store,
) -> None:
    """Measure the domain NAME alone: readings, probabilities, false claims, and whether more data are worth it.

    On its own examples it is measured by those that its weights have not seen or, where these are few, by weights
    trained on the others; with --on, by the weights that it answers with. A domain that is not installed is measured on
    hypotheses of a file, with the toolkit's re-ranker. Where the requests bring hypotheses of several domains, or
    are of several installed ones, the report says which requests the domain loses to which neighbour.

    Example: arbitrank report podcasts --on logs --page report.html
    """
    with required("report"):
        from arbitrank.cli.report_tables import show_report
        from arbitrank.report.data import ReportSettings
        from arbitrank.report.report import quality

        if out or page:  # before minutes of work, in case a package is missing
            from arbitrank.report.page import check_places, write_page, write_report
    if out or page:
        check_places(out, page)
    named = named_for(domain, operator.file.named_keys(()))
    settings = ReportSettings(store, operator.scales, tuple(named), seed, curve, offsets)
    with shown(domain) as progress:
        found = quality(domain, path, discover(), settings, progress)
    if page:
        write_page(found, page)
    if out:
        write_report(found, out)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    show_report(found)
    written = [str(place) for place in (page, out and out / "report.html") if place]
    click.echo(f"written: {', '.join(written)}" if written else "--page FILE writes this as a page with plots")
