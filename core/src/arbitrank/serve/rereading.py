"""Configuration of a running service, read again when that is asked for: what may change then, and what cannot.

The supervisor reads it, and puts what the workers are to follow into a file of the service's folder.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import msgspec

from arbitrank.errors import message
from arbitrank.guard import Fault, guarded
from arbitrank.serve.settings import ServiceLimits, ServiceSettings, Tls

_FILE = "configuration"
Reread = Callable[[], ServiceSettings]
"""Returns the settings as configuration and environment state them now. Raises where they are invalid."""


@dataclass(frozen=True)
class ChangeableSettings:
    """The settings that a running service takes over, as in `ServiceSettings`."""

    policy: Path | None
    tokens: Path | None
    keys: str | None
    tls: Tls
    limits: ServiceLimits
    sample: float
    drain: float
    hang: float
    require: tuple[str, ...]
    store_age: float | None


_CHANGEABLE = tuple(field.name for field in fields(ChangeableSettings))


class FollowedSettings(msgspec.Struct, frozen=True):
    """Settings that the workers are to follow; `problem` says why the last reading was rejected."""

    settings: ChangeableSettings
    problem: str | None = None

    def write(self, folder: Path) -> None:
        """Put it into the service's folder; no password. Raises `OSError`."""
        bare = replace(self.settings, tls=replace(self.settings.tls, password=None))
        part = folder / f"{_FILE}.new"
        part.write_bytes(msgspec.msgpack.encode(FollowedSettings(bare, self.problem), enc_hook=str))
        part.replace(folder / _FILE)


def written(folder: Path) -> FollowedSettings | None:
    """The configuration that was last put into a folder, None where none was. Raises `OSError`."""
    try:
        content = (folder / _FILE).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.msgpack.decode(content, type=FollowedSettings, dec_hook=lambda kind, value: kind(value))


def changeable(settings: ServiceSettings) -> ChangeableSettings:
    """The part of the settings that a running service takes over."""
    return ChangeableSettings(**{name: getattr(settings, name) for name in _CHANGEABLE})


def changed(before: ServiceSettings, now: ServiceSettings) -> tuple[ServiceSettings, list[str], list[str]]:
    """The settings with what may change at run time; the names of what has changed so, and of what needs a restart.

    Serving TLS at all, and verifying signatures at all, cannot begin or end.
    """
    differing = [one.name for one in fields(ServiceSettings) if getattr(before, one.name) != getattr(now, one.name)]
    fixed = {name for name in differing if name not in _CHANGEABLE}
    if (before.tls.certificate is None) != (now.tls.certificate is None):
        fixed.add("tls")
    if (before.keys is None) != (now.keys is None):
        fixed.add("keys")
    taken = [name for name in differing if name not in fixed]
    return replace(before, **{name: getattr(now, name) for name in taken}), taken, sorted(fixed)


def followed(before: ServiceSettings, found: ChangeableSettings) -> ServiceSettings:
    """A worker's settings, with those that it is to follow."""
    values = {name: getattr(found, name) for name in _CHANGEABLE}
    return replace(before, **{**values, "tls": replace(found.tls, password=before.tls.password)})


class Rereading:
    """Reads the configuration in a thread, as its files may be on a file system that hangs."""

    def __init__(self, reread: Reread) -> None:
        self._reread = reread
        self._asked = False
        self._reading: threading.Thread | None = None
        self._found: list[ServiceSettings | Fault] = []

    def ask(self) -> None:
        """Read it, once more where it is being read."""
        self._asked = True
        self._begin()

    def result(self) -> ServiceSettings | str | None:
        """The settings that were read, or why they are invalid, once; None while there are none."""
        self._begin()
        if self._reading is not None or not self._found:
            return None
        found = self._found.pop()
        return message(found) if isinstance(found, Fault) else found

    def _begin(self) -> None:
        if self._reading is not None and not self._reading.is_alive():
            self._reading = None
        if self._asked and self._reading is None:
            self._asked = False
            self._found.clear()
            self._reading = threading.Thread(target=self._read, name="arbitrank configuration", daemon=True)
            self._reading.start()

    def _read(self) -> None:
        self._found.append(guarded(self._reread))
