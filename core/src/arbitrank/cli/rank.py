"""arbitrank rank: hypotheses in, answers out."""

from __future__ import annotations

import sys

import click
import msgspec

from arbitrank.cli import options
from arbitrank.decide import Thresholds
from arbitrank.errors import InputError
from arbitrank.wire import BadLine, read_requests


@click.command("rank")
@click.argument("file", default="-")
@options.store
@options.none_threshold
@options.clarify_threshold
@options.normalise
@options.independence
@click.option("--rank-unserved", is_flag=True, help="Rank hypotheses of domains nobody serves by R0; else report them.")
@options.explain
def command(
    file: str,
    store: str | None,
    none: float,
    clarify: float,
    normalise: bool,
    independence: float,
    rank_unserved: bool,
    explain: bool,
) -> None:
    """Rank the hypotheses of each request in FILE (JSON Lines, .gz too; - for standard input); print answers.

    A line that cannot be read is reported on standard error, the others are answered, and the exit status is 2.
    """
    measured = independence if normalise else None
    arbitrator = options.arbitrator(store, Thresholds(none, clarify), measured, rank_unserved=rank_unserved)
    bad = 0
    for line in read_requests(file):
        if isinstance(line, BadLine):
            bad += 1
            print(f"arbitrank: {line.where}: {line.reason}", file=sys.stderr)
        else:
            sys.stdout.buffer.write(msgspec.json.encode(arbitrator.answer(line, explain=explain)) + b"\n")
    sys.stdout.flush()
    if bad:
        name = "standard input" if file == "-" else file
        raise InputError(f"{bad} line{'s' if bad > 1 else ''} of {name} could not be read, the others were answered")
