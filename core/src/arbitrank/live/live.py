"""A process that follows the store: what is promoted there answers here within a poll, and so does what is taken back.

    with Live(loaded(discover()), open_store()) as live:
        answer = live.answer(request)

One thread looks at the store, a second tries and loads what is new in it, and then one reference is swapped. A version
that is refused leaves the one before in its place, and so does a store that does not answer; `status` and the answers
say so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from time import monotonic
from types import TracebackType

import msgspec

from arbitrank.arbitration.arbitrator import Arbitration, Arbitrator, Serving
from arbitrank.arbitration.breaker import Breakers, BreakerSettings
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.domain import Domain, Model
from arbitrank.errors import ArbitrankError, ArtifactError, PluginError, describe
from arbitrank.isolation.groups import GroupStatus, Isolation, WorkerGroups
from arbitrank.learn.rerankers import baseline
from arbitrank.live.comparison import Arm, Report, Side, Tally
from arbitrank.live.domain_state import ALIASES, PACKAGE, Alias, DomainStatus, Followed, Held, Refusal, next_lacking
from arbitrank.live.routing import Lineup
from arbitrank.live.shadow import Shadow, ShadowLine
from arbitrank.selftest import SelfTester
from arbitrank.shortlist.artifact import load_shortlister
from arbitrank.shortlist.as_domain import ShortlistDomain, ShortlistModel
from arbitrank.shortlist.hyprank import HypRank
from arbitrank.shortlist.shortlister import Shortlisting, ShortlistSettings
from arbitrank.store.kinds import SHORTLIST
from arbitrank.store.loading import load_model, weights
from arbitrank.store.store import Store
from arbitrank.values import Answer, Request, Truth

POLL = 1.0
"""Seconds within which a change in the store takes effect."""

SELF_TEST = 30.0
"""Seconds that a self-test may take."""

SLOWEST = 10
"""How many times slower than usual a store is looked at that does not answer."""


class Status(msgspec.Struct, frozen=True):
    """The store that is followed, seconds since it last answered (None before), and why it doesn't, if so.

    `swaps` counts how often who answers was changed. `waiting`, `dropped` and `failed` are of shadow: requests that are
    to be compared, those for which there was no time, and those whose comparison could not be handed over. `workers`
    are the processes of isolated domains, by group.
    """

    store: str
    age: float | None
    problem: str | None
    swaps: int
    domains: dict[str, DomainStatus]
    waiting: int
    dropped: int
    failed: int
    workers: dict[str, GroupStatus] = {}


class Live:
    """Answers requests with the versions that the store calls stable, and follows it. Any thread may ask.

    `poll` are the seconds within which a change takes effect (plus, for a version not in memory, what loading takes
    beyond half of them); `shadow` names the domains whose candidate is to be compared, True names all, and `told` gets
    each comparison. `tell` gets a line when something changes. `trial` self-tests an artifact, by default a
    `SelfTester`. `isolation` says which domains run in worker processes, `breaking` when a failing one is skipped; None
    never skips any.
    With `shortlist` the store's Shortlister is followed too, as `shortlist`, and chooses the domains that a request is
    put to; while none is stable, all are asked. `hyprank`, where there is one, sorts the merged lists.
    """

    def __init__(
        self,
        domains: Mapping[str, Domain],
        store: Store,
        *,
        decisions: DecisionSettings = DecisionSettings(),
        poll: float = POLL,
        shadow: bool | Collection[str] = False,
        told: Callable[[ShadowLine], None] | None = None,
        tell: Callable[[str], None] = lambda line: None,
        trial: Callable[[Path, str], str | None] | None = None,
        isolation: Isolation | None = None,
        breaking: BreakerSettings | None = BreakerSettings(),
        shortlist: ShortlistSettings | None = None,
        hyprank: HypRank | None = None,
    ) -> None:
        self.store, self.poll = store, poll
        shadowed = frozenset(domains if shadow is True else shadow or ())
        self._tell = tell
        self._news: list[str] = []
        self._trial = SelfTester(SELF_TEST) if trial is None else trial
        self._ends_trial = trial is None
        self._tally = Tally()
        self._shadow = Shadow(self._tally, told)
        self._followed = {name: Followed(name, domain, name in shadowed) for name, domain in sorted(domains.items())}
        nobody = {name: one.serving for name, one in self._followed.items()}
        self._domains, self._shortlist = domains, shortlist
        if shortlist:
            self._followed[SHORTLIST] = Followed(SHORTLIST, ShortlistDomain(), False)
        self._workers = WorkerGroups(isolation) if isolation else None
        self._breakers = Breakers(breaking) if breaking else None
        self._lineup = Lineup(Arbitrator(nobody, decisions, self._breakers, hyprank, fallback=baseline))
        self._lock = threading.Lock()  # of what is followed, and of the swap
        self._looking, self._loading = threading.Lock(), threading.Lock()
        self._turn = count()
        self._swaps, self._unanswered = 0, 0
        self._problem: str | None = None
        self._answered_at: float | None = None
        self._stopping, self._work = threading.Event(), threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    # ---------------------------------------------------------------------------------------------------- answering

    def answer(self, request: Request, *, explain: bool = False) -> Answer:
        """The answer of the current stable versions, or of a candidate where the request falls into its share."""
        return self.arbitrate(request, explain=explain).answer

    def arbitrate(self, request: Request, *, explain: bool = False) -> Arbitration:
        """The answer together with each queried domain's outcome, as by `Arbitrator.arbitrate`."""
        return self._arbitrate(self._lineup, request, explain)

    def answers(self, requests: Iterable[Request], *, explain: bool = False) -> list[Answer]:
        """The answers to several requests, all by the same versions."""
        lineup = self._lineup
        return [self._arbitrate(lineup, request, explain).answer for request in requests]

    def held(self) -> Callable[[Request], Arbitration]:
        """A function that answers by the versions stable now, whatever is swapped meanwhile: for one long call."""
        return partial(self._arbitrate, self._lineup)

    def feedback(self, id: str, truth: Truth) -> bool:
        """Say what a request really meant; False where its answer is not remembered, or its truth was told before."""
        return self._tally.feedback(id, truth)

    def report(self) -> dict[str, Report]:
        """What was counted and measured of each domain's candidate, beside its stable version."""
        return self._tally.report()

    def _arbitrate(self, lineup: Lineup, request: Request, explain: bool = False) -> Arbitration:
        drawn = lineup.drawn(request)
        arbitration = lineup.arbitrator(drawn).arbitrate(request, explain=explain)
        answer = arbitration.answer
        if lineup.candidates:
            sides = {}
            for name, one in lineup.candidates.items():
                if name not in answer.domains:  # the shortlist passed it over
                    continue
                arm: Arm = "canary" if name in drawn else "stable"
                sides[name] = Side(one.beside, one.serving.version, one.share, arm)
            self._tally.served(answer, sides)
            if any(one.shadow for one in lineup.candidates.values()):
                self._shadow.compare(lineup, request, drawn, answer)
        return arbitration

    # ---------------------------------------------------------------------------------------------------- following

    def __enter__(self) -> Live:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Load what is stable, then follow the store in the background."""
        self._read()
        while self._load_next(["stable"]):
            pass
        self._stopping.clear()
        self._shadow.start()
        for work, name in ((self._follow, "follow"), (self._load, "load")):
            thread = threading.Thread(target=work, name=f"arbitrank {name}", daemon=True)
            thread.start()
            self._threads.append(thread)
        self._work.release()

    def stop(self, timeout: float = 10.0) -> None:
        """End the threads, what tries versions and the workers, for good; what is loaded in this process answers on."""
        self._stopping.set()
        self._work.release()
        if self._ends_trial and isinstance(self._trial, SelfTester):
            self._trial.close()
        for thread in self._threads:
            thread.join(timeout)
        self._threads.clear()
        self._shadow.stop(timeout)
        if self._workers:
            self._workers.close()

    def look(self) -> None:
        """Look at the store once, and load and swap what has changed; returns when that is done."""
        self._read()
        while self._load_next(ALIASES):
            pass

    def status(self) -> Status:
        """What answers, what doesn't, and why."""
        broken = self._breakers.status() if self._breakers else {}
        with self._lock:
            age = None if self._answered_at is None else round(monotonic() - self._answered_at, 3)
            domains = {name: one.status(broken.get(name)) for name, one in self._followed.items()}
            return Status(
                str(self.store),
                age,
                self._problem,
                self._swaps,
                domains,
                self._shadow.waiting,
                self._shadow.dropped,
                self._shadow.failed,
                self._workers.status() if self._workers else {},
            )

    def _follow(self) -> None:
        # Half a poll, so that what changed just after one look takes effect before a whole one has gone by.
        took, pause = 0.0, self.poll / 2
        while not self._stopping.wait(max(pause - took, pause / 10)):
            began = monotonic()
            self._read()
            self._work.release()
            took = monotonic() - began
            pause = self.poll / 2 * min(2.0**self._unanswered, 2.0 * SLOWEST)

    def _load(self) -> None:
        while True:
            self._work.acquire()
            while not self._stopping.is_set() and self._load_next(ALIASES):
                pass
            if self._stopping.is_set():
                return

    # -------------------------------------------------------------------------------------------- looking at the store

    def _read(self) -> None:
        """See in what state each domain is, and swap what is in memory."""
        with self._looking:
            problems: dict[str, str] = {}
            slow = False
            for name, one in self._followed.items():
                began = monotonic()
                self._read_one(one, problems)
                slow = name in problems and monotonic() - began > self.poll
                if slow:
                    break  # to ask for the others would take as long
            away = self._away() if not problems else None
            lost = {name: one.lost for name, one in self._followed.items() if one.lost}
            problem = next(iter(problems.values()), away or next(iter(lost.values()), None))
            # A domain whose history is damaged slows nobody down; a store that answers nobody is asked less often.
            silent = slow or away is not None or len(problems) == len(self._followed) > 0
            with self._lock:
                self._unanswered = self._unanswered + 1 if silent else 0
                if problem is None:
                    self._answered_at = monotonic()
                if problem != self._problem:
                    self._news.append(problem or f"store {self.store}: answers again")
                self._problem = problem
        self._spread()

    def _read_one(self, one: Followed, problems: dict[str, str]) -> None:
        number, state = one.number, one.state
        problem: str | None = None
        try:
            number, state = self.store.state(one.name)
        except Exception as error:  # whatever a store raises, what is loaded answers on
            problem = problems[one.name] = _said(error)
        with self._lock:
            one.see(number, state, problem)
            self._settle(one)

    def _away(self) -> str | None:
        """What is wrong where the store is not what it was: a domain's last change is read again, each time another's.

        To look for the next change alone wouldn't tell: in a folder that was taken away there is none.
        """
        seen = [name for name, one in self._followed.items() if one.number]
        names = {name for name in seen if self._followed[name].lost}
        if seen:
            names.add(seen[next(self._turn) % len(seen)])
        try:
            missing = [name for name in sorted(names) if not self.store.holds(name)]
            others = self.store.domains() if missing else []
        except Exception as error:  # as above
            return _said(error)
        for name in names:
            self._followed[name].lost = None
        if missing and not others:
            return f"store {self.store}: nothing is there any more; bring it back"
        for name in missing:
            if name in others:
                lost = f"store {self.store}: the history of {name} is not what it was; restore it from a backup"
                self._followed[name].lost = lost
            else:  # somebody took it out, and the next look finds nothing of it
                self.store.forget(name)
        return None

    # -------------------------------------------------------------------------------------------- loading and swapping

    def _load_next(self, aliases: Collection[Alias]) -> bool:
        """Load one version that is lacking; False where none is."""
        with self._loading:
            with self._lock:
                lacking = next_lacking(self._followed.values(), aliases)
                number = lacking[0].number if lacking else 0
            if lacking is None:
                return False
            one, version = lacking
            found = self._loaded(one, version)
            with self._lock:
                one.take(version, found, number)
                self._settle(one)
        self._spread()
        return True

    def _loaded(self, one: Followed, version: str) -> Held | Refusal | str:
        """A version that was checked, tried and loaded; or why it is refused, or why that can't be told now."""
        try:
            found = weights(one.name, one.domain, self.store, None if version == PACKAGE else version)
            wrong = self._trial(found.folder, one.name)
            if wrong is not None:
                return Refusal(wrong)
            return Held(self._model(one, found.folder), found.manifest, found.origin)
        except (ArtifactError, PluginError) as error:
            return Refusal(str(error))
        except ArbitrankError as error:
            return str(error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # `shipped` and `load` are the plugin's code and may raise anything
            return Refusal(f"cannot be loaded: {describe(error)}")

    def _model(self, one: Followed, folder: Path) -> Model:
        if one.name == SHORTLIST:
            return ShortlistModel(load_shortlister(folder).serving(self._domains))
        if self._workers and one.name in self._workers:
            return self._workers.load(one.name, folder)
        return load_model(one.domain, folder)

    def _settle(self, one: Followed) -> None:
        """Swap the one reference where another version of the domain is to answer. The lock is held."""
        before = one.version
        new = one.settle(self.store.keys)
        if self._breakers:
            self._breakers.keep(one.name, one.models())
        if not new:
            return
        if one.name == SHORTLIST:
            self._lineup = replace(self._lineup, stable=self._lineup.stable.with_shortlisting(self._stage(one)))
            self._swaps += before != one.version
            self._news += one.news(before)
            return
        stable, candidates = self._lineup.stable, {**self._lineup.candidates}
        candidates.pop(one.name, None)
        if one.candidate:
            candidates[one.name] = one.candidate
        swapped = replace(stable, domains={**stable.domains, one.name: one.serving})
        if isinstance(stable.domains.get(one.name), Serving):
            swapped.prepare()  # here, so that no request waits for it
        self._lineup = Lineup(swapped, candidates)
        self._swaps += before != one.version
        self._news += one.news(before)

    def _stage(self, one: Followed) -> Shortlisting | None:
        """What chooses the domains of a request, as far as a Shortlister is loaded. The lock is held."""
        serving = one.serving
        if self._shortlist is None or not isinstance(serving, Serving) or not isinstance(serving.model, ShortlistModel):
            return None
        return Shortlisting(replace(serving.model.shortlister, version=serving.version), self._shortlist)

    def _spread(self) -> None:
        """Tell what is new, now that no lock is held that whoever is told might want."""
        with self._lock:
            news, self._news = self._news, []
        for line in news:
            with suppress(Exception):  # to tell is a courtesy; to follow is the task
                self._tell(line)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, ArbitrankError) else describe(error)
