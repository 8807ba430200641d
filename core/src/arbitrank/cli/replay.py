"""arbitrank replay: answer a logged request again."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.cli import options
from arbitrank.errors import InputError
from arbitrank.store.store import Store


@click.command("replay")
@click.argument("id")
@click.option("--log", "folder", type=click.Path(path_type=Path), required=True, help="The folder that was logged to.")
@options.store
@options.decisions()
@options.explain
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    id: str,
    folder: Path,
    store: Store,
    decisions: DecisionSettings,
    explain: bool,
    as_json: bool,
) -> None:
    """Show what a logged request was answered, what it would be answered today, and what changed.

    The domains read its words again where they did so then and the log keeps them; else they score the hypotheses that
    it holds. No policy of a service is applied.
    """
    from arbitrank.answerlog.joining import view
    from arbitrank.answerlog.reader import find
    from arbitrank.impact.replay_one import replay

    line = find(view(folder), id)
    if line is None:
        raise InputError(f"{folder}: no request with the id {id!r}; run: arbitrank log status {folder}")
    arbitrator = options.arbitrator(store, decisions)
    found = replay(line, arbitrator, explain=explain)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    from arbitrank.cli.tables import show_replay

    show_replay(found, line.time, explain=explain)
