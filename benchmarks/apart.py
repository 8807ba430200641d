"""Domains trained alone, for the experiments: each one's requests, re-ranker and scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arbitrank.domain import Scores
from arbitrank.evaluate.hypotheses import Readings
from arbitrank.evaluate.results import SystemResults, summarise
from arbitrank.evaluate.systems import score
from arbitrank.learn.evidence import Evidence, gather, own_request
from arbitrank.values import Example, Request
from benchmarks.common import Bench, results

Learner = Callable[[Evidence], Any]


@dataclass(frozen=True)
class Scored:
    """Contribution of a domain to the merged lists: its readings of the held-out requests and its scores."""

    readings: Readings
    scores: Sequence[Scores | None]


def learned(domain: str, examples: Sequence[Example], readings: Readings, learner: Learner) -> Any:
    """The re-ranker that a domain learns from its own readings of the examples."""
    return learner(gather(domain, requests(examples, readings), [e.truth for e in examples]))


def scored(reranker: Any, examples: Sequence[Example], readings: Readings) -> Scored:
    """The domain's readings with the re-ranker's scores."""
    spec = (reranker.reranker if hasattr(reranker, "calibrator") else reranker).spec
    own = requests(examples, readings)
    kept = [(request, example.truth) for request, example in zip(own, examples, strict=True) if request.hypotheses]
    evidence = Evidence.of(spec, [request for request, _ in kept], [truth for _, truth in kept])
    found = iter(score(reranker, evidence))
    return Scored(readings, [next(found) if request.hypotheses else None for request in own])


def built(bench: Bench, learner: Learner) -> tuple[dict[str, Any], dict[str, Scored]]:
    """Each domain's re-ranker, trained alone on all the training data, and its scores of the held-out requests."""
    rerankers, sides = {}, {}
    for domain in bench.corpus.domains:
        recognised = bench.readings(domain)
        rerankers[domain] = learned(domain, bench.corpus.train, recognised.train, learner)
        sides[domain] = scored(rerankers[domain], bench.corpus.held, recognised.held)
    return rerankers, sides


def merged(bench: Bench, sides: Mapping[str, Scored]) -> SystemResults:
    """The results of the merged lists, the domains in the order of their names."""
    order = [sides[domain] for domain in bench.corpus.domains]
    return results(
        [one.readings for one in order],
        [one.scores for one in order],
        [example.truth for example in bench.corpus.held],
        none_counts=bench.corpus.has_out_of_scope,
    )


def compared(bench: Bench, outcomes: Mapping[str, SystemResults], against: str, seed: int = 0) -> dict[str, Any]:
    """The metrics of each system, with paired differences to one of them."""
    return summarise(outcomes, bench.corpus.held, against=(against,), seed=seed)


def requests(examples: Sequence[Example], readings: Readings) -> list[Request]:
    """The examples' requests with these readings alone."""
    return [own_request(example.request, found) for example, found in zip(examples, readings, strict=True)]
