"""Verbs on keys and tokens: keygen, sign, token."""

from __future__ import annotations

import os
from pathlib import Path

import click

from arbitrank.cli import options
from arbitrank.errors import InputError, os_errors
from arbitrank.serve.auth import make_token
from arbitrank.store import signing


@click.command("keygen")
@click.argument("name", type=options.PATH)
def keygen(name: Path) -> None:
    """Write NAME.key, which signs and stays with the domain's team, and NAME.pub, which stores and services trust.

    To trust it, put it into the folder of --keys as DOMAIN.pub, or DOMAIN.2.pub beside an older one.

    Example: arbitrank keygen podcasts
    """
    private, public, identity = signing.keygen(name)
    click.echo(f"key {identity}: {private} signs, keep it; {public} is for those who trust it")


@click.command("sign")
@click.argument("path", type=options.PATH)
@options.signing_key
def sign(path: Path, key: options.PrivateKey | None) -> None:
    """Sign the artifact in the folder PATH in place; any signature it has is replaced.

    Example: arbitrank sign ./model --key podcasts.key
    """
    if key is None:
        raise InputError("no key to sign with; give one with --key FILE, made by: arbitrank keygen NAME")
    manifest = signing.sign(path, key)
    assert manifest.signature
    click.echo(f"{manifest.domain} {manifest.version}: signed by key {manifest.signature.key}")


@click.command("token")
@click.argument("name")
@click.argument("scopes", nargs=-1, required=True)
@click.option(
    "--tokens",
    type=options.PATH,
    metavar="FILE",
    help="Append its line to the service's file of tokens; else the line is printed.",
)
@click.option("--rate", type=options.Share(0, 1e9, min_open=True), metavar="N", help="Calls a second.")
@click.option("--burst", type=click.IntRange(1), metavar="N", help="Of them at once.  [default: those of one second]")
@click.option("--quota", type=click.IntRange(1), metavar="N", help="Calls a day, from midnight UTC.")
def token(
    name: str,
    scopes: tuple[str, ...],
    tokens: Path | None,
    rate: float | None,
    burst: int | None,
    quota: int | None,
) -> None:
    """Make a token for NAME with the SCOPES rank, feedback, publish:DOMAIN or admin.

    It is printed and stored nowhere: the service's file holds its SHA-256. A running service accepts it within seconds.

    Example: arbitrank token assistant rank feedback --tokens tokens.jsonl
    """
    secret, grant = make_token(name, scopes, rate=rate, burst=burst, quota=quota)
    if tokens is not None:
        with os_errors(InputError, f"--tokens {tokens}: cannot be written"):
            descriptor = os.open(tokens, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8") as file:
                file.write(f"{grant}\n")
    click.echo(secret)
    if tokens is None:
        click.echo(str(grant))
