"""Replies of bbai's assistants as hypotheses: what each assistant learns, alone, of its own replies.

An assistant has no confidence of its own. The toolkit's classifier of texts stands for it, three times: of the question
(learned from the questions without replies), of the reply, and of both. Beside their probabilities, a hypothesis says
how the reply looks: its length, its numbers, how much of the question's words it repeats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.encoded import Encoded, encode
from arbitrank.nlu.text import tokenise
from arbitrank.nlu.training import cross_fit, train_recogniser
from arbitrank.probability import clipped, logit
from arbitrank.values import Example, Hypothesis, Request, Truth
from benchmarks.skills import read

_FILES = ("train.jsonl.gz", "dev.jsonl.gz")


class Replies:
    """The questions with replies, those without, and the assistants."""

    def __init__(self, folder: Path) -> None:
        self.rows = list(read(folder / "responses.jsonl.gz"))
        self.questions = [row for name in _FILES for row in read(folder / name)]
        self.assistants = tuple(sorted(self.rows[0]["responses"]))
        counts = Counter(word for row in self.questions for word in _words(row["text"]))
        self._rarity = {word: float(np.log((len(self.questions) + 1) / (n + 1))) for word, n in counts.items()}
        self._common = float(np.log(len(self.questions) + 1))

    def examples(self) -> list[Example]:
        """The questions as requests, with the assistants that answered them acceptably: none where none did."""
        return [
            Example(
                Request(id=row["id"], utterance=row["text"]),
                Truth(None, row.get("intent"), (), tuple(row.get("agents_ok", ())) or (None,)),
            )
            for row in self.rows
        ]

    def asked(self, assistant: str, seed: int) -> list[float]:
        """P(the assistant answers acceptably) of each question, learned from those without replies."""
        learned = [_example(row["text"], assistant, assistant in row["agents_ok"]) for row in self.questions]
        recogniser = train_recogniser(assistant, learned, seed)
        return [_mine(recogniser.recognise(row["text"])) for row in self.rows]

    def hypotheses(self, assistant: str, fold: NDArray[np.int64], seed: int) -> Iterator[list[Hypothesis]]:
        """For each fold, the assistant's reply to each question as a hypothesis.

        The texts are learned from the other folds, whose own are cross-fitted among them.
        """
        asked = self.asked(assistant, seed)
        accepted = [assistant in row.get("agents_ok", ()) for row in self.rows]
        texts = [_reply(row, assistant) for row in self.rows]
        both = [f"{row['text']} | {text}" for row, text in zip(self.rows, texts, strict=True)]
        encoded = [[encode(text) for text in one] for one in (texts, both)]
        for f in range(int(fold.max()) + 1):
            rest, held = np.flatnonzero(fold != f).tolist(), np.flatnonzero(fold == f).tolist()
            confident = [_confidences(assistant, one, accepted, rest, held, seed) for one in encoded]
            yield [
                self._hypothesis(assistant, row, *each) for row, *each in zip(self.rows, asked, *confident, strict=True)
            ]

    def _hypothesis(
        self, assistant: str, row: Mapping[str, Any], asked: float, replied: float, both: float
    ) -> Hypothesis:
        reply, question = _words(_reply(row, assistant)), set(_words(row["text"]))
        weights = {word: self._rarity.get(word, self._common) for word in question}
        repeated = sum(weights[word] for word in question & set(reply)) / max(sum(weights.values()), 1e-9)
        features = {
            "asked": logit(clipped(asked)),
            "replied": logit(clipped(replied)),
            "repeated": repeated,
            "words": float(np.log1p(len(reply))),
            "number": float(any(word.isdigit() for word in reply)),
            "asks back": float(_reply(row, assistant).rstrip().endswith("?")),
        }
        return Hypothesis(assistant, row["intent"], domain_confidence=both, features=features)


def _confidences(
    assistant: str,
    texts: Sequence[Encoded],
    accepted: Sequence[bool],
    rest: Sequence[int],
    held: Sequence[int],
    seed: int,
) -> list[float]:
    """P(acceptable) of each of the texts, learned from those at `rest`, whose own are cross-fitted."""
    found = [0.0] * len(texts)
    if not any(accepted[i] for i in rest):
        return found
    # Equal texts share a fold.
    learned = [_example(f"{crc32(texts[i].ngrams.tobytes())}", assistant, accepted[i]) for i in rest]
    encoded = [texts[i] for i in rest]
    recogniser = train_recogniser(assistant, learned, seed, encoded=encoded)
    of_held = recogniser.recognise_many([texts[i] for i in held])
    fitted = cross_fit(assistant, learned, seed=seed, encoded=encoded)
    for i, readings in zip((*rest, *held), (*fitted, *of_held), strict=True):
        found[i] = _mine(readings)
    return found


def _reply(row: Mapping[str, Any], assistant: str) -> str:
    return str(row["responses"].get(assistant, ""))


def _words(text: str) -> list[str]:
    return [token.text for token in tokenise(text)]


def _example(text: str, assistant: str, accepted: bool) -> Example:
    return Example(Request(utterance=text), Truth(assistant if accepted else None, "answer"))


def _mine(readings: Sequence[Hypothesis]) -> float:
    """P(mine) of the first reading; 0 where there is none."""
    return float(readings[0].domain_confidence or 0.0) if readings else 0.0
