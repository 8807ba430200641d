"""Tests of a release before it is current: the checks of its domains, and their self-test with what answers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import distributions
from pathlib import Path

from arbitrank.arbitration.probes import violation
from arbitrank.child import command, environment
from arbitrank.environments import folders
from arbitrank.environments.discovery import domains_of
from arbitrank.environments.folders import Release
from arbitrank.environments.remote_domain import RemoteDomain, greeted
from arbitrank.errors import ArbitrankError, InputError, PluginError
from arbitrank.guard import Fault, guarded
from arbitrank.isolation.groups import Isolation
from arbitrank.registry import loaded
from arbitrank.store.loading import present
from arbitrank.store.store import Store

__all__ = ["MEMORY", "checked", "selftested", "sound"]

MEMORY = Isolation({}).memory_mb << 20
"""Bytes of address space of a process that greets."""

_CHECKING = 900  # seconds that `check` of a domain may take
_PROBING = 120.0  # seconds that the self-test of a domain may take


def checked(release: Release, domains: Sequence[str], report: Callable[[str], None]) -> list[str]:
    """Remarks of `check` in the environment. Raises `PluginError` with what is broken."""
    notes = []
    for domain in domains:
        report(f"checking {domain}")
        arguments = [*command(release.interpreter), "-m", "arbitrank", "check", domain]
        try:
            done = subprocess.run(
                arguments, check=False, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
                timeout=_CHECKING, env=environment(release.interpreter), start_new_session=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise PluginError(f"{domain}: check was not done after {_CHECKING} s") from error
        if done.returncode == 1:
            raise PluginError(f"{domain}: check found in its environment:\n{done.stdout.strip()}")
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason"])[-1]
            notes.append(f"{domain}: check was not run in its environment: {last}")
    return notes


def selftested(release: Release, store: Store, report: Callable[[str], None]) -> list[str]:
    """Remarks of the self-test of the weights that are stable, or shipped. Raises `PluginError` where one fails."""
    notes = []
    domains = loaded(domains_of(release))
    for name, domain in sorted(domains.items()):
        assert isinstance(domain, RemoteDomain)
        report(f"testing {name} with its weights")
        found = guarded(present, name, domain, store)
        if isinstance(found, Fault):
            notes.append(f"{name}: not tested: {found.reason}")
            continue
        try:
            domain.hosted(found.folder, {}, partial(violation, domain, seconds=_PROBING))
        except ArbitrankError as error:
            weights = f"{found.manifest.version} ({found.origin})"
            raise PluginError(f"{name}: its self-test with the weights {weights} failed: {error}") from error
    return notes


def sound(release: Release, store: Store, report: Callable[[str], None]) -> list[str]:
    """Remarks on a release that was installed before. Raises `ArbitrankError` where it is damaged or cannot answer."""
    recorded = release.recorded()
    folders.lease(release).close()
    site = next(release.folder.glob("lib/python*/site-packages"), None)
    for one in distributions(path=[str(site)]):
        for path in one.files or ():
            if path.suffix != ".pyc" and not Path(str(one.locate_file(path))).exists():
                raise InputError(f"{path} is gone")
    if sorted(one.name for one in greeted(release, MEMORY).domains) != sorted(
        one.name for one in recorded.hello.domains
    ):
        raise PluginError("it has other domains than were recorded")
    return selftested(release, store, report)
