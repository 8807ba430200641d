"""The errors of arbitrank, sorted by what to do next.

    ArbitrankError
    ├── InputError        fix the call or the request: a value, option or argument is not as expected
    │   └── DataError     fix the data: a line of a file, or a data set as a whole
    ├── PluginError       fix the plugin: it violates the contract
    ├── ArtifactError     retrain or republish: an artifact is damaged, incomplete or not for this core
    │   ├── NoWeights     train: nothing was published for a domain, and its package brings nothing
    │   ├── OtherCode     install the code that the weights are for, or train with the code that is there
    │   └── UnreadableArtifact  try again later, or republish: a file of it is missing or exchanged
    ├── StoreError        try again later: the store did not answer
    │   └── Conflict      read the state again: it was changed in the meantime
    └── RemoteError       try again later: a remote domain did not answer

Every message names the subject, the value seen, the value expected and, where there is one, the next command.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from arbitrank.guard import Fault, describe, text_of

__all__ = [
    "ArbitrankError",
    "ArtifactError",
    "Conflict",
    "DataError",
    "InputError",
    "NoWeights",
    "OtherCode",
    "PluginError",
    "RemoteError",
    "StoreError",
    "UnreadableArtifact",
    "describe",
    "message",
    "os_errors",
]

_LONGEST = 2_000  # characters of an error's text, which a plugin may have raised


class ArbitrankError(Exception):
    """Base class of every error that arbitrank raises on purpose."""


class InputError(ArbitrankError):
    """Raised when a call, an option or a request is not as expected. Fix the call."""


class DataError(InputError):
    """Raised when data to read, train or measure on are not as expected. Fix the data."""


class PluginError(ArbitrankError):
    """Raised when a plugin violates the contract. Fix the plugin."""


class ArtifactError(ArbitrankError):
    """Raised when an artifact is damaged, incomplete or made for another contract. Retrain or republish it."""


class NoWeights(ArtifactError):
    """Raised when a domain has no weights at all: none are stable, and its package brings none. Train it."""


class OtherCode(ArtifactError):
    """Raised when weights are for other versions of the domain's package than the one that is there.

    Install one of them, or train with the version that is there.
    """


class UnreadableArtifact(ArtifactError):
    """Raised when a file of an artifact is missing, unreadable or exchanged, which may pass. Retry, or republish."""


class StoreError(ArbitrankError):
    """Raised when the store does not answer, or cannot be read or written. Retry later."""


class Conflict(StoreError):
    """Raised when a domain's state was changed since it was read. Read it again, then retry."""


class RemoteError(ArbitrankError):
    """Raised when a domain that is a service of its own does not answer. Retry later, or start it."""


def message(fault: Fault, prefix: str = "") -> str:
    """The text of an `ArbitrankError`; class and text of any other exception, after the prefix."""
    return text_of(fault.error, _LONGEST) if isinstance(fault.error, ArbitrankError) else prefix + fault.reason


@contextmanager
def os_errors(kind: type[ArbitrankError], subject: str, remedy: str = "") -> Iterator[None]:
    """A block in which an `OSError` is raised as `kind`: "SUBJECT: the system's reason", and the remedy."""
    try:
        yield
    except OSError as error:
        raise kind(f"{subject}: {error.strerror or error}{remedy}") from error
