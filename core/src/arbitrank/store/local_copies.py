"""Verified copies of artifacts, which are what is loaded, and the cache of what a remote store keeps."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import NamedTuple

from arbitrank.errors import ArtifactError, StoreError, os_errors
from arbitrank.store.artifact import MAX_FILE, MAX_FILES, MAX_TOTAL, Manifest, digest
from arbitrank.store.artifact_checks import verified
from arbitrank.store.backend import StoreBackend
from arbitrank.store.private_copies import new_folder, writing_private
from arbitrank.store.signing import Keys


class VerifiedCopy(NamedTuple):
    """A private folder with a verified artifact, for as long as this process runs, and its manifest."""

    folder: Path
    manifest: Manifest

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder.parent.parent, ignore_errors=True)


def verified_copy(artifact: Path, keys: Keys | None = None, *, remedy: str = "publish it again") -> VerifiedCopy:
    """A private copy of an artifact, verified as a copy: what is exchanged in `artifact` meanwhile is not in it.

    Raises `ArtifactError` as `verified` does.
    """
    own = new_folder()
    copy = own / (artifact.parent.name or "_") / (artifact.name or "_")  # NAME/VERSION, which messages show
    with writing_private(own):
        copy.mkdir(parents=True)
    with ExitStack() as on_error:
        on_error.callback(shutil.rmtree, own, ignore_errors=True)
        copied = VerifiedCopy(copy, verified(artifact, keys, remedy=remedy, copy=copy))
        on_error.pop_all()
    return copied


class HeldCopies:
    """The verified copies of a store's versions that this process has made, by name and version. Thread-safe.

    Dictionaries are read and written in single steps; of two threads that copy one version at once, the later copy is
    kept and the earlier stays in its folder until the process ends.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], VerifiedCopy] = {}
        self._shipped: dict[str, VerifiedCopy] = {}
        self._unnamed: dict[str, frozenset[str]] = {}

    def get(self, name: str, version: str, keys: Keys | None, make: Callable[[], VerifiedCopy]) -> Path:
        """The folder of a copy; one that is not held, or whose signature counts no more, is made by `make`."""
        held = self._held.get((name, version))
        if held is None or not held.folder.is_dir() or (keys and keys.problem(held.manifest)):
            held = self._held[name, version] = make()
        return held.folder

    def shipped(
        self, name: str, manifest: Manifest, keys: Keys | None, make: Callable[[], VerifiedCopy]
    ) -> VerifiedCopy:
        """The copy of a package's weights, made by `make` where they are not those of the manifest any more."""
        held = self._shipped.get(name)
        outdated = held is None or not held.folder.is_dir() or held.manifest != manifest
        if held is None or outdated or (keys and keys.problem(held.manifest)):
            held = self._shipped[name] = make()
        return held

    def keep(self, name: str, versions: Collection[str]) -> None:
        """Remove the copies of other versions, where the call before this one did not name them either.

        A request that began before a swap may still read from the copy of the version that was swapped.
        """
        others = frozenset(version for of, version in tuple(self._held) if of == name and version not in versions)
        before = self._unnamed.get(name, frozenset())
        for version in others & before:
            if removed := self._held.pop((name, version), None):
                removed.remove()
        self._unnamed[name] = others - before


def copies(backend: StoreBackend, cache: Path | None) -> Path:
    """The folder for the copies of a store in `cache`, by default in the user's."""
    if cache is None:
        from platformdirs import user_cache_path

        cache = user_cache_path("arbitrank") / "store"
    return cache / digest(str(backend).encode())[:12]


def copy_artifact(backend: StoreBackend, prefix: str, folder: Path) -> None:
    """Copy every key under `prefix` into a folder, replacing it as a whole.

    Raises `ArtifactError` before anything is fetched where that is more than an artifact may have.
    """
    keys = backend.under(prefix)
    sizes = [kept.size for kept in keys]
    if len(keys) > MAX_FILES + 1 or max(sizes, default=0) > MAX_FILE or sum(sizes) > MAX_TOTAL:
        raise ArtifactError(f"store {backend}: {prefix}: {len(keys)} files of {sum(sizes)} bytes; publish it again")
    arriving = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    old = arriving.with_suffix(".old")
    with writing_copy(folder), ExitStack() as after:
        for folder_left in (arriving, old):
            after.callback(shutil.rmtree, folder_left, ignore_errors=True)
        arriving.mkdir(parents=True)
        for kept in keys:
            path = arriving / kept.key.removeprefix(f"{prefix}/")
            if not path.resolve().is_relative_to(arriving.resolve()):
                raise ArtifactError(f"store {backend}: {kept.key} is outside its folder; remove it")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(backend.read(kept.key, kept.size) or b"")
        try:
            arriving.rename(folder)
        except OSError:  # the folder exists: it is to be replaced, or another process was first
            folder.rename(old)
            arriving.rename(folder)


def writing_copy(path: Path) -> AbstractContextManager[None]:
    """A block that writes a copy and raises `StoreError` where the cache cannot be written."""
    remedy = "; free space or set XDG_CACHE_HOME to another folder"
    return os_errors(StoreError, f"cache {path}: cannot be written", remedy)
