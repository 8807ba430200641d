"""arbitrank sign: sign an artifact."""

from __future__ import annotations

from pathlib import Path

import click

from arbitrank.cli import options
from arbitrank.errors import InputError
from arbitrank.store.signing import open_key, sign


@click.command("sign")
@click.argument("path", type=click.Path(path_type=Path))
@options.signing_key
def command(path: Path, key: str | None) -> None:
    """Sign the artifact in the folder PATH, where it lies, in place of any signature it has."""
    private = open_key(key)
    if private is None:
        raise InputError("no key to sign with; give one with --key FILE, made by: arbitrank keygen NAME")
    manifest = sign(path, private)
    assert manifest.signature
    click.echo(f"{manifest.domain} {manifest.version}: signed by key {manifest.signature.key}")
