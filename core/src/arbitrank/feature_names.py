"""Names of the hypotheses' own features: those that come, compared with those that a domain's weights learned from.

A feature that was renamed is 0 or missing to the weights under its old name, and unknown to them under its new one: no
error, and worse answers. Both names are told, once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple

from arbitrank.domain import Domain, Model
from arbitrank.guard import Fault, guarded
from arbitrank.scores import REPEATED
from arbitrank.values import Hypothesis, Request

__all__ = ["FeatureChange", "FeatureWatch", "change_in", "change_on", "changed", "features_of", "note"]

_NAMED = 5  # names that are listed
_LONGEST = 60  # characters of a name
_SEEN = 200  # names of a domain that are remembered
_FIRST = 100  # requests that are all looked at, after them one in _EVERY
_EVERY = 16
_WINDOW = 50  # requests of a domain in a window
_PHRASES = 4  # sample phrases that are recognised to compare them
_ENOUGH = 30  # requests of a domain after which a feature counts as one that does not come


class FeatureChange(NamedTuple):
    """The features that the weights know and that do not come, and those that come and that they do not know."""

    gone: tuple[str, ...]
    new: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.gone or self.new)

    def __str__(self) -> str:
        parts = [f"{_list(self.gone)} gone"] if self.gone else []
        return "; ".join([*parts, f"{_list(self.new)} new"] if self.new else parts)


def changed(known: Collection[str], seen: Collection[str]) -> FeatureChange:
    """The difference of the names that the weights know and those that were seen, the core's own feature apart."""
    own, come = set(known) - {REPEATED}, set(seen) - {REPEATED}
    return FeatureChange(tuple(sorted(own - come)), tuple(sorted(come - own)))


def note(domain: str, change: FeatureChange) -> str:
    """The sentence on a domain whose hypotheses have other features than its weights know."""
    return f"its hypotheses have changed since its weights were trained: {change}; run: arbitrank train {domain}"


def features_of(model: Model) -> frozenset[str] | None:
    """Names of the hypotheses' own features that a model reads; None where it does not state them."""
    found = guarded(_stated, model)
    return None if isinstance(found, Fault) else found


def change_in(domain: Domain, model: Model) -> FeatureChange:
    """The change by what the model recognises in the domain's own sample phrases; none where it recognises nothing.

    It runs the plugin's code, whose faults count as nothing recognised.
    """
    phrases = guarded(_phrases, domain)
    return change_on(model, [] if isinstance(phrases, Fault) else map(_request, phrases))


def change_on(model: Model, requests: Iterable[Request]) -> FeatureChange:
    """The change by what the model recognises in requests; none where it recognises nothing or fails."""
    known = features_of(model)
    seen: set[str] = set()
    read = False
    for request in [] if known is None else requests:
        names = guarded(_recognised, model, request)
        if not isinstance(names, Fault) and names is not None:
            read = True
            seen |= names
    return changed(known, seen) if read and known is not None else FeatureChange((), ())


def _phrases(domain: Domain) -> list[str]:
    texts = (phrase for skill in domain.skills for phrase in skill.phrases)
    return [text for text in islice(texts, _PHRASES) if isinstance(text, str)]


def _request(text: str) -> Request:
    return Request(utterance=text)


def _recognised(model: Model, request: Request) -> set[str] | None:
    """Names of the features of what a model recognises, None where it recognises nothing."""
    hypotheses = model.recognise(request)
    return {str(name) for one in hypotheses for name in one.features} if hypotheses else None


def _stated(model: Model) -> frozenset[str] | None:
    names: Any = model.hypothesis_features
    if names is None or isinstance(names, str) or not all(isinstance(name, str) for name in names):
        return None
    return frozenset(names)


def _list(names: Collection[str]) -> str:
    shown = [repr(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…") for name in list(names)[:_NAMED]]
    if len(names) > _NAMED:
        shown.append(f"{len(names) - _NAMED} more")
    kind, verb = ("features", "are") if len(names) > 1 else ("feature", "is")
    return f"{kind} {' and '.join([', '.join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)} {verb}"


class _Window:
    """The feature names of one domain's hypotheses, of the present and of the last window of requests."""

    def __init__(self) -> None:
        self.requests = 0
        self.names: set[str] = set()
        self.before: tuple[int, set[str]] = 0, set()

    def add(self, hypotheses: Iterable[Hypothesis]) -> None:
        """Count a request's hypotheses; after as many as a window has, the one before is forgotten."""
        if self.requests >= _WINDOW:
            self.before, self.requests, self.names = (self.requests, self.names), 0, set()
        self.requests += 1
        for hypothesis in hypotheses:
            if hypothesis.features and len(self.names) < _SEEN:
                self.names.update(hypothesis.features)

    @property
    def seen(self) -> tuple[int, set[str]]:
        """The requests of both windows, and the names in them."""
        return self.requests + self.before[0], self.names | self.before[1]


class FeatureWatch:
    """Watches which features come with the hypotheses of each domain, in a sample of the requests.

    `models` returns those that answer now, by domain.
    """

    def __init__(self, models: Callable[[], Mapping[str, Model]]) -> None:
        self._models = models
        self._windows: dict[str, _Window] = {}
        self._calls = 0

    def due(self) -> bool:
        """True for the requests to look at: the first ones, then one in some."""
        self._calls += 1
        return self._calls <= _FIRST or not self._calls % _EVERY

    def __call__(self, hypotheses: Mapping[str, Iterable[Hypothesis]]) -> None:
        """Look at the hypotheses of one request, by domain."""
        for name, own in hypotheses.items():
            window = self._windows.get(name)
            if window is None:
                window = self._windows[name] = _Window()
            window.add(own)

    def changes(self) -> dict[str, FeatureChange]:
        """The changes of the domains that have one."""
        found = {}
        for name, model in self._models().items():
            window, known = self._windows.get(name), features_of(model)
            if window is None or known is None:
                continue
            requests, names = window.seen
            change = changed(known, names)
            if requests < _ENOUGH:
                change = change._replace(gone=())
            if change:
                found[name] = change
        return found

    def notes(self) -> dict[str, str]:
        """A sentence on each domain that has a change."""
        return {name: note(name, change) for name, change in self.changes().items()}
