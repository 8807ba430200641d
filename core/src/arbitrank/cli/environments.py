"""Verbs on environments of domains: install, uninstall."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import click
import msgspec

from arbitrank.cli import environment_options, options
from arbitrank.configuration import configured
from arbitrank.environments.building import Sources, find_python, tool
from arbitrank.environments.install import Installed
from arbitrank.environments.install import install as install_release
from arbitrank.environments.install import uninstall as withdraw_release
from arbitrank.errors import InputError
from arbitrank.store.signing import open_keys
from arbitrank.store.store import Store, open_store

_sources = options.gathered(
    "sources",
    Sources,
    click.option("--index-url", metavar="URL", help="The package index, as pip and uv have it configured."),
    click.option("--extra-index-url", "extra_index_urls", metavar="URL", multiple=True, help="Another index."),
    click.option("--find-links", metavar="DIR|URL", multiple=True, help="A folder or page of wheels."),
    click.option("--constraint", "constraints", type=options.PATH, metavar="FILE", multiple=True, help="Constraints."),
    click.option(
        "--require-hashes",
        type=options.PATH,
        metavar="FILE",
        help="Install this lock: every distribution in one version with its hashes, as requirements.lock of a release.",
    ),
    click.option("--no-index", is_flag=True, help="Use no index, only --find-links."),
    click.option(
        "--with", "beside", metavar="REQUIREMENT", multiple=True, help="Install this too, as 'arbitrank[train]'."
    ),
    click.option("--allow-source", is_flag=True, help="Build source distributions too; they run code to be installed."),
)


_store = options.gathered(
    "store", lambda store, keys: open_store(store, open_keys(keys)), options.store_url, options.keys_folder
)


@click.command("install")
@click.argument("requirement")
@environment_options.folder
@_sources
@click.option("--python", metavar="VERSION|PATH", help="The Python of the environment.  [default: this one]")
@click.option(
    "--installer", type=click.Choice(["uv", "pip"]), help="The program that installs.  [default: uv where it is there]"
)
@click.option("--check/--no-check", default=True, help="Run the checks of the domain in its environment.")
@click.option(
    "--await-weights",
    is_flag=True,
    help="Take it although it fails with the stable weights: services keep the release before until others are stable.",
)
@click.option("--dry-run", is_flag=True, help="Build and check it, and change nothing.")
@_store
@options.as_json
def install(
    requirement: str,
    environments: Path,
    sources: Sources,
    python: str | None,
    installer: str | None,
    check: bool,
    await_weights: bool,
    dry_run: bool,
    store: Store,
    as_json: bool,
) -> None:
    """Install a domain's package into an environment of its own: REQUIREMENT is a name with a version, wheel or folder.

    It is built beside what serves, checked and tested there with the stable weights, and then made current; services
    that follow the folder change over within their polling interval. Nothing changes where a step fails.

    Example: arbitrank install arbitrank-podcasts==1.2 --environments ./environments
    """
    rules = configured().install
    if rules.require_hashes and sources.require_hashes is None:
        raise InputError(
            f"{requirement}: [install] of {rules.where} requires hashes; give a lock: --require-hashes FILE"
        )
    if sources.require_hashes is not None and sources.beside:
        raise InputError(f"--with {sources.beside[0]}: --require-hashes installs what its lock has; add it there")
    sources = replace(sources, rules=rules)
    by = tool(installer)
    found = install_release(
        requirement,
        environments,
        find_python(python, by),
        by,
        sources,
        store,
        check=check,
        await_weights=await_weights,
        dry_run=dry_run,
        report=options.note,
    )
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        _show(found, environments, dry_run)


def _show(found: Installed, environments: Path, dry_run: bool) -> None:
    domains = ", ".join(found.domains)
    click.echo(f"{found.package} {found.release}: {domains}; core {found.core}, Python {found.python}")
    for note in found.notes:
        click.echo(f"  {note}")
    if dry_run:
        click.echo("dry run: nothing was changed")
    elif not found.changed:
        click.echo("it was current already")
    else:
        before = f", before: {found.previous}" if found.previous else ""
        see = shlex.join(["arbitrank", "domains", "--environments", str(environments)])
        click.echo(f"current now{before}; see: {see}")


@click.command("uninstall")
@click.argument("package")
@environment_options.folder
def uninstall(package: str, environments: Path) -> None:
    """Have no release of PACKAGE serve any more. Its environment is removed once no process uses it.

    Example: arbitrank uninstall arbitrank-podcasts --environments ./environments
    """
    release = withdraw_release(package, environments)
    click.echo(f"{package}: {release or 'it'} is not current any more; services stop serving it within their poll")
