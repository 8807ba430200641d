"""Checks of a model's answers: types and ranges, odd requests, order, threads, reloading, and side effects."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from time import perf_counter
from typing import Any

import msgspec
import numpy as np

from arbitrank.arbitration.checks import checked_explanation, checked_hypotheses, checked_scores
from arbitrank.arbitration.prepared import prepared
from arbitrank.arbitration.probes import answer_to, named, told_apart
from arbitrank.domain import Model
from arbitrank.errors import PluginError
from arbitrank.guard import Fault, guarded
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.scales import NO_SCALES
from arbitrank.scores import ScoreError, read_hypotheses
from arbitrank.testing.contract_checks import methods_have_the_names_of_the_contract, models_are_frozen
from arbitrank.testing.findings import DomainCheck, Finding, of_text, seen, warning
from arbitrank.testing.requests import USUAL, every, pace, usual
from arbitrank.testing.subject import Subject
from arbitrank.values import Hypothesis, Request

ANSWER_MS = 50.0
"""Milliseconds that the median answer of a model should take at most."""

_THREADS = 8
_TOLD = 2  # findings of one kind
_READINGS = "return a list of Hypothesis of your domain, empty where it has no reading; state other scores in `scales`"
_SCORES = "return Scores(mine, right): float64, one number for each hypothesis in their order; np.clip helps"
_ROWS = "return [{} for _ in request.hypotheses], or leave explain out"


def _plain(subject: Subject) -> Any:
    """The plugin's own model, without the core's reading of scales."""
    model: Any = subject.model
    return getattr(model, "model", model)


@DomainCheck
def readings_are_valid(subject: Subject) -> Iterator[Finding]:
    """`recognise` returns at most 100 `Hypothesis` values of the domain, with scores on its scales."""
    model = _plain(subject)
    told: set[str] = set()
    for request in every(subject) if model is not None else ():
        if request.hypotheses is None:
            found = guarded(_readings, subject, model, request)
            if isinstance(found, Fault):
                yield from _once(told, f"recognise of {named(request)}", found, "a sequence of Hypothesis", _READINGS)


def _recognised(subject: Subject, model: Any, request: Request) -> Sequence[Hypothesis]:
    return checked_hypotheses(subject.name, model.recognise(request))


def _readings(subject: Subject, model: Any, request: Request) -> Sequence[Hypothesis]:
    hypotheses = _recognised(subject, model, prepared(request))
    scales = getattr(subject.model, "recognised", NO_SCALES)
    try:
        return read_hypotheses(hypotheses, scales)
    except ScoreError as error:
        raise PluginError(f"{error}") from error


def _once(told: set[str], doing: str, fault: Fault, expected: str, remedy: str) -> Iterator[Finding]:
    """The finding on a fault, unless its text was told before or there were enough."""
    if fault.reason in told or len(told) >= _TOLD:
        return
    told.add(fault.reason)
    if isinstance(fault.error, PluginError):
        one = of_text(f"{doing}: {fault.error}")
        yield seen(one.seen, one.expected or expected, one.fix or remedy)
    else:
        yield seen(f"{doing} raised {fault.placed}", expected, "correct the code at that line")


@DomainCheck
def scores_are_probabilities(subject: Subject) -> Iterator[Finding]:
    """`rerank` returns `Scores`: `mine` and each of `right` finite in [0, 1], as many as hypotheses, their sum at most
    `mine`; for usual requests and for odd texts, contexts, features and missing confidences alike."""
    model = _plain(subject)
    told: set[str] = set()
    for request in every(subject) if model is not None else ():
        own = _with_readings(subject, model, request)
        if own is not None:
            scores = guarded(_scores, model, own)
            expected = "Scores(mine, right), each in [0, 1], the sum of right at most mine"
            if isinstance(scores, Fault):
                yield from _once(told, f"rerank of {named(request)}", scores, expected, _SCORES)


def _scores(model: Any, request: Request) -> object:
    return checked_scores(model.rerank(request), len(request.hypotheses or ()))


def _explanation(model: Any, request: Request) -> object:
    return checked_explanation(model.explain(request), len(request.hypotheses or ()))


def _with_readings(subject: Subject, model: Any, request: Request) -> Request | None:
    """The request as `rerank` gets it; None where there is no reading."""
    if request.hypotheses is None:
        found = guarded(_readings, subject, model, request)
        if isinstance(found, Fault) or not found:
            return None
        request = msgspec.structs.replace(request, hypotheses=tuple(found))
    return msgspec.structs.replace(prepared(request), hypotheses=request.hypotheses)


@DomainCheck
def explanations_are_finite(subject: Subject) -> Iterator[Finding]:
    """`explain` returns one mapping of finite numbers for each hypothesis."""
    model = _plain(subject)
    told: set[str] = set()
    for request in every(subject) if model is not None else ():
        own = _with_readings(subject, model, request)
        if own is not None:
            rows = guarded(_explanation, model, own)
            if isinstance(rows, Fault):
                yield from _once(
                    told, f"explain of {named(request)}", rows, "a mapping of numbers for each hypothesis", _ROWS
                )


def _answers(subject: Subject, model: Model, requests: Sequence[Request]) -> list[object]:
    return [answer_to(subject.name, model, request) for request in requests]


def _differences(
    subject: Subject, how: str, fix: str, requests: Sequence[Request], first: Sequence[object], other: Sequence[object]
) -> Iterator[Finding]:
    for request, one, two in zip(requests, first, other, strict=True):
        if not isinstance(one, str) and one != two:
            before, after = told_apart(one, two)
            yield seen(f"{named(request)} was answered {before}, and {after} {how}", "the same answer", fix)
            return


@DomainCheck
def answers_are_the_same_in_any_order(subject: Subject) -> Iterator[Finding]:
    """Equal requests get equal answers, in whatever order they come."""
    if (model := subject.model) is not None:
        requests = every(subject)
        first = _answers(subject, model, requests)
        other = _answers(subject, model, requests[::-1])[::-1]
        fix = "keep no state from call to call; draw nothing at random"
        yield from _differences(subject, "when asked again", fix, requests, first, other)


@DomainCheck
def answers_are_the_same_from_threads(subject: Subject) -> Iterator[Finding]:
    """Equal requests get equal answers from eight threads at once."""
    if (model := subject.model) is not None:
        requests = every(subject)
        first = _answers(subject, model, requests)
        with ThreadPoolExecutor(_THREADS) as pool:
            found = list(pool.map(lambda _: _answers(subject, model, requests), range(_THREADS)))
        for other in found:
            fix = "share no buffer and no state between calls"
            differ = list(_differences(subject, "from another thread", fix, requests, first, other))
            if differ:
                yield differ[0]
                return


@DomainCheck
def answers_are_the_same_after_loading_again(subject: Subject) -> Iterator[Finding]:
    """Two models loaded from one folder answer alike: everything that matters is in the folder."""
    if (model := subject.model) is not None and subject.folder is not None:
        requests = every(subject)
        first = _answers(subject, model, requests)
        other = _answers(subject, subject.load(subject.folder), requests)
        fix = "write all that the answers depend on in `train`, and read it in `load`"
        yield from _differences(subject, "after loading again", fix, requests, first, other)


@DomainCheck
def requests_stay_unchanged(subject: Subject) -> Iterator[Finding]:
    """Neither `recognise` nor `rerank` changes the request, its context or its hypotheses."""
    model = _plain(subject)
    told = 0
    for request in every(subject) if model is not None else ():
        own = _with_readings(subject, model, request) or request
        given = msgspec.structs.replace(own, context=deepcopy(dict(request.context)))
        before = deepcopy(given)
        guarded(model.recognise, msgspec.structs.replace(given, hypotheses=None))
        guarded(model.rerank, given)
        if given != before and (told := told + 1) <= 1:
            changed = [name for name in given.__struct_fields__ if getattr(given, name) != getattr(before, name)]
            keys = sorted(set(given.context) ^ set(before.context))
            text = f"{named(request)}: it changed the request's {', '.join(changed)}" + (f" ({keys})" if keys else "")
            yield seen(text, "a request as it came", "copy what you change")


@DomainCheck
def other_domains_hypotheses_change_nothing(subject: Subject) -> Iterator[Finding]:
    """The readings are the same whatever hypotheses of other domains the caller brings."""
    model = _plain(subject)
    for request in usual(subject) if model is not None else ():
        bare, other = prepared(request), Hypothesis("another-domain", "Do", 0.99, 0.99)
        both = msgspec.structs.replace(bare, hypotheses=(other,))
        first, second = (guarded(_recognised, subject, model, one) for one in (bare, both))
        if not isinstance(first, Fault) and (isinstance(second, Fault) or first != second):
            text = f"{named(request)}: other readings where another domain has a hypothesis"
            yield seen(text, "the same readings", "read the utterance and the context alone")
            return


@DomainCheck
def nothing_is_printed(subject: Subject) -> Iterator[Finding]:
    """Neither loading nor answering prints to standard output, which belongs to the command."""
    if subject.folder is None:
        return
    calls: list[tuple[str, Callable[[], object]]] = [("load", lambda: subject.domain.load(subject.folder))]  # type: ignore[arg-type]
    if (model := subject.model) is not None:
        calls.append(("recognise or rerank", lambda: _answers(subject, model, every(subject)[:USUAL])))
    for method, call in calls:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            guarded(call)
        if text := printed.getvalue().strip():
            fix = "use the module logging, or print to sys.stderr"
            yield seen(f"{method} printed {text.splitlines()[0][:80]!r}", "nothing on standard output", fix)


@DomainCheck
def answers_are_fast(subject: Subject) -> Iterator[Finding]:
    """The median answer to a usual request takes at most 50 ms."""
    if (model := subject.model) is None:
        return
    took = []
    for request in usual(subject)[:2] if pace(subject) > 1.0 else usual(subject)[:15]:
        began = perf_counter()
        answer_to(subject.name, model, request)
        took.append(1e3 * (perf_counter() - began))
    median = float(np.median(took)) if took else 0.0
    if median > ANSWER_MS:
        text = f"the median answer took {median:.0f} ms"
        yield warning(text, f"at most {ANSWER_MS:g} ms", "load what is slow in `load`, once; profile `recognise`")


@DomainCheck
def text_without_words_is_out_of_scope(subject: Subject) -> Iterator[Finding]:
    """P(mine) of utterances without a word is below 0.2."""
    if subject.shipped is None or not isinstance(subject.domain, ReferenceDomain):
        return
    for text in ("", "   ", "👍"):
        answer: Any = subject.model and answer_to(subject.name, subject.model, Request(utterance=text))
        if isinstance(answer, tuple) and answer[1] >= 0.2:
            fix = "add such texts to [none.KIND] as negatives"
            yield seen(f"{text!r}: P(mine) is {answer[1]:.2f}", "below 0.2", fix)


ANSWER_CHECKS = (
    methods_have_the_names_of_the_contract,
    models_are_frozen,
    readings_are_valid,
    scores_are_probabilities,
    explanations_are_finite,
    answers_are_the_same_in_any_order,
    answers_are_the_same_from_threads,
    answers_are_the_same_after_loading_again,
    requests_stay_unchanged,
    other_domains_hypotheses_change_nothing,
    nothing_is_printed,
    answers_are_fast,
    text_without_words_is_out_of_scope,
)
