"""Follower of remote domains: what each states of itself is read once per polling interval, of all at once.

A remote that cannot be reached at the start answers as soon as it can be; another version, or other facts, are swapped
in as those of a package are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import msgspec

from arbitrank.arbitration.hosted_domain import RemoteRecogniser, ServiceDomain
from arbitrank.domain import Domain
from arbitrank.guard import guarded
from arbitrank.live.domain_state import PACKAGE
from arbitrank.live.follower import Follower

__all__ = ["RemoteFollower", "RemoteStatus"]


class RemoteStatus(msgspec.Struct, frozen=True):
    """A remote domain: its URL, what it does there, and why what it states is not known now, if so."""

    url: str
    ranks: bool
    problem: str | None = None


class RemoteFollower:
    """Follows the remote domains among `domains`; those that state news are loaded again by the follower of the store.

    `notify` receives a line per change.
    """

    def __init__(
        self,
        domains: Mapping[str, Domain],
        follower: Follower,
        notify: Callable[[str], None],
        poll: float,
    ) -> None:
        self._services = {name: one for name, one in domains.items() if isinstance(one, ServiceDomain)}
        self._recognisers = {name: one for name, one in domains.items() if isinstance(one, RemoteRecogniser)}
        self._follower, self._notify, self._poll = follower, notify, poll
        self._stopping, self._looking = threading.Event(), threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Follow them in the background."""
        if self._services:
            self._thread = threading.Thread(target=self._follow, name="arbitrank remotes", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Have the thread end, without waiting for it."""
        self._stopping.set()

    def join(self, timeout: float) -> None:
        """Wait for the end of the thread."""
        if self._thread is not None:
            self._thread.join(timeout)

    def look(self) -> None:
        """Read once what each states; returns when that is known of all, or their time is over."""
        with self._looking:
            before = {name: one.problem for name, one in self._services.items()}
            waits = {name: one.look() for name, one in self._services.items()}
            news = [name for name, wait in waits.items() if wait()]
            with self._follower.lock:
                for name in news:
                    state = self._follower.states[name]
                    state.versions.pop(PACKAGE, None)  # what answers does so until another is loaded
                    state.attempted.discard(PACKAGE)
        for name, one in self._services.items():
            if one.problem != before[name]:
                guarded(self._notify, f"{name}: {one.problem or f'{one.address} is reached'}")

    def status(self) -> dict[str, RemoteStatus]:
        """The status of each remote domain."""
        ranking = {name: RemoteStatus(one.address, True, one.problem) for name, one in self._services.items()}
        return {**ranking, **{name: RemoteStatus(one.address, False) for name, one in self._recognisers.items()}}

    def _follow(self) -> None:
        while not self._stopping.wait(self._poll):
            guarded(self.look)
