"""A corpus that needs no data: domains with sampled confidences, each distorted in its own way, and readings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from arbitrank.evaluate.corpus import Corpus
from arbitrank.evaluate.hypotheses import Recognised, save
from arbitrank.probability import sigmoid
from arbitrank.values import Example, Hypothesis, Request, Slot, Truth

_INTENTS = 3
_VALUES = ("one", "two")


def synthetic_corpus(
    folder: Path, *, domains: int = 4, train: int = 2_400, held: int = 1_200, seed: int = 0
) -> tuple[Corpus, Mapping[str, Path]]:
    """A corpus of requests without words, and files of each domain's hypotheses, as an evaluation keeps them.

    A domain's log-odds are those of two overlapping normal distributions, stretched and shifted by amounts of its own,
    so that raw confidences can't be compared between domains and calibrated ones can.
    """
    rng = np.random.default_rng(seed)
    names = tuple(f"domain{d}" for d in range(domains))
    n = train + held
    owner = rng.choice(domains, n, p=np.arange(1, domains + 1) / (domains * (domains + 1) / 2))
    intent, value = rng.integers(0, _INTENTS, n), rng.integers(0, 2, n)
    examples = [
        Example(
            request=Request(id=str(i), utterance="words " * int(rng.integers(1, 5))),
            truth=Truth(names[d], f"intent{k}", (Slot("name", _VALUES[v]),)),
        )
        for i, (d, k, v) in enumerate(zip(owner, intent, value, strict=True))
    ]
    paths = {name: folder / f"{number}.msgpack" for number, name in enumerate(names)}
    for d, name in enumerate(names):
        mine = owner == d
        own = (rng.normal(np.where(mine, 2.0, -3.0), 1.8)) * rng.uniform(0.5, 1.8) + rng.uniform(-1.5, 1.5)
        intents = rng.normal(0.0, 1.0, (n, _INTENTS)) + 3.0 * np.eye(_INTENTS)[intent] * mine[:, None]
        slots = rng.normal(np.where(mine & (value == 1), 1.5, -1.5), 1.5)
        readings = [_n_best(name, *row) for row in zip(sigmoid(own), _softmax(intents), sigmoid(slots), strict=True)]
        save(Recognised(name, readings[:train], [], readings[train:]), paths[name])
    corpus = Corpus("synthetic", names, tuple(examples[:train]), (), tuple(examples[train:]), "held out", ())
    return corpus, paths


def _n_best(domain: str, mine: float, intents: np.ndarray, second: float) -> tuple[Hypothesis, ...]:
    pairs = sorted(((-p * q, k, v) for k, p in enumerate(intents) for v, q in enumerate((1.0 - second, second))))[:5]
    return tuple(
        Hypothesis(
            domain,
            f"intent{k}",
            domain_confidence=float(mine),
            intent_confidence=float(intents[k]),
            slots=(Slot("name", _VALUES[v]),),
            slots_confidence=float((1.0 - second, second)[v]),
        )
        for _, k, v in pairs
    )


def _softmax(z: np.ndarray) -> np.ndarray:
    grown = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))
