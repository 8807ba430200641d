"""Shifts of the held-out traffic: requests that count more or less, one domain's scores bent, requests changed.

A *changed* request is scored again by every domain's re-ranker, from the same hypotheses: with a value of its context
that training has not seen, or with one domain's confidences bent, as other weights of its recogniser would.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from msgspec.structs import replace

from arbitrank.context_keys import KNOWN
from arbitrank.decisions.observed import Observed
from arbitrank.evaluate.corpus import Corpus
from arbitrank.evaluate.scope_shares import LEAST
from arbitrank.probability import Floats, log_odds, sigmoid
from arbitrank.values import Example, Hypothesis, Request

Kind = Literal["none", "out of scope", "domains", "context", "scores"]

OUT_OF_SCOPE = (0.01, 0.05, 0.2, 0.4)
"""Shares of out-of-scope requests."""

FACTOR = 4.0
"""Times that the requests of a domain, or with a value of the context, count as many or as few."""

UNSEEN = "a value never seen"
"""Value of the context that stands for one that training has not seen."""

_DOMAINS = 3  # the largest, whose share changes
_MIXES = 2  # draws of all domains' shares
_VALUES = 6  # of the context, to each of which the traffic is shifted
_KEYS = 2  # of the context, whose values are changed
_PREFERENCE = "preference."
_LEAST = 30  # requests with a value or a key below which it is left alone


class Bend(NamedTuple):
    """A change of log-odds: times `slope`, plus `shift`."""

    slope: float
    shift: float

    def __call__(self, p: Floats) -> Floats:
        """The probabilities bent."""
        return sigmoid(self.slope * log_odds(p) + self.shift)


BENDS = {"× 0.5": Bend(0.5, 0.0), "× 2": Bend(2.0, 0.0), "+ 1": Bend(1.0, 1.0), "− 1": Bend(1.0, -1.0)}
"""Changes of one domain's log-odds that are tried, by their names."""


class RequestChange(NamedTuple):
    """A change of requests before they are scored: of one `domain`'s confidences, or of a `key` of the context.

    A `value` of None removes the key; one that ends in a dot stands for all keys that begin so.
    """

    name: str
    domain: str | None = None
    bend: Bend | None = None
    key: str | None = None
    value: str | None = None

    def concerns(self, domain: str) -> bool:
        """True where it changes what the domain scores."""
        return self.domain in (None, domain)

    def __call__(self, request: Request) -> Request:
        """The request of one domain, with its hypotheses, changed."""
        if self.bend is not None:
            given = request.hypotheses or ()
            return replace(request, hypotheses=tuple(_bent(h, self.bend) for h in given))
        changed = [key for key in request.context if self.key is not None and _is(key, self.key)]
        if not changed:
            return request
        context = {key: value for key, value in request.context.items() if key not in changed}
        return replace(request, context=context if self.value is None else {**context, changed[0]: self.value})


def _is(key: str, name: str) -> bool:
    return key == name or (name.endswith(".") and key.startswith(name))


def _bent(h: Hypothesis, bend: Bend) -> Hypothesis:
    if h.domain_confidence is None:
        return h
    return replace(h, domain_confidence=float(bend(np.array([h.domain_confidence]))[0]))


class Shift(NamedTuple):
    """A shift of the held-out traffic: `weight` says how many requests each stands for, 1 on average.

    `bend` changes P(mine) of the domain whose number is `domain`. `change` names the change of the requests, and
    `domain` the domain that it is of, if it is of one.
    """

    kind: Kind
    name: str
    weight: Floats
    domain: int | None = None
    bend: Bend | None = None
    change: str | None = None

    @property
    def effective(self) -> float:
        """The number of requests that count alike and give as wide intervals."""
        return float(self.weight.sum() ** 2 / (self.weight**2).sum())


def changes(corpus: Corpus) -> list[RequestChange]:
    """The changes of a corpus's held-out requests: of the confidences of its largest domain, and of its context."""
    found = []
    sizes = {name: sum(example.truth.owned_by(name) for example in corpus.held) for name in corpus.domains}
    largest = max(sizes, key=lambda name: sizes[name])
    for name, bend in BENDS.items():
        found.append(RequestChange(f"{largest}: confidences {name}", largest, bend))
    read = _read(corpus)
    pairs = {pair for example in corpus.held for pair in _values(example)}
    several = {key for key, n in Counter(key for key, _ in pairs).items() if n > 1}
    keys = Counter(key for example in corpus.held for key, _ in _values(example) if key in read & several)
    for key in [key for key, n in sorted(keys.items(), key=lambda one: (-one[1], one[0])) if n >= _LEAST][:_KEYS]:
        found.append(RequestChange(f"{key}: {UNSEEN}", key=key, value=UNSEEN))
        found.append(RequestChange(f"{key}: missing", key=key))
    if sum(any(_is(key, _PREFERENCE) for key in example.request.context) for example in corpus.held) >= _LEAST:
        found.append(RequestChange("preferences: missing", key=_PREFERENCE))
    return found


def _read(corpus: Corpus) -> frozenset[str]:
    """The context keys that a domain of the corpus may learn from, the preferences apart."""
    return frozenset([*KNOWN, *(key for keys in corpus.named.values() for key in keys)])


def shifts(observed: Observed, corpus: Corpus, changed: Sequence[RequestChange], *, seed: int = 0) -> list[Shift]:
    """The shifts of held-out requests, the first being none; `changed` are the changes that they were scored with."""
    held, read = corpus.held, _read(corpus)
    even = np.ones(len(held))
    return [
        Shift("none", "as held out", even),
        *_of_scope(observed),
        *_of_domains(observed, np.random.default_rng(seed)),
        *_of_context(held, read),
        *_of_scores(observed, even),
        *(
            Shift(
                "context" if one.domain is None else "scores",
                one.name,
                even,
                None if one.domain is None else observed.domains.index(one.domain),
                change=one.name,
            )
            for one in changed
        ),
    ]


def _of_scope(observed: Observed) -> Iterator[Shift]:
    none = observed.out_of_scope
    if none.sum() >= LEAST and not none.all():
        for share in OUT_OF_SCOPE:
            yield Shift("out of scope", f"{100 * share:g} % out of scope", observed.shares(share))


def _of_domains(observed: Observed, rng: np.random.Generator) -> Iterator[Shift]:
    """Other shares of the domains among the requests in scope, whose own share stays."""
    owners, in_scope = observed.owners[:, :-1], ~observed.out_of_scope
    sizes = owners.sum(axis=0)
    for d in np.argsort(-sizes, kind="stable")[:_DOMAINS].tolist():
        for text, factor in (("×", FACTOR), ("÷", 1.0 / FACTOR)):
            weight = np.where(owners[:, d], factor, 1.0)
            yield Shift("domains", f"{observed.domains[d]} {text} {FACTOR:g}", _kept(weight, in_scope))
    present = sizes > 0
    for k in range(_MIXES):
        each = np.zeros(len(sizes))
        each[present] = rng.dirichlet(np.ones(int(present.sum()))) / sizes[present]
        weight = np.where(owners, each, 0.0).max(axis=1)
        yield Shift("domains", f"random shares {k + 1}", _kept(weight, in_scope))


def _kept(weight: Floats, in_scope: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Floats:
    """The weights of the requests in scope, scaled to count as many as these; 1 for all others."""
    scale = in_scope.sum() / max(weight[in_scope].sum(), 1e-12)
    return np.where(in_scope, weight * scale, 1.0)


def _of_context(held: Sequence[Example], read: frozenset[str]) -> Iterator[Shift]:
    """Towards the most frequent values of the context, those that are read first."""
    seen = Counter(pair for example in held for pair in _values(example))
    often = [(pair, n) for pair, n in seen.items() if _LEAST <= n < len(held)]
    often.sort(key=lambda one: (one[0][0] not in read, -one[1], str(one[0])))
    for (key, value), _ in often[:_VALUES]:
        weight = np.array([FACTOR if example.request.context.get(key) == value else 1.0 for example in held])
        yield Shift("context", f"{key}={value} × {FACTOR:g}", weight / weight.mean())


def _of_scores(observed: Observed, even: Floats) -> Iterator[Shift]:
    largest = int(observed.owners[:, :-1].sum(axis=0).argmax())
    for name, bend in BENDS.items():
        yield Shift("scores", f"{observed.domains[largest]}: P(mine) {name}", even, largest, bend)


def _values(example: Example) -> Iterator[tuple[str, str | bool]]:
    context: Mapping[str, object] = example.request.context
    return ((key, value) for key, value in context.items() if isinstance(value, str | bool))
