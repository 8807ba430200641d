"""Copies on this machine of what is kept in a store elsewhere."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from arbitrank.errors import ArtifactError, StoreError
from arbitrank.store.artifact import MAX_FILE, MAX_FILES, MAX_TOTAL, write_durably
from arbitrank.store.backend import Backend


def copy_artifact(backend: Backend, prefix: str, folder: Path) -> None:
    """Copy every key under `prefix` into a folder, in place of what is there.

    Whoever reads the folder sees the one or the other, whole. Raises `ArtifactError`, and fetches nothing, where that
    is more than an artifact may have.
    """
    keys = backend.under(prefix)
    sizes = [kept.size for kept in keys]
    if len(keys) > MAX_FILES + 1 or max(sizes, default=0) > MAX_FILE or sum(sizes) > MAX_TOTAL:
        raise ArtifactError(f"store {backend}: {prefix}: {len(keys)} files of {sum(sizes)} bytes; publish it again")
    arriving = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    old = arriving.with_suffix(".old")
    try:
        arriving.mkdir(parents=True)
        for kept in keys:
            path = arriving / kept.key.removeprefix(f"{prefix}/")
            if not path.resolve().is_relative_to(arriving.resolve()):
                raise ArtifactError(f"store {backend}: {kept.key} climbs out of its folder; remove it")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(backend.read(kept.key) or b"")
        try:
            arriving.rename(folder)
        except OSError:  # something is there: what is to be replaced, or what another process brought
            folder.rename(old)
            arriving.rename(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(arriving, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def copy_file(backend: Backend, key: str, path: Path) -> None:
    """Copy one key to a path, in place of what is there."""
    content = backend.read(key)
    if content is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, content)
    except OSError as error:
        raise _unwritable(path, error) from error


def forget(folder: Path) -> None:
    """Remove a copy, if there is one."""
    shutil.rmtree(folder, ignore_errors=True)


def _unwritable(path: Path, error: OSError) -> StoreError:
    why = error.strerror or str(error)
    return StoreError(f"cache {path}: cannot be written: {why}; make room or set XDG_CACHE_HOME to another folder")
