"""An arbitrator that follows the store: promotions and rollbacks take effect here within one polling interval.

    with Live.from_installed(store="s3://bucket/models") as live:
        answer = live.answer("play mary poppins", device="tv")

A request is answered by the versions that were stable when it arrived; a swap replaces one reference.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from arbitrank.answerlog.shadow_lines import ShadowLine
from arbitrank.arbitration.arbitrator import Arbitration, Arbitrator, Broken, as_request
from arbitrank.arbitration.breaker import Breakers, BreakerSettings
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.following import ShareFollowing
from arbitrank.arbitration.lineup import outdated, served
from arbitrank.arbitration.profiles import profiles_of
from arbitrank.configuration import completed
from arbitrank.domain import Domain, Model
from arbitrank.environments.release_domain import ReleaseDomain
from arbitrank.isolation.groups import Isolation, WorkerGroups
from arbitrank.learn.rerankers import baseline
from arbitrank.live import loader
from arbitrank.live.catalogue import CatalogueFollower
from arbitrank.live.code import CodeFollower
from arbitrank.live.comparison import Comparison, ComparisonReport
from arbitrank.live.domain_state import FollowedState, Load, LoadedVersion
from arbitrank.live.follower import Follower
from arbitrank.live.followers import Followers
from arbitrank.live.remotes import RemoteFollower
from arbitrank.live.routing import RequestStages, Routing, with_serving, with_states
from arbitrank.live.shadow import Shadow
from arbitrank.live.share import FollowedShare
from arbitrank.live.status import LiveStatus, live_status
from arbitrank.registry import loaded
from arbitrank.selftest import SelfTester
from arbitrank.shortlist.hyprank import HypRank
from arbitrank.shortlist.shortlister import ShortlistSettings
from arbitrank.store.kinds import DECISIONS, HYPRANK, SHORTLIST
from arbitrank.store.loading import installed, unavailable
from arbitrank.store.signing import open_keys
from arbitrank.store.store import Store, open_store
from arbitrank.values import Answer, Context, DomainReport, Request, Truth
from arbitrank.wire.requests import Outcome

POLL = 1.0
"""Default polling interval, in seconds: a change in the store takes effect within it."""

SELF_TEST = 30.0
"""Seconds that the self-test of a version may take."""


class Live:
    """Answers requests with the store's stable versions, and follows the store. Safe to use from any thread.

    `poll` is the polling interval in seconds; a version that is not in memory takes effect when it is loaded. `shadow`
    names the domains whose candidate is compared with the stable version, True names all; `compared` receives each
    comparison, `notify` a line per change. `selftest` is called with an artifact's folder and name, and returns its
    problem; by default it is tested in a child process. `isolation` selects the domains that run in worker processes,
    `breaking` sets the circuit breakers, None has none. With `shortlist` the store's Shortlister selects the domains to
    query; while none is stable, all are queried. The store's HypRank, else `hyprank`, sorts the merged lists.
    `environments` is the folder whose packages are followed: new code of one answers once it is loaded and tested, and
    `changed` is called. `unavailable` are the reports of packages that were refused or disabled. `following` says by
    what the share of out-of-scope requests follows the traffic, if at all. `loading` wraps the loading of a version.
    """

    def __init__(
        self,
        domains: Mapping[str, Domain],
        store: Store,
        *,
        decisions: DecisionSettings = DecisionSettings(),
        poll: float = POLL,
        shadow: bool | Collection[str] = False,
        compared: Callable[[ShadowLine], object] | None = None,
        notify: Callable[[str], None] = lambda line: None,
        selftest: Callable[[Path, str], str | None] | None = None,
        isolation: Isolation | None = None,
        breaking: BreakerSettings | None = BreakerSettings(),
        shortlist: ShortlistSettings | None = None,
        hyprank: HypRank | None = None,
        unavailable: Mapping[str, DomainReport] = {},
        following: ShareFollowing = ShareFollowing(),
        loading: Callable[[Load], Load] | None = None,
        environments: Path | None = None,
        changed: Callable[[], object] = lambda: None,
    ) -> None:
        self.store, self._domains = store, domains
        self._tester, self._comparison = SelfTester(SELF_TEST, background=True), Comparison()
        self._shadow = Shadow(self._comparison, compared)
        self._workers = WorkerGroups(isolation) if isolation else None
        self._breakers = Breakers(breaking) if breaking else None
        self._share = FollowedShare(following) if following.follow else None
        tester, limits = selftest or self._tester, isolation or Isolation({})
        self._loader = loader.VersionLoader(store, decisions, tester, self._workers, shortlist, limits)
        self._shadowed = shadowed = frozenset(domains if shadow is True else shadow or ())
        states = [loader.state_of(domains[name], name in shadowed) for name in sorted(domains)]
        serving = {state.name: state.serving for state in states}
        if shortlist:
            states.append(FollowedState(SHORTLIST, SHORTLIST in shadowed, packaged=False))
        if hyprank is None:
            states.append(FollowedState(HYPRANK, HYPRANK in shadowed, packaged=False, optional=True))
        states.append(FollowedState(DECISIONS, DECISIONS in shadowed, optional=True))
        stages = self._breakers, hyprank, None, baseline
        self.routing = Routing(Arbitrator(serving, decisions, *stages, profiles_of(domains), unavailable))
        load = loading(self._load) if loading else self._load
        self._follower = Follower(store, states, poll=poll, load=load, settled=self._settled, notify=notify)
        code = loader.releases_of(domains), self._replace_code
        self._code = CodeFollower(environments, *code, notify, poll, changed, self._changes)
        self.catalogue = CatalogueFollower(store, self._follower, notify, poll)
        remotes = RemoteFollower(domains, self._follower, notify, poll)
        self._followers = Followers(self._follower, self.catalogue, self._code, remotes)

    @classmethod
    def from_installed(
        cls,
        *,
        store: str | Path | None = None,
        only: Collection[str] | None = None,
        keys: str | Path | None = None,
        **settings: Any,
    ) -> Live:
        """A `Live` that follows a store with the installed domains.

        `store`, `only`, `keys` and `decisions` are as in `Arbitrator.from_installed`; `settings` are the other
        parameters of `Live`.
        """
        settings["decisions"] = completed(settings.get("decisions"))
        found = installed(only)
        return cls(loaded(found), open_store(store, open_keys(keys)), unavailable=unavailable(found), **settings)

    def __repr__(self) -> str:
        return f"Live({len(self._domains)} domains, {self.store})"

    def answer(
        self,
        request: str | Request,
        *,
        context: Context | None = None,
        device: str | None = None,
        explain: bool = False,
    ) -> Answer:
        """The answer of the current stable versions, or of a candidate where the request falls into its share.

        The parameters are those of `Arbitrator.answer`.
        """
        return self.arbitrate(as_request(request, context, device), explain=explain).answer

    def arbitrate(self, request: Request, *, explain: bool = False) -> Arbitration:
        """The answer together with each queried domain's outcome, as by `Arbitrator.arbitrate`."""
        return self._arbitrate(self.routing, request, explain)

    def held(self) -> Callable[[Request], Arbitration]:
        """A function that answers by the versions stable now, whatever is swapped meanwhile: for one long call."""
        return partial(self._arbitrate, self.routing)

    def stages(self, request: Request) -> RequestStages:
        """The Shortlister and the HypRank that serve a request now, for callers that need no domains."""
        return self.routing.stages(request)

    @property
    def by_name(self) -> dict[str, Model]:
        """The stable models that answer now, by domain."""
        return self.routing.stable.by_name

    @property
    def broken(self) -> frozenset[str]:
        """The domains that cannot answer now."""
        return self.routing.stable.broken

    def remarks(self, beyond: Iterable[str] = ()) -> tuple[str, ...]:
        """Remarks on what the decision settings were not tuned on; `beyond` is what decides after the arbitrator."""
        stable = self.routing.stable
        return tuple(outdated(stable.decisions, served(stable.domains), (*stable.beyond_bound, *beyond)))

    def feedback(
        self, id: str, truth: Truth | None, reaction: Outcome | None = None, session: str | None = None
    ) -> bool:
        """Report what a request of a session meant, or a reaction; False where none is remembered that lacks it."""
        return self._comparison.feedback(id, truth, reaction, session)

    def report(self) -> dict[str, ComparisonReport]:
        """The counts and measures of each name's candidate beside its stable version."""
        return self._comparison.report()

    def _arbitrate(self, routing: Routing, request: Request, explain: bool = False) -> Arbitration:
        drawn = routing.drawn(request)
        arbitration = routing.arbitrator(drawn).arbitrate(request, explain=explain)
        if self._share is not None and not drawn and self._share.count(arbitration):
            self._exchange_share(self._share)
        if routing.candidates:
            sides = routing.sides(drawn, arbitration.answer)
            arbitration = replace(arbitration, **routing.arms(sides, drawn))
            self._comparison.served(arbitration.answer, sides, request.session)
            if any(one.shadow for one in routing.candidates.values()):
                self._shadow.compare(routing, request, drawn, arbitration)
        return arbitration

    def __enter__(self) -> Live:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Load the stable versions, then follow the store and the environments in the background."""
        self._followers.start(lambda: loader.failing(self._domains, self._follower.states))
        self._shadow.start()

    def stop(self, timeout: float = 10.0) -> None:
        """End the threads and the child processes for good; the versions in this process keep answering."""
        self._followers.end()
        self._tester.close()
        self._followers.join(timeout)
        self._shadow.stop(timeout)
        if self._workers:
            self._workers.close()

    def retry(self) -> None:
        """Load again what was refused, and have versions answer no more that no trusted key has signed."""
        self._follower.retry()
        self._code.retry()

    def look(self) -> None:
        """Read the store and the environments once, and swap whatever has changed; returns when that is done."""
        self._followers.look()

    def status(self) -> LiveStatus:
        """The status of the store, of each name, of the workers and of the code."""
        breakers, skipped = (self._breakers.status(), self._breakers.open()) if self._breakers else ({}, set())
        workers = self._workers.status() if self._workers else {}
        share, remotes = self._share.status() if self._share else None, self._followers.remotes.status()
        more = workers, share, self._code.status(), remotes
        return live_status(self.store, self._follower, self._shadow, breakers, skipped, *more)

    def _load(self, name: str, version: str | None) -> LoadedVersion:
        return self._loader(name, version, self._domains)

    def _changes(self, package: str) -> Mapping[str, int]:
        with self._follower.lock:
            return loader.changes_of(self._follower.states, self._domains, package)

    def _replace_code(self, package: str, domains: Mapping[str, ReleaseDomain]) -> None:
        """Have a release's domains answer in the place of the package's others. Raises as `Replacement` does."""
        before = {name for name, one in self._domains.items() if loader.is_of(one, package)}
        loader.check_claims(package, domains, self._domains)
        load = partial(loader.code_states, loader=self._loader, shadowed=self._shadowed, before=before)
        states, follower = load(domains), self._follower
        late: Collection[str] | None = None
        while late is None or late:  # the store may have changed while the code was loaded
            with follower.lock:
                loader.check_claims(package, domains, self._domains)  # another package may have been swapped in
                late = loader.outdated_states(states, follower.states)
                if not late:
                    gone = before - domains.keys()
                    self._domains = {n: one for n, one in {**self._domains, **domains}.items() if n not in gone}
                    self._swap_states(states, gone)
            states |= load({name: domains[name] for name in late or ()})
        self.catalogue.serve(domains)

    def _swap_states(self, states: Mapping[str, FollowedState], gone: Collection[str]) -> None:
        """Swap states of names, and with them the one reference that answers. The follower's lock is held."""
        followed = {name: state for name, state in self._follower.states.items() if name not in gone}
        self._follower.states = {**followed, **states}
        self.routing = with_states(self.routing, states, gone, profiles_of(self._domains))
        for state in states.values():
            if self._breakers:
                self._breakers.keep(state.name, state.models())

    def _settled(self, state: FollowedState, changed: bool) -> None:
        """Swap the one reference where another version or candidate is to answer."""
        if self._breakers:
            self._breakers.keep(state.name, state.models())
        if not changed:
            return
        before = self.routing.stable
        stable = with_serving(before, state.name, state.serving)
        if state.elsewhere:  # its facts may be others
            stable = replace(stable, profiles=profiles_of(self._domains))
        if self._share is not None and state.name == DECISIONS:
            self._share.begin(stable)
            stable = self._share.exchange(stable)
        if not isinstance(before.domains.get(state.name), Broken):
            stable.prepare()  # here, so that no request waits for it
        candidates = {**self.routing.candidates, state.name: state.candidate}
        self.routing = Routing(stable, {name: candidate for name, candidate in candidates.items() if candidate})

    def _exchange_share(self, share: FollowedShare) -> None:
        """Have the share that is followed decide from now on."""
        with self._follower.lock:
            stable = share.exchange(self.routing.stable)
            stable.prepare()
            self.routing = replace(self.routing, stable=stable)
