"""Options of `serve` for the watch over its log."""

from __future__ import annotations

from urllib.parse import urlsplit

import click

from arbitrank.answerlog.period import begin
from arbitrank.cli import options
from arbitrank.errors import InputError
from arbitrank.serve.settings import WatchSettings


def _watch(
    watch: bool, watch_every: float, watch_since: str, watch_webhook: str | None, watch_outcomes: bool
) -> WatchSettings:
    begin(watch_since, 0.0, "--watch-since")
    if watch_webhook is not None and urlsplit(watch_webhook).scheme not in ("http", "https"):
        raise InputError(f"--watch-webhook {watch_webhook}: expected a URL, https://…")
    return WatchSettings(watch, watch_every, watch_since, watch_webhook, watch_outcomes)


watching = options.gathered(
    "watch",
    _watch,
    click.option("--watch/--no-watch", default=True, help="With --log: watch the domains by it, in a process."),
    click.option(
        "--watch-every",
        type=options.Share(0.1, 86_400),
        default=300.0,
        metavar="SECONDS",
        help="Between two looks at it.",
    ),
    click.option("--watch-since", metavar="DATE|Nd|Nh", default="2d", help="Judge the requests from then on."),
    click.option("--watch-webhook", metavar="URL", help="Post each new alarm here, as JSON."),
    click.option(
        "--watch-outcomes", is_flag=True, help="Propose recalibrations from accepted and rejected answers too."
    ),
)
"""The options, which the verb receives as `watch: WatchSettings`."""
