"""The plugin contract: the classes that a domain implements. Read this and you can write one.

A plugin is a distribution `arbitrank-NAME` with an entry point `NAME` in the group `arbitrank.domains.v1`. The entry
point names a module (or object) that implements the one hook, `arbitrank_domains`, and returns its domains:

    from arbitrank.hookspecs import hookimpl

    @hookimpl
    def arbitrank_domains():
        return [Weather()]

A `Domain` is stateless: it has a name and data, trains and loads. `Domain.load` returns a `Model`, which holds weights
and answers requests. Most domains build on the toolkit and subclass
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

A request crosses into a domain once: the core passes a request, the domain returns values. A domain never sees another
domain's hypotheses or scores, and an exception that it raises costs only its own place in the answer.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from arbitrank.values import Example, Hypothesis, Request

__all__ = [
    "CONTRACT",
    "Domain",
    "Figures",
    "LinearForm",
    "Model",
    "Progress",
    "Scores",
    "Settings",
    "Skill",
    "SkillParameter",
    "Spread",
]

CONTRACT = 1
"""The major version of the contract; the name of the entry-point group carries it too."""

Progress = Callable[[str, int, int], None]
"""Callback for training's progress: the stage, the number of its steps that are done, and of all its steps."""

Figures = Callable[[Mapping[str, float]], None]
"""Callback for figures during training: `rows`, `round`, `loss` and others."""

Spread = Callable[[str, Sequence[Sequence[Any]]], list[bytes]]
"""Parallel map: calls the function `module:name` with each list of arguments (JSON's types) and returns the bytes that
the calls returned, in order. They run in this process, or in idle processes of the pool that it belongs to."""


def _ignored(*report: object) -> None:
    """Ignore progress or figures."""


class Scores(Struct, frozen=True, eq=False):
    """A domain's calibrated probabilities for one request and its own hypotheses of it.

    `mine`: P(this request is the domain's), in [0, 1]. `right`: P(this reading is entirely right) of each hypothesis
    in the request's order, float64 of shape (n,), each in [0, 1], their sum at most `mine` + 1e-9.
    """

    mine: float
    right: NDArray[np.float64]

    def __repr__(self) -> str:
        return f"Scores(mine={self.mine:.4g}, right=<{np.size(self.right)} probabilities>)"


@dataclass(frozen=True, eq=False, repr=False)
class LinearForm:
    """Deprecated and ignored; removed in 0.3. Weights of a model that is linear in the toolkit's features.

    It stays importable for plugins whose models still define `linear`, which is no longer called. Warns when made.
    """

    kind: Literal["factored", "sigmoid", "softmax", "null"]
    features: Any
    mine: NDArray[np.float64] | None
    right: NDArray[np.float64]

    def __post_init__(self) -> None:
        warnings.warn("LinearForm is ignored since 0.2 and removed in 0.3", DeprecationWarning, stacklevel=3)


@dataclass(frozen=True, slots=True)
class SkillParameter:
    """An input of a skill: its name, and what it is."""

    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Skill:
    """A capability of a domain, with the texts that a Shortlister learns from: description, sample phrases, parameters.

    `language` is the tag of the language of its texts, as `en` or `pt-BR`, `tags` are words that it is filed under.
    """

    name: str
    description: str = ""
    phrases: tuple[str, ...] = ()
    parameters: tuple[SkillParameter, ...] = ()
    language: str | None = None
    version: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """Settings of a training.

    `model`: factored; loglinear; boosted; corrected, which is boosted on top of factored; or auto, which is factored
    unless held-out data are enough to be sure that corrected or boosted is better. `loss`: r1, r2 or r3, None for the
    model's own (r3 for log-linear, r2 for boosted). `form`: sigmoid, softmax or null, of a log-linear model.
    `calibrate`: fit a calibration map, and keep it where it improves the probabilities of held-out data. `kept`: the
    share of other domains' traffic that is in the data, in (0, 1]; less than 1 where it was sampled, so that the prior
    is corrected. `l2`: the strength of the regularisation towards R0, None for the default by the amount of data.
    `folds`: the folds of cross-fitting. `silent`: other domains' requests in the data of which the domain has no
    hypothesis; they are not among the examples, and are its negatives all the same. `warm`: the folder of an artifact
    whose weights to start from. `context_keys`: context keys to read beside the domain's own. `jobs`: the number of
    processes where there is no `spread`, which runs parts of the training elsewhere. The same seed gives the same
    weights.
    """

    seed: int = 0
    model: Literal["factored", "loglinear", "boosted", "corrected", "auto"] = "auto"
    loss: Literal["r1", "r2", "r3"] | None = None
    form: Literal["sigmoid", "softmax", "null"] = "null"
    calibrate: bool = True
    kept: float = 1.0
    l2: float | None = None
    folds: int = 5
    warm: Path | None = None
    context_keys: tuple[str, ...] = ()
    silent: int = 0
    jobs: int = field(default=1, compare=False)
    progress: Progress = field(default=_ignored, compare=False)
    figures: Figures = field(default=_ignored, compare=False)
    spread: Spread | None = field(default=None, compare=False)


class Model(ABC):
    """A domain's loaded weights. Frozen: equal requests get equal answers, in any order and from any thread."""

    context_keys: Collection[str] | None = None
    """The context keys that the model reads beside those that the core knows; None where it does not state them."""

    hypothesis_features: Collection[str] | None = None
    """Names of the hypotheses' own `features` that the model reads; None where it does not state them."""

    recognises_probabilities: bool = False
    """True where what `recognise` returns is in [0, 1] by construction, whatever scale an operator states for the
    domain's scores: that scale is then of the hypotheses which callers bring."""

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        """The domain's readings of `request.utterance`, best first; empty where it has none.

        You get a request without hypotheses. You return at most 100 hypotheses that name your domain, confidences in
        [0, 1] or on the domain's `scales`. Called once per request, unless the caller brought hypotheses. A domain
        without language understanding of its own leaves this out and serves only requests that bring hypotheses.
        """
        return ()

    @abstractmethod
    def rerank(self, request: Request) -> Scores:
        """P(this request is the domain's), and P(entirely right) of each of its hypotheses.

        You get a request whose hypotheses are your own, at least one, each reading once, with every confidence in
        [0, 1] or None. You return `Scores` in the hypotheses' order. Called once per request, after `recognise`.
        """

    def explain(self, request: Request) -> Sequence[Mapping[str, float]]:
        """Each feature group's contribution to each hypothesis's log-odds, in nats, against an average request.

        You get the request that `rerank` gets. You return one mapping per hypothesis; the toolkit's groups are
        `domain`, `intent`, `slots`, `context`, `length`, `features` and `reading`, and `base` is the average request.
        What they lack of the log-odds of P(right) the core adds to `base`. A key `GROUP.WORDS` details a group and does
        not count. Called only where an explanation is requested.
        """
        return [{} for _ in request.hypotheses or ()]


class Domain(ABC):
    """A domain: its name, its data, its training and its shipped weights. Holds no state."""

    name: str
    """Lower-case letters, digits, `_` and `-`; unique among the installed domains."""

    title: str | None = None
    """The domain's display name, shown to users; None shows `name`."""

    intent_titles: Mapping[str, str] = MappingProxyType({})
    """Display names of intents, as they complete "do you want to …?"; an intent without one shows its name."""

    feature_titles: Mapping[str, str] = MappingProxyType({})
    """A phrase for each feature of the hypotheses, said where the feature is 1: "it knows the title"."""

    scales: Mapping[str, str] = MappingProxyType({})
    """Scales of the recogniser's scores that are not probabilities, by field: `{"domain_confidence": "0..100"}`.

    `arbitrank.scales` lists them. An operator's statement goes before this one, and training gets hypotheses that have
    been read.
    """

    context_keys: Collection[str] | None = None
    """The context keys that training has the re-ranker read; None where the domain does not state them."""

    fallback: bool = False
    """True for a domain that can answer anything: it acts only where no other domain should."""

    topics: Collection[str] = ()
    """The topics of shared negatives that are the domain's own, as in `("weather",)`; that of its name always is."""

    shared_negatives: bool | None = None
    """True adds shared negatives to the domain's training data, False never; None where it has none of its own."""

    loadable_by: str | None = None
    """The versions of the domain's package that can load what `train` writes now, as in `>=1.4`; None stands for its
    present minor version and all later ones."""

    @property
    def skills(self) -> Sequence[Skill]:
        """The domain's skills; by default one, the domain itself."""
        return (Skill(self.name),)

    @property
    def shipped(self) -> Path | None:
        """The folder of the artifact inside the package, which serves where the store has none; None ships nothing."""
        return None

    def examples(self) -> Iterable[Example]:
        """The domain's own data, its requests and negatives: training data where the operator gives none."""
        return ()

    @abstractmethod
    def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> Mapping[str, Any]:
        """Train on the examples and write `reranker/` (and `recogniser/` if there is one) into the folder `out`.

        You get examples without those that the core held out, to evaluate you on. You return figures worth showing, of
        JSON's types only. Raise `DataError` where the examples do not suffice. Write no pickle: the core refuses it.
        """

    @abstractmethod
    def load(self, folder: Path) -> Model:
        """The model in an artifact folder that `train` wrote. Raises `ArtifactError` where it cannot be read."""
