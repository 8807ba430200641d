"""One crossing into a domain: a request goes in, and what comes back is checked before it counts.

`ask_all` crosses into all domains of a request: those in other processes are sent it first, then those in this process
are asked, then the others' answers are waited for.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from numbers import Real
from time import perf_counter
from types import MappingProxyType
from typing import Any, TypeAlias, TypeGuard

import msgspec
import numpy as np
from msgspec.structs import replace

from arbitrank.arbitration.breaker import Breakers
from arbitrank.domain import Model, Scores
from arbitrank.errors import PluginError, describe
from arbitrank.values import Hypothesis, Request

MAX_HYPOTHESES = 100
"""Hypotheses that a domain may recognise in one request."""

_SLACK = 1e-9
_FEW = 20
_CONFIDENCES = ("domain_confidence", "intent_confidence", "slots_confidence")


class Answered(msgspec.Struct, frozen=True, eq=False):
    """A domain answered: its hypotheses, their scores and, where asked for, what explains them."""

    hypotheses: Sequence[Hypothesis]
    scores: Scores
    why: Sequence[Mapping[str, float]] | None
    recognise_ms: float
    rerank_ms: float


class Failed(msgspec.Struct, frozen=True):
    """A domain raised, or broke a promise of the contract: why, and after how long.

    `counts` is for how many failures a breaker takes it: `WHOLE` opens it at once, 0 where the domain isn't to blame.
    """

    reason: str
    ms: float
    counts: int = 1


class Late(msgspec.Struct, frozen=True):
    """A domain did not answer by its deadline: why, and how long it was waited for. `counts` is as in `Failed`."""

    reason: str
    ms: float
    counts: int = 1


class Skipped(msgspec.Struct, frozen=True):
    """A domain was not asked at all, and why."""

    reason: str


Outcome: TypeAlias = Answered | Failed | Late | Skipped

WHOLE = 1_000_000
"""What a failure counts that cost more than an answer: a worker process, say."""


class Call(ABC):
    """A request that domains of another process are answering."""

    @abstractmethod
    def outcomes(self) -> dict[str, Outcome]:
        """How each of them fared; returns by the deadline, whatever they do. Has to be called, once."""


class Place(ABC):
    """Another process, in which several domains are asked together."""

    @abstractmethod
    def begin(
        self,
        models: Mapping[str, Elsewhere],
        request: Request,
        given: Mapping[str, Sequence[Hypothesis]] | None,
        explain: bool,
        began: float,
    ) -> Call:
        """Send a request, begun at `began` on `time.perf_counter`, to domains of this place."""

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether a domain may be tried there that cost a process before."""


class Elsewhere(Model):
    """A model in another process. `ask_all` asks all of a place together; its own methods ask it alone."""

    _elsewhere = True  # asked for instead of `isinstance`, which is slow for classes that are abstract

    def __init__(self, name: str, place: Place) -> None:
        self.name, self.place = name, place

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        """The model's readings. Raises `PluginError` where it has none to give."""
        return self._answered(request, None, False).hypotheses

    def rerank(self, request: Request) -> Scores:
        """The model's scores. Raises `PluginError` where it has none to give."""
        return self._answered(request, request.hypotheses or (), False).scores

    def explain(self, request: Request) -> Sequence[Mapping[str, float]]:
        """What explains the model's scores. Raises `PluginError` where it has nothing to give."""
        return self._answered(request, request.hypotheses or (), True).why or ()

    def _answered(self, request: Request, given: Sequence[Hypothesis] | None, explain: bool) -> Answered:
        own = None if given is None else {self.name: given}
        call = self.place.begin({self.name: self}, request, own, explain, perf_counter())
        outcome = call.outcomes()[self.name]
        if not isinstance(outcome, Answered):
            raise PluginError(outcome.reason)
        return outcome


NOTHING = Scores(0.0, np.zeros(0))
"""What a domain without a reading thinks of a request: not mine."""


def ask_all(
    models: Mapping[str, Model],
    request: Request,
    given: Mapping[str, Sequence[Hypothesis]] | None = None,
    *,
    explain: bool = False,
    breakers: Breakers | None = None,
) -> dict[str, Outcome]:
    """Have every domain of `models` read (unless hypotheses are given for each) and score a request.

    Never raises what a plugin raises. With `breakers`, domains in trouble are skipped, and how all fare is noted.
    """
    skipped: dict[str, Outcome] = {}
    tried: Sequence[str] = ()
    asked = models
    if breakers:
        reasons, tried = breakers.skipped(models, _ready)
        skipped = {name: Skipped(reason) for name, reason in reasons.items()}
        # Those on trial come last, so that others of their process have answered when it goes wrong again.
        order = sorted(models, key=set(tried).__contains__)
        asked = {name: models[name] for name in order if name not in skipped}
    try:
        outcomes = _ask_all(asked, request, given, explain)
    except BaseException:
        for name in tried:  # nobody knows how it would have fared
            assert breakers is not None
            breakers.failed(name, models[name], "", counts=0)
        raise
    if breakers is not None:
        _note(breakers, asked, outcomes, tried)
    return {**outcomes, **skipped} if skipped else outcomes


def _ask_all(
    models: Mapping[str, Model],
    request: Request,
    given: Mapping[str, Sequence[Hypothesis]] | None,
    explain: bool,
) -> dict[str, Outcome]:
    began = perf_counter()
    calls: list[Call] = []
    outcomes: dict[str, Outcome] = {}
    try:
        places = _places(models)
        for place, away in places:
            calls.append(place.begin(away, request, given, explain, began))
        alone = {name: model for name, model in models.items() if not _is_elsewhere(model)} if places else models
        shared = prepared(request) if alone else request
        for name, model in alone.items():
            outcomes[name] = ask_prepared(name, model, shared, None if given is None else given[name], explain)
    except RecursionError as error:  # a context that is nested too deeply
        outcomes = {name: Failed(describe(error), 0.0, counts=0) for name in models}
    finally:
        for call in calls:
            outcomes |= call.outcomes()
    return outcomes


def _places(models: Mapping[str, Model]) -> list[tuple[Place, dict[str, Elsewhere]]]:
    """The models that are elsewhere, by their place."""
    found: dict[int, tuple[Place, dict[str, Elsewhere]]] = {}
    for name, model in models.items():
        if _is_elsewhere(model):
            place = model.place
            if id(place) not in found:
                found[id(place)] = place, {}
            found[id(place)][1][name] = model
    # Always in one order, so that of two threads neither waits for what the other has.
    return [found[key] for key in sorted(found)]


def _is_elsewhere(model: Model) -> TypeGuard[Elsewhere]:
    return getattr(type(model), "_elsewhere", False) is True


def _ready(model: Model) -> bool:
    return not _is_elsewhere(model) or model.place.ready


def _note(
    breakers: Breakers, models: Mapping[str, Model], outcomes: Mapping[str, Outcome], tried: Sequence[str]
) -> None:
    """Tell the breakers how the domains fared that were asked."""
    troubled, limit = bool(breakers), breakers.settings.soft_ms
    for name, outcome in outcomes.items():
        if isinstance(outcome, Answered):
            took = outcome.recognise_ms + outcome.rerank_ms
            if took > limit and not _is_elsewhere(models[name]):
                breakers.failed(name, models[name], f"took {took:.0f} ms, promised at most {limit:.0f}")
            elif troubled:
                breakers.succeeded(name, models[name])
        elif not isinstance(outcome, Skipped) and (outcome.counts or name in tried):
            breakers.failed(name, models[name], outcome.reason, outcome.counts)


def ask(
    name: str, model: Model, request: Request, hypotheses: Sequence[Hypothesis] | None, *, explain: bool = False
) -> Answered | Failed:
    """Have one domain read (unless hypotheses are given) and score a request. Never raises what the plugin raises."""
    try:
        shared = prepared(request)
    except RecursionError as error:  # as above
        return Failed(describe(error), 0.0, counts=0)
    return ask_prepared(name, model, shared, hypotheses, explain)


def ask_prepared(
    name: str, model: Model, shared: Request, hypotheses: Sequence[Hypothesis] | None, explain: bool
) -> Answered | Failed:
    """Have one domain answer a `prepared` request, as `ask` does."""
    began = perf_counter()
    try:
        if hypotheses is None:
            hypotheses = _checked_hypotheses(name, model.recognise(shared))
        read = perf_counter()
        scores = NOTHING
        why: Sequence[Mapping[str, float]] | None = () if explain else None
        if hypotheses:
            own = replace(shared, hypotheses=tuple(hypotheses))
            scores = checked_scores(model.rerank(own), len(hypotheses))
            if explain:
                why = checked_why(model.explain(own), len(hypotheses))
        done = perf_counter()
        return Answered(hypotheses, scores, why, 1e3 * (read - began), 1e3 * (done - read))
    except KeyboardInterrupt:
        raise
    # A plugin may raise anything at all; whatever it is, it costs the domain its place in one answer and no more.
    except BaseException as error:
        return Failed(describe(error), 1e3 * (perf_counter() - began))


def prepared(request: Request) -> Request:
    """The request without anybody's hypotheses, in which nothing can be changed that another domain would see."""
    return replace(
        request,
        hypotheses=None,
        context=_frozen(request.context),
        session=_frozen(request.session),
        account=_frozen(request.account),
        dialogue=_frozen(request.dialogue),
    )


def _frozen(value: Any) -> Any:
    """A JSON value that can be read and not changed: objects as mapping proxies, lists as tuples."""
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(inner) for key, inner in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _checked_hypotheses(name: str, found: Any) -> tuple[Hypothesis, ...]:
    if not isinstance(found, Iterable):
        raise PluginError(f"recognise returned {type(found).__name__}, promised a sequence of Hypothesis")
    hypotheses: tuple[Any, ...] = tuple(islice(found, MAX_HYPOTHESES + 1))
    if len(hypotheses) > MAX_HYPOTHESES:
        raise PluginError(f"recognise returned more than the {MAX_HYPOTHESES} hypotheses promised")
    plain = _plain_alike(name, hypotheses)
    if plain is not None:
        return plain
    for i, h in enumerate(hypotheses):
        if not isinstance(h, Hypothesis):
            raise PluginError(f"hypothesis {i} is of type {type(h).__name__}, promised a Hypothesis")
        if h.domain != name:
            raise PluginError(f"hypothesis {i} is of domain {h.domain!r}, promised {name!r}")
        claimed = [(field, getattr(h, field)) for field in _CONFIDENCES]
        claimed += [(f"the confidence of slot {slot.name!r}", slot.confidence) for slot in h.slots]
        for field, value in claimed:
            if value is not None and not 0.0 <= value <= 1.0:
                raise PluginError(f"hypothesis {i}: {field} is {value}, promised a number in [0, 1]")
        check_features(i, h)
    return _plain(hypotheses)


def _plain_alike(name: str, hypotheses: tuple[Any, ...]) -> tuple[Hypothesis, ...] | None:
    """The hypotheses as they come from JSON, where nothing is wrong with them; None where they have to be looked at.

    Reading JSON checks types and ranges, and what is no finite number is not the same afterwards.
    """
    try:
        plain = _decode(_encode(hypotheses))
    except (msgspec.MsgspecError, TypeError, ValueError):  # what is wrong is said by who looks closer
        return None
    return plain if plain == hypotheses and all(one.domain == name for one in plain) else None


def check_features(i: int, hypothesis: Hypothesis) -> None:
    """Raise `PluginError` where a feature of hypothesis `i` is no finite number."""
    for key, number in hypothesis.features.items():
        if not math.isfinite(number):
            raise PluginError(f"hypothesis {i}: feature {key!r} is {number}, promised a finite number")


def _number(value: object) -> float:
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"saw {type(value).__name__}, promised JSON's types")


_encode = msgspec.json.Encoder(enc_hook=_number).encode
_decode = msgspec.json.Decoder(tuple[Hypothesis, ...]).decode


def _plain(hypotheses: Sequence[Hypothesis]) -> tuple[Hypothesis, ...]:
    """The hypotheses as they would come from JSON, in which an answer has to go out, numpy's numbers as Python's."""
    try:
        return _decode(_encode(hypotheses))
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise PluginError(f"recognise returned hypotheses that are not what they promise: {error}") from error


def checked_scores(scores: object, n: int) -> Scores:
    """What `rerank` returned for `n` hypotheses. Raises `PluginError` where it is not what was promised."""
    if not isinstance(scores, Scores):
        raise PluginError(f"rerank returned {type(scores).__name__}, promised Scores")
    mine, right = scores.mine, scores.right
    if type(mine) is not float or type(right) is not np.ndarray or right.dtype != np.float64:
        mine, right = float(mine), np.asarray(right, np.float64)
        scores = Scores(mine, right)
    if right.shape != (n,):
        raise PluginError(f"right has shape {right.shape}, promised ({n},)")
    if n <= _FEW and 0.0 <= mine <= 1.0:
        numbers = right.tolist()  # for a few, Python is faster than numpy
        if sum(numbers) <= mine and (not numbers or min(numbers) >= 0.0):
            return scores
    if not 0.0 <= mine <= 1.0:
        raise PluginError(f"mine is {mine}, promised a number in [0, 1]")
    if not (right >= 0.0).all() or not right.sum() <= mine + _SLACK:
        raise PluginError(
            f"right is {right.tolist()}, promised numbers of at least 0 that sum to at most mine = {mine}"
        )
    return scores


def checked_why(why: Any, n: int) -> list[dict[str, float]]:
    """What `explain` returned for `n` hypotheses. Raises as `checked_scores` does."""
    rows = [{str(group): float(value) for group, value in row.items()} for row in why]
    if len(rows) != n or not all(math.isfinite(value) for row in rows for value in row.values()):
        raise PluginError(f"explain gave {len(rows)} rows, promised {n} of finite numbers")
    return rows
