"""Tests of a release before it is current: the checks of its domains, and their self-test with what answers."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import distributions
from pathlib import Path

import msgspec

from arbitrank.arbitration.probes import violation
from arbitrank.child import command, environment
from arbitrank.environments import folders
from arbitrank.environments.discovery import domains_of
from arbitrank.environments.folders import Release
from arbitrank.environments.release_domain import ReleaseDomain, greeted
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


class _Finding(msgspec.Struct, frozen=True):
    """A finding of `check`, as its JSON has it."""

    check: str
    seen: str
    expected: str = ""
    fix: str = ""
    key: str | None = None

    def __str__(self) -> str:
        place, expected = f"{self.key}: " if self.key else "", f", expected {self.expected}" if self.expected else ""
        return f"{self.check}: {place}{self.seen}{expected}" + (f"; {self.fix}" if self.fix else "")


class _Checked(msgspec.Struct, frozen=True):
    """The report of `check` on a domain, as its JSON has it."""

    broken: tuple[_Finding, ...] = ()
    warnings: tuple[_Finding, ...] = ()


def checked(release: Release, domains: Sequence[str], store: Store, report: Callable[[str], None]) -> list[str]:
    """Remarks of `check` in the environment, its warnings included. Raises `PluginError` with what is broken.

    The weights are the stable ones; what is broken with those alone is a remark, as the self-test judges them.
    """
    notes = []
    for domain in domains:
        report(f"checking {domain}")
        stable = guarded(store.state, domain)
        found: _Checked | None = None
        if not isinstance(stable, Fault) and stable[1].stable is not None:
            keys = ("--keys", str(store.keys.folder)) if store.keys else ()
            found, _ = _check(release, domain, "--store", str(store), *keys)
            if found is not None and found.broken:
                notes += [f"{domain}: check, with the stable weights: {one}" for one in found.broken]
                found = None
        if found is None:
            found, reason = _check(release, domain)
            if found is None:
                notes.append(f"{domain}: check was not run in its environment: {reason}")
                continue
        if found.broken:
            texts = "\n".join(map(str, found.broken))
            raise PluginError(f"{domain}: check found in its environment:\n{texts}")
        notes += [f"{domain}: check: {one}" for one in found.warnings]
    return notes


def _check(release: Release, domain: str, *options: str) -> tuple[_Checked | None, str]:
    """The report of `check` in the environment, or the reason why there is none. Raises `PluginError` if it hangs."""
    arguments = [*command(release.interpreter), "-m", "arbitrank", "check", domain, "--json", *options]
    try:
        done = subprocess.run(
            arguments, check=False, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
            timeout=_CHECKING, env=environment(release.interpreter), start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise PluginError(f"{domain}: check was not done after {_CHECKING} s") from error
    extra = lacking(done.stderr)
    last = ([line for line in done.stderr.splitlines() if line.strip()] or ["no reason"])[-1]
    reason = f"it lacks packages for it; run: {release.reinstalling(extra)}" if extra else last
    if done.returncode in (0, 1):
        reports = guarded(msgspec.json.decode, done.stdout.partition("\n")[0], type=_Checked)
        return (None, f"{reason} ({reports.reason})") if isinstance(reports, Fault) else (reports, "")
    return None, reason


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
        assert isinstance(domain, ReleaseDomain)
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


def _test(domain: ReleaseDomain, folder: Path) -> None:
    """Load an artifact in a release and self-test it there. Raises where that fails."""
    domain.hosted(folder, {}, partial(violation, domain, seconds=_PROBING), standby=False)


def _candidate(domain: ReleaseDomain, store: Store) -> str | None:
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
