"""Reading of a store: the state and history of each name, and its versions as verified private copies."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from arbitrank.errors import ArtifactError
from arbitrank.store.artifact import MANIFEST, read_manifest
from arbitrank.store.audit_set import AuditChange, audit_history, audit_key, read_audit_set
from arbitrank.store.backend import StoreBackend
from arbitrank.store.catalogue_log import CatalogueChange, catalogue_log
from arbitrank.store.history import History
from arbitrank.store.kinds import canonical, checked_name, folders, is_name
from arbitrank.store.local_copies import HeldCopies, VerifiedCopy, copies, copy_artifact, verified_copy
from arbitrank.store.seen_changes import SeenChanges
from arbitrank.store.signed_history import Trust
from arbitrank.store.signing import Keys
from arbitrank.store.state import Change, State, is_version
from arbitrank.store.suites import SuiteChange, suite_history
from arbitrank.store.versions import home, wrong_name


class StoreReader:
    """The versions under every name and their states, over a backend; safe for any number of concurrent processes.

    With `keys`, artifacts and changes without a trusted signature are refused. `cache` is the folder for local copies
    of a remote store. Every `name` is a domain's or a reserved one (`arbitrank.store.kinds`).
    """

    def __init__(self, backend: StoreBackend, keys: Keys | None = None, cache: Path | None = None) -> None:
        self.backend, self.keys, self.cache = backend, keys, cache
        self._histories: dict[str, History[Change]] = {}
        self._seen = SeenChanges(backend) if keys else None
        self._copies = HeldCopies()
        self._audit: dict[str, Path] = {}
        self._catalogue: History[CatalogueChange] | None = None

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

    def history(self, name: str, last: int = 0, *, trusted: bool = True) -> list[Change]:
        """Every change under a name, or the `last` so many, oldest first; those under its earlier name included.

        They are verified, where there are keys, unless they need not be `trusted`.
        """
        histories = [one if trusted else one.unverified() for one in self.histories(name)]
        return [one for history in histories for one in history.entries(last)][-last:]

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
        """A private folder with a verified version, for as long as this process runs, or until `keep`.

        With `keys`, its signature is verified too. What is verified is the copy, which is made once: the store is not
        read again. Raises `ArtifactError` where a check fails or the version does not exist.
        """
        return self._copies.get(name, version, self.keys, lambda: self._copied(name, version))

    def shipped(self, name: str, folder: Path) -> VerifiedCopy:
        """A verified private copy of the weights that a package ships in `folder`. Raises as `fetch` does."""
        return self._copies.shipped(name, read_manifest(folder), self.keys, lambda: verified_copy(folder, self.keys))

    def keep(self, name: str, versions: Collection[str]) -> None:
        """Remove the private copies of other versions that this process has made, those of the last swap excepted."""
        self._copies.keep(name, versions)

    @contextmanager
    def checked_out(self, name: str, version: str) -> Iterator[Path]:
        """A block with a fresh private copy of a version, as `fetch` makes it; removed at the end of the block."""
        copied = self._copied(name, version, fresh=True)
        try:
            yield copied.folder
        finally:
            copied.remove()

    def audit_history(self) -> History[AuditChange]:
        """The history of the audit set."""
        return audit_history(self.backend, self.keys, self._seen)

    def audit_set(self) -> Path | None:
        """The labelled requests that changes are judged on, as a private file; None where none was set."""
        key = audit_key(self.audit_history())
        if key is None:
            return None
        held = self._audit.get(key)
        if held is None or not held.is_file():
            held = self._audit[key] = read_audit_set(self.backend, copies(self.backend, self.cache), key)
        return held

    def suite_history(self, domain: str) -> History[SuiteChange]:
        """The history of a domain's suites."""
        return suite_history(self.backend, domain, self.keys, self._seen)

    def catalogue_log(self) -> History[CatalogueChange]:
        """The skills added to the catalogue and removed from it since the Shortlister was trained."""
        if self._catalogue is None:
            self._catalogue = catalogue_log(self.backend, self.keys, self._seen)
        return self._catalogue

    def _history(self, folder: str) -> History[Change]:
        if folder not in self._histories:
            trust = Trust(self.keys, canonical(folder), f"{folder}/history") if self.keys else None
            self._histories[folder] = History(self.backend, f"{folder}/history", Change, trust, self._seen)
        return self._histories[folder]

    def _copied(self, name: str, version: str, *, fresh: bool = False) -> VerifiedCopy:
        """A verified copy of a version; of a remote store by way of the cache, unless that is outdated or damaged.

        With `fresh`, the cache is replaced by what the store has now.
        """
        prefix = home(self.backend, name, version)
        local = self.backend.local(prefix)
        if local is not None:
            return self._checked(local, name, version)
        cached = copies(self.backend, self.cache) / prefix
        try:
            if not fresh:
                return self._checked(cached, name, version)
        except ArtifactError:  # not cached yet, damaged here, or signed again there
            pass
        copy_artifact(self.backend, prefix, cached)
        return self._checked(cached, name, version)

    def _checked(self, folder: Path, name: str, version: str) -> VerifiedCopy:
        copied = verified_copy(folder, self.keys)
        if problem := wrong_name(copied.manifest, name, version):
            copied.remove()
            raise ArtifactError(f"{folder}: {problem}")
        return copied
