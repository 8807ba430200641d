"""arbitrank verify: check an artifact, a version or a whole store."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import click

from arbitrank.cli import options
from arbitrank.errors import InputError
from arbitrank.store.artifact import MANIFEST
from arbitrank.store.artifact_checks import Check, checks, printable
from arbitrank.store.kinds import checked_name, is_name
from arbitrank.store.store import Store, open_store
from arbitrank.store.store_checks import store_checks, version_checks


@click.command("verify")
@click.argument("path", required=False)
@options.store
def command(path: str | None, store: Store) -> None:
    """Check PATH and print a line for each thing checked: `PASS what`, or `FAIL what: why`; exit 1 on a FAIL.

    PATH is an artifact's folder, a store, or a DOMAIN or DOMAIN/VERSION of the store; by default it is the store.
    Nothing of an artifact is run.
    """
    failed = False
    for check in _found(path, store):
        failed |= bool(check.problem)
        click.echo(printable(f"FAIL {check.what}: {check.problem}" if check.problem else f"PASS {check.what}"))
    if failed:
        sys.exit(1)


def _found(path: str | None, store: Store) -> Iterable[Check]:
    if path is None:
        return store_checks(store)
    folder = Path(path)
    if path.startswith("s3://") or _is_store(folder):
        return store_checks(open_store(path, store.keys))
    domain, _, version = path.partition("/")
    if folder.exists() and ((folder / MANIFEST).exists() or domain not in store.domains()):
        return checks(folder, store.keys)
    if not is_name(domain):
        raise InputError(f"{path}: no such folder, expected an artifact, a store, a DOMAIN or DOMAIN/VERSION")
    domain = checked_name(domain)
    return version_checks(store, domain, version) if version else store_checks(store, domain)


def _is_store(folder: Path) -> bool:
    return folder.is_dir() and any((one / "history").is_dir() for one in folder.iterdir())
