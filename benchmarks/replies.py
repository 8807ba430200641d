"""Replies of bbai's assistants as hypotheses: what each assistant learns, alone, of its own replies.

An assistant has no confidence of its own. The toolkit's classifier of texts stands for it, three times: of the question
(learned from the questions without replies), of the reply, and of both. Beside their probabilities, a hypothesis says
how the reply looks: its length, its numbers, how much of the question's words it repeats. With a sentence encoder, it
also says how close the reply is to the question, and how often the assistant has given it to other questions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import betabinom
from sklearn.linear_model import LogisticRegression

from arbitrank.evaluate.intervals import interval
from arbitrank.nlu.encoded import Encoded, encode
from arbitrank.nlu.text import tokenise
from arbitrank.nlu.training import cross_fit, train_recogniser
from arbitrank.probability import Floats, clipped, logit
from arbitrank.shortlist.embedding import Encoder, encoded
from arbitrank.values import Example, Hypothesis, Request, Truth
from benchmarks.skills import read

_FILES = ("train.jsonl.gz", "dev.jsonl.gz")
_PEOPLE = 5  # who vote on the replies to a question
_ENOUGH = 3  # of them make a reply acceptable
_DRAWS = 1_000
_PULL = 10.0  # requests that the regularisation of an assistant's logistic regression counts for
_FARTHEST = 6.0  # standard deviations that a value of it is from its mean at most
_FOLDS = 5  # of its cross-fitting
_LOGS = (-8.0, 8.0)  # range of the logs of a beta distribution's parameters
_READ = 200  # characters of a text that are encoded
_BATCH = 64  # texts that are encoded together


class Replies:
    """The questions with replies, those without, and the assistants."""

    def __init__(self, folder: Path, encoder: Encoder | None = None) -> None:
        self._encoder = encoder
        self._asked: Floats | None = None  # the questions' vectors
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

    def attainable(self, seed: int) -> tuple[float, float, float]:
        """The share of questions served by who knows each reply's chance of a vote, and the 95 % of draws around it.

        People vote by chance: an assistant's chances are of a beta distribution, fitted to its votes. Drawn are the
        chances given the votes, and the votes of five others on the same replies, who say what is acceptable.
        """
        votes = np.array([[row["votes"].get(name, 0) for name in self.assistants] for row in self.rows])
        prior = np.array([_beta(column) for column in votes.T])
        rng, shares = np.random.default_rng(seed), []
        for _ in range(_DRAWS):
            chances = rng.beta(prior[:, 0] + votes, prior[:, 1] + _PEOPLE - votes)
            acceptable = rng.binomial(_PEOPLE, chances) >= _ENOUGH
            best = np.take_along_axis(acceptable, chances.argmax(axis=1)[:, None], axis=1)[:, 0]
            shares.append(best[acceptable.any(axis=1)].mean())
        return float(np.mean(shares)), *interval(np.array(shares))

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
        read, close = [[encode(text) for text in one] for one in (texts, both)], self._closeness(texts)
        for f in range(int(fold.max()) + 1):
            rest, held = np.flatnonzero(fold != f).tolist(), np.flatnonzero(fold == f).tolist()
            confident = [_confidences(assistant, one, accepted, rest, held, seed) for one in read]
            said = Counter(texts[i] for i in rest)
            often = [float(np.log1p(said[text] - (fold[i] != f))) for i, text in enumerate(texts)]
            more = [{"close": a, "often": b} for a, b in zip(close, often, strict=True)] if close else [{}] * len(texts)
            each = zip(self.rows, asked, *confident, more, strict=True)
            found = [self._hypothesis(assistant, *one) for one in each]
            yield regressed(found, np.array(accepted), fold == f, seed) if close else found

    def _closeness(self, texts: Sequence[str]) -> list[float]:
        """The cosine of each reply and its question; none without an encoder."""
        if self._encoder is None:
            return []
        if self._asked is None:
            self._asked = _vectors(self._encoder, [row["text"] for row in self.rows])
        cosines: Floats = (self._asked * _vectors(self._encoder, texts)).sum(axis=1)
        return list(cosines.tolist())

    def _hypothesis(
        self,
        assistant: str,
        row: Mapping[str, Any],
        asked: float,
        replied: float,
        both: float,
        more: Mapping[str, float],
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
            **more,
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


def regressed(
    hypotheses: Sequence[Hypothesis], accepted: NDArray[np.bool_], held: NDArray[np.bool_], seed: int
) -> list[Hypothesis]:
    """The hypotheses with P(acceptable) by a logistic regression over all that they say, learned from those not held.

    The latter are cross-fitted. Where no reply was accepted, nothing is learned.
    """
    values = np.array([[logit(clipped(h.domain_confidence or 0.0)), *h.features.values()] for h in hypotheses])
    deviation = values[~held].std(axis=0)
    rows = (values - values[~held].mean(axis=0)) / np.where(deviation < 1e-2, 1.0, deviation)
    rows = np.clip(rows, -_FARTHEST, _FARTHEST)
    part = np.full(len(held), _FOLDS)
    part[~held] = np.random.default_rng(seed).permutation(np.count_nonzero(~held)) % _FOLDS
    found = np.array([h.domain_confidence for h in hypotheses], np.float64)
    for k in range(_FOLDS + 1):
        learned, scored = ~held & (part != k), part == k
        if accepted[learned].any():
            model = LogisticRegression(C=1.0 / _PULL, max_iter=500).fit(rows[learned], accepted[learned])
            found[scored] = model.predict_proba(rows[scored])[:, 1]
    return [replace(h, domain_confidence=p) for h, p in zip(hypotheses, found.tolist(), strict=True)]


def _vectors(encoder: Encoder, texts: Sequence[str]) -> Floats:
    """The unit vectors of the beginnings of texts, shape (n, d), each distinct one encoded once."""
    distinct, place = np.unique([text[:_READ] for text in texts], return_inverse=True)
    order = np.argsort([len(text) for text in distinct], kind="stable")  # batches of like lengths
    parts = [order[at : at + _BATCH] for at in range(0, len(order), _BATCH)]
    found = {int(i): v for part in parts for i, v in zip(part, encoded(encoder, distinct[part].tolist()), strict=True)}
    return np.array([found[int(i)] for i in place], np.float64)


def _beta(votes: NDArray[np.int64]) -> NDArray[np.float64]:
    """The two parameters of the beta distribution that explains an assistant's votes best."""

    def loss(logs: NDArray[np.float64]) -> float:
        return -float(betabinom.logpmf(votes, _PEOPLE, *np.exp(logs)).sum())

    found = minimize(loss, np.array([-1.0, 0.0]), method="Nelder-Mead", bounds=[_LOGS, _LOGS]).x
    return np.asarray(np.exp(found))


def _reply(row: Mapping[str, Any], assistant: str) -> str:
    return str(row["responses"].get(assistant, ""))


def _words(text: str) -> list[str]:
    return [token.text for token in tokenise(text)]


def _example(text: str, assistant: str, accepted: bool) -> Example:
    return Example(Request(utterance=text), Truth(assistant if accepted else None, "answer"))


def _mine(readings: Sequence[Hypothesis]) -> float:
    """P(mine) of the first reading; 0 where there is none."""
    return float(readings[0].domain_confidence or 0.0) if readings else 0.0
