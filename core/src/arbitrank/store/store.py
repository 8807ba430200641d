"""The store: the versions of every domain and stage, and for each name a history that tells which version serves.

    NAME/VERSION/                    an artifact; it exists once its manifest does, which is written last
    NAME/history/00000001.json       a change, and the whole state after it
    .audit/                          the audit set and its history

Only the history determines what serves, so no two files can disagree, and a process that is killed leaves a whole
change or none. This holds for folders and for object stores alike (`arbitrank.store.backend`).
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from msgspec.structs import replace

from arbitrank.configuration import stated_text
from arbitrank.errors import ArtifactError, Conflict, InputError, StoreError
from arbitrank.store import state as states
from arbitrank.store.artifact import MANIFEST, Manifest
from arbitrank.store.artifact_checks import verified
from arbitrank.store.audit_set import read_audit_set, write_audit_set
from arbitrank.store.backend import FolderBackend, StoreBackend
from arbitrank.store.history import History
from arbitrank.store.kinds import checked_name, folders, is_name, kind_of, name_in_store, train_command
from arbitrank.store.local_copies import copies, copy_artifact
from arbitrank.store.signing import Keys, open_keys, signed
from arbitrank.store.state import Change, State, conflict, is_version
from arbitrank.store.versions import home, upload, wrong_name

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ENVIRONMENT = "ARBITRANK_STORE"
"""The environment variable that names the store where the command line doesn't."""

_WAITS = 100  # of a twentieth of a second, for a `prune` that is removing the version to be published


class Store:
    """The versions under every name and their states, over a backend; safe for any number of concurrent processes.

    With `keys`, artifacts without a trusted signature are refused at publish, promote and load. `cache` is the folder
    for local copies of a remote store. Every `name` is a domain's or a reserved one (`arbitrank.store.kinds`).
    """

    def __init__(self, backend: StoreBackend, keys: Keys | None = None, cache: Path | None = None) -> None:
        self.backend, self.keys, self.cache = backend, keys, cache
        self._histories: dict[str, History[Change]] = {}

    def __str__(self) -> str:
        return str(self.backend)

    def state(self, name: str) -> tuple[int, State]:
        """The number of the last change under a name, and the state after it; 0 and no aliases where there is none.

        A state that was kept under the kind's earlier name holds, as number 0, until the first change.
        """
        for folder in folders(name):
            latest = self._history(folder).latest()
            if latest:
                return latest.number if folder == checked_name(name) else 0, latest.state
        return 0, State()

    def history(self, name: str, last: int = 0) -> list[Change]:
        """Every change under a name, or the `last` so many, oldest first; those under its earlier name included."""
        return [one for history in self.histories(name) for one in history.entries(last)][-last:]

    def histories(self, name: str) -> list[History[Change]]:
        """The histories under a name and its earlier one, oldest first, as far as the store has them."""
        name, *earlier = folders(name)
        present = self.backend.folders() if earlier else []
        found = [one for one in (*earlier, name) if one in present]
        return [self._history(one) for one in found or [name]]

    def holds(self, name: str) -> bool:
        """True while the change that `state` last returned exists: not in a store that was removed."""
        return self._history(checked_name(name)).holds()

    def forget(self, name: str) -> None:
        """Read the name's history from its beginning the next time."""
        self._histories.pop(checked_name(name), None)

    def domains(self) -> list[str]:
        """The names that the store has, sorted."""
        return sorted({checked_name(folder) for folder in self.backend.folders() if is_name(folder)})

    def versions(self, name: str) -> list[str]:
        """The complete versions under a name, sorted."""
        keys = [kept.key.split("/") for folder in folders(name) for kept in self.backend.under(folder)]
        return sorted({key[1] for key in keys if len(key) == 3 and key[2] == MANIFEST and is_version(key[1])})

    def stable(self, name: str) -> Path | None:
        """A folder with the version that serves, as from `fetch`; None where none is stable."""
        _, state = self.state(name)
        return self.fetch(name, state.stable) if state.stable else None

    def fetch(self, name: str, version: str) -> Path:
        """A local folder with a verified version; with `keys`, its signature is verified too.

        Raises `ArtifactError` where a check fails or the version does not exist.
        """
        prefix = home(self.backend, name, version)
        folder = self.backend.local(prefix)
        if folder is None:
            folder = copies(self.backend, self.cache) / prefix
            try:
                self._verified(folder, name, version)
                return folder
            except ArtifactError:  # not copied yet, damaged here, or signed again there
                copy_artifact(self.backend, prefix, folder)
        self._verified(folder, name, version)
        return folder

    @contextmanager
    def checked_out(self, name: str, version: str) -> Iterator[Path]:
        """A folder as from `fetch` that no other user can modify, so that it need not be verified again.

        Where the store is a folder, it is a copy, which is removed at the end.
        """
        local = self.backend.local(home(self.backend, name, version))
        if local is None:
            yield self.fetch(name, version)  # the cache is this user's own
            return
        with TemporaryDirectory(prefix="arbitrank-") as work:
            self._verified(local, name, version, copy=Path(work))
            yield Path(work)

    def audit_set(self) -> Path | None:
        """The labelled requests that changes are judged on, as a file; None where none was set."""
        return read_audit_set(self.backend, copies(self.backend, self.cache))

    def publish(self, artifact: Path, *, promote: bool = False, key: Ed25519PrivateKey | None = None) -> Manifest:
        """Copy a sealed artifact into the store as the name's `candidate`, or with `promote` as its `stable`.

        With `key` the copy is signed. A version that exists is left as it is, and repaired where it is damaged. Raises
        `ArtifactError` where a check fails.
        """
        manifest = verified(artifact, None if key else self.keys, remedy=f"run: arbitrank verify {artifact}")
        if key:
            manifest = signed(manifest, key)
            if self.keys and (problem := self.keys.problem(manifest)):
                raise ArtifactError(f"{artifact}: signature: {problem}")
        name, version = name_in_store(manifest.domain, manifest.files), manifest.version
        while True:
            number, state = self._settled(name, version)
            upload(self.backend, artifact, name, manifest, self.keys)
            after = states.promoted(state, version) if promote else states.published(state, version)
            try:
                self.change(name, "promote" if promote else "publish", after, number)
                return manifest
            except Conflict:
                if promote:  # people have to judge whether it should still serve
                    raise
                time.sleep(random.uniform(0, 0.05))

    def promote(
        self,
        name: str,
        version: str,
        *,
        expected: int | None = None,
        reason: str | None = None,
        forced: bool = False,
        temperature: float | None = None,
        checked: bool = False,
    ) -> Change:
        """Make a version `stable`, and the stable one `previous`; the change, or the last one where it is stable.

        `expected` is the number of the last change that the caller knows; the present one by default. The temperature
        is kept unless one is given. `checked` says that the caller has just verified the version. Raises `Conflict`
        after a concurrent change, `ArtifactError` where a check fails.
        """
        number, state = self.state(name)
        self._check_stays(name, version, state)
        if not checked:
            self.fetch(name, version)
        after = states.promoted(state, version)
        if temperature is not None:
            after = replace(after, temperature=temperature)
        expected = number if expected is None else expected
        return self.change(name, "promote", after, expected, reason=reason, forced=forced)

    def rollback(self, name: str, *, to_package: bool = False, reason: str | None = None) -> Change:
        """Make the previous version stable again, at the temperature it had, and the stable one `previous`.

        With `to_package` none is stable any more, so that the weights in the domain's package serve. Raises
        `InputError` where there is no previous version, `ArtifactError` where it is damaged.
        """
        number, state = self.state(name)
        if to_package:
            if not state.stable:
                raise InputError(f"{name}: nothing is stable in {self}: {kind_of(name).fallback}")
            after = replace(state, stable=None, previous=state.stable, temperature=1.0)
        elif state.previous is None:
            way = f"arbitrank rollback {name} --to-package" if state.stable else f"arbitrank history {name}"
            raise InputError(f"{name}: no previous version to go back to in {self}; run: {way}")
        else:
            self.fetch(name, state.previous)
            entry = self._history(checked_name(name)).entry
            served = (entry(each).state for each in range(number, 0, -1))
            temperature = next((one.temperature for one in served if one.stable == state.previous), 1.0)
            after = replace(state, stable=state.previous, previous=state.stable, temperature=temperature)
        return self.change(name, "rollback", after, number, reason=reason)

    def canary(self, name: str, share: float, *, reason: str | None = None) -> Change:
        """Let the candidate answer a share of the requests, in [0, 1]; 0 ends it.

        Raises `InputError` where there is no candidate that differs from the stable version.
        """
        number, state = self.state(name)
        if share and (state.candidate is None or state.candidate == state.stable):
            seen = "the candidate is stable" if state.candidate else "no candidate"
            raise InputError(f"{name}: {seen} in {self}; run: {train_command(name)}")
        return self.change(name, "canary", replace(state, canary=share), number, reason=reason)

    def change(
        self, name: str, verb: str, state: State, expected: int, *, reason: str | None = None, forced: bool = False
    ) -> Change:
        """Set the state, if the last change still has the number `expected`; an equal state is not written again.

        Raises `Conflict` where it has another. The caller guarantees that the versions in the state exist.
        """
        history = self._history(checked_name(name))
        latest = history.latest()
        if (latest.number if latest else 0) != expected:
            raise conflict(self.backend, name, history.latest())
        if latest and latest.state == state:
            return latest
        return self.append(name, Change(number=expected + 1, verb=verb, state=state, reason=reason, forced=forced))

    def append(self, name: str, change: Change) -> Change:
        """Append a change. Raises `Conflict` where its number is taken."""
        history = self._history(checked_name(name))
        if not history.append(change):
            raise conflict(self.backend, name, history.latest())
        return change

    def set_audit_set(self, path: Path) -> str:
        """Keep a file as the audit set; its SHA-256."""
        return write_audit_set(self.backend, path)

    def _history(self, folder: str) -> History[Change]:
        if folder not in self._histories:
            self._histories[folder] = History(self.backend, f"{folder}/history", Change)
        return self._histories[folder]

    def _verified(self, folder: Path, name: str, version: str, copy: Path | None = None) -> None:
        problem = wrong_name(verified(folder, self.keys, copy=copy), name, version)
        if problem:
            raise ArtifactError(f"{folder}: {problem}")

    def _settled(self, name: str, version: str) -> tuple[int, State]:
        """The state, once no `prune` is removing the version any more."""
        for _ in range(_WAITS):
            number, state = self.state(name)
            if version not in state.removing:
                break
            time.sleep(0.05)
        self._check_stays(name, version, state)
        return number, state

    def _check_stays(self, name: str, version: str, state: State) -> None:
        if version in state.removing:
            raise StoreError(
                f"store {self}: {name} {version} is being removed; try again later, or run: arbitrank prune {name}"
            )


def open_store(
    text: str | Path | None = None, keys: Keys | None = None, environment: Mapping[str, str] = os.environ
) -> Store:
    """The store at `text`, else of ARBITRANK_STORE, else of the configuration, else in a folder of the user's data.

    Stated as a path or s3://BUCKET/PREFIX.

    `keys` are the trusted public keys, by default those of ARBITRANK_KEYS.
    """
    keys = keys or open_keys(None, environment)
    url = str(text or stated_text("store", ENVIRONMENT, None, environment) or "")
    if url.startswith("s3://"):
        from arbitrank.store.object_store import BucketBackend

        return Store(BucketBackend(url, environment), keys)
    if "://" in url:
        raise InputError(f"store {url}: expected a folder, or s3://BUCKET/PREFIX")
    if url:
        return Store(FolderBackend(Path(url).expanduser()), keys)
    from platformdirs import user_data_path

    return Store(FolderBackend(user_data_path("arbitrank") / "store"), keys)
