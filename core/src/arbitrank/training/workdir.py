"""Working folder of a run, removed when the run ends; that of a killed run, when the next one starts.

ROOT/run-XXXX/lock      locked while the process lives
ROOT/run-XXXX/…         everything that the run writes, and its processes' temporary files
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from arbitrank.errors import InputError, os_errors
from arbitrank.file_locks import try_lock

_LOCK = "lock"
_UNLOCKED = 60.0  # seconds after which a folder without a lock counts as abandoned


@contextmanager
def working_folder(root: Path | None = None) -> Iterator[Path]:
    """A new folder under `root`, by default among the system's temporary files; sweeps those of dead runs.

    Raises `InputError` where none can be made.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0
    root = root or Path(tempfile.gettempdir()) / f"arbitrank-training-{user}"
    with os_errors(InputError, f"{root}: no working folder can be made there", "; give another with --scratch"):
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        sweep(root)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=root))
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try_lock(lock)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(root: Path) -> None:
    """Remove the working folders of dead runs."""
    for folder in root.glob("run-*"):
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR)
        except FileNotFoundError:  # not locked yet, or swept by another process just now
            with suppress(OSError):
                if time.time() - folder.stat().st_mtime > _UNLOCKED:
                    folder.rmdir()
            continue
        except OSError:  # another user's, or no run's
            continue
        try:
            if try_lock(lock):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
