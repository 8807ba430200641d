"""Follower of the catalogue log: skills that are added or removed in the store are found here within a poll.

A change makes a new Shortlister, which shares its arrays with the one before, and swaps the one reference. What cannot
be read leaves the catalogue as it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from arbitrank.domain import Domain
from arbitrank.errors import message
from arbitrank.guard import Fault, guarded
from arbitrank.live.domain_state import LoadedVersion
from arbitrank.live.follower import Follower
from arbitrank.shortlist.changes import changed, with_log
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.store.catalogue_log import CatalogueChanges, SkillKey, changes_after, check_room
from arbitrank.store.kinds import SHORTLIST
from arbitrank.store.store import Store
from arbitrank.wire.catalogue_lines import CatalogueSkill

__all__ = ["CatalogueFollower"]


class CatalogueFollower:
    """Applies the store's catalogue log to every Shortlister in memory; `notify` receives a line per problem."""

    def __init__(self, store: Store, follower: Follower, notify: Callable[[str], None], poll: float) -> None:
        self._store, self._follower, self._notify, self._poll = store, follower, notify, poll
        self._looking = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Follow the log in the background, if a Shortlister is followed."""
        if SHORTLIST in self._follower.states:
            self._thread = threading.Thread(target=self._follow, name="arbitrank catalogue", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Have the thread end, without waiting for it."""
        self._stopping.set()

    def join(self, timeout: float) -> None:
        """Wait for the end of the thread."""
        if self._thread is not None:
            self._thread.join(timeout)

    def change(
        self, skills: Iterable[CatalogueSkill], removed: Iterable[SkillKey] = (), *, by: str | None = None
    ) -> int:
        """Remove skills and add skills: found here at once, durable in the store's log when this returns.

        The number of the last change. Raises as `Store.change_catalogue` does, and takes them back then; `Conflict`
        where the log has no room for them until a training.
        """
        added, gone = tuple(skills), frozenset(removed)
        with self._looking:
            before = self._versions()
            check_room(self._changed(before), added)
            self._exchange(before, lambda one: changed(one, CatalogueChanges(one.change, gone, added)))
            try:
                number = self._store.change_catalogue(added, gone, by=by)
            finally:
                # The numbers of changes are known now; where the append failed, the skills go again.
                self._follow_log(before)
        return number

    def known(self, keys: Iterable[SkillKey]) -> frozenset[SkillKey]:
        """Those of the skills that a Shortlister in memory has, with the log as it is now; without any, the log."""
        self.look()
        catalogues = [one.model.shortlister.catalogue for one in self._versions().values()]
        changes = self._unserved()
        logged = set() if changes is None else {SkillKey(one.domain, one.name) for one in changes.present}
        return frozenset(
            key
            for key in keys
            if key in logged or any(one.number_of(key.domain, key.name) is not None for one in catalogues)
        )

    def last(self) -> int:
        """The number of the last change of the log, 0 where there is none."""
        latest = self._store.catalogue_log().latest()
        return 0 if latest is None else latest.number

    def look(self) -> None:
        """Read the log once, and apply what is new; a failure is noted in the state of the Shortlister."""
        with self._looking:
            self._follow_log(self._versions())

    def serve(self, domains: Mapping[str, Domain]) -> None:
        """Have every Shortlister know the skills of domains that answer now: code was swapped in."""
        with self._looking:
            self._exchange(self._versions(), lambda one: one.serving(domains))

    def _versions(self) -> dict[str, LoadedVersion]:
        """The Shortlisters in memory, by version."""
        with self._follower.lock:
            state = self._follower.states.get(SHORTLIST)
            return {} if state is None else dict(state.versions)

    def _changed(self, versions: Mapping[str, LoadedVersion]) -> frozenset[SkillKey]:
        """The skills that the log changed since the training of the version that lacks most of them."""
        every = [one.model.shortlister.catalogue.changed for one in versions.values()]
        if (changes := self._unserved()) is not None:
            every.append(changes.changed)
        return max(every, key=len, default=frozenset())

    def _unserved(self) -> CatalogueChanges | None:
        """The whole log where no version is stable yet, so that nothing has its changes; else None."""
        if self._store.state(SHORTLIST)[1].stable is not None:
            return None
        return changes_after(self._store.catalogue_log(), 0)

    def _follow_log(self, versions: Mapping[str, LoadedVersion]) -> None:
        """Have these versions answer with the changes of the log."""
        log = self._store.catalogue_log()
        problem = self._exchange(versions, lambda one: with_log(one, log))
        with self._follower.lock:
            state = self._follower.states.get(SHORTLIST)
            if state is None or state.behind == problem:
                return
            state.behind = problem
        if problem:
            guarded(self._notify, f"{SHORTLIST}: the catalogue stays as it is: {problem}")

    def _exchange(
        self, versions: Mapping[str, LoadedVersion], made: Callable[[Shortlister], Shortlister]
    ) -> str | None:
        """Have each version answer with the Shortlister that is made of it; the problem of one that cannot be made."""
        problem = None
        for version, loaded in versions.items():
            stage = loaded.model
            found = guarded(made, stage.shortlister)
            if isinstance(found, Fault):
                problem = message(found)
            elif found is not stage.shortlister:
                stage = replace(stage, shortlister=found)
            self._follower.exchange(SHORTLIST, version, stage)
        return problem

    def _follow(self) -> None:
        # Twice per polling interval, as the states are.
        while not self._stopping.wait(self._poll / 2):
            guarded(self.look)
