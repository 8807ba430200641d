"""Removal of versions that no alias names any more."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress

from msgspec.structs import replace

from arbitrank.errors import Conflict, StoreError
from arbitrank.store.artifact import MANIFEST
from arbitrank.store.kinds import folders
from arbitrank.store.local_copies import copies
from arbitrank.store.state import Change, is_version
from arbitrank.store.store import Store

GRACE = 3600.0
"""Seconds for which a new version is kept although no alias names it: it may be in publication."""


def prune(store: Store, name: str, *, keep: int = 10, grace: float = GRACE) -> list[str]:
    """Remove the versions that no alias named after any of the last `keep` changes; their names.

    Versions that arrived less than `grace` seconds ago are kept; older remains of interrupted publications are removed
    too. The history first marks what is being removed, so that a concurrent promotion detects it. Raises `StoreError`
    where another `prune` is in progress.
    """
    number, state = store.state(name)
    if state.removing:
        begun = [change.time for change in store.history(name) if change.verb == "prune"]
        if begun and time.time() - begun[-1] < grace:
            raise StoreError(f"store {store}: another prune of {name} is in progress; try again later")
    recent = store.history(name, max(keep, 1))
    named = {version for change in recent for version in change.state.names().values()}
    ages: dict[str, float] = {}
    for folder in folders(name):
        for kept in store.backend.under(folder):
            version = kept.key.split("/")[1]
            if is_version(version):
                ages[version] = min(kept.age, ages.get(version, kept.age))
    going = {version for version, age in ages.items() if age >= grace and version not in named}
    going |= set(state.removing)
    if going:
        marked = replace(state, removing=tuple(sorted(going)))
        store.append(name, Change(number=number + 1, verb="prune", state=marked))
        for version in sorted(going):
            _remove(store, name, version)
        removed = False
        while not removed:
            number, state = store.state(name)
            left = tuple(version for version in state.removing if version not in going)
            with suppress(Conflict):
                store.change(name, "pruned", replace(state, removing=left), number)
                removed = True
    store.backend.sweep(max(grace, GRACE))  # a write may be slow, however short the caller's grace is
    return sorted(going & set(ages))


def _remove(store: Store, name: str, version: str) -> None:
    """Delete the manifest first, so that the version is gone before any of its files is."""
    for folder in folders(name):
        keys = [kept.key for kept in store.backend.under(f"{folder}/{version}")]
        for key in sorted(keys, key=lambda key: not key.endswith(f"{version}/{MANIFEST}")):
            store.backend.delete(key)
        if store.backend.local(folder) is None:
            shutil.rmtree(copies(store.backend, store.cache) / folder / version, ignore_errors=True)
