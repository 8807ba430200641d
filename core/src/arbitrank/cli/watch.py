"""arbitrank watch: every domain by the log of a service."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from arbitrank.cli import options
from arbitrank.registry import discover, loaded
from arbitrank.store.store import Store


@click.command("watch")
@click.option("--on", "path", type=options.PATH, required=True, help="A log's folder, or a file of its lines.")
@options.since("2d")
@click.option("--outcomes", is_flag=True, help="Propose recalibrations from accepted and rejected answers too.")
@options.as_json
@options.store_url
@options.keys_folder
def watch(path: Path, begins: str, outcomes: bool, as_json: bool, store: str | None, keys: str | None) -> None:
    """Judge every domain by a log: claims against outcomes, drift, requests that neighbours lose, unknown features.

    What is watched is compared with the week before it and with the cards of the weights. Exit status 1 where a domain
    alarms; at most one false alarm is expected in 50 quiet weeks, however often it is run. Each alarm names the command
    to run next. A change of the traffic's shares is reported as such and alarms nobody. The cases of the suites in
    the store are run by what serves now; one that fails alarms, too.

    Example: arbitrank watch --on log --since 2d
    """
    from arbitrank.cli.watch_tables import show_watch
    from arbitrank.exchanged import suites_now
    from arbitrank.watch.alarms import Commands
    from arbitrank.watch.reading import known_of, watched
    from arbitrank.watch.suites import with_suites

    opened, domains, commands = _opened(store, keys), loaded(discover()), Commands(str(path), begins, store)
    report = watched(path, begins, known_of(domains, opened), commands)
    report = with_suites(report, suites_now(opened, domains), commands)
    if outcomes:
        from arbitrank.watch.proposals import with_proposals

        report = with_proposals(report, path, commands)
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        show_watch(report)
    sys.exit(1 if report.alarms else 0)


def _opened(store: str | None, keys: str | None) -> Store:
    from arbitrank.store.signing import open_keys
    from arbitrank.store.store import open_store

    return open_store(store, open_keys(keys))
