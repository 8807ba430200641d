"""Readiness of one worker: its current problems by kind, and which of them keep it from answering.

Callers without a token see of a problem its kind's meaning and the name that it concerns, as its text may show paths.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET, UnsetType

from arbitrank.guard import Fault, guarded
from arbitrank.live.domain_state import DomainStatus
from arbitrank.live.follower import READ_SECONDS
from arbitrank.live.patience import Patience
from arbitrank.live.share import ShareStatus
from arbitrank.live.status import LiveStatus
from arbitrank.registry import Found, Loaded, Refused
from arbitrank.serve.auth import Grant
from arbitrank.serve.messages import Health
from arbitrank.store.kinds import RESERVED, canonical
from arbitrank.store.store import Store

if TYPE_CHECKING:
    from arbitrank.serve.worker_state import WorkerState

PROBLEMS = {
    "loading": "the stable versions are being loaded",
    "stopping": "the service is stopping",
    "no-domain": "no domain can answer",
    "required": "a domain of --require cannot answer",
    "unloaded": "the stable version has not been loaded since the start",
    "unreachable": "the store has not answered for longer than --store-age",
    "configuration": "the configuration that was read again is invalid",
    "policy": "the file of --policy cannot be read",
    "tokens": "the file of --tokens cannot be read",
    "keys": "a key in the folder of --keys cannot be read",
    "certificate": "the certificate of --ssl-certfile, or its key, cannot be used",
    "package": "a package with a domain is refused",
    "store": "the store does not answer, or not for all names",
    "domain": "a domain does not answer, or answers with another version than the stable one",
    "circuit": "a domain has failed repeatedly and is skipped for a while",
    "remote": "a remote domain cannot be reached, or states what it may not",
    "workers": "fewer workers take connections than --workers",
    "code": "a release in the folder of --environments is refused or waits for weights, and the one before answers",
    "log": "lines of --log are lost",
    "shadow": "lines of --shadow are lost",
}
"""Kinds of problems, with their meanings. docs/how-to/runbook.md has a heading of each."""

UNREADY = frozenset({"loading", "stopping", "no-domain", "required", "unloaded", "unreachable"})
"""Kinds of problems with which a worker is not ready."""

_TUNE = "run: arbitrank tune, then arbitrank promote .decisions"
_DETAILED = ("metrics", "admin")  # scopes of tokens with which the texts of problems are shown


class Problem(NamedTuple):
    """A problem: its kind, a key of `PROBLEMS`, a text for operators, and the name that it concerns, if any."""

    kind: str
    text: str
    subject: str | None = None

    @property
    def public(self) -> str:
        """The text for everybody, which shows no paths."""
        return f"{self.subject}: {PROBLEMS[self.kind]}" if self.subject else PROBLEMS[self.kind]


def problems(state: WorkerState) -> Iterator[Problem]:
    """The current problems of a worker, those that keep it from answering first."""
    if state.problem:
        yield Problem("loading", state.problem)
    if state.stopping:
        yield Problem("stopping", "the service is stopping")
    status = state.live.status() if state.live is not None else None
    if status is not None:
        yield from _unready(status, state.found, state.settings.require, state.settings.store_age)
        refused = {one.name: one.reason for one in state.found if isinstance(one, Refused)}
        for name in sorted(state.unserved & refused.keys() - status.domains.keys()):
            yield Problem("unloaded", f"{name}: its stable version cannot be loaded: {refused[name]}", name)
    yield from _invalid(state)
    for one in state.found:
        if isinstance(one, Refused):
            yield Problem("package", f"{one.name}: {one.reason}", one.name)
    if status is not None:
        yield from _degraded(status)
    if state.board is not None and status is not None and (n := state.board.serving()) < state.settings.workers:
        yield Problem("workers", f"{n} of {state.settings.workers} workers take connections")
    for kind, log in state.log_status().items():
        if log.problem:
            yield Problem(kind, f"{kind}: {log.problem}")


def _invalid(state: WorkerState) -> Iterator[Problem]:
    """The problems of what was read again."""
    if state.configuration_problem:
        yield Problem("configuration", state.configuration_problem)
    for kind, file in state.files.present.items():
        if file.problem:
            yield Problem(kind, file.problem)


def _unready(
    status: LiveStatus, found: Sequence[Found], required: Sequence[str], store_age: float | None
) -> Iterator[Problem]:
    """The problems of domains and the store with which a worker is not ready."""
    domains = {name: one for name, one in status.domains.items() if name not in RESERVED}
    if not any(map(_answers, domains.values())):
        yield Problem("no-domain", f"no domain can answer, of {len(domains)} that are loaded; run: arbitrank domains")
    for name in map(canonical, required):
        domain = domains.get(name)
        if domain is None or not _answers(domain):
            reason = (domain.breaker or domain.problem) if domain else _absence(name, found)
            yield Problem("required", f"{name}: is required and cannot answer: {reason}", name)
    for name, domain in status.domains.items():
        if domain.version is None and not domain.weightless and (name in domains or domain.state.stable):
            if name in status.remotes and status.remotes[name].ranks:
                continue  # it answers once it can be reached
            yield Problem("unloaded", f"{name}: its stable version has not been loaded: {domain.problem}", name)
    if store_age is not None and status.silent > store_age:
        yield Problem("unreachable", f"store {status.store}: has not answered for {status.silent:.0f} s")


def _degraded(status: LiveStatus) -> Iterator[Problem]:
    """The problems of the store, of names in it, and of the code of environments, with which a worker goes on."""
    if status.problem:
        age = "" if status.age is None else f", for {status.age:.0f} s"
        yield Problem("store", f"{status.problem}{age}")
    for name, remote in status.remotes.items():
        if remote.problem:
            yield Problem("remote", f"{name}: {remote.problem}", name)
    for name, domain in status.domains.items():
        if domain.problem and not (name in status.remotes and status.remotes[name].problem):
            yield Problem("domain", f"{name}: {domain.problem}", name)
        if domain.skipped:
            yield Problem("circuit", f"{name}: {domain.breaker}", name)
    for package, code in status.code.items():
        if code.problem:
            yield Problem("code", f"{package}: {code.problem}", package)


def _answers(domain: DomainStatus) -> bool:
    """True where a domain has a model, and its circuit is not open."""
    return domain.version is not None and not domain.skipped


def _absence(name: str, found: Sequence[Found]) -> str:
    """The reason why a domain is not among those that are loaded."""
    reasons = [one.reason for one in found if one.name == name and not isinstance(one, Loaded)]
    return reasons[0] if reasons else "it is not installed"


def refused_with_stable(found: Sequence[Found], store: Store) -> frozenset[str]:
    """The names of refused domains that have a stable version in the store, as far as it answers in time."""
    names = {one.name for one in found if isinstance(one, Refused)}
    stable: set[str] = set()

    def read(name: str) -> None:
        state = guarded(store.state, name)
        if not isinstance(state, Fault) and state[1].stable is not None:
            stable.add(name)

    Patience("refused", threading.Event()).run({name: partial(read, name) for name in names}, READ_SECONDS)
    return frozenset(stable)


def detailed(grant: Grant | None) -> bool:
    """True for a caller to whom the texts of problems are shown: with a token of scope `metrics` or `admin`."""
    return grant is not None and not grant.scopes.isdisjoint(_DETAILED)


def health(state: WorkerState, *, details: bool = False) -> Health:
    """Readiness of a worker, all current problems, with `details` in full, and notes."""
    found = list(dict.fromkeys(problems(state)))
    notes = [f"{name}: {note}" for name, note in state.features.notes().items()]
    remarks = () if state.live is None else state.live.remarks(state.beyond_bound)
    share: ShareStatus | UnsetType = UNSET
    if state.live is not None and state.settings.following.follow:
        share = state.live.status().share or UNSET
        if share is UNSET:
            notes.append("the share of out-of-scope requests is not followed: no decision settings state one; " + _TUNE)
    return Health(
        not any(problem.kind in UNREADY for problem in found),
        tuple(problem.text if details else problem.public for problem in found),
        (*notes, *remarks, *state.unread.remarks),
        share,
        tuple(problem.kind for problem in found) or UNSET,
    )
