"""arbitrank token: make a token for the service."""

from __future__ import annotations

import os
from pathlib import Path

import click

from arbitrank.errors import InputError


@click.command("token")
@click.argument("name")
@click.argument("scopes", nargs=-1, required=True)
@click.option(
    "--tokens",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Append its line to the service's file of tokens; else the line is printed.",
)
def command(name: str, scopes: tuple[str, ...], tokens: Path | None) -> None:
    """Make a token for NAME that may do what SCOPES say: rank, feedback, publish:DOMAIN or admin.

    It is printed, and kept nowhere: the service's file holds its SHA-256. A service that runs takes it within seconds.
    """
    from arbitrank.serve.auth import make_token

    token, grant = make_token(name, scopes)
    if tokens is not None:
        try:
            descriptor = os.open(tokens, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8") as file:
                file.write(f"{grant}\n")
        except OSError as error:
            raise InputError(f"--tokens {tokens}: cannot be written: {error.strerror}") from error
    click.echo(token)
    if tokens is None:
        click.echo(str(grant))
