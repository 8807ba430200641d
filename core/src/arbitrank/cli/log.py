"""arbitrank log: what a log holds, and an end to what is too old."""

from __future__ import annotations

import time
from pathlib import Path

import click
import msgspec

from arbitrank.answerlog.segments import prune
from arbitrank.cli.tables import when
from arbitrank.errors import DataError

folder = click.argument("folder", type=click.Path(path_type=Path))


@click.group("log")
def command() -> None:
    """Look after the folder that answers and feedback are logged to."""


@command.command("status")
@folder
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(folder: Path, as_json: bool) -> None:
    """Count what the log in FOLDER holds: requests, those of known truth, and lines that cannot be read."""
    from arbitrank.answerlog.joining import view
    from arbitrank.answerlog.reader import report

    found = report(view(folder))
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    click.echo(
        f"{folder}: {found.requests} requests from {when(found.first)} to {when(found.last)}, {found.with_truth} with "
        f"their truth, {found.with_outcome} with an outcome; {found.segments} segments, {found.bytes} bytes"
    )
    if found.bad_lines:
        one = found.bad_lines == 1
        lines = "1 line cannot be read and is" if one else f"{found.bad_lines} lines cannot be read and are"
        click.echo(f"{lines} skipped, as {found.bad[0]}")


@command.command("prune")
@folder
@click.option(
    "--days",
    type=click.FloatRange(0, min_open=True),
    required=True,
    help="Remove the segments that were begun longer ago.",
)
def prune_(folder: Path, days: float) -> None:
    """Remove what was logged to FOLDER too long ago. A service that runs with --log-days does it by itself."""
    try:
        removed = prune(folder, days, time.time())
    except OSError as error:
        raise DataError(f"{folder}: cannot be pruned: {error.strerror}; promised the folder of a log") from error
    click.echo(f"{folder}: removed {', '.join(path.name for path in removed) or 'nothing'}")
