"""The followers of a process: of the store, its catalogue, the environments and the remote domains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from arbitrank.live.catalogue import CatalogueFollower
from arbitrank.live.code import CodeFollower
from arbitrank.live.follower import Follower
from arbitrank.live.remotes import RemoteFollower

__all__ = ["Followers"]


class Followers(NamedTuple):
    """All that follow something in the background, started and ended together."""

    store: Follower
    catalogue: CatalogueFollower
    code: CodeFollower
    remotes: RemoteFollower

    def start(self, failing: Callable[[], Mapping[str, str]]) -> None:
        """Load what is to answer, then follow all; `failing` are packages whose code cannot answer with it."""
        self.remotes.look()
        self.store.start()
        self.catalogue.start()
        self.code.start(failing())
        self.remotes.start()

    def end(self) -> None:
        """Have the threads end, without waiting for them."""
        for one in self:
            one.end()

    def join(self, timeout: float) -> None:
        """Wait for the end of the threads, for so many seconds each at most."""
        for one in self:
            one.join(timeout)

    def look(self) -> None:
        """Read everything once, and swap whatever has changed; returns when that is done."""
        self.remotes.look()
        self.store.look()
        self.catalogue.look()
        self.code.look()
