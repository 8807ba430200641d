"""Tests of a release before it is current: the checks of its domains, and their self-test with what answers."""

from __future__ import annotations

import re
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
from arbitrank.errors import InputError, OtherCode, PluginError, message
from arbitrank.guard import Fault, guarded
from arbitrank.isolation.groups import Isolation
from arbitrank.registry import loaded
from arbitrank.store.loading import present, weights
from arbitrank.store.store import Store

__all__ = ["MEMORY", "checked", "lacking", "selftested", "sound"]

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
            extra = lacking(done.stderr)
            last = (done.stderr.strip().splitlines() or ["no reason"])[-1]
            reason = f"it lacks packages for it; run: {release.reinstalling(extra)}" if extra else last
            notes.append(f"{domain}: check was not run in its environment: {reason}")
    return notes


def lacking(written: str) -> str | None:
    """The extra that a command asks for in what it wrote, as `arbitrank[train]`; None without one."""
    found = re.search(r'pip install "(arbitrank\[\w+\])"', written)
    return found[1] if found else None


def selftested(
    release: Release, store: Store, report: Callable[[str], None], *, await_weights: bool = False
) -> list[str]:
    """Remarks of the self-test of the weights that are stable, or shipped. Raises `PluginError` where one fails.

    It may fail where these state that they are for other versions, where a candidate passes, or with `await_weights`.
    """
    notes = []
    domains = loaded(domains_of(release))
    for name, domain in sorted(domains.items()):
        assert isinstance(domain, RemoteDomain)
        report(f"testing {name} with its weights")
        found = guarded(present, name, domain, store)
        if isinstance(found, Fault):
            notes.append(f"{name}: not tested: {found.reason}")
            continue
        tested = guarded(_test, domain, found.folder)
        if not isinstance(tested, Fault):
            continue
        version = f"the weights {found.manifest.version} ({found.origin})"
        candidate = _candidate(domain, store)
        if candidate is None and not await_weights and not isinstance(tested.error, OtherCode):
            failed = f"{name}: its self-test with {version} failed: {message(tested)}"
            raise PluginError(f"{failed}; where it needs other weights, publish them first, or add --await-weights")
        then = f"arbitrank promote {name}" if candidate else f"arbitrank train {name}, then arbitrank promote {name}"
        why = f"with {version}: {message(tested)}"
        notes.append(f"{name}: a service keeps the release before until other weights are stable; {why}; run: {then}")
    return notes


def _test(domain: RemoteDomain, folder: Path) -> None:
    """Load an artifact in a release and self-test it there. Raises where that fails."""
    domain.hosted(folder, {}, partial(violation, domain, seconds=_PROBING), standby=False)


def _candidate(domain: RemoteDomain, store: Store) -> str | None:
    """The candidate in the store, where it passes its self-test in the release, so that it can be promoted."""
    version = store.state(domain.name)[1].candidate
    found = None if version is None else guarded(weights, domain.name, domain, store, version)
    if found is None or isinstance(found, Fault) or isinstance(guarded(_test, domain, found.folder), Fault):
        return None
    return version


def sound(release: Release, store: Store, report: Callable[[str], None], *, await_weights: bool = False) -> list[str]:
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
    return selftested(release, store, report, await_weights=await_weights)
