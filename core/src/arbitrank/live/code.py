"""Follower of environments: new code of a package answers once it is loaded and tested in both of its workers.

Code and weights are swapped together in one reference. While a release is being loaded, and where it is refused, the
one before answers on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from arbitrank.environments.discovery import domains_of, releases_in
from arbitrank.environments.folders import Release
from arbitrank.environments.remote_domain import RemoteDomain
from arbitrank.errors import ArbitrankError, message
from arbitrank.guard import Fault, guarded
from arbitrank.registry import Found, Refused, loaded

__all__ = ["CodeFollower", "CodeStatus", "Replacement"]


class CodeStatus(msgspec.Struct, frozen=True):
    """The code of one package: the release that answers, the one that is current, and why they differ, if they do."""

    package: str
    serving: str | None
    current: str | None
    problem: str | None = None


Replacement = Callable[[str, Mapping[str, RemoteDomain]], None]
"""Has a package's domains answer in the place of those of its release before; none are there after it is uninstalled.

Raises `ArbitrankError` where they cannot, and leaves everything as it is.
"""


class CodeFollower:
    """Follows a folder of environments; `replace` swaps the domains of a package, `notify` receives a line per change.

    `serving` are the releases that answer at the start, by package.
    """

    def __init__(
        self,
        folder: Path | None,
        serving: Mapping[str, Release],
        replace: Replacement,
        notify: Callable[[str], None],
        poll: float,
        changed: Callable[[], object] = lambda: None,
    ) -> None:
        self.folder, self.serving = folder, dict(serving)
        self._replace, self._notify, self._poll, self._changed = replace, notify, poll, changed
        self._current: Mapping[str, Release | str] = dict(serving)
        self._refused: dict[str, tuple[Release, str]] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Follow the folder in the background."""
        self._thread = threading.Thread(target=self._follow, name="arbitrank code", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Have the thread end, without waiting for it."""
        self._stopping.set()

    def join(self, timeout: float) -> None:
        """Wait for the end of the thread."""
        if self._thread is not None:
            self._thread.join(timeout)

    def status(self) -> dict[str, CodeStatus]:
        """The code of each package."""
        current, found = self._current, {}
        for package in sorted({*self.serving, *current}):
            serving, named = self.serving.get(package), current.get(package)
            problem = named if isinstance(named, str) else None
            if package in self._refused:
                release, reason = self._refused[package]
                problem = f"{release.name} refused: {reason}"
            found[package] = CodeStatus(
                package,
                serving.name if serving else None,
                named.name if isinstance(named, Release) else None,
                problem,
            )
        return found

    def look(self) -> None:
        """Read the folder once, and load and swap whatever has changed; returns when that is done."""
        current = releases_in(self.folder) if self.folder is not None else {}
        self._current = current
        for package in sorted({*self.serving, *current}):
            named, serving = current.get(package), self.serving.get(package)
            if isinstance(named, str) or named == serving:  # one that cannot be read changes nothing
                if not isinstance(named, str):
                    self._refused.pop(package, None)
                continue
            if named is not None and self._refused.get(package, (None,))[0] == named:
                continue
            self._change(package, named)

    def _change(self, package: str, release: Release | None) -> None:
        changed = guarded(self._swap, package, release)
        if isinstance(changed, Fault):
            reason = message(changed)
            if release is not None:
                self._refused[package] = release, reason
            guarded(self._notify, f"{package}: {release.name if release else 'its end'} refused: {reason}")
            return
        self._refused.pop(package, None)
        guarded(self._changed)
        if release is None:
            del self.serving[package]
            guarded(self._notify, f"{package}: uninstalled, its domains do not answer any more")
        else:
            self.serving[package] = release
            guarded(self._notify, f"{package}: the code of {release.name} answers")

    def _swap(self, package: str, release: Release | None) -> None:
        found: list[Found] = [] if release is None else domains_of(release)
        refused = [one for one in found if isinstance(one, Refused)]
        domains = {name: one for name, one in loaded(found).items() if isinstance(one, RemoteDomain)}
        if release is not None and not domains:
            raise ArbitrankError("; ".join(one.reason for one in refused) or "it has no domain")
        self._replace(package, domains)

    def _follow(self) -> None:
        while not self._stopping.wait(self._poll / 2):
            guarded(self.look)
