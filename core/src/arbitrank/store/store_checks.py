"""Verification of a whole store, of one name in it, or of one version."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from arbitrank.errors import ArtifactError, InputError, StoreError
from arbitrank.store.artifact import read_manifest
from arbitrank.store.artifact_checks import Check, checks
from arbitrank.store.kinds import SHORTLIST
from arbitrank.store.local_copies import copy_artifact
from arbitrank.store.store import Store
from arbitrank.store.suites import SUITES, read_suites, suite_domains
from arbitrank.store.versions import home, wrong_name


def store_checks(store: Store, name: str | None = None) -> Iterator[Check]:
    """All checks of one name, or of all and the audit set."""
    known = store.domains()
    if name and name not in known:
        raise InputError(f"{name!r} is not in {store} (known: {', '.join(known) or 'none'})")
    for each in [name] if name else known:
        try:
            yield from _name_checks(store, each)
        except StoreError as error:
            yield Check(each, str(error))
    if name is None:
        yield from store.audit_history().checks()
        try:
            store.audit_set()
        except StoreError as error:
            yield Check(".audit", str(error))
        for domain in suite_domains(store.backend):
            history = store.suite_history(domain)
            yield from history.checks()
            try:
                read_suites(history, domain)
            except StoreError as error:
                yield Check(f"{SUITES}/{domain}", str(error))


def version_checks(store: Store, name: str, version: str) -> Iterator[Check]:
    """All checks of one version."""
    prefix = home(store.backend, name, version)
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as work:
        folder = store.backend.local(prefix)
        if folder is None:
            folder = Path(work) / "artifact"
            copy_artifact(store.backend, prefix, folder)
        yield from checks(folder, store.keys)
        try:
            problem = wrong_name(read_manifest(folder), name, version)
        except ArtifactError as error:
            problem = str(error)
        if problem:
            yield Check("name", problem)


def _name_checks(store: Store, name: str) -> Iterator[Check]:
    for history in store.histories(name):
        yield from history.checks()
    if name == SHORTLIST:
        yield from store.catalogue_log().checks()
    present = store.versions(name)
    for version in present:
        try:
            first = next((check for check in version_checks(store, name, version) if check.problem), None)
            problem = f"{first.what}: {first.problem}" if first else None
        except (ArtifactError, StoreError) as error:  # this one cannot be fetched; the others are checked
            problem = str(error)
        yield Check(f"{name}/{version}", problem)
    try:
        _, state = store.state(name)
    except StoreError as error:
        yield Check(f"{name} state", str(error))
        return
    for alias, version in state.names().items():
        yield Check(f"{name} {alias}", None if version in present else f"{version} is missing")
