"""Batches of requests to a worker: the same outcomes as one by one, bounded in time and size, and none lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
import pytest
from benchmarks.predict import factored, requests
from fakes import FakeModel

from arbitrank.arbitration.dispatch import Call, Host, HostedModel, query
from arbitrank.arbitration.outcomes import Answered, Failed
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.arbitration.scaled_model import scaled
from arbitrank.domain import Model
from arbitrank.impact.batch_scores import brought_for, by_domain, score_batch
from arbitrank.isolation import batches, worker_answers
from arbitrank.isolation.decoders import from_worker, to_worker
from arbitrank.isolation.messages import DomainOutcome, QueryBatch, QueryDone, encode
from arbitrank.isolation.worker_answers import batch_answers
from arbitrank.isolation.worker_process import WorkerEnded
from arbitrank.learn.reference import ReferenceDomain, ReferenceModel
from arbitrank.scales import FIELDS, domain_scales
from arbitrank.values import Hypothesis, Request
from arbitrank.wire.requests import Logged

NAME = "domain0"


class Worker:
    """A worker in this process, which counts the batches that it gets."""

    loaded = frozenset({1})

    def __init__(self, model: Model, ends: Sequence[bool] = (), able: bool = True) -> None:
        self.model, self.ends, self.able, self.batches = model, list(ends), able, 0

    def capable(self, name: str) -> bool:
        return self.able

    def outcomes(self, content: bytes, id: int, seconds: float) -> list[DomainOutcome]:
        self.batches += 1
        batch = to_worker.decode(content)
        assert isinstance(batch, QueryBatch)
        if self.ends and self.ends.pop(0):
            raise WorkerEnded("crashed with SIGSEGV")
        *outcomes, done = map(from_worker.decode, batch_answers(batch, {1: (NAME, self.model)}))
        assert isinstance(done, QueryDone)
        return [] if done.problem else [one for one in outcomes if isinstance(one, DomainOutcome)]


class Pair(Host):
    """The two roles of a pair, as far as batches need them."""

    ready, deadline = True, 0.2

    def __init__(self, worker: Worker) -> None:
        self.active, self.singles, self.retired = worker, 0, 0

    def begin(
        self, models: Mapping[str, HostedModel], request: Request, given: Any, explain: bool, began: float
    ) -> Call:
        self.singles += 1
        own = None if given is None else given[NAME]
        return lambda: {NAME: query(NAME, self.active.model, request, own)}

    def query_each(self, model: HostedModel, requests: Sequence[Request], given: Any) -> list[Answered | Failed]:
        return batches.query_each(self, model, requests, given)  # type: ignore[arg-type]

    @contextmanager
    def held(self) -> Iterator[Worker]:
        yield self.active

    def retire(self, worker: Worker) -> None:
        self.retired += 1


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_MOST", 64)


def hosted(model: Model, **settings: Any) -> tuple[HostedModel, Pair]:
    pair = Pair(Worker(model, **settings))
    return HostedModel(NAME, pair, 1), pair


def learned() -> Model:
    return ReferenceModel(ReferenceDomain(NAME), None, factored(NAME, np.random.default_rng(0)))


def percent(model: Model) -> Model:
    return scaled(model, domain_scales(dict.fromkeys(FIELDS, "0..100")))


MIXED = [
    *requests([NAME], 150),
    Request(hypotheses=()),
    Request(hypotheses=(Hypothesis(NAME, "A", 0.5), Hypothesis(NAME, "A", 0.7), Hypothesis(NAME, "B", 0.2))),
    Request(hypotheses=(Hypothesis(NAME, "A", "much"),)),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("by", [None, Recalibration(0.8, 0.1)], ids=["as they are", "recalibrated"])
def test_a_domain_in_another_process_is_scored_as_one_in_this(by: Recalibration | None) -> None:
    brought = brought_for(NAME, [by_domain(one) for one in MIXED])
    here = score_batch(NAME, learned(), MIXED, brought, by)
    model, pair = hosted(learned())
    there = score_batch(NAME, model, MIXED, brought, by)
    for ours, theirs in zip(here.best[:4], there.best[:4], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=1e-12)
    assert [list(own) for own in here.readings] == [list(own) for own in there.readings]
    assert here.failures == there.failures
    assert (pair.singles, pair.active.batches) == (0, 3)


def test_scales_are_read_there_and_a_recognisers_own_hypotheses_by_its_own() -> None:
    given = Request(hypotheses=(Hypothesis(NAME, "A", 60.0),))
    own = Logged(hypotheses=(Hypothesis(NAME, "A", 0.6),), recognised=True)
    inner = FakeModel(NAME, strength=1.0)
    inner.recognises_probabilities = True  # type: ignore[attr-defined]
    model, pair = hosted(percent(inner))
    brought = [given.hypotheses, own.hypotheses]
    found = score_batch(NAME, model, [given, own], brought)
    here = score_batch(NAME, percent(inner), [given, own], brought)
    assert found.best.mine.tolist() == here.best.mine.tolist() == pytest.approx([0.6, 0.6])
    assert pair.active.batches == 1


def test_text_is_recognised_there() -> None:
    asked = [Request(utterance="do it"), Request(utterance=""), Request(utterance="fail")]
    model, pair = hosted(FakeModel(NAME))
    assert score_batch(NAME, model, asked, [None] * 3).failures == ["RuntimeError: out of order"]
    assert (pair.singles, pair.active.batches) == (0, 1)


def test_a_worker_that_answers_no_batches_is_asked_one_by_one() -> None:
    model, pair = hosted(FakeModel(NAME), able=False)
    found = score_batch(NAME, model, [Request(utterance="a")] * 100, [None] * 100)
    assert not found.failures
    assert (pair.singles, pair.active.batches) == (100, 0)


def test_a_batch_that_ends_its_worker_is_asked_one_by_one_and_nothing_is_lost() -> None:
    asked = [Request(utterance=str(i)) for i in range(200)]
    model, pair = hosted(FakeModel(NAME), ends=[False, True, False, False])
    found = score_batch(NAME, model, asked, [None] * 200)
    assert (len(found.readings), found.failures) == (200, [])
    assert (pair.singles, pair.retired) == (batches._MOST, 1)
    model, pair = hosted(FakeModel(NAME), ends=[True] * 9)
    assert not score_batch(NAME, model, asked, [None] * 200).failures
    assert (pair.singles, pair.retired) == (200, 2)


def test_a_request_that_cannot_be_sent_costs_no_other_its_outcome() -> None:
    asked = [Request(utterance=str(i)) for i in range(3)]
    asked[1] = msgspec.structs.replace(asked[1], context={"key": object()})
    model, _ = hosted(FakeModel(NAME))
    assert all(isinstance(one, Answered) for one in model.host.query_each(model, asked, [None] * 3))


def sent(asked: Sequence[Request], milliseconds: float) -> QueryBatch:
    content = batches._content(asked, [None] * len(asked))
    assert content is not None
    return QueryBatch(7, 1, milliseconds, msgspec.Raw(content))


def test_a_worker_begins_no_request_after_its_time_but_the_first() -> None:
    found = batch_answers(sent([Request(utterance=str(i)) for i in range(9)], 0.0), {1: (NAME, FakeModel(NAME))})
    assert len(found) == 2
    assert from_worker.decode(found[-1]) == QueryDone(7)


def test_the_outcomes_of_a_batch_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = batch_answers(sent([Request(utterance="a")], 1e6), {1: (NAME, FakeModel(NAME))})
    monkeypatch.setattr(worker_answers, "MAX_OUTCOMES", 3 * len(one) + len(one) // 2)
    found = batch_answers(sent([Request(utterance="a")] * 9, 1e6), {1: (NAME, FakeModel(NAME))})
    assert len(found) == 3 + 1
    monkeypatch.setattr(worker_answers, "MAX_OUTCOMES", 10)
    first, _ = map(from_worker.decode, batch_answers(sent([Request(utterance="a")], 1e6), {1: (NAME, FakeModel(NAME))}))
    assert isinstance(first, DomainOutcome)
    assert first.failure == worker_answers.TOO_LARGE


def test_a_long_batch_is_sent_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_BYTES", 2_000)
    model, pair = hosted(FakeModel(NAME))
    found = score_batch(NAME, model, [Request(utterance="a" * 300)] * 20, [None] * 20)
    assert not found.failures
    assert pair.singles == 0
    assert pair.active.batches > 2


def test_a_batch_that_cannot_be_read_says_why() -> None:
    [done] = batch_answers(QueryBatch(7, 1, 1e6, msgspec.Raw(encode({"requests": [], "given": [None]}))), {})
    message = from_worker.decode(done)
    assert isinstance(message, QueryDone)
    assert "1 lists of hypotheses, expected 0" in (message.problem or "")
