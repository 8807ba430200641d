"""Verbs on a log of answers: log status, log prune, replay."""

from __future__ import annotations

import time
from pathlib import Path

import click
import msgspec

from arbitrank.answerlog import segments
from arbitrank.answerlog.joining import view
from arbitrank.answerlog.reader import find, report
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.cli import decision_options, options
from arbitrank.cli.answer_tables import show_replay, when
from arbitrank.cli.help_pages import Verbs
from arbitrank.errors import DataError, InputError, os_errors
from arbitrank.store.store import Store

_folder = click.argument("folder", type=options.PATH)


@click.group("log", cls=Verbs)
def log() -> None:
    """Maintain the folder to which answers and feedback are logged.

    Example: arbitrank log status ./log
    """


@log.command("status")
@_folder
@options.as_json
def status(folder: Path, as_json: bool) -> None:
    """Count what the log in FOLDER holds: requests, those of known truth, and lines that cannot be read.

    Example: arbitrank log status ./log
    """
    found = report(view(folder))
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    click.echo(
        f"{folder}: {found.requests} requests from {when(found.first)} to {when(found.last)}, {found.with_truth} with "
        f"their truth, {found.with_outcome} with an outcome; {found.segments} segments, {found.bytes} bytes"
    )
    if found.with_outcome:
        click.echo(f"{found.with_selection} answers say how they were drawn, which `arbitrank value` needs")
    if n := found.bad_lines:
        lines = "1 line cannot be read and is" if n == 1 else f"{n} lines cannot be read and are"
        click.echo(f"{lines} skipped, as {found.bad[0]}")


@log.command("prune")
@_folder
@click.option(
    "--days",
    type=click.FloatRange(0, min_open=True),
    required=True,
    help="Remove the segments that were begun longer ago.",
)
def prune(folder: Path, days: float) -> None:
    """Remove what was logged to FOLDER too long ago. A service with --log-days does this itself.

    Example: arbitrank log prune ./log --days 30
    """
    with os_errors(DataError, f"{folder}: cannot be pruned", "; expected the folder of a log"):
        removed = segments.prune(folder, days, time.time())
    click.echo(f"{folder}: removed {', '.join(path.name for path in removed) or 'nothing'}")


@click.command("replay")
@click.argument("id")
@click.option("--log", "folder", type=options.PATH, required=True, help="The log's folder.")
@options.store
@decision_options.decisions()
@options.explain
@options.as_json
def replay(id: str, folder: Path, store: Store, decisions: DecisionSettings, explain: bool, as_json: bool) -> None:
    """Answer the logged request ID again: its answer then, its answer today, and what changed.

    The domains recognise its words again where they did so then and the log keeps them; else they score the hypotheses
    in the log. No policy of a service is applied.

    Example: arbitrank replay 3f9a1c07 --log ./log
    """
    from arbitrank.impact.replay_one import replay

    line = find(view(folder), id)
    if line is None:
        raise InputError(f"{folder}: no request with the id {id!r}; run: arbitrank log status {folder}")
    found = replay(line, options.arbitrator(store, decisions), explain=explain)
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        show_replay(found, line.time, explain=explain)
