"""The systems that are compared: the article's R0 to R3, and the factored re-ranker, trained domain by domain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from arbitrank.domain import Scores, Settings
from arbitrank.learn.features import fit_features
from arbitrank.learn.fitting import Evidence, gather, train_reranker
from arbitrank.learn.rerankers import R0, Reranker
from arbitrank.values import Request, Truth

_PLAIN = Settings(model="loglinear", form="sigmoid")

SYSTEMS = ("R0", "R1", "R2", "R3", "factored")
"""The names of the systems, in the order in which they are reported."""


class Fitted(NamedTuple):
    """One system's re-ranker of a domain."""

    system: str
    reranker: Reranker


def fit_all(domain: str, requests: Sequence[Request], truths: Sequence[Truth], *, seed: int = 0) -> Iterator[Fitted]:
    """Every system's re-ranker of one domain, from the domain's own cross-fitted hypotheses.

    R1 to R3 are the article's: three weights and a bias, a sigmoid for each hypothesis.
    """
    plain = gather(domain, requests, truths, context=False)
    yield Fitted("R0", R0(plain.spec))
    for name, loss in (("R1", "r1"), ("R2", "r2"), ("R3", "r3")):
        settings = replace(_PLAIN, loss=loss, seed=seed)  # type: ignore[arg-type]  # the line above holds the literals
        yield Fitted(name, train_reranker(plain, settings))
    whole = Evidence(fit_features(domain, plain.requests), plain.requests, plain.batch)
    yield Fitted("factored", train_reranker(whole, Settings(seed=seed)))


def score(reranker: Reranker, requests: Sequence[Request]) -> list[Scores | None]:
    """The scores of each request's hypotheses; None where it has none."""
    return [reranker.rerank(request) if request.hypotheses else None for request in requests]
