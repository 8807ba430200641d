"""Check of a remote domain: what it states of itself, and its answers to requests that stress the contract."""

from __future__ import annotations

import os
from collections.abc import Iterator

from arbitrank.arbitration.arbitrator import Broken
from arbitrank.arbitration.dispatch import query
from arbitrank.arbitration.hosted_domain import ServiceDomain
from arbitrank.arbitration.outcomes import Failed
from arbitrank.arbitration.probes import violation
from arbitrank.domain import Domain, Model
from arbitrank.registry import loaded
from arbitrank.remote.discovery import remotes_in
from arbitrank.store.loading import load_domains
from arbitrank.store.store import Store
from arbitrank.testing.findings import Finding
from arbitrank.values import Hypothesis, Request

__all__ = ["CHECKS", "findings", "remote_named"]

CHECKS = 2
"""Checks of a remote domain: that it can be used, and that its answers keep the contract."""

_REFERENCE = "see docs/reference/remote.md"
_UTTERANCE = Request(utterance="play one two three")


def remote_named(name: str) -> Domain | None:
    """The remote domain of that name, None where there is none."""
    return loaded(remotes_in(os.environ, {name})[0]).get(name)


def findings(domain: Domain, store: Store, seconds: float) -> Iterator[Finding]:
    """The findings on a remote domain; one that only recognises is sent one request, as each may have its price."""
    serving = load_domains({domain.name: domain}, store)[domain.name]
    if isinstance(serving, Broken):
        yield Finding("can_be_used", serving.reason, "a remote that states itself, or weights that rank it", _REFERENCE)
        return
    problem: str | None = None
    if isinstance(domain, ServiceDomain) and _takes_hypotheses(domain.name, serving.model):
        problem = violation(domain, serving.model, seconds)
    elif isinstance(outcome := query(domain.name, serving.model, _UTTERANCE, None), Failed):
        problem = outcome.reason
    if problem is not None:
        yield Finding("keeps_the_contract", problem, "an answer as the contract has it", _REFERENCE)


def _takes_hypotheses(name: str, model: Model) -> bool:
    outcome = query(name, model, Request(hypotheses=()), (Hypothesis(name, "Probe"),))
    return not (isinstance(outcome, Failed) and outcome.kind == "request")
