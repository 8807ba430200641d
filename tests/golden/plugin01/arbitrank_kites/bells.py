"""A domain with understanding, training and a model of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arbitrank.domain import CONTRACT, Domain, LinearForm, Model, Scores, Settings
from arbitrank.errors import ArtifactError, DataError
from arbitrank.values import Example, Hypothesis, Request, Slot, Truth

_BELL = re.compile(r"ring (?:the )?(\w+) bell")
assert CONTRACT == 1


@dataclass(frozen=True)
class BellsModel(Model):
    """How often a match of the pattern is right."""

    rate: float

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        found = _BELL.search(request.utterance or "")
        if found is None:
            return ()
        slot = Slot("bell", found[1], confidence=0.75, start=found.start(1), end=found.end(1))
        return (
            Hypothesis("bells", "Ring", 0.9, 0.8, (slot,), features={"words": float(len(found[0].split()))}),
            Hypothesis("bells", "Mute", 0.9, 0.1, skill="quiet"),
        )

    def rerank(self, request: Request) -> Scores:
        readings = request.hypotheses or ()
        if request.context.get("crack") == "yes":
            raise ValueError("the bell is cracked")
        weights = np.array([(h.intent_confidence or 0.5) * (h.reading_confidence or 0.5) for h in readings])
        louder = 0.04 if request.context.get("device") == "speaker" else 0.0
        mine = min(1.0, self.rate + louder)
        return Scores(mine, mine * weights / max(weights.sum(), 1.0))

    def explain(self, request: Request) -> Sequence[Mapping[str, float]]:
        return [{"domain": 0.25, "context": float(len(request.context))} for _ in request.hypotheses or ()]

    def linear(self) -> LinearForm | None:
        return None


class Bells(Domain):
    """Bells to ring."""

    name = "bells"

    def examples(self) -> Iterable[Example]:
        for i, word in enumerate(("front", "back", "school", "church", "small", "large") * 4):
            ask = ("ring the", "please ring the", "who will ring the")[i % 3]
            text = f"{ask} {word} bell"
            start = text.index(word)
            truth = Truth(self.name, "Ring", (Slot("bell", word, start=start, end=start + len(word)),))
            request = Request(utterance=text, context={"device": "speaker"} if i % 2 else {})
            yield Example(request, Truth(None) if i % 3 == 2 else truth)

    def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> Mapping[str, Any]:
        found = [example for example in examples if _BELL.search(example.request.utterance or "")]
        if not found:
            raise DataError(f"domain bells: none of {len(examples)} examples rings a bell; give it some")
        rate = (sum(example.truth.domain == self.name for example in found) + 1) / (len(found) + 2)
        (out / "reranker").mkdir(parents=True)
        (out / "reranker" / "rate.json").write_text(json.dumps({"rate": rate, "seed": settings.seed}))
        settings.progress("re-ranker", 1, 1)
        return {"examples": len(examples), "rate": rate}

    def load(self, folder: Path) -> Model:
        try:
            return BellsModel(json.loads((folder / "reranker" / "rate.json").read_text())["rate"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ArtifactError(f"{folder}: no rate that can be read: {error}") from error
