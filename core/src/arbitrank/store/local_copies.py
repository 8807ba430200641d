"""Local copies of what a remote store keeps."""

from __future__ import annotations

import shutil
import uuid
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from arbitrank.errors import ArtifactError, StoreError, os_errors
from arbitrank.store.artifact import MAX_FILE, MAX_FILES, MAX_TOTAL, digest
from arbitrank.store.backend import StoreBackend


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
            path.write_bytes(backend.read(kept.key) or b"")
        try:
            arriving.rename(folder)
        except OSError:  # the folder exists: it is to be replaced, or another process was first
            folder.rename(old)
            arriving.rename(folder)


def writing_copy(path: Path) -> AbstractContextManager[None]:
    """A block that writes a copy and raises `StoreError` where the cache cannot be written."""
    remedy = "; free space or set XDG_CACHE_HOME to another folder"
    return os_errors(StoreError, f"cache {path}: cannot be written", remedy)
