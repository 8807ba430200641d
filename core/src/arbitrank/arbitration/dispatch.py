"""Query of the domains: a request crosses into each of them once, and each outcome is a value.

`query_all` sends a request to the domains in other processes, queries those in this process, then waits for the others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import TypeAlias, TypeGuard

import numpy as np
from msgspec.structs import replace

from arbitrank.arbitration.breaker import Breakers
from arbitrank.arbitration.checks import checked_explanation, checked_scores, json_hypotheses, packed_hypotheses
from arbitrank.arbitration.outcomes import Answered, Failed, Outcome, Skipped, kind_of
from arbitrank.arbitration.prepared import prepared
from arbitrank.arbitration.scaled_model import ScaledModel
from arbitrank.arbitration.wordings import Scored, each_wording, over_wordings
from arbitrank.domain import Model, Scores
from arbitrank.errors import PluginError, describe
from arbitrank.explanation import completed
from arbitrank.guard import Fault, guarded, place_of
from arbitrank.scales import NO_SCALES
from arbitrank.scores import ScoreError, distinct, only, read_hypotheses
from arbitrank.values import Hypothesis, Request

Call: TypeAlias = Callable[[], dict[str, Outcome]]
"""A request that domains in another process are answering.

Called exactly once, it returns each domain's outcome by the deadline, whatever they do.
"""


class Host(ABC):
    """Another process, in which several domains are queried together.

    `measures` are those of its box, each with the reason why it is missing, None of one that is active. `shared`: a
    call holds nothing that other requests wait for, so that it is begun first and waited for last.
    """

    measures: Mapping[str, str | None] = {}
    shared = False

    @abstractmethod
    def begin(
        self,
        models: Mapping[str, HostedModel],
        request: Request,
        given: Mapping[str, Sequence[Hypothesis]] | None,
        explain: bool,
        began: float,
    ) -> Call:
        """Send a request, begun at `began` on `time.perf_counter`, to domains of this host."""

    @property
    @abstractmethod
    def ready(self) -> bool:
        """True where a domain that crashed a process may be tried again."""

    def query_each(
        self, model: HostedModel, requests: Sequence[Request], given: Sequence[Sequence[Hypothesis] | None]
    ) -> list[Answered | Failed]:
        """The outcome of each of many requests that nobody waits for, as `query` has it; here one by one."""
        return [model.outcome(request, own) for request, own in zip(requests, given, strict=True)]


class HostedModel(Model):
    """A model in another process, by its `number` there. `query_all` queries all models of a host together."""

    _hosted = True  # read instead of `isinstance`, which is slow for abstract classes

    def __init__(self, name: str, host: Host, number: int) -> None:
        self.name, self.host, self.number = name, host, number
        self.keeper: object = None  # what has to live as long as the model does

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        """The model's readings. Raises `PluginError` where it did not answer."""
        return self._answered(request, None, False).hypotheses

    def rerank(self, request: Request) -> Scores:
        """The model's scores. Raises `PluginError` where it did not answer."""
        return self._answered(request, request.hypotheses or (), False).scores

    def explain(self, request: Request) -> Sequence[Mapping[str, float]]:
        """The contributions to the model's scores. Raises `PluginError` where it did not answer."""
        return self._answered(request, request.hypotheses or (), True).why or ()

    def outcome(
        self, request: Request, given: Sequence[Hypothesis] | None, *, explain: bool = False
    ) -> Answered | Failed:
        """The outcome of one request in the other process; one that is late has failed."""
        own = None if given is None else {self.name: given}
        outcome = self.host.begin({self.name: self}, request, own, explain, perf_counter())()[self.name]
        return outcome if isinstance(outcome, Answered | Failed) else Failed(outcome.reason, 0.0)

    def _answered(self, request: Request, given: Sequence[Hypothesis] | None, explain: bool) -> Answered:
        outcome = self.outcome(request, given, explain=explain)
        if not isinstance(outcome, Answered):
            raise PluginError(outcome.reason)
        return outcome


NO_SCORES = Scores(0.0, np.zeros(0))
"""The scores of a domain without a reading: P(mine) is 0."""


def measures_of(model: Model) -> dict[str, str | None] | None:
    """The measures of the box that a model is in; None without one."""
    return dict(model.host.measures) or None if isinstance(model, HostedModel) else None


def query_all(
    models: Mapping[str, Model],
    request: Request,
    given: Mapping[str, Sequence[Hypothesis]] | None = None,
    *,
    explain: bool = False,
    breakers: Breakers | None = None,
) -> dict[str, Outcome]:
    """Have every model recognise the request, unless hypotheses are given for each, and score it.

    Never raises a plugin's error. With `breakers`, domains whose breaker is open are skipped, and every outcome is
    counted.
    """
    if not breakers:
        outcomes = _query(models, request, given, explain)
        if breakers is not None:
            _count(breakers, models, outcomes)
        return outcomes
    open_, trials = breakers.admit(models, lambda model: not is_hosted(model) or model.host.ready)
    # Trials come last, so that other domains of the same process have answered when one fails again.
    order = sorted(models, key=set(trials).__contains__)
    admitted = {name: models[name] for name in order if name not in open_}
    done: dict[str, Outcome] | None = None
    try:
        done = _query(admitted, request, given, explain)
    finally:
        if done is None:  # interrupted: the trials have no outcome
            for name in trials:
                breakers.failed(name, models[name], "", counts=0)
    _count(breakers, admitted, done, trials)
    return {**done, **{name: Skipped(reason) for name, reason in open_.items()}}


def _query(
    models: Mapping[str, Model],
    request: Request,
    given: Mapping[str, Sequence[Hypothesis]] | None,
    explain: bool,
) -> dict[str, Outcome]:
    began = perf_counter()
    calls: list[Call] = []
    shared_calls: list[Call] = []
    outcomes: dict[str, Outcome] = {}
    try:
        local, hosts = _by_host(models)
        for host, hosted in hosts:
            (shared_calls if host.shared else calls).append(host.begin(hosted, request, given, explain, began))
        shared = prepared(request) if local else request
        for name, model in local.items():
            outcomes[name] = query_prepared(name, model, shared, None if given is None else given[name], explain)
    except RecursionError as error:  # the context is nested too deeply
        outcomes = {name: Failed(describe(error), 0.0, counts=0, kind="request") for name in models}
    finally:
        for call in (*calls, *shared_calls):
            outcomes |= call()
    return outcomes


def _by_host(
    models: Mapping[str, Model],
) -> tuple[dict[str, Model], list[tuple[Host, dict[str, HostedModel]]]]:
    """The models of this process, and the others by their host, in one order so that requests cannot deadlock."""
    local: dict[str, Model] = {}
    hosts: dict[int, tuple[Host, dict[str, HostedModel]]] = {}
    for name, model in models.items():
        if is_hosted(model):
            hosts.setdefault(id(model.host), (model.host, {}))[1][name] = model
        else:
            local[name] = model
    order = [hosts[key] for key in sorted(hosts)]
    if shared := [one for one in order if one[0].shared]:
        order = [*shared, *(one for one in order if not one[0].shared)]
    return local, order


def is_hosted(model: Model) -> TypeGuard[HostedModel]:
    """True for a model in another process."""
    return getattr(type(model), "_hosted", False) is True


def _count(
    breakers: Breakers, models: Mapping[str, Model], outcomes: Mapping[str, Outcome], trials: Sequence[str] = ()
) -> None:
    """Report the outcomes to the breakers."""
    troubled, limit = bool(breakers), breakers.settings.soft_ms
    for name, outcome in outcomes.items():
        if isinstance(outcome, Answered):
            took = outcome.recognise_ms + outcome.rerank_ms
            if took > limit and not is_hosted(models[name]):
                breakers.failed(name, models[name], f"took {took:.0f} ms, expected at most {limit:.0f}")
            elif troubled:
                breakers.succeeded(name, models[name])
        elif not isinstance(outcome, Skipped) and (outcome.counts or name in trials):
            reason = outcome.impersonal if isinstance(outcome, Failed) else outcome.reason
            breakers.failed(name, models[name], reason, outcome.counts)


def query(
    name: str, model: Model, request: Request, hypotheses: Sequence[Hypothesis] | None, *, explain: bool = False
) -> Answered | Failed:
    """Have one model recognise the request, unless hypotheses are given, and score it. Never raises its errors."""
    try:
        if is_hosted(model):
            return model.outcome(request, hypotheses, explain=explain)
        shared = prepared(request)
    except RecursionError as error:  # the context is nested too deeply
        return Failed(describe(error), 0.0, counts=0, kind="request")
    return query_prepared(name, model, shared, hypotheses, explain)


def query_each(
    name: str, model: Model, requests: Sequence[Request], given: Sequence[Sequence[Hypothesis] | None]
) -> list[Answered | Failed]:
    """Query one model with many requests that nobody waits for; of another process in few messages."""
    if is_hosted(model):
        return model.host.query_each(model, requests, given)
    return [query(name, model, request, own) for request, own in zip(requests, given, strict=True)]


def query_prepared(
    name: str, model: Model, shared: Request, hypotheses: Sequence[Hypothesis] | None, explain: bool
) -> Answered | Failed:
    """Query one model with a `prepared` request, as `query` does."""
    began = perf_counter()
    outcome = guarded(_answer, name, model, shared, hypotheses, explain, began)
    if not isinstance(outcome, Fault):
        return outcome
    ms, kind = 1e3 * (perf_counter() - began), kind_of(outcome.error)
    return Failed(outcome.reason, ms, line=place_of(outcome.error), kind=kind, began=began)


def _answer(
    name: str, model: Model, shared: Request, hypotheses: Sequence[Hypothesis] | None, explain: bool, began: float
) -> Answered | Failed:
    if hypotheses is None and len(shared.utterances) > 1:
        return _answer_each_wording(name, model, shared, explain)
    given, scales, shown = hypotheses is not None, NO_SCALES, None
    if type(model) is ScaledModel:
        scales = model.given if given else model.recognised
        shown = model.shown[not given]
        model = model.model
    packed: bytes | None = None
    if hypotheses is None:
        hypotheses, packed = packed_hypotheses(name, model.recognise(shared))
    recognised = perf_counter()
    scores, kept = NO_SCORES, None
    why: Sequence[Mapping[str, float]] | None = () if explain else None
    if hypotheses:
        try:
            read = read_hypotheses(hypotheses, scales)
        except ScoreError as error:  # of given hypotheses it is not the domain's fault
            if not given:
                json_hypotheses(name, tuple(hypotheses))  # which says more of an infinite number
            ms = 1e3 * (perf_counter() - began)
            return Failed(str(error), ms, int(not given), error.index, kind="request" if given else "contract")
        if len(read) > 1 and (kept := distinct(read)) is not None:
            hypotheses, read, packed = only(hypotheses, kept), only(read, kept), None
        own = replace(shared, hypotheses=read)
        scores = checked_scores(model.rerank(own), len(read))
        if explain:
            why = completed(checked_explanation(model.explain(own), len(read)), scores.right)
    done = perf_counter()
    recognise_ms, rerank_ms = 1e3 * (recognised - began), 1e3 * (done - recognised)
    return Answered(hypotheses, scores, why, recognise_ms, rerank_ms, kept, shown, began, packed)


def _answer_each_wording(name: str, model: Model, shared: Request, explain: bool) -> Answered | Failed:
    """The merged answer to all wordings of the utterance."""
    answers = []
    for request in each_wording(shared):
        outcome = _answer(name, model, request, None, explain, perf_counter())
        if isinstance(outcome, Failed):
            return outcome
        answers.append(outcome)
    hypotheses, scores, why = over_wordings(shared, [Scored(one.hypotheses, one.scores, one.why) for one in answers])
    recognise_ms, rerank_ms = (sum(getattr(one, name) for one in answers) for name in ("recognise_ms", "rerank_ms"))
    return Answered(hypotheses, scores, why, recognise_ms, rerank_ms, None, answers[0].scales, answers[0].began)
