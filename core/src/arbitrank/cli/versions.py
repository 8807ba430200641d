"""Verbs on the versions in a store: publish, rollback, history, verify, prune."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec
from msgspec import UNSET

from arbitrank.cli import options
from arbitrank.cli.answer_tables import when
from arbitrank.errors import InputError, StoreError
from arbitrank.normal_text import printable
from arbitrank.registry import ENVIRONMENTS
from arbitrank.store.artifact import MANIFEST
from arbitrank.store.artifact_checks import Check, checks
from arbitrank.store.kinds import RESERVED, checked_name, is_name, kind_of, name_in_store, train_command
from arbitrank.store.prune import GRACE
from arbitrank.store.prune import prune as remove_old_versions
from arbitrank.store.state import Change
from arbitrank.store.store import Store, open_store
from arbitrank.store.store_checks import store_checks, version_checks


@click.command("publish")
@click.argument("path", type=options.PATH)
@options.changed_store
def publish(path: Path, store: Store) -> None:
    """Copy the artifact in the folder PATH into the store, as the `candidate` of its domain or stage.

    The stable version keeps serving. With a key the copy and the change are signed. An existing version is left as it
    is, or repaired where it is damaged.

    Example: arbitrank publish ./model
    """
    manifest = store.publish(path)
    name = name_in_store(manifest.domain, manifest.files)
    click.echo(f"{name} {manifest.version}: candidate in {store}; run: arbitrank promote {name}")


@click.command("rollback")
@options.name
@click.option("--to-package", is_flag=True, help="Serve the weights in the domain's package, no version of the store.")
@click.option("--code", is_flag=True, help="Return to the previous release of the domain's environment instead.")
@options.reason
@options.changed_store
def rollback(domain: str, to_package: bool, code: bool, reason: str | None, store: Store) -> None:
    """Make the `previous` version of DOMAIN stable again, and the stable one `previous`.

    DOMAIN is a domain, .shortlist, .hyprank or .decisions. Nothing is trained. Of a domain in an environment of its
    own the version is tested there; where only the previous release can load it, both are taken back, and with --code
    the weights likewise.

    Example: arbitrank rollback podcasts --reason "takes requests for songs"
    """
    environments = os.environ.get(ENVIRONMENTS)
    if code and not environments:
        raise InputError("--code: no folder of environments; name it with --environments, or ARBITRANK_ENVIRONMENTS")
    if not environments or to_package or (not code and domain in RESERVED):
        _show(domain, store.rollback(domain, to_package=to_package, reason=reason))
        return
    from arbitrank.environments.rollback import rollback_code, rollback_weights

    done = (rollback_code if code else rollback_weights)(domain, store, Path(environments), reason=reason)
    for name, change in done.changes.items():
        _show(name, change)
    if done.release is not None:
        see = shlex.join(["arbitrank", "domains", "--environments", str(environments)])
        before = done.before.name if done.before else "none that can be read"
        click.echo(f"{done.release} is current, before: {before}; see: {see}")


def _show(name: str, change: Change) -> None:
    serves = "" if change.state.stable else f"; {kind_of(name).fallback}"
    click.echo(f"{name}: {change.state} (change {change.number}){serves}")


@click.command("history")
@options.name
@options.store
@options.as_json
def history(domain: str, store: Store, as_json: bool) -> None:
    """List every change of DOMAIN, oldest first: its number, when, by whom, what, and the state after it.

    With --keys the exit status is 1 where the changes are not all signed, or one is missing.

    Example: arbitrank history podcasts
    """
    changes = store.history(domain, trusted=False)
    if as_json:
        click.echo(msgspec.json.encode(changes))
    for change in () if as_json else changes:
        click.echo(_line(change))
    if not changes and not as_json:
        click.echo(f"{domain} has no history in {store}; run: {train_command(domain)}")
    try:
        store.state(domain)  # which verifies the signatures, where there are keys
    except StoreError as error:
        options.note(str(error))
        sys.exit(1)


def _line(change: Change) -> str:
    verb = f"{change.verb} (forced)" if change.forced else change.verb
    by = change.by if change.via is UNSET else f"{change.by} (token)"
    overrode = "" if change.overrode is UNSET else f"; overrode: {'; '.join(change.overrode)}"
    code = "" if change.code is UNSET else f"; with code {change.code}"
    reason = f"; {change.reason}" if change.reason else ""  # last, so that it cannot look like anything else
    action = f"{printable(verb)}: {change.state}{printable(overrode)}{printable(code)}{printable(reason)}"
    return f"{change.number:4}  {when(change.time)}  {printable(by)}  {action}"


@click.command("prune")
@click.argument("domains", metavar="[DOMAIN …]", nargs=-1)
@options.changed_store
@click.option(
    "--keep", type=click.IntRange(1), default=10, help="Keep what an alias named after any of so many last changes."
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=GRACE,
    help="Keep what arrived less than so many seconds ago: it may be being published.",
)
def prune(domains: tuple[str, ...], store: Store, keep: int, grace: float) -> None:
    """Remove versions of each DOMAIN (all by default) that no alias names or named lately. The history stays.

    Example: arbitrank prune podcasts --keep 5
    """
    for domain in domains or store.domains():
        removed = remove_old_versions(store, domain, keep=keep, grace=grace)
        click.echo(f"{domain}: removed {', '.join(removed) or 'nothing'}")


@click.command("verify")
@click.argument("path", required=False)
@options.store
def verify(path: str | None, store: Store) -> None:
    """Check PATH and print a line for each check: `PASS what`, or `FAIL what: why`; exit 1 on a FAIL.

    PATH is an artifact's folder, a store, or a DOMAIN or DOMAIN/VERSION of the store; by default it is the store. No
    code of an artifact is run.

    Example: arbitrank verify podcasts
    """
    failed = False
    for check in _checks_of(path, store):
        failed |= bool(check.problem)
        click.echo(printable(f"FAIL {check.what}: {check.problem}" if check.problem else f"PASS {check.what}"))
    if failed:
        sys.exit(1)


def _checks_of(path: str | None, store: Store) -> Iterable[Check]:
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
    return folder.is_dir() and any((entry / "history").is_dir() for entry in folder.iterdir())
