"""Follower of environments: new code of a package answers once it is loaded and tested in both of its workers.

Code and weights are swapped together in one reference. While a release is being loaded, and where it is refused, the
one before answers on with its weights: a release that cannot load the stable ones waits until these change, too. One
that takes long, or hangs, delays that of no other package.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import msgspec

from arbitrank.environments.discovery import domains_of, releases_in
from arbitrank.environments.folders import Release, previous, releases
from arbitrank.environments.release_domain import ReleaseDomain
from arbitrank.errors import ArtifactError, InputError, OtherCode, PluginError, message
from arbitrank.guard import Fault, guarded
from arbitrank.live.patience import Patience
from arbitrank.registry import Found, Refused, loaded, names_wanted

__all__ = ["CodeFollower", "CodeStatus", "Replacement"]


_BESIDE = 1.0  # seconds after which the code of another package is loaded beside one that is being loaded
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # seconds before what may pass is tried again


class CodeStatus(msgspec.Struct, frozen=True):
    """The code of one package: the release that answers, the one that is current, and why they differ, if they do."""

    package: str
    serving: str | None
    current: str | None
    problem: str | None = None


Replacement = Callable[[str, Mapping[str, ReleaseDomain]], None]
"""Has a package's domains answer in the place of those of its release before; none are there after it is uninstalled.

Raises `ArbitrankError` where they cannot, and leaves everything as it is.
"""


class _Refusal(NamedTuple):
    """A release that was refused, as it was then, and the time and pause with which it is tried again, if ever.

    `changes` are those of the store by then; `waits` says that it is for other weights than those that are stable.
    """

    release: Release
    identity: object
    changes: Mapping[str, int]
    reason: str
    waits: bool = False
    due: float = math.inf
    pause: float = _FIRST_PAUSE

    def __str__(self) -> str:
        return f"{self.release.name} {'waits for weights' if self.waits else 'refused'}: {self.reason}"


class CodeFollower:
    """Follows a folder of environments; `replace` swaps the domains of a package, `notify` receives a line per change.

    `serving` are the releases that answer at the start, by package. `changes` returns the numbers of the last changes
    in the store of a package's domains: with other ones, a release that was refused is tried again.
    """

    def __init__(
        self,
        folder: Path | None,
        serving: Mapping[str, Release],
        replace: Replacement,
        notify: Callable[[str], None],
        poll: float,
        changed: Callable[[], object] = lambda: None,
        changes: Callable[[str], Mapping[str, int]] = lambda package: {},
    ) -> None:
        self._changes = changes
        self.folder, self.serving = folder, dict(serving)
        self._replace, self._notify, self._poll, self._changed = replace, notify, poll, changed
        self._current: Mapping[str, Release | str | None] = dict(serving)
        self._refused: dict[str, _Refusal] = {}
        self._stopping = threading.Event()
        self._loads, self._looking = Patience("code", self._stopping), threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self, failing: Mapping[str, str] = {}) -> None:
        """Follow the folder in the background, once packages whose code cannot answer, `failing`, have another."""
        guarded(self.recover, failing)
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
            if refusal := self._refused.get(package):
                problem = str(refusal)
            found[package] = CodeStatus(
                package,
                serving.name if serving else None,
                named.name if isinstance(named, Release) else None,
                problem,
            )
        return found

    def retry(self) -> None:
        """Have the releases that were refused loaded again."""
        self._refused.clear()

    def look(self, seconds: float = math.inf) -> None:
        """Read the folder once, and load and swap whatever has changed; returns when that is done.

        A package of which that takes longer than so many seconds is left to its thread.
        """
        with self._looking:
            current = releases_in(self.folder, self.serving) if self.folder is not None else {}
            self._current = current
            due: dict[Hashable, Callable[[], None]] = {
                package: partial(self._change, package, named)
                for package, named in sorted(current.items())
                if not isinstance(named, str) and self._due(package, named)
            }
            self._loads.run(due, seconds)

    def recover(self, failing: Mapping[str, str]) -> None:
        """Have the release before answer where the current one cannot, with which the service was started.

        Where that cannot either, as two releases in a row wait for weights, any other that is still there.
        """
        for package, reason in failing.items():
            release, changes = self.serving[package], self._changes(package)
            for before in _others(release):
                self._change(package, before)
                if self.serving[package] == before:
                    self._refuse(package, release, reason, changes)
                    break

    def _due(self, package: str, named: Release | None) -> bool:
        """True where a release is to be loaded: another than answers, and not refused, or to be tried again."""
        if named == self.serving.get(package):
            self._refused.pop(package, None)
            return False
        refusal = self._refused.get(package)
        if refusal is None or named is None or refusal.release != named:
            return True
        if monotonic() >= refusal.due or refusal.identity != _identity(named):
            return True
        return refusal.changes != self._changes(package)

    def _change(self, package: str, release: Release | None) -> None:
        changes = self._changes(package)
        changed = guarded(self._swap, package, release)
        if isinstance(changed, Fault):
            passes, waits = not isinstance(changed.error, _FINAL), isinstance(changed.error, OtherCode)
            self._refuse(package, release, message(changed), changes, passes=passes, waits=waits)
            return
        self._refused.pop(package, None)
        if release is None:
            del self.serving[package]
        else:
            self.serving[package] = release
        guarded(self._changed)
        if release is None:
            guarded(self._notify, f"{package}: uninstalled, its domains do not answer any more")
        else:
            guarded(self._notify, f"{package}: the code of {release.name} answers")

    def _refuse(
        self,
        package: str,
        release: Release | None,
        reason: str,
        changes: Mapping[str, int],
        *,
        passes: bool = False,
        waits: bool = False,
    ) -> None:
        """Note and report why a release does not answer; one whose problem `passes` is tried again later."""
        before = self._refused.get(package)
        said = f"its end refused: {reason}"
        if release is not None:
            again = before is not None and before.release == release
            pause = min(2.0 * before.pause, _LONGEST_PAUSE) if before and again else _FIRST_PAUSE
            due = monotonic() + pause if passes else math.inf
            refusal = _Refusal(release, _identity(release), changes, reason, waits, due, pause)
            self._refused[package], said = refusal, str(refusal)
            if before and again and str(before) == said:
                return
        guarded(self._notify, f"{package}: {said}")

    def _swap(self, package: str, release: Release | None) -> None:
        found: list[Found] = [] if release is None else domains_of(release, names_wanted())
        refused = [one for one in found if isinstance(one, Refused)]
        domains = {name: one for name, one in loaded(found).items() if isinstance(one, ReleaseDomain)}
        if release is not None and not domains and len(refused) == len(found):
            raise PluginError("; ".join(one.reason for one in refused) or "it has no domain")
        self._replace(package, domains)

    def _follow(self) -> None:
        while not self._stopping.wait(self._poll / 2):
            guarded(self.look, _BESIDE)


_FINAL = (PluginError, ArtifactError, InputError)
"""Errors that another release corrects; all others, such as a store that does not answer, may pass."""


def _others(release: Release) -> list[Release]:
    """The other releases of a package that are installed: the one before first, then those of higher names."""
    before = previous(release.folder.parents[1], release.package)
    found = guarded(releases, release.folder.parent)
    others = [] if isinstance(found, Fault) else found[::-1]
    return [one for one in dict.fromkeys([*([before] if before else []), *others]) if one != release]


def _identity(release: Release) -> object:
    """A value that changes when a release is installed again under its name."""
    status = guarded((release.folder / "environment.json").stat)
    return None if isinstance(status, Fault) else (status.st_ino, status.st_mtime_ns)
