"""arbitrank keygen: make a pair of keys to sign with."""

from __future__ import annotations

from pathlib import Path

import click

from arbitrank.store.signing import keygen


@click.command("keygen")
@click.argument("name", type=click.Path(path_type=Path))
def command(name: Path) -> None:
    """Write NAME.key, which signs and stays with the domain's team, and NAME.pub, which stores and services trust.

    To trust it, put it into the folder of --keys as DOMAIN.pub, or DOMAIN.2.pub beside an older one.
    """
    private, public, identity = keygen(name)
    click.echo(f"key {identity}: {private} signs, keep it; {public} is for who trusts it")
