"""Exclusive locks on open files, which the system releases when their process ends, however that ends."""

from __future__ import annotations

__all__ = ["try_lock"]


def try_lock(descriptor: int) -> bool:
    """True where the lock was free and is now held; always False where the system has no such locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
