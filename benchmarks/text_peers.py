"""Recognisers built from other parts, for `benchmarks.text`: each learns from the domains' examples and is timed."""

from __future__ import annotations

import random
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import pycrfsuite
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion

from arbitrank.nlu.tagger_training import bio_labels
from arbitrank.nlu.text import tokenise
from arbitrank.values import Example

Examples = Mapping[str, Sequence[Example]]
"""The examples of each domain."""

_LEARNED, _LINES = 2_000, 200
"""Examples that a pipeline learns from by domain, and lines that a list of patterns takes by intent."""


class Unavailable(Exception):
    """A peer that is not installed here; its text says what is missing."""


class Peer(ABC):
    """A recogniser of several domains that is timed; `texts` are the requests that it is asked."""

    name: ClassVar[str]
    texts: Sequence[str] = ()

    @abstractmethod
    def __init__(self, examples: Examples) -> None:
        """Learn. Raises `Unavailable`."""

    @abstractmethod
    def answer(self, text: str) -> Any:
        """The reading of a request by each domain."""

    def seconds(self, begin: int, end: int) -> list[float]:
        """Processor seconds of the thread for each of these requests."""
        times = []
        for text in self.texts[begin:end]:
            began = time.thread_time()
            self.answer(text)
            times.append(time.thread_time() - began)
        return times


class Pipelines(Peer):
    """For each domain two logistic regressions on one TF-IDF, of the domain and the intent, and crfsuite's tagger."""

    name = "scikit-learn and python-crfsuite"

    def __init__(self, examples: Examples) -> None:
        rng = random.Random(0)
        own = {name: rng.sample(list(each), min(_LEARNED, len(each))) for name, each in examples.items()}
        self._domains = []
        for name, each in own.items():
            mine = [e for e in each if e.truth.owned_by(name)]
            texts = [(_text(e), e.truth.owned_by(name)) for others in own.values() for e in others]
            grams = _grams().fit([text for text, _ in texts])
            seen = grams.transform([text for text, _ in texts])
            domain = LogisticRegression(max_iter=200).fit(seen, [owned for _, owned in texts])
            seen = grams.transform([_text(e) for e in mine])
            intent = LogisticRegression(max_iter=200).fit(seen, [e.truth.intent for e in mine])
            self._domains.append((grams, domain, intent, _tagger(mine)))

    def answer(self, text: str) -> Any:
        words = [token.text for token in tokenise(text)]
        rows = _attributes(words)
        found = []
        for grams, domain, intent, tagger in self._domains:
            seen = grams.transform([text])
            tagger.set(rows)
            labels = tagger.tag()
            found.append((domain.predict_proba(seen), intent.predict_proba(seen), labels, tagger.probability(labels)))
        return found


class Padacioso(Peer):
    """Patterns with slots. Its `calc_intent` starts processes for each request; here it matches in this one."""

    name = "padacioso"

    def __init__(self, examples: Examples) -> None:
        self._containers = [_filled(_imported("padacioso").IntentContainer(), name, e) for name, e in examples.items()]

    def answer(self, text: str) -> Any:
        return [
            [one._match(text, intent, patterns) for intent, patterns in one.intent_samples.items()]
            for one in self._containers
        ]


class Padatious(Peer):
    """A small neural network for each intent."""

    name = "padatious"

    def __init__(self, examples: Examples) -> None:
        kind = _imported("padatious").IntentContainer
        self._cache = tempfile.TemporaryDirectory(prefix="arbitrank-")
        self._containers = [
            _filled(kind(str(Path(self._cache.name) / name)), name, each) for name, each in examples.items()
        ]
        for container in self._containers:
            container.train(single_thread=True)

    def answer(self, text: str) -> Any:
        return [container.calc_intent(text) for container in self._containers]


PEERS: tuple[type[Peer], ...] = (Pipelines, Padacioso, Padatious)


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise Unavailable(f"{error}; run: pip install {name}") from error


def _text(example: Example) -> str:
    return example.request.utterance or ""


def _grams() -> FeatureUnion:
    return FeatureUnion(
        [
            ("words", TfidfVectorizer(ngram_range=(1, 3))),
            ("characters", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5))),
        ]
    )


def _tagger(mine: Sequence[Example]) -> pycrfsuite.Tagger:
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", params={"c1": 0.05, "c2": 0.1, "max_iterations": 50}, verbose=False)
    for example in mine:
        text = _text(example)
        if words := [token.text for token in tokenise(text)]:
            trainer.append(_attributes(words), bio_labels(text, example.truth.slots))
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        trainer.train(f"{folder}/crf")
        tagger = pycrfsuite.Tagger()
        tagger.open(f"{folder}/crf")
    return tagger


def _attributes(words: Sequence[str]) -> list[list[str]]:
    """The attributes of python-crfsuite's own example, without parts of speech."""
    row = ["<", *words, ">"]
    return [
        [
            "bias",
            f"word={word}",
            f"suffix3={word[-3:]}",
            f"suffix2={word[-2:]}",
            f"digit={word.isdigit()}",
            f"-1:word={before}",
            f"+1:word={after}",
        ]
        for before, word, after in zip(row, words, row[2:], strict=False)
    ]


def _filled(container: Any, domain: str, examples: Sequence[Example]) -> Any:
    """The container with the lines of the domain's intents, slots written as `{name}`, and the slots' values."""
    lines: dict[str, set[str]] = {}
    values: dict[str, set[str]] = {}
    for example in examples:
        if not example.truth.owned_by(domain):
            continue
        right = example.truth
        line = _text(example)
        for slot in sorted((s for s in right.slots if s.start is not None), key=lambda s: -(s.start or 0)):
            line = f"{line[: slot.start]}{{{slot.name}}}{line[slot.end :]}"
            values.setdefault(slot.name, set()).add(slot.value)
        lines.setdefault(right.intent, set()).add(line)
    for name, known in values.items():
        container.add_entity(name, sorted(known)[:_LINES])
    for intent, known in lines.items():
        container.add_intent(intent, random.Random(0).sample(sorted(known), min(_LINES, len(known))))
    return container
