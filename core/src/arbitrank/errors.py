"""The errors of arbitrank, sorted by what to do next.

    ArbitrankError
    ├── InputError        fix the call or the request: a value, option or argument is not what was promised
    │   └── DataError     fix the data: a line of a file, or a data set as a whole
    ├── PluginError       fix the plugin: it broke a promise of the contract
    ├── ArtifactError     retrain or republish: an artifact is damaged, incomplete or not for this core
    └── StoreError        try again later: the store did not answer
        └── Conflict      look again: somebody else changed it first

Every message says who, what was seen, what was promised and, where there is one, the next command.
"""

from __future__ import annotations

__all__ = [
    "ArbitrankError",
    "ArtifactError",
    "Conflict",
    "DataError",
    "InputError",
    "PluginError",
    "StoreError",
    "said",
]


class ArbitrankError(Exception):
    """What every error that arbitrank raises on purpose is."""


class InputError(ArbitrankError):
    """Raised when a call, an option or a request is not what was promised. Fix the call."""


class DataError(InputError):
    """Raised when data to read, train or measure on is not what was promised. Fix the data."""


class PluginError(ArbitrankError):
    """Raised when a plugin breaks a promise of the contract. Fix the plugin."""


class ArtifactError(ArbitrankError):
    """Raised when an artifact is damaged, incomplete or made for another contract. Retrain or republish it."""


class StoreError(ArbitrankError):
    """Raised when the store does not answer or cannot be read or written. Try again."""


class Conflict(StoreError):
    """Raised when somebody else changed a domain's state first. Look at it again, then try again."""


def said(error: BaseException) -> str:
    """The error's class and text in one line. Never raises, not even where a plugin's error has a text that does."""
    try:
        text = " ".join(str(error).split())
    except Exception as failure:
        text = f"its text raises {type(failure).__name__}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
