"""Verbs on keys and tokens: keygen, sign, token."""

from __future__ import annotations

import os
from pathlib import Path

import click

from arbitrank.cli import options
from arbitrank.errors import InputError, os_errors
from arbitrank.serve.auth import make_token
from arbitrank.store import key_files, signing
from arbitrank.store.audit_set import AUDIT, AuditChange
from arbitrank.store.catalogue_log import CatalogueChange
from arbitrank.store.kinds import checked_name
from arbitrank.store.state import Change
from arbitrank.store.store import Store


@click.command("keygen")
@click.argument("name", type=options.PATH)
@click.option("--password-file", type=options.PATH, metavar="FILE", help="Encrypt NAME.key with the password in here.")
def keygen(name: Path, password_file: Path | None) -> None:
    """Write NAME.key, which signs and stays with the domain's team, and NAME.pub, which stores and services trust.

    To trust it, put it into the folder of --keys as DOMAIN.pub, or DOMAIN.2.pub beside an older one; as .changes.pub it
    may sign the changes of every domain, as those of a service, but no artifact.

    Example: arbitrank keygen podcasts
    """
    password = None if password_file is None else key_files.read_password(password_file)
    private, public, identity = key_files.keygen(name, password)
    click.echo(f"key {identity}: {private} signs, keep it; {public} is for those who trust it")


@click.command("sign")
@click.argument("path", type=options.PATH, required=False)
@click.option(
    "--history",
    metavar="DOMAIN",
    callback=lambda context, parameter, value: value if value in (None, AUDIT) else checked_name(value),
    help="Sign the history of this domain, stage or .audit in the store, as it is, in place of an artifact.",
)
@options.changed_store
def sign(path: Path | None, history: str | None, store: Store) -> None:
    """Sign the artifact in the folder PATH in place; any signature it has is replaced.

    With --history, a change is appended that vouches for all changes before it: for a history that was begun without
    keys, or with keys that are no longer trusted. Look at it first: arbitrank history DOMAIN.

    Example: arbitrank sign ./model --key podcasts.key
    """
    if (path is None) == (history is None):
        raise InputError(
            f"{'neither' if path is None else 'both'} PATH and --history DOMAIN given; expected one of them"
        )
    if (key := store.key) is None:
        raise InputError("no key to sign with; give one with --key FILE, made by: arbitrank keygen NAME")
    if history is not None:
        change = store.adopt(history)
        click.echo(f"{history}: changes 1 to {change.number - 1} signed by change {change.number}: {_after(change)}")
        return
    assert path is not None
    manifest = signing.sign(path, key)
    assert manifest.signature
    click.echo(f"{manifest.domain} {manifest.version}: signed by key {manifest.signature.key}")


def _after(change: Change | AuditChange | CatalogueChange) -> str:
    if isinstance(change, CatalogueChange):
        return "the catalogue"
    return str(change.state) if isinstance(change, Change) else f"audit set {change.digest[:12]}"


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
    """Make a token for NAME with the SCOPES rank, feedback, metrics, publish:DOMAIN or admin.

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
