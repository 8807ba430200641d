"""The contract between the core and a domain: what a plugin implements. Read this and you can write one.

A plugin is a distribution `arbitrank-NAME` with an entry point `NAME` in the group `arbitrank.domains.v1`. The entry
point names a module (or object) that implements the one hook, `arbitrank_domains`, and returns its domains:

    from arbitrank.hookspecs import hookimpl

    @hookimpl
    def arbitrank_domains():
        return [Weather()]

A `Domain` is the stateless owner: it knows its name, its data and how to train and load. `Domain.load` gives a `Model`,
which holds weights and answers requests. Most domains build on the toolkit and subclass
`arbitrank.learn.reference.ReferenceDomain`, which brings a recogniser and a re-ranker. One that has its own language
understanding subclasses `Domain` and `Model` directly:

    class WeatherModel(Model):
        def recognise(self, request):
            if "rain" not in (request.utterance or ""):
                return ()
            return (Hypothesis("weather", "AskRain", domain_confidence=0.9, intent_confidence=1.0),)

        def rerank(self, request):
            right = np.array([h.domain_confidence or 0.5 for h in request.hypotheses])
            return Scores(mine=right.max(initial=0.0), right=right / max(len(right), 1))

A request crosses into a domain once: the core hands over a request, the domain returns values. A domain never sees
another domain's hypotheses or scores, and whatever it raises costs only its own place in the answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from arbitrank.values import Example, Hypothesis, Request

__all__ = ["CONTRACT", "Domain", "Figures", "LinearForm", "Model", "Progress", "Scores", "Settings", "Skill", "Spread"]

CONTRACT = 1
"""The major version of the contract; it is also in the name of the entry points' group."""

Progress = Callable[[str, int, int], None]
"""Told of training's progress: the stage, how many of its steps are done, and how many there are."""


Figures = Callable[[Mapping[str, float]], None]
"""Told of figures as training goes on: `rows`, `round`, `loss`, or what else there is to watch."""

Spread = Callable[[str, Sequence[Sequence[Any]]], list[bytes]]
"""Calls the function `module:name` with each of the lists of arguments (JSON's types) and gives the bytes it returned,
in order: in this process, or wherever the pool that this process belongs to has room."""


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def _unwatched(figures: Mapping[str, float]) -> None:
    """Watch nothing."""


class Scores(Struct, frozen=True, eq=False):
    """What a domain thinks of its own hypotheses for one request.

    `mine`: P(this request is the domain's), in [0, 1]. `right`: P(this reading is entirely right) of each hypothesis
    in the request's order, float64 of shape (n,), each in [0, 1], their sum at most `mine` + 1e-9.
    """

    mine: float
    right: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinearForm:
    """Deprecated and ignored: the weights of a model that is linear in the toolkit's features.

    It stays importable until 0.3, for plugins whose models still define `linear`.
    """

    kind: Literal["factored", "sigmoid", "softmax", "null"]
    features: Any
    mine: NDArray[np.float64] | None
    right: NDArray[np.float64]


@dataclass(frozen=True)
class Skill:
    """One thing that a domain can do for a user, as a shortlister sees it."""

    name: str
    description: str = ""
    phrases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """How to train.

    `model`: factored; loglinear; boosted; corrected, which is boosted on top of factored; or auto, the one of factored,
    boosted and corrected that held-out data prefer. `loss`: r1, r2 or r3, None for the model's own (r3 for log-linear,
    r2 for boosted). `form`: sigmoid, softmax or null, of a log-linear model. `calibrate`: look for a map that improves
    the probabilities of held-out data, and use it if there is one. `kept`: the share of other domains' traffic that is
    in the data, in (0, 1]; less than 1 where it was sampled, so that the prior is corrected. `l2`: the pull towards R0,
    None for the default by the amount of data. `folds`: how many parts cross-fitting makes. `warm`: the folder of an
    artifact whose weights to begin from. `jobs`: processes to use where there is no `spread`, which runs parts of the
    training elsewhere. The same seed gives the same weights.
    """

    seed: int = 0
    model: Literal["factored", "loglinear", "boosted", "corrected", "auto"] = "factored"
    loss: Literal["r1", "r2", "r3"] | None = None
    form: Literal["sigmoid", "softmax", "null"] = "null"
    calibrate: bool = True
    kept: float = 1.0
    l2: float | None = None
    folds: int = 5
    warm: Path | None = None
    jobs: int = field(default=1, compare=False)
    progress: Progress = field(default=_silent, compare=False)
    figures: Figures = field(default=_unwatched, compare=False)
    spread: Spread | None = field(default=None, compare=False)


class Model(ABC):
    """A domain's weights, loaded. Frozen: the same answer to the same request in any order and from any thread."""

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        """The domain's readings of `request.utterance`, best first; empty where it has none.

        You get a request without hypotheses. You return hypotheses that name your domain, confidences in [0, 1]. It is
        called once a request, unless the caller brought hypotheses. A domain without language understanding of its own
        leaves this out and serves only requests that bring hypotheses.
        """
        return ()

    @abstractmethod
    def rerank(self, request: Request) -> Scores:
        """How probable it is that the request is the domain's, and that each of its hypotheses is entirely right.

        You get a request whose hypotheses are your own, at least one. You return `Scores` in the hypotheses' order. It
        is called once a request, after `recognise`.
        """

    def explain(self, request: Request) -> Sequence[Mapping[str, float]]:
        """What each group of features added to each hypothesis's log-odds, in nats, against an average request.

        You get what `rerank` gets. You return one mapping a hypothesis; the toolkit's groups are `domain`, `intent`,
        `slots`, `context` and `features`. It is called only when somebody asks why.
        """
        return [{} for _ in request.hypotheses or ()]


class Domain(ABC):
    """The owner of one domain: its name, its data, its training and its shipped weights. Holds no state."""

    name: str
    """Lower-case letters, digits, `_` and `-`; unique among the installed domains."""

    @property
    def skills(self) -> Sequence[Skill]:
        """What the domain can do; by default one skill, the domain itself."""
        return (Skill(self.name),)

    @property
    def shipped(self) -> Path | None:
        """The artifact folder inside the package whose weights speak where the store has none; None ships nothing."""
        return None

    def examples(self) -> Iterable[Example]:
        """The domain's own data: what it trains on where the operator gives none. Its own requests and negatives."""
        return ()

    @abstractmethod
    def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> Mapping[str, Any]:
        """Learn from the examples and write `reranker/` (and `recogniser/` if it learned one) into the folder `out`.

        You get examples of which the core has kept some back, to measure you on. You return figures worth showing,
        JSON's types only. Raise `DataError` where the examples don't suffice. No pickle: the core refuses to load one.
        """

    @abstractmethod
    def load(self, folder: Path) -> Model:
        """The model in an artifact folder that `train` wrote. Raises `ArtifactError` where it can't be read."""
