"""Trial of versions that are not loaded, in a child process: `python -m arbitrank.serve.trial_process`.

Loading weights occupies a processor, and they may be a candidate's that no gate has judged.
"""

from __future__ import annotations

import msgspec

from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.background import give_way
from arbitrank.child import serve
from arbitrank.configuration import completed
from arbitrank.errors import ArbitrankError, InputError
from arbitrank.learn.rerankers import baseline
from arbitrank.registry import loaded
from arbitrank.serve.promotion_process import Verdict, status_of
from arbitrank.store.decision_settings import load_decisions
from arbitrank.store.kinds import DECISIONS
from arbitrank.store.loading import (
    check_scales,
    combined,
    installed,
    load_found,
    load_model,
    release_of,
    settled,
    weights,
    with_stored,
)
from arbitrank.store.signing import open_keys
from arbitrank.store.store import open_store
from arbitrank.values import Request

SECONDS = 60.0
"""Seconds that a trial may take."""


class TrialTask(msgspec.Struct, frozen=True):
    """Request to answer by these versions of domains or decision settings, else by the store's stable ones."""

    store: str | None
    keys: str | None
    decisions: DecisionSettings
    request: Request
    versions: dict[str, str]
    explain: bool


def arbitrator_of(task: TrialTask) -> Arbitrator:
    """The arbitrator of a task's versions, without a Shortlister and a HypRank. Raises `ArbitrankError`."""
    store = open_store(task.store, open_keys(task.keys))
    found = installed()
    domains = loaded(found)
    stated = completed(task.decisions)
    decisions = settled(stated, store)
    if (version := task.versions.get(DECISIONS)) is not None:
        decisions = combined(stated, load_decisions(store.fetch(DECISIONS, version)))
    parts = load_found(found, store, decisions.scales)
    scales = with_stored(decisions.scales, store)
    for name, version in task.versions.items():
        if name == DECISIONS:
            continue
        if name not in domains:
            raise InputError(f"{name}: its version is chosen for domains and {DECISIONS} only; run: arbitrank domains")
        one = weights(name, domains[name], store, version)
        check_scales(one.manifest, domains[name], scales.get(name, {}))
        model = load_model(domains[name], one.folder, scales.get(name, {}))
        parts.domains[name] = Serving(model, version, one.origin, release=release_of(domains[name]))
    return Arbitrator(decisions=decisions, fallback=baseline, **parts._asdict())


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
