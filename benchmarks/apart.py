"""Domains trained apart, as the experiments need them: one domain's requests, what it learns, what it then says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arbitrank.domain import Scores
from arbitrank.evaluate.hypotheses import Readings
from arbitrank.evaluate.results import SystemResults
from arbitrank.evaluate.summary import summarise
from arbitrank.evaluate.systems import score
from arbitrank.learn.evidence import Evidence, gather, own_request
from arbitrank.values import Example, Request
from benchmarks.common import Bench, results

Learner = Callable[[Evidence], Any]


@dataclass(frozen=True)
class Spoken:
    """What one domain brings to the merged lists: its readings of the held-out requests and its scores of them."""

    readings: Readings
    scores: Sequence[Scores | None]


def learned(domain: str, examples: Sequence[Example], readings: Readings, learner: Learner) -> Any:
    """The re-ranker that a domain learns from its own readings of the examples."""
    return learner(gather(domain, requests(examples, readings), [e.truth for e in examples]))


def spoken(reranker: Any, examples: Sequence[Example], readings: Readings) -> Spoken:
    """What a domain says with the re-ranker."""
    spec = (reranker.reranker if hasattr(reranker, "calibrator") else reranker).spec
    asked = requests(examples, readings)
    kept = [(request, example.truth) for request, example in zip(asked, examples, strict=True) if request.hypotheses]
    evidence = Evidence.of(spec, [request for request, _ in kept], [truth for _, truth in kept])
    found = iter(score(reranker, evidence))
    return Spoken(readings, [next(found) if request.hypotheses else None for request in asked])


def built(bench: Bench, learner: Learner) -> tuple[dict[str, Any], dict[str, Spoken]]:
    """Each domain's re-ranker, trained apart on all the training data, and what it says of the held-out requests."""
    rerankers, sides = {}, {}
    for domain in bench.corpus.domains:
        recognised = bench.readings(domain)
        rerankers[domain] = learned(domain, bench.corpus.train, recognised.train, learner)
        sides[domain] = spoken(rerankers[domain], bench.corpus.held, recognised.held)
    return rerankers, sides


def merged(bench: Bench, sides: Mapping[str, Spoken]) -> SystemResults:
    """How the merged lists fare, the domains in the order of their names."""
    order = [sides[domain] for domain in bench.corpus.domains]
    return results(
        [one.readings for one in order],
        [one.scores for one in order],
        [example.truth for example in bench.corpus.held],
        none_counts=bench.corpus.has_out_of_scope,
    )


def compared(bench: Bench, outcomes: Mapping[str, SystemResults], against: str, seed: int = 0) -> dict[str, Any]:
    """The figures of each outcome, with paired differences to one of them."""
    return summarise(outcomes, bench.corpus.held, against=(against,), seed=seed)


def requests(examples: Sequence[Example], readings: Readings) -> list[Request]:
    """The examples' requests as a domain with these readings sees them."""
    return [own_request(example.request, found) for example, found in zip(examples, readings, strict=True)]
