"""arbitrank publish: take an artifact into the store."""

from __future__ import annotations

from pathlib import Path

import click

from arbitrank.cli import options
from arbitrank.store.kinds import name_in_store
from arbitrank.store.signing import open_key
from arbitrank.store.store import Store


@click.command("publish")
@click.argument("path", type=click.Path(path_type=Path))
@options.store
@options.signing_key
def command(path: Path, store: Store, key: str | None) -> None:
    """Copy the artifact in the folder PATH into the store, as the `candidate` of its domain or stage.

    The stable version keeps serving. With a key the copy is signed. A version that exists is left as it is, and
    repaired where it is damaged.
    """
    manifest = store.publish(path, key=open_key(key))
    name = name_in_store(manifest.domain, manifest.files)
    click.echo(f"{name} {manifest.version}: candidate in {store}; run: arbitrank promote {name}")
