"""Answers of a worker as messages: the outcome of one request, and those of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter

import msgspec

from arbitrank.arbitration import dispatch
from arbitrank.arbitration.outcomes import Answered, Failed
from arbitrank.arbitration.prepared import prepared
from arbitrank.arbitration.scaled_model import ScaledModel, scaled, scales_of, unscaled
from arbitrank.domain import Model
from arbitrank.errors import describe
from arbitrank.isolation.decoders import batch_content
from arbitrank.isolation.messages import MAX_OUTCOMES, BatchContent, DomainOutcome, QueryBatch, QueryDone, encode
from arbitrank.learn.matrix_scores import matrix_reranker, matrix_scores
from arbitrank.scores import Kept, ScoreError, distinct, only, read_hypotheses
from arbitrank.values import Hypothesis, Request

__all__ = ["TOO_LARGE", "answered", "batch_answers", "outcome_message", "short"]

TOO_LARGE = "its answer is larger than the answers to one request may be"
_REASON = 2_000  # characters of an error that are sent


def answered(
    name: str, model: Model, request: Request, given: Sequence[Hypothesis] | None, explain: bool = False
) -> Answered | Failed:
    """The outcome of one prepared request."""
    try:
        return dispatch.query_prepared(name, model, request, given, explain)
    except KeyboardInterrupt as error:  # raised by the plugin: no keyboard reaches this process
        return Failed(describe(error), 0.0)


def batch_answers(batch: QueryBatch, models: Mapping[int, tuple[str, Model]]) -> list[bytes]:
    """The messages that answer a batch: outcomes of the first requests, as many as time and size allow, one at least.

    They are sent together: where the worker ends before that, its batch is asked for request by request.
    """
    until = perf_counter() + 0.4e-3 * batch.remaining_ms
    try:
        content = batch_content.decode(batch.content)
        requests = [prepared(request) for request in content.requests]
        if len(content.given) != len(requests):
            raise ValueError(f"{len(content.given)} lists of hypotheses, expected {len(requests)}")
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return [encode(QueryDone(batch.id, short(describe(error))))]
    found: list[bytes] = []
    left = MAX_OUTCOMES
    for outcome in _outcomes(batch.id, *models[batch.model], requests, content):
        message = encode(outcome)
        if len(message) > left:
            if found:
                break
            message = encode(DomainOutcome(batch.id, 0, TOO_LARGE))
        left -= len(message)
        found.append(message)
        if perf_counter() > until:
            break
    return [*found, encode(QueryDone(batch.id))]


def _outcomes(
    id: int, name: str, model: Model, requests: Sequence[Request], content: BatchContent
) -> Iterator[DomainOutcome]:
    """The outcome of each request, in order: as of one alone, given hypotheses by one matrix where the model is one."""
    own = set(content.recognised)
    of_recogniser = scaled(unscaled(model), scales_of(model, recognised=True))
    models = [of_recogniser if i in own else model for i in range(len(requests))]
    scored = dict(_by_matrix(id, models, requests, content.given))
    for i, (request, given) in enumerate(zip(requests, content.given, strict=True)):
        outcome = scored.get(i)
        if outcome is None:
            outcome = outcome_message(id, i, answered(name, models[i], request, given), given is not None)
        yield outcome


def _by_matrix(
    id: int, models: Sequence[Model], requests: Sequence[Request], given: Sequence[Sequence[Hypothesis] | None]
) -> Iterator[tuple[int, DomainOutcome]]:
    """The outcomes of the requests whose hypotheses can be scored together, by their places."""
    reranker = matrix_reranker(unscaled(models[0])) if models else None
    if reranker is None:
        return
    places: list[int] = []
    hypotheses: list[tuple[Hypothesis, ...]] = []
    kept: list[Kept | None] = []
    for i, some in enumerate(given):
        if not some:
            continue
        try:
            read = read_hypotheses(some, scales_of(models[i]))
        except ScoreError:  # it is called alone, for the reason
            continue
        kept.append(distinct(read))
        places.append(i)
        hypotheses.append(read if kept[-1] is None else only(read, kept[-1]))
    if not places:
        return
    scores = matrix_scores(*reranker, [requests[i] for i in places], hypotheses)
    mine, right, starts = scores.mine.tolist(), scores.right.tolist(), [*scores.starts.tolist(), len(scores.right)]
    for k in scores.sound.nonzero()[0].tolist():
        model = models[places[k]]
        shown = model.shown[0] if isinstance(model, ScaledModel) else None
        part = tuple(right[starts[k] : starts[k + 1]])
        yield (
            places[k],
            DomainOutcome(
                id, places[k], mine=mine[k], right=part, kept=kept[k], scales=None if shown is None else shown
            ),
        )


def outcome_message(query: int, place: int, outcome: Answered | Failed, given: bool) -> DomainOutcome:
    """The message of an outcome, without the hypotheses where they were given."""
    if isinstance(outcome, Answered):
        return DomainOutcome(
            query,
            place,
            mine=outcome.scores.mine,
            right=tuple(outcome.scores.right.tolist()),
            hypotheses=None if given else _sent(outcome),
            why=None if outcome.why is None else [dict(row) for row in outcome.why],
            recognise_ms=outcome.recognise_ms,
            rerank_ms=outcome.rerank_ms,
            kept=outcome.kept if given else None,
            scales=None if outcome.scales is None else dict(outcome.scales),
        )
    reason = short(outcome.reason)
    short_of_memory = "MemoryError" in reason
    return DomainOutcome(
        query, place, reason, recognise_ms=outcome.ms, out_of_memory=short_of_memory, unread=outcome.unread
    )


def _sent(outcome: Answered) -> tuple[Hypothesis, ...]:
    """The hypotheses to encode; of those that their check has encoded, the bytes."""
    if outcome.packed is not None:
        return msgspec.Raw(outcome.packed)  # type: ignore[return-value]
    return tuple(outcome.hypotheses)


def short(reason: str) -> str:
    """A reason as it is sent."""
    return reason.encode(errors="replace").decode()[:_REASON]
