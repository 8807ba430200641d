"""All checks of a domain, one a guarantee, in the order in which to read their findings."""

from __future__ import annotations

from arbitrank.arbitration.dispatch import query
from arbitrank.arbitration.outcomes import Answered
from arbitrank.domain import Domain
from arbitrank.testing.answer_checks import ANSWER_CHECKS
from arbitrank.testing.claim_checks import CLAIM_CHECKS
from arbitrank.testing.contract_checks import CONTRACT_CHECKS
from arbitrank.testing.example_checks import EXAMPLE_CHECKS
from arbitrank.testing.findings import CheckFailed, DomainCheck, Finding, expect
from arbitrank.testing.metadata_checks import METADATA_CHECKS
from arbitrank.testing.shipped_checks import SHIPPED_CHECKS
from arbitrank.testing.subject import Subject
from arbitrank.testing.training_checks import TRAINING_CHECKS
from arbitrank.values import Request

__all__ = ["ALL_CHECKS", "CHECKS", "Check", "CheckFailed", "Finding", "expect", "probability_mine"]

CHECKS: tuple[DomainCheck, ...] = (*METADATA_CHECKS, *CONTRACT_CHECKS, *EXAMPLE_CHECKS, *SHIPPED_CHECKS, *ANSWER_CHECKS)
"""The checks that train nothing and read no other package."""

Check = DomainCheck
"""A check, as test modules annotate it."""

ALL_CHECKS: tuple[DomainCheck, ...] = (
    *METADATA_CHECKS,
    *CONTRACT_CHECKS,
    *EXAMPLE_CHECKS,
    *TRAINING_CHECKS,
    *SHIPPED_CHECKS,
    *ANSWER_CHECKS,
    *CLAIM_CHECKS,
)
"""All checks, those of training on a sample and of other domains' requests included."""


def probability_mine(domain: Domain, utterance: str | Request, **context: str | bool) -> float:
    """P(the request is the domain's) by its shipped weights. Raises `CheckFailed` where the domain fails.

    A `Request` may bring hypotheses of the domain; an utterance is recognised.
    """
    request = utterance if isinstance(utterance, Request) else Request(utterance=utterance, context=dict(context))
    subject = Subject.of(domain)
    if domain.shipped is None or subject.model is None:
        raise CheckFailed("it ships no weights to answer with")
    outcome = query(domain.name, subject.model, request, request.hypotheses)
    if not isinstance(outcome, Answered):
        raise CheckFailed(f"{request.utterance!r}: {outcome.placed}")
    return outcome.scores.mine
