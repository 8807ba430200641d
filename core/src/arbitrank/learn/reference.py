"""Reference domain: trains and loads the toolkit's recogniser and re-ranker.

A plugin subclasses `ReferenceDomain`, names itself and its data, and adds its own knowledge: context keys to read, and
numbers that describe a hypothesis (is that title in my catalogue?).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import to_builtins
from msgspec.structs import replace

from arbitrank.domain import Domain, Model, Scores, Settings
from arbitrank.errors import ArtifactError, DataError, PluginError
from arbitrank.guard import shown
from arbitrank.learn import files
from arbitrank.learn.contributions import worded
from arbitrank.learn.described import check_names, checked_features
from arbitrank.learn.features import CORE_KEYS
from arbitrank.nlu.recogniser import Recogniser
from arbitrank.titles import feature_phrases
from arbitrank.values import Example, Hypothesis, Request

RERANKER = "reranker"
RECOGNISER = "recogniser"


class ReferenceDomain(Domain):
    """A domain whose learning the toolkit does. Subclass it, set `name`, and override what you know better."""

    context_keys: Sequence[str] = CORE_KEYS
    """Context keys that the re-ranker reads: the core's, and any of the domain's own."""

    def __init__(self, name: str | None = None) -> None:
        if name is not None:
            self.name = name

    def describe(self, hypothesis: Hypothesis) -> Mapping[str, float]:
        """Features of a hypothesis beside its confidences, the same names for each; none by default."""
        return {}

    def known_values(self) -> Mapping[str, Sequence[str]]:
        """Slot values that the domain knows beside its examples, by slot name, as from a catalogue; none by default."""
        return {}

    def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> Mapping[str, Any]:
        """Train the recogniser, unless the examples bring hypotheses, and then the re-ranker.

        Without another domain's request P(mine) is that of the confidences. Raises `DataError` where no example is the
        domain's own, or only some bring hypotheses.
        """
        from arbitrank.learn.evidence import Each, gather, own_request
        from arbitrank.learn.model_selection import select

        subject, given, own = f"domain {self.name}", 0, 0
        keys = tuple(dict.fromkeys((*self._stated_keys(), *settings.context_keys)))
        weights = np.ones(len(examples))
        for i, example in enumerate(examples):
            given += example.request.hypotheses is not None
            own += example.truth.owned_by(self.name)
            weights[i] = example.weight
        if 0 < given < len(examples):
            raise DataError(f"{subject}: {given} of {len(examples)} examples bring hypotheses, expected all or none")
        if not own:
            raise DataError(f"{subject}: {_no_own(self.name, examples)}")
        requests: Sequence[Request]
        if given:
            requests = Each(
                examples,
                lambda e: own_request(e.request, [h for h in e.request.hypotheses or () if h.domain == self.name]),
            )
        else:
            examples = list(examples)  # the recogniser reads them many times
            fitted = self._recognised(examples, out, settings)
            requests = [own_request(e.request, n_best) for e, n_best in zip(examples, fitted, strict=True)]
        settings.progress("re-ranker", 0, 1)
        truths = Each(examples, lambda e: e.truth)
        evidence = gather(self.name, requests, truths, keys=keys, weights=weights, silent=settings.silent)
        if not evidence.requests:
            raise DataError(f"{subject}: no hypothesis of {len(examples)} examples is its own; nothing to learn")
        if not evidence.batch.mine.any():
            raise DataError(
                f"{subject}: none of its {own} own examples is read by a recogniser that has not learned from it, "
                "expected some to learn from what is right; give more of each intent"
            )
        chosen = select(evidence, settings)
        files.save(chosen.reranker, out / RERANKER)
        settings.progress("re-ranker", 1, 1)
        return {
            "examples": len(examples),
            "own": own,
            "others": int(np.count_nonzero(evidence.batch.mine == 0.0)),
            "silent": evidence.silent,
            "hypotheses": len(evidence.batch.right),
            "model": chosen.choice.model if chosen.choice else settings.model,
            **({"choice": to_builtins(chosen.choice)} if chosen.choice else {}),
            "features": files.feature_names(chosen.reranker),
        }

    def _stated_keys(self) -> Collection[str]:
        """The context keys that the domain states. Raises `PluginError` where they are one text."""
        if isinstance(text := self.context_keys, str):
            raise PluginError(
                f"domain {self.name}: context_keys is {text!r}, a text, expected a list of keys; write ({text!r},)"
            )
        return self.context_keys

    def _recognised(self, examples: Sequence[Example], out: Path, settings: Settings) -> list[list[Hypothesis]]:
        from arbitrank.nlu.training import cross_fit, encode_all, tagger_help, train_recogniser

        settings.progress("recogniser", 0, 1)
        encoded = encode_all(examples)
        aid = tagger_help(
            self.name, examples, settings.seed, encoded=encoded, values=_checked(self.name, self.known_values())
        )
        train_recogniser(self.name, examples, settings.seed, encoded=encoded, aid=aid).save(out / RECOGNISER)
        settings.progress("recogniser", 1, 1)
        fitted = cross_fit(
            self.name,
            examples,
            folds=settings.folds,
            seed=settings.seed,
            jobs=settings.jobs,
            progress=settings.progress,
            encoded=encoded,
            aid=aid,
            spread=settings.spread,
        )
        described = [[self.described(h) for h in n_best] for n_best in fitted]
        check_names(f"domain {self.name}", (h for n_best in described for h in n_best))
        return described

    def load(self, folder: Path) -> Model:
        """The model in the folder; without a recogniser, it serves only requests that bring hypotheses."""
        recogniser = Recogniser.load(folder / RECOGNISER) if (folder / RECOGNISER).is_dir() else None
        if recogniser and recogniser.domain != self.name:
            raise ArtifactError(f"{folder}: a recogniser of {recogniser.domain!r}, expected one of {self.name!r}")
        reranker = files.load(folder / RERANKER)
        trained_for = files.spec_of(reranker).domain
        if trained_for != self.name:
            raise ArtifactError(f"{folder}: a re-ranker of {trained_for!r}, expected one of {self.name!r}")
        return ReferenceModel(self, recogniser, reranker)

    def described(self, hypothesis: Hypothesis) -> Hypothesis:
        """The hypothesis with the domain's features added to it."""
        features = checked_features(self.describe(hypothesis))
        return replace(hypothesis, features=features) if features else hypothesis


@dataclass(frozen=True, eq=False)
class ReferenceModel(Model):
    """A recogniser (or none) and a re-ranker, loaded together and swapped together."""

    domain: ReferenceDomain
    recogniser: Recogniser | None
    reranker: files.Saved = field(repr=False)

    @cached_property
    def context_keys(self) -> Sequence[str]:  # type: ignore[override]  # the contract's is set, this one is computed
        return files.spec_of(self.reranker).context_keys

    @cached_property
    def hypothesis_features(self) -> Sequence[str]:  # type: ignore[override]
        return files.spec_of(self.reranker).known

    @cached_property
    def recognises_probabilities(self) -> bool:  # type: ignore[override]
        return type(self).recognise is ReferenceModel.recognise

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        if self.recogniser is None or not request.utterance:
            return ()
        return [self.domain.described(h) for h in self.recogniser.recognise(request.utterance)]

    def rerank(self, request: Request) -> Scores:
        return self.reranker.rerank(request)

    def explain(self, request: Request) -> Sequence[Mapping[str, float]]:
        titles = feature_phrases(self.domain)
        each = zip(self.reranker.explain(request), request.hypotheses or (), strict=True)
        return [worded(row, request.context, h.features, titles) for row, h in each]


def _no_own(name: str, examples: Sequence[Example]) -> str:
    """The reason why examples, of which none is the domain's own, teach nothing."""
    labels = sorted({str(one.truth.domain) for one in examples if one.truth.domain is not None})[:5]
    seen = f"0 of {len(examples)} examples are its own (they are of {', '.join(labels) or 'no domain'})"
    return f"{seen}, expected some of {name!r}: it learns from its own and others'; label them so"


def _checked(name: str, values: Any) -> Mapping[str, Sequence[str]]:
    """The known values of a domain. Raises `PluginError` for what is no mapping of slots to texts."""
    expected = 'expected lists of texts by slot; return {"title": ["…"]}'
    if not isinstance(values, Mapping):
        raise PluginError(f"domain {name}: known_values() returned {shown(values)}, {expected}")
    for slot, texts in values.items():
        if not isinstance(texts, Collection) or isinstance(texts, str) or not all(isinstance(t, str) for t in texts):
            raise PluginError(f"domain {name}: known_values() returned {slot!r}: {shown(texts)}, {expected}")
    return values
