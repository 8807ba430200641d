"""Options of what a log keeps of answers, and of comparisons."""

from __future__ import annotations

import click

from arbitrank.answerlog.redaction import CONTEXT
from arbitrank.answerlog.settings import LogSettings
from arbitrank.cli.options import PATH, Share, gathered

kept = gathered(
    "log_settings",
    LogSettings,
    click.option("--log-share", "share", type=Share(0, 1), default=1.0, help="Sampled share of it."),
    click.option(
        "--log-words",
        "words",
        type=click.Choice(["keep", "hash", "drop"]),
        default="keep",
        help="Treatment of utterances and slot values in the log.",
    ),
    click.option("--log-key", "key", type=PATH, metavar="FILE", help="The key to hash them with."),
    click.option(
        "--log-context",
        "context",
        metavar="KEY",
        multiple=True,
        default=CONTEXT,
        help="With words hashed or dropped, the context keys to keep; a final * matches any ending. May be repeated.",
    ),
    click.option(
        "--log-days", "days", type=click.FloatRange(0, min_open=True), help="Remove older segments.  [default: keep]"
    ),
)
"""The options, which the verb receives as `log_settings: LogSettings`."""
