"""Trial of versions that are not loaded, in a child process: `python -m arbitrank.serve.trial_process`.

Loading weights occupies a processor, and they may be a candidate's that no gate has judged.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.background import give_way
from arbitrank.child import serve
from arbitrank.configuration import completed
from arbitrank.errors import ArbitrankError, InputError
from arbitrank.isolation.groups import Isolation
from arbitrank.learn.rerankers import baseline
from arbitrank.live.loader import VersionLoader
from arbitrank.live.routing import with_serving
from arbitrank.registry import loaded
from arbitrank.serve.promotion_process import Verdict, status_of
from arbitrank.shortlist.hyprank import load_hyprank
from arbitrank.shortlist.shortlister import ShortlistSettings
from arbitrank.store.kinds import HYPRANK, RESERVED, SHORTLIST
from arbitrank.store.loading import installed, load_found, release_of, settled
from arbitrank.store.signing import open_keys
from arbitrank.store.store import Store, open_store
from arbitrank.values import Request

SECONDS = 60.0
"""Seconds that a trial may take."""


class TrialTask(msgspec.Struct, frozen=True):
    """Request to answer by these versions of domains or stages, else by the store's stable ones, as a service does.

    `shortlist` are the settings of a service whose Shortlister chooses the domains, `hyprank` is the folder of the
    model that sorts in the place of the store's.
    """

    store: str | None
    keys: str | None
    decisions: DecisionSettings
    request: Request
    versions: dict[str, str]
    explain: bool
    shortlist: ShortlistSettings | None = None
    hyprank: str | None = None


def arbitrator_of(task: TrialTask) -> Arbitrator:
    """The arbitrator of a task's versions, loaded as a service loads them, but for the self-test.

    Raises `ArbitrankError`.
    """
    keys = open_keys(task.keys)
    store, found = open_store(task.store, keys), installed()
    domains, stated = loaded(found), completed(task.decisions)
    if unknown := sorted(task.versions.keys() - domains.keys() - {*RESERVED}):
        raise InputError(f"{unknown[0]}: a version is of an installed domain or a stage; run: arbitrank domains")
    loader = VersionLoader(store, stated, lambda folder, name: None, None, task.shortlist, Isolation({}))
    settings = settled(stated, store)
    parts = load_found(found, store, settings.scales)
    order = None if task.hyprank is None else load_hyprank(Path(task.hyprank), keys)
    arbitrator = Arbitrator(decisions=settings, fallback=baseline, hyprank=order, **parts._asdict())
    for name, version in {**_stable(task, store), **task.versions}.items():
        one = loader(name, version, domains)
        release = release_of(domains[name]) if name in domains else None
        arbitrator = with_serving(arbitrator, name, Serving(one.model, version, one.origin, release=release))
    return arbitrator


def _stable(task: TrialTask, store: Store) -> dict[str, str]:
    """The stable versions of the stages that serve."""
    names = [*([SHORTLIST] if task.shortlist else []), *([HYPRANK] if task.hyprank is None else [])]
    found = {name: store.state(name)[1].stable for name in names}
    return {name: version for name, version in found.items() if version is not None}


def carry_out(task: TrialTask) -> Verdict:
    """The answer to the request of a task."""
    try:
        answer = arbitrator_of(task).answer(task.request, explain=task.explain)
    except ArbitrankError as error:
        return Verdict.of(status_of(error), str(error))
    return Verdict(200, msgspec.Raw(msgspec.json.encode(answer)))


if __name__ == "__main__":
    give_way()
    serve(lambda line: msgspec.json.encode(carry_out(msgspec.json.decode(line, type=TrialTask))), SECONDS)
