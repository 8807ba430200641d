"""Follower of a store: one thread reads the state of each name, a second loads the versions that are new in it.

A version that is refused leaves the one before in its place, and so does a store that does not answer. A read that
hangs, and a version that takes long to load, delay no other name.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import partial
from itertools import count
from time import monotonic

from arbitrank.errors import message
from arbitrank.guard import Fault, guarded
from arbitrank.live.domain_state import ALIASES, PACKAGE, Alias, FollowedState, LoadedVersion, untrusted
from arbitrank.live.patience import Patience
from arbitrank.store.store import Store

SLOWEST = 10
"""Factor by which the polling interval grows at most while the store does not answer."""

READ_SECONDS = 5.0
"""Seconds that reading the state of one name may take."""

LOAD_SECONDS = 60.0
"""Seconds after which other versions are loaded beside one that is being loaded."""

_GONE = ""  # the key, beside those of names, of the check whether the store has lost changes


class Follower:
    """Keeps the state of each name as the store has it. `lock` protects the states and what `settled` changes.

    `load` returns a version of a name (None: the package's), loaded, and raises where it is refused or cannot be had
    now. `settled` is called, with the lock held, whenever a state was read or a version loaded, and receives whether
    another version or candidate is to answer. `notify` receives a line per change, with no lock held.
    """

    def __init__(
        self,
        store: Store,
        states: Iterable[FollowedState],
        *,
        poll: float,
        load: Callable[[str, str | None], LoadedVersion],
        settled: Callable[[FollowedState, bool], None],
        notify: Callable[[str], None],
        read_seconds: float = READ_SECONDS,
        load_seconds: float = LOAD_SECONDS,
    ) -> None:
        self.states = {state.name: state for state in states}
        self.lock = threading.Lock()
        self.swaps = 0
        self.unanswered = 0
        """Readings in a row to which the store gave no answer."""
        self.problem: str | None = None
        self.answered_at: float | None = None
        """The time at which it last answered for all names."""
        self.reached_at = monotonic()
        """The time at which it last answered for any name; that of the start before."""
        self._store, self._poll = store, poll
        self._load, self._settled, self._notify = load, settled, notify
        self._news: list[str] = []
        self._reading, self._loading = threading.Lock(), threading.Lock()
        self._turn = count()
        self._stopping, self._work = threading.Event(), threading.Semaphore(0)
        self._reads = Patience("read", self._stopping), read_seconds
        self._loads = Patience("load", self._stopping), load_seconds
        self._signatures = Patience("signature", self._stopping), read_seconds
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Load the stable versions, then follow the store in the background."""
        self.look(["stable"])
        self._stopping.clear()
        for work, name in ((self._read_repeatedly, "follow"), (self._load_repeatedly, "load")):
            thread = threading.Thread(target=work, name=f"arbitrank {name}", daemon=True)
            thread.start()
            self._threads.append(thread)
        self._work.release()

    def end(self) -> None:
        """Have the threads end, without waiting for them."""
        self._stopping.set()
        self._work.release()

    def join(self, timeout: float) -> None:
        """Wait for the end of the threads, for `timeout` seconds each at most."""
        for thread in self._threads:
            thread.join(timeout)
        self._threads.clear()

    def look(self, aliases: Collection[Alias] = ALIASES) -> None:
        """Read the store once, and load and swap whatever has changed; returns when that is done."""
        self.read()
        while self._load_next(aliases):
            pass

    def retry(self) -> None:
        """Have refused versions loaded again, and those in memory answer no more that no trusted key has signed."""
        keys = self._store.keys
        readable = keys is not None and not isinstance(guarded(keys.check), Fault)
        with self.lock:
            for state in self.states.values():
                state.refused.clear()
            suspects = [
                (state, version, loaded, problem)
                for state in self.states.values()
                for version, loaded in state.versions.items()
                if readable and (problem := untrusted(loaded, keys))
            ]
        for state, version, loaded, problem in suspects:
            if version == PACKAGE or not self._signed_again(state.name, version):
                with self.lock:
                    if state.versions.get(version) is loaded:
                        state.distrust(version, problem)
                        self._settle(state)
        self._publish_news()
        self._work.release()

    def _signed_again(self, name: str, version: str) -> bool:
        """True where the store has a trusted signature of a version now; False too where it does not answer in time."""
        found: list[bool] = []
        patience, seconds = self._signatures

        def fetch() -> None:
            found.append(not isinstance(guarded(self._store.fetch, name, version), Fault))

        patience.run({name: fetch}, seconds)
        return found == [True]

    def _read_repeatedly(self) -> None:
        # Twice per polling interval: a change just after one reading takes effect before a whole interval has passed.
        took, pause = 0.0, self._poll / 2
        while not self._stopping.wait(max(pause - took, pause / 10)):
            began = monotonic()
            self.read()
            self._work.release()
            took = monotonic() - began
            pause = self._poll / 2 * min(2.0**self.unanswered, 2.0 * SLOWEST)

    def _load_repeatedly(self) -> None:
        while True:
            self._work.acquire()
            while not self._stopping.is_set() and self._load_next(ALIASES):
                pass
            if self._stopping.is_set():
                return

    # -------------------------------------------------------------------------------------------------------- reading

    def read(self) -> None:
        """Read the state of each name, and swap versions that are in memory."""
        patience, seconds = self._reads
        with self._reading:
            began = monotonic()
            read: dict[str, str | None] = {}  # the problem of each name that was read
            # Those that failed the last time come last, as they may fail slowly again.
            order = sorted(self.states, key=lambda name: self.states[name].unread is not None)
            patience.run({name: partial(self._read_state, self.states[name], read, began) for name in order}, seconds)
            states = {name: read[name] if name in read else self._unread(name) for name in self.states}
            problems = {name: problem for name, problem in states.items() if problem}
            gone = None
            if not problems:
                found: list[str | None] = []
                patience.run({_GONE: lambda: found.append(self._gone())}, seconds)
                gone = found[0] if found else f"store {self._store}: does not answer"
            lost = next((state.lost for state in self.states.values() if state.lost), None)
            problem = next(iter(problems.values()), gone or lost)
            # One damaged history slows down nothing; a store that answers for no name is read less often.
            silent = gone is not None or len(problems) == len(self.states) > 0
            with self.lock:
                self.unanswered = self.unanswered + 1 if silent else 0
                if not silent:
                    self.reached_at = monotonic()
                if problem is None:
                    self.answered_at = monotonic()
                if problem != self.problem:
                    self._news.append(problem or f"store {self._store}: answers again")
                self.problem = problem
        self._publish_news()

    def _read_state(self, state: FollowedState, read: dict[str, str | None], began: float) -> None:
        """Read one state, unless those before have failed so slowly that the others would take as long."""
        if monotonic() - began > self._poll and read and all(read.values()):
            return
        found = guarded(self._store.state, state.name)  # whatever it raises, the loaded versions keep answering
        with self.lock:
            if isinstance(found, Fault):
                read[state.name] = message(found)
                state.see(state.number, state.state, read[state.name])
            else:
                read[state.name] = None
                state.see(*found, None)
            self._settle(state)

    def _unread(self, name: str) -> str:
        """The problem of a name that was not read in time, noted in its state."""
        state = self.states[name]
        since = self._reads[0].since(name)
        problem = f"store {self._store}: the state of {name} has not been read, as the store does not answer"
        if since is not None:
            problem = f"store {self._store}: reading the state of {name} hangs"
        with self.lock:
            state.see(state.number, state.state, problem)
            self._settle(state)
        return problem

    def _gone(self) -> str | None:
        """The problem where the store has lost changes: the last change of one name is read again, in turn.

        Reading the next change alone would not tell: in a folder that was taken away there is none.
        """
        seen = [name for name, state in self.states.items() if state.number]
        names = {name for name in seen if self.states[name].lost}
        if seen:
            names.add(seen[next(self._turn) % len(seen)])
        found = guarded(self._missing, sorted(names))
        if isinstance(found, Fault):
            return message(found)
        missing, others = found
        for name in names:
            self.states[name].lost = None
        if missing and not others:
            return f"store {self._store}: its content is gone; restore it"
        for name in missing:
            if name in others or self._store.keys:
                self.states[name].lost = f"store {self._store}: the history of {name} lost changes; restore a backup"
            else:  # it was removed on purpose, and the next reading finds nothing
                self._store.forget(name)
        return None

    def _missing(self, names: Collection[str]) -> tuple[list[str], Collection[str]]:
        """The names whose last change is missing, and where there are any, all names of the store."""
        missing = [name for name in names if not self._store.holds(name)]
        return missing, self._store.domains() if missing else []

    # --------------------------------------------------------------------------------------------- loading, swapping

    def _load_next(self, aliases: Collection[Alias]) -> bool:
        """Load one version that is missing; False where none is. One that takes long goes on beside the next."""
        patience, seconds = self._loads
        with self._loading:
            with self.lock:
                named = ((state, state.missing(alias)) for alias in aliases for state in self.states.values())
                missing = next(
                    ((state, version, state.number) for state, version in named
                     if version and patience.since((state.name, version)) is None),
                    None,
                )  # fmt: skip
            if missing is None or patience.full:
                return False
            state, version, number = missing
            patience.run({(state.name, version): partial(self._load_version, state, version, number)}, seconds)
        self._publish_news()
        return True

    def _load_version(self, state: FollowedState, version: str, number: int) -> None:
        loaded = guarded(self._load, state.name, None if version == PACKAGE else version)
        with self.lock:
            state.take(version, loaded, number)
            self._settle(state)
        self._publish_news()

    def exchange(self, name: str, version: str, model: object) -> None:
        """Have a version in memory answer by another model, unless it was released meanwhile."""
        with self.lock:
            state = self.states.get(name)
            loaded = None if state is None else state.versions.get(version)
            if state is not None and loaded is not None and loaded.model is not model:
                state.versions[version] = replace(loaded, model=model)
                self._settle(state)

    def _settle(self, state: FollowedState) -> None:
        """Have the right version answer, unless the state was replaced meanwhile. The lock is held."""
        if self.states.get(state.name) is not state:
            return
        before = state.version
        changed = state.settle(self._store.keys)
        self._store.keep(state.name, state.named())
        self._settled(state, changed)
        if changed:
            self.swaps += before != state.version
            self._news += state.news(before)

    def _publish_news(self) -> None:
        with self.lock:
            news, self._news = self._news, []
        for line in news:
            guarded(self._notify, line)  # its failure must not end the following
