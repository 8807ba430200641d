"""arbitrank publish: take an artifact into the store."""

from __future__ import annotations

from pathlib import Path

import click

from arbitrank.cli import options
from arbitrank.store.signing import open_key
from arbitrank.store.store import Store


@click.command("publish")
@click.argument("path", type=click.Path(path_type=Path))
@options.store
@options.signing_key
def command(path: Path, store: Store, key: str | None) -> None:
    """Copy the artifact in the folder PATH into the store, as its domain's `candidate`; what serves stays.

    With a key the copy is signed. To publish what is there already changes nothing, and repairs what is damaged.
    """
    manifest = store.publish(path, key=open_key(key))
    click.echo(f"{manifest.domain} {manifest.version}: candidate in {store}; run: arbitrank promote {manifest.domain}")
