"""Readiness of one worker: its current problems by kind, and which of them keep it from answering."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET, UnsetType

from arbitrank.live.share import ShareStatus
from arbitrank.live.status import LiveStatus
from arbitrank.registry import Refused
from arbitrank.serve.messages import Health

if TYPE_CHECKING:
    from arbitrank.serve.worker_state import WorkerState

PROBLEMS = {
    "loading": "the stable versions are being loaded",
    "stopping": "the service is stopping",
    "policy": "the file of --policy cannot be read",
    "tokens": "the file of --tokens cannot be read",
    "keys": "a key in the folder of --keys cannot be read",
    "certificate": "the certificate of --ssl-certfile, or its key, cannot be used",
    "package": "a package with a domain is refused",
    "store": "the store cannot be read",
    "domain": "a domain does not answer, or answers with another version than the stable one",
    "code": "a release in the folder of --environments is refused, and the one before answers",
    "log": "lines of --log are lost",
    "shadow": "lines of --shadow are lost",
}
"""Kinds of problems, with their meanings. docs/how-to/runbook.md has a heading of each."""

UNREADY = frozenset({"loading", "stopping"})
"""Kinds of problems with which a worker is not ready."""

_TUNE = "run: arbitrank tune, then arbitrank promote .decisions"


class Problem(NamedTuple):
    """A problem: its kind, a key of `PROBLEMS`, and a text for people."""

    kind: str
    text: str


def problems(state: WorkerState) -> Iterator[Problem]:
    """The current problems of a worker, those that keep it from answering first."""
    if state.problem:
        yield Problem("loading", state.problem)
    if state.stopping:
        yield Problem("stopping", "the service is stopping")
    for kind, file in state.files.items():
        if file.problem:
            yield Problem(kind, file.problem)
    for one in state.found:
        if isinstance(one, Refused):
            yield Problem("package", f"{one.name}: {one.reason}")
    if state.live is not None:
        yield from _followed(state.live.status())
    for kind, log in state.log_status().items():
        if log.problem:
            yield Problem(kind, f"{kind}: {log.problem}")


def _followed(status: LiveStatus) -> Iterator[Problem]:
    """The problems of the store, of the names that are followed in it, and of the code of environments."""
    if status.problem:
        yield Problem("store", status.problem)
    for name, domain in status.domains.items():
        if domain.problem:
            yield Problem("domain", f"{name}: {domain.problem}")
    for package, code in status.code.items():
        if code.problem:
            yield Problem("code", f"{package}: {code.problem}")


def health(state: WorkerState) -> Health:
    """Readiness of a worker, all current problems, and notes."""
    found = list(dict.fromkeys(problems(state)))
    notes = [f"{name}: {note}" for name, note in state.features.notes().items()]
    remarks = () if state.live is None else state.live.remarks
    share: ShareStatus | UnsetType = UNSET
    if state.live is not None and state.settings.following.follow:
        share = state.live.status().share or UNSET
        if share is UNSET:
            notes.append("the share of out-of-scope requests is not followed: no decision settings state one; " + _TUNE)
    return Health(
        not any(problem.kind in UNREADY for problem in found),
        tuple(problem.text for problem in found),
        (*notes, *remarks, *state.unread.remarks),
        share,
        tuple(problem.kind for problem in found) or UNSET,
    )
