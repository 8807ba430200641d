"""A sound toy domain, and careless ones that differ from it in one thing each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arbitrank.domain import Domain, Model, Scores, Settings, Skill
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.values import Example, Hypothesis, Request, Slot, Truth


@dataclass(frozen=True)
class ZooModel(Model):
    """Knows a zoo by its word; its rate is learned."""

    rate: float

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        if "zoo" not in (request.utterance or ""):
            return ()
        return (Hypothesis("zoo", "AskZoo", domain_confidence=0.9), Hypothesis("zoo", "BuyTicket"))

    def rerank(self, request: Request) -> Scores:
        n = len(request.hypotheses or ())
        return Scores(self.rate, np.full(n, self.rate / n))


class Zoo(Domain):
    """Sound: no check finds anything."""

    name = "zoo"
    model: type[ZooModel] = ZooModel

    @property
    def skills(self) -> Sequence[Skill]:
        return (Skill("zoo", "opening hours and tickets", ("when does the zoo open",)),)

    def examples(self) -> Any:
        return list(self.rows())

    def rows(self) -> Iterator[Example]:
        for i in range(90):
            slot = Slot("number", str(i), start=4, end=4 + len(str(i)))
            yield Example(Request(utterance=f"zoo {i} opens when"), Truth("zoo", "AskZoo", (slot,)))
            yield Example(Request(utterance=f"play song number {i}"), Truth(None))

    def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> Mapping[str, Any]:
        own = sum(example.truth.owned_by("zoo") for example in examples)
        write(out, (own + 1) / (len(examples) + 2))
        return {"examples": len(examples)}

    def load(self, folder: Path) -> Model:
        return self.model(json.loads((folder / "reranker" / "rate.json").read_text()))


def write(out: Path, rate: float) -> None:
    """Write the weights."""
    (out / "reranker").mkdir(parents=True)
    (out / "reranker" / "rate.json").write_text(json.dumps(rate))


def careless(**attributes: Any) -> Domain:
    """The sound domain with other attributes."""
    return type("Careless", (Zoo,), attributes)()


def answering(**methods: Any) -> Domain:
    """The sound domain whose model has other methods."""
    return careless(model=type("CarelessModel", (ZooModel,), methods))


class Described(ReferenceDomain):
    """A domain of the toolkit that describes its hypotheses as `features` says."""

    name = "zoo"
    rows = Zoo.rows

    def __init__(self, features: Any) -> None:
        super().__init__()
        self.features = features

    def examples(self) -> Any:
        return list(self.rows())  # type: ignore[misc]

    def describe(self, hypothesis: Hypothesis) -> Any:
        return self.features(hypothesis)


class Lone(Zoo):
    """The sound domain, with no request of another domain in its data."""

    def rows(self) -> Iterator[Example]:
        return (example for example in super().rows() if example.truth.owned_by("zoo"))


def lone(name: str) -> Domain:
    """A domain without negatives of its own, as a training process makes it."""
    return Lone()
