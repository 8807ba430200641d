"""Remarks on input that was read although it is not as expected: each is reported once a stream."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Notice", "Notices", "named", "quoted", "unnoticed"]

Notice = Callable[[str, str], None]
"""Callback for a remark: the key by which equal remarks are one, and the text, which quotes no user's words."""

_SHOWN = 80  # characters of a caller's key in a text


def unnoticed(key: str, text: str) -> None:
    """Ignore a remark."""


class Notices:
    """Remarks of one stream, passed on to `report` once each; after `most` different ones all further are dropped."""

    def __init__(self, report: Callable[[str], None], most: int = 50) -> None:
        self._report, self._most = report, most
        self._seen: set[str] = set()

    def __call__(self, key: str, text: str) -> None:
        """Report a remark, unless one of this key was reported."""
        if key in self._seen or len(self._seen) > self._most:
            return
        self._seen.add(key)
        self._report(text if len(self._seen) <= self._most else "further remarks on the input are not shown")

    def at(self, place: str) -> Notice:
        """The same remarks, their texts opened by the place of the line, as `FILE:LINE`."""
        return lambda key, text: self(key, f"{place}: {text}")


def quoted(key: str) -> str:
    """A caller's key for a text: quoted, and shortened where it is long."""
    return repr(key if len(key) <= _SHOWN else f"{key[:_SHOWN]}…")


def named(key: str) -> str:
    """A caller's key for the path of a field: as it is where it is a name, else as `quoted`."""
    return key if len(key) <= _SHOWN and key.replace("-", "_").isidentifier() else quoted(key)
